"""Sweeps: time of the default launcher, of extending a sweep, of Dask workers, and the memory of
the parent.

    python -m bench.sweeps                     # everything
    python -m bench.sweeps launchers dask

launchers: 64 default jobs of 20 epochs, by plain ``-m`` and with ``hydra/launcher=stacked``, in
turns. extend: seconds from the shell until the first of 1000 jobs that are added to a finished
sweep of 1000 begins. dask: the jobs of one and of two workers with one thread each, in turns.
memory: the peak of the parent's resident memory in a sweep of 4096 jobs.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

DEFAULT = ["-m", "trainer.max_epochs=20", "stopping=none", "seed=range(64)"]
SHORT = ["-m", "data=iris", "model.hidden=[4]", "trainer.max_epochs=1"]
DASK = ["-m", "hydra/launcher=dask", "hydra.launcher.jobs_per_task=4", *DEFAULT[1:3]]
ROUNDS = 3


def start(folder: Path, words: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "exprun", *words], cwd=folder, stdout=subprocess.DEVNULL
    )


def seconds(words: list[str]) -> float:
    """The time of the command in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        assert start(Path(folder), words).wait() == 0
        return time.perf_counter() - began


def in_turns(first: list[str], second: list[str]) -> None:
    """Print the times of two commands, taken in turns, and their ratio."""
    rounds = [(seconds(first), seconds(second)) for _ in range(ROUNDS)]
    for words, times in zip((first, second), zip(*rounds, strict=True), strict=True):
        print(f"exprun {' '.join(words)}: {', '.join(f'{one:.1f}' for one in times)} s")
    ratio = statistics.median(a / b for a, b in rounds)
    print(f"the first takes {ratio:.2f} of the second's time (median of {ROUNDS})", flush=True)


def launchers() -> None:
    in_turns(DEFAULT, ["-m", "hydra/launcher=stacked", *DEFAULT[1:]])


def dask() -> None:
    words = [*DASK, "seed=range(192)"]
    in_turns([*words, "hydra.launcher.workers=1"], [*words, "hydra.launcher.workers=2"])


def begun(process: subprocess.Popen[bytes], sweep: Path, first: int) -> float:
    """Wait until a job with a number of at least ``first`` begins; the time of that. Only its
    folder's name is looked for, because looking for files would slow down what is measured."""
    while not any(name[:4].isdigit() and int(name[:4]) >= first for name in names(sweep)):
        assert process.poll() is None
        time.sleep(0.01)
    return time.perf_counter()


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def extend() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [*SHORT, "seed=range(1000)", "hydra.sweep.dir=s"]
        assert start(folder, words).wait() == 0
        began = time.perf_counter()
        process = start(folder, [*SHORT, "seed=range(1000,2000)", "sweep.into=s"])
        took = begun(process, folder / "s", 1000) - began
        process.send_signal(signal.SIGINT)
        process.wait()
    print(f"the first of 1000 jobs added to a finished sweep of 1000 begins after {took:.2f} s")


def memory() -> None:
    peak = 0.0
    with tempfile.TemporaryDirectory() as name:
        process = start(Path(name), [*SHORT, "seed=range(4096)", "hydra.sweep.dir=s"])
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            if "VmHWM:" in status:  # not once it has ended
                peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
            time.sleep(0.1)
    assert process.returncode == 0
    print(f"peak memory of the parent of 4096 jobs: {peak:.0f} MiB")


WHAT: dict[str, Callable[[], None]] = {
    "launchers": launchers,
    "extend": extend,
    "dask": dask,
    "memory": memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.sweeps")
    parser.add_argument("what", nargs="*", help=", ".join(WHAT))
    for name in parser.parse_args().what or WHAT:
        WHAT[name]()


if __name__ == "__main__":
    main()
