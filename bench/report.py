"""How long ``exprun report`` takes and how large its page is.

    python -m bench.report [--rounds 3]

Sweeps of 60, 300 and 2000 jobs of 50 epochs, whose folders ``tests/report/sweeps.py`` writes.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.report.sweeps import write_sweep

EXPRUN = [sys.executable, "-m", "exprun"]
OPTIMIZERS = ["sgd", "momentum", "rmsprop", "adam"]


def rates(count: int) -> list[str]:
    """Learning rates from 1e-4 to 1."""
    return [f"{10 ** (-4 + 4 * i / (count - 1)):.3g}" for i in range(count)]


REG = ["none", "l2", "dropout"]

SWEEPS = {
    "60": {"optimizer": OPTIMIZERS, "reg": REG},
    "300": {"optimizer": OPTIMIZERS, "optimizer.lr": rates(5), "reg": REG},
    "2000": {"optimizer": OPTIMIZERS, "optimizer.lr": rates(100)},
}
"""Factors of sweeps of so many jobs, with five seeds."""


def processor() -> float:
    """Seconds of processor time of the commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch)
        for name, factors in SWEEPS.items():
            write_sweep(top / name, factors, seeds=5, epochs=50)
        print("| jobs | configurations | page, kB | seconds | of a processor |", flush=True)
        print("|--:|--:|--:|--:|--:|", flush=True)
        for name in SWEEPS:
            seconds, busy = [], []
            for _ in range(rounds):
                start, before = time.perf_counter(), processor()
                subprocess.run(
                    [*EXPRUN, "report", name], cwd=top, stdout=subprocess.DEVNULL, check=True
                )
                seconds.append(time.perf_counter() - start)
                busy.append(processor() - before)
            text = (top / name / "report.html").read_text()
            size = len(text.encode()) / 1000
            count = text.split("<tbody>")[1].split("</tbody>")[0].count("<tr")
            medians = f"{statistics.median(seconds):.1f} | {statistics.median(busy):.1f}"
            print(f"| {name} | {count} | {size:.0f} | {medians} |", flush=True)


if __name__ == "__main__":
    main()
