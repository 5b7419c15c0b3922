"""What happens to a run when it is killed, its files are damaged, or the disk is full.

    python -m bench.faults --kills 200

Every trial starts a run, does it harm, resumes it, and compares what is there at the end with a
run that nothing happened to: weights, optimizer, random streams, learning curve and events must be
equal to the last bit. Prints a table in Markdown; exits with 1 if a trial failed.

The trials are forked from one process that has imported everything, so that one takes a fraction
of a second.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from exprun import cli, run
from exprun.commands import resume
from exprun.record import checkpoint, tensorboard
from exprun.record.files import write_atomic

WORDS = [
    "data=iris",
    "model.hidden=[16,8]",
    "reg=dropout",
    "norm=batch",
    "optimizer=adam",
    "stopping=none",
    "trainer.max_epochs=120",
    "checkpoint.every=2",
    "hydra.run.dir=run",
]
SWEEP = [
    "-m",
    "hydra/launcher=stacked",
    "hydra.launcher.size=2",
    "hydra.launcher.workers=2",
    "seed=range(6)",
    *(word for word in WORDS if not word.startswith(("trainer", "hydra"))),
    "trainer.max_epochs=40,50",
    "hydra.sweep.dir=run",
]
"""Twelve jobs, two at a time in each of two processes."""

IMPORTED = (run, resume, write_atomic)
"""Imported here so that no trial spends its time on it."""

FILES = ("metrics.csv", "model.safetensors", "preprocess.json")


def start(folder: Path, words: list[str], prepare: Callable[[], None] = lambda: None) -> int:
    """Run exprun in a forked process; returns its process id."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    try:
        os.chdir(folder)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        prepare()
        os._exit(cli.main(words))
    except BaseException:
        os._exit(70)


def ended(process: int) -> int:
    """Wait for the end; the exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def fingerprint(run: Path) -> list[object]:
    """Everything that has to be equal, of a run or of all jobs of a sweep."""
    if (run / "sweep.json").exists():
        return [fingerprint(path) for path in sorted(run.iterdir()) if path.is_dir()]
    state, _ = checkpoint.newest(run)
    events = [event for path in run.glob("events.*") for event in tensorboard.read(path)]
    points = [(e.step, v.tag, v.simple_value) for e in events for v in e.summary.value]
    return [
        *((run / name).read_bytes() for name in FILES),
        checkpoint.checksum(state),
        sorted(points),
        sorted(path.name for path in run.iterdir() if not path.name.startswith("events")),
    ]


def resumed(folder: Path, words: list[str], reference: list[object]) -> bool:
    """Whether the run or sweep in ``folder`` resumes and then equals the reference."""
    run = folder / "run"
    if not any((run / name).exists() for name in ("sweep.json", ".hydra/overrides.yaml")):
        shutil.rmtree(run, ignore_errors=True)  # it had not begun
        return ended(start(folder, words)) == 0 and fingerprint(run) == reference
    return ended(start(folder, ["resume", "run"])) == 0 and fingerprint(run) == reference


def killed_at_random(folder: Path, rng: random.Random, seconds: float) -> None:
    """SIGKILL after a random part of the time that a run takes."""
    process = start(folder, WORDS)
    time.sleep(rng.uniform(0, seconds))
    os.kill(process, signal.SIGKILL)
    ended(process)


def sweep_killed(folder: Path, rng: random.Random, seconds: float, all_of_it: bool) -> None:
    """SIGKILL of a stacked sweep, or of one of its workers, after a random part of its time."""
    process = start(folder, SWEEP, os.setsid)
    time.sleep(rng.uniform(0, seconds))
    helpers = children(process)  # one of them is the workers' parent
    workers = [worker for helper in helpers for worker in children(helper)]
    if workers and not all_of_it:
        os.kill(rng.choice(workers), signal.SIGKILL)
    else:
        (os.killpg if helpers else os.kill)(process, signal.SIGKILL)
    ended(process)


def children(process: int) -> list[int]:
    """Those of a process; none if it is gone."""
    try:
        text = Path(f"/proc/{process}/task/{process}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(child) for child in text.split()]


STEPS = [(os, "fsync"), (Path, "replace"), (Path, "unlink"), (os, "open")]
"""What a write of a checkpoint or a result is made of."""


def killed_in_a_step(folder: Path, number: int) -> None:
    """SIGKILL right before the ``number``-th file operation that the run makes."""
    calls = 0

    def counting(function: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **keywords: object) -> object:
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **keywords)

        return counted

    def prepare() -> None:
        for owner, name in STEPS:
            setattr(owner, name, counting(getattr(owner, name)))

    ended(start(folder, WORDS, prepare))


def damaged(folder: Path, rng: random.Random, how: str) -> None:
    """Kill a run that has two checkpoints, and damage the newest one."""
    run = folder / "run"
    while not (run / "checkpoints" / checkpoint.LAST).exists():
        shutil.rmtree(run, ignore_errors=True)
        process = start(folder, WORDS)
        while not (run / "checkpoints" / checkpoint.PREVIOUS).exists():
            time.sleep(0.001)
        os.kill(process, signal.SIGKILL)
        ended(process)
    last = run / "checkpoints" / checkpoint.LAST
    content = bytearray(last.read_bytes())
    if how == "flipped":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    else:
        del content[rng.randrange(len(content)) :]
    last.write_bytes(content)


def full_disk(folder: Path, kilobytes: int) -> None:
    """Run on a file system of so many kilobytes, then give it room."""
    mount = ["mount", "-t", "tmpfs", "-o"]
    subprocess.run([*mount, f"size={kilobytes}k", "tmpfs", folder], check=True)
    code = ended(start(folder, WORDS))
    subprocess.run([*mount, "remount,size=64m", "tmpfs", folder], check=True)
    if code not in (0, 1):
        raise AssertionError(f"exit code {code} on a full disk")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="trials of a kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        references, seconds = {}, {}
        for name, words in {"run": WORDS, "sweep": SWEEP}.items():
            whole = Path(scratch) / name
            whole.mkdir()
            began = time.perf_counter()
            assert ended(start(whole, words)) == 0
            seconds[name] = time.perf_counter() - began
            references[name] = fingerprint(whole / "run")
        kinds: dict[str, tuple[int, Callable[[Path, int], None]]] = {
            "SIGKILL at a random time": (
                options.kills,
                lambda folder, _: killed_at_random(folder, rng, seconds["run"]),
            ),
            "SIGKILL before the n-th file operation": (
                options.kills,
                lambda folder, n: killed_in_a_step(folder, n + 1),
            ),
            "newest checkpoint: a flipped bit": (
                options.kills // 2,
                lambda folder, _: damaged(folder, rng, "flipped"),
            ),
            "newest checkpoint: truncated": (
                options.kills // 4,
                lambda folder, _: damaged(folder, rng, "truncated"),
            ),
            "stacked sweep: SIGKILL at a random time": (
                options.kills // 2,
                lambda folder, _: sweep_killed(folder, rng, seconds["sweep"], True),
            ),
            "stacked sweep: SIGKILL of one worker": (
                options.kills // 2,
                lambda folder, _: sweep_killed(folder, rng, seconds["sweep"], False),
            ),
        }
        if os.geteuid() == 0:
            kinds["full disk"] = (
                options.kills // 10,
                lambda folder, n: full_disk(folder, 16 + 12 * n),
            )
        print("| fault | trials | resumed equal to the last bit | failed |\n|---|---|---|---|")
        failures = 0
        for kind, (trials, harm) in kinds.items():
            failed = []
            for number in range(trials):
                folder = Path(scratch) / "trial"
                folder.mkdir()
                harm(folder, number)
                words, name = (SWEEP, "sweep") if "sweep" in kind else (WORDS, "run")
                if not resumed(folder, words, references[name]):
                    failed.append(number)
                if folder.is_mount():
                    subprocess.run(["umount", folder], check=True)
                shutil.rmtree(folder)
            print(f"| {kind} | {trials} | {trials - len(failed)} | {len(failed)} {failed or ''} |")
            failures += len(failed)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
