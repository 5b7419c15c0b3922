"""A sweep as an array of SLURM: each task runs ``exprun resume SWEEP --jobs …`` for its share.

SLURM carries numbers only. A task that is to end sooner than it is done (SIGUSR2 before the limit
of its time) saves and asks to be queued again; so does one whose jobs another process is at work
on. Whatever else becomes of a task, ``exprun resume SWEEP`` finds what it has left.
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
from exprun.common.signals import Interruption
from exprun.sweeps.launcher import JOBS_PER_TASK

EARLY = 60
"""Seconds before the limit at which a task is told to save; SLURM may do so 60 s earlier."""

LEAST_TIME = 3 * 60
"""Seconds of a task at least: one that is told to save before it has begun never ends."""

LARGEST_ARRAY = 1000
"""Tasks of an array at most, if SLURM does not say: the usual MaxArraySize is one more."""

LOOK = 15.0
"""Seconds between two questions whether the array is still there."""

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
"""What exprun ends with after SIGUSR2."""


@dataclass(frozen=True)
class Slurm:
    """What a task of the array is given: ``jobs_per_task`` jobs (None: our choice), ``cpus`` cores,
    and the options of ``sbatch``."""

    jobs_per_task: int | None
    array_parallelism: int | None
    cpus: int
    options: Sequence[str]


def check_sbatch() -> None:
    """Raise UsageError if arrays cannot be submitted from here."""
    if shutil.which("sbatch") is None:
        raise UsageError(
            "hydra/launcher=slurm: there is no sbatch here; expected a machine that SLURM's jobs "
            "are submitted from, or hydra/launcher=stacked"
        )


def seconds(limit: str) -> int | None:
    """A time as ``sbatch --time`` takes it: minutes, minutes:seconds, hours:minutes:seconds,
    days-hours, days-hours:minutes, days-hours:minutes:seconds. None if it is none of these."""
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


def shares(numbers: Sequence[int], size: int | None) -> list[str]:
    """The jobs of each task, as ``resume --jobs`` takes them."""
    size = size or JOBS_PER_TASK
    return [_spelled(numbers[i : i + size]) for i in range(0, len(numbers), size)]


def _spelled(numbers: Sequence[int]) -> str:
    """``3,5-9``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def submit(folder: Path, numbers: Sequence[int], slurm: Slurm, *, trust: bool) -> list[str]:
    """Submit the jobs of the sweep in ``folder`` with these numbers; returns SLURM's numbers of the
    arrays. Raises UsageError with what ``sbatch`` says against it."""
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
                f"sweep.into={folder}, or run them here with exprun resume {folder}"
            )
        submitted.append(done.stdout.strip().partition(";")[0])
        (logs / f"{submitted[-1]}.sh").write_text(script)
    return submitted


def wait(folder: Path, numbers: Sequence[int], arrays: Sequence[str]) -> int | None:
    """Show the jobs until all have ended or SLURM has the arrays no more; returns the exit code if
    a signal has ended that, which leaves the arrays as they are."""
    from exprun.sweeps.watch import watch  # rich takes its time to import

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
    """An option as a directive has it."""
    return f'"{option}"' if re.search(r"\s", option) else option


def _largest_array() -> int:
    """Tasks of an array at most, as SLURM is configured."""
    words = ["scontrol", "show", "config"]
    try:
        said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    except OSError:
        said = ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)$", said, re.MULTILINE)
    return max(int(found[1]) - 1, 1) if found else LARGEST_ARRAY
