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

from exprun import cli, job, resume
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
IMPORTED = (job, resume, write_atomic)
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
    """Everything that has to be equal."""
    state, _ = checkpoint.newest(run)
    events = [event for path in run.glob("events.*") for event in tensorboard.read(path)]
    points = [(e.step, v.tag, v.simple_value) for e in events for v in e.summary.value]
    return [
        *((run / name).read_bytes() for name in FILES),
        checkpoint.checksum(state),
        sorted(points),
        sorted(path.name for path in run.iterdir() if not path.name.startswith("events")),
    ]


def resumed(folder: Path, reference: list[object]) -> bool:
    """Whether the run in ``folder`` resumes and then equals the reference."""
    run = folder / "run"
    if not (run / ".hydra" / "overrides.yaml").exists():  # it had not begun
        shutil.rmtree(run, ignore_errors=True)
        return ended(start(folder, WORDS)) == 0 and fingerprint(run) == reference
    return ended(start(folder, ["resume", "run"])) == 0 and fingerprint(run) == reference


def killed_at_random(folder: Path, rng: random.Random, seconds: float) -> None:
    """SIGKILL after a random part of the time that a run takes."""
    process = start(folder, WORDS)
    time.sleep(rng.uniform(0, seconds))
    os.kill(process, signal.SIGKILL)
    ended(process)


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
        whole = Path(scratch) / "whole"
        whole.mkdir()
        began = time.perf_counter()
        assert ended(start(whole, WORDS)) == 0
        seconds = time.perf_counter() - began
        reference = fingerprint(whole / "run")
        kinds: dict[str, tuple[int, Callable[[Path, int], None]]] = {
            "SIGKILL at a random time": (
                options.kills,
                lambda folder, _: killed_at_random(folder, rng, seconds),
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
                if not resumed(folder, reference):
                    failed.append(number)
                if folder.is_mount():
                    subprocess.run(["umount", folder], check=True)
                shutil.rmtree(folder)
            print(f"| {kind} | {trials} | {trials - len(failed)} | {len(failed)} {failed or ''} |")
            failures += len(failed)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
