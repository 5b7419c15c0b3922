"""Runs a sweep as a SLURM array: each task runs ``exprun resume SWEEP --jobs …`` for its share.

Tasks are given only job numbers; they read everything else from the sweep's folder. A task that
reaches its time limit (SIGUSR2 before it) saves and requeues itself, and so does a task whose jobs
another process holds. If a task fails in another way, ``exprun resume SWEEP`` runs the unfinished
jobs.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exprun.common.constants import HELD
from exprun.common.errors import UsageError
from exprun.common.override_value import override_value
from exprun.common.signals import Interruption
from exprun.sweeps.job_numbers import shares

EARLY = 60
"""Seconds before its time limit at which a task is signalled to save; SLURM may signal up to 60 s
earlier."""

LEAST_TIME = 3 * 60
"""Minimum time limit of a task in seconds: a task that is signalled to save before it has trained
anything would be requeued forever."""

LARGEST_ARRAY = 1000
"""Maximum number of tasks in an array if SLURM does not report its limit; the usual MaxArraySize is
one more."""

LOOK = 15.0
"""Seconds between two queries whether the arrays still exist."""

SCRIPT = """\
#!/bin/bash
{directives}
jobs=({shares})
# a signal is exprun's, which saves; this shell waits for it
for name in INT TERM USR2; do trap "kill -s $name \\$child 2> /dev/null" $name; done
{command} --jobs "${{jobs[SLURM_ARRAY_TASK_ID]}}" &
child=$!
while kill -0 $child 2> /dev/null; do wait $child; done
wait $child
code=$?
# its time was up ({saved}), or another process is at work on its jobs ({held}): once more, later
if [ $code = {saved} ] || [ $code = {held} ]; then
  scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit $code
"""
SAVED = 128 + 12
"""The exit code of exprun after SIGUSR2."""


@dataclass(frozen=True)
class Slurm:
    """Resources of the tasks of an array: ``jobs_per_task`` jobs each (None: JOBS_PER_TASK), at
    most ``array_parallelism`` tasks at a time (None: no limit), ``cpus`` cores per task, and
    further ``options`` of ``sbatch``."""

    jobs_per_task: int | None
    array_parallelism: int | None
    cpus: int
    options: Sequence[str]


def check_sbatch() -> None:
    """Raise UsageError if ``sbatch`` is not available on this machine."""
    if shutil.which("sbatch") is None:
        raise UsageError(
            "hydra/launcher=slurm: there is no sbatch here; expected a machine that SLURM's jobs "
            "are submitted from, or hydra/launcher=stacked"
        )


def seconds(limit: str) -> int | None:
    """The seconds of a time in the syntax of ``sbatch --time``: minutes, minutes:seconds,
    hours:minutes:seconds, days-hours, days-hours:minutes or days-hours:minutes:seconds. None if it
    is none of these."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", limit)
    if not match:
        return None
    days, *parts = match.groups()
    first, second, third = (int(part or 0) for part in parts)
    if days is not None:
        return ((int(days) * 24 + first) * 60 + second) * 60 + third
    if parts[2] is not None:
        return (first * 60 + second) * 60 + third
    return first * 60 + second


def submit(folder: Path, numbers: Sequence[int], slurm: Slurm, *, trust: bool) -> list[str]:
    """Submit the jobs of the sweep in ``folder`` with these numbers; returns the SLURM job IDs of
    the arrays. Raises UsageError with the message of ``sbatch`` if it refuses."""
    logs = folder / "slurm"
    logs.mkdir(exist_ok=True)
    tasks, most = shares(numbers, slurm.jobs_per_task), _largest_array()
    submitted: list[str] = []
    for begin in range(0, len(tasks), most):
        script = _script(folder.absolute(), tasks[begin : begin + most], slurm, trust=trust)
        done = subprocess.run(
            ["sbatch", "--parsable"], input=script, capture_output=True, text=True, check=False
        )
        if done.returncode:
            reason = " ".join(done.stderr.split()) or f"ended with code {done.returncode}"
            there = f"; submitted before: {' '.join(submitted)}" if submitted else ""
            raise UsageError(
                f"{reason}{there}; the jobs stand in {folder}: ask for them again with "
                f"sweep.into={override_value(folder)}, or run them here with "
                f"exprun resume {shlex.quote(str(folder))}"
            )
        submitted.append(done.stdout.strip().partition(";")[0])
        (logs / f"{submitted[-1]}.sh").write_text(script)
    return submitted


def wait(folder: Path, numbers: Sequence[int], arrays: Sequence[str]) -> int | None:
    """Show the jobs until all have ended or the arrays no longer exist in SLURM; returns the exit
    code if a signal ended the display, else None. A signal does not affect the arrays."""
    from exprun.sweeps.watch import watch  # importing rich is slow

    asked = time.monotonic()

    def gone(_: Interruption) -> bool:
        nonlocal asked
        if time.monotonic() - asked < LOOK:
            return False
        asked = time.monotonic()
        words = ["squeue", "--noheader", "--jobs", ",".join(arrays)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        unknown = done.returncode != 0 and "Invalid job id" in done.stderr
        return unknown or (done.returncode == 0 and not done.stdout.strip())

    return watch(folder, numbers, gone)


def _script(folder: Path, tasks: Sequence[str], slurm: Slurm, *, trust: bool) -> str:
    parallel = f"%{slurm.array_parallelism}" if slurm.array_parallelism else ""
    directives = [
        "--job-name=exprun",
        f"--array=0-{len(tasks) - 1}{parallel}",
        f"--cpus-per-task={slurm.cpus}",
        "--requeue",
        "--open-mode=append",
        f"--output={folder}/slurm/%A_%a.out",
        f"--signal=B:USR2@{EARLY}",
        *slurm.options,
    ]
    command = [sys.executable, "-m", "exprun", "resume", str(folder)]
    return SCRIPT.format(
        directives="\n".join(f"#SBATCH {_quoted(option)}" for option in directives),
        shares=" ".join(tasks),
        command=shlex.join([*command, *(["--trust"] if trust else [])]),
        saved=SAVED,
        held=HELD,
    )


def _quoted(option: str) -> str:
    """An option in the syntax of a directive, quoted if it contains blanks."""
    return f'"{option}"' if re.search(r"\s", option) else option


def _largest_array() -> int:
    """The maximum number of tasks in an array, from SLURM's configuration, else LARGEST_ARRAY."""
    words = ["scontrol", "show", "config"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    except OSError:
        said = ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)$", said, re.MULTILINE)
    return max(int(found[1]) - 1, 1) if found else LARGEST_ARRAY
