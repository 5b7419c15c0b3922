"""How long ``exprun report`` takes, how large its page is, and how soon headless Chromium shows it.

    python -m bench.report [--rounds 3]

Sweeps of 60, 300 and 2000 jobs of 50 epochs, whose folders ``tests/report/sweeps.py`` writes.
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.report.sweeps import write_sweep

CHROMIUM = [
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--virtual-time-budget=2000", "--dump-dom"),
]

PROBE = """<script>new PerformanceObserver(l => { for (const e of l.getEntries())
document.body.dataset[e.name === "first-paint" ? "paint" : "content"] = e.startTime })
.observe({type: "paint", buffered: true})</script>"""
"""Writes the milliseconds from the start of loading to the first paint into the page."""

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


def first_paint(page: Path) -> float:
    """Seconds until Chromium, started with an empty profile, first paints content of the page."""
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text() + PROBE)
    for _ in range(20):  # Chromium may write the page down before it has painted it
        with tempfile.TemporaryDirectory() as profile:
            words = [*CHROMIUM, f"--user-data-dir={profile}", probed.as_uri()]
            shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        if found := re.search(r'data-content="([\d.]+)"', shown):
            return float(found[1]) / 1000
    raise AssertionError("no content was painted")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch)
        for name, factors in SWEEPS.items():
            write_sweep(top / name, factors, seeds=5, epochs=50)
        heads = "jobs | configurations | page, kB | seconds | of a processor | first paint, s"
        print(f"| {heads} |\n|--:|--:|--:|--:|--:|--:|", flush=True)
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
            paints = [first_paint(top / name / "report.html") for _ in range(rounds)]
            medians = f"{statistics.median(seconds):.1f} | {statistics.median(busy):.1f}"
            medians += f" | {statistics.median(paints):.2f}"
            print(f"| {name} | {count} | {size:.0f} | {medians} |", flush=True)


if __name__ == "__main__":
    main()
