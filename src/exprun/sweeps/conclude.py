"""The end of a sweep: writes its files and pictures, and prints the best configuration, the
statistical comparison, and the published figures next to the measured ones."""

from __future__ import annotations

import os
from pathlib import Path

from exprun.common.constants import DONE
from exprun.display.summary import say, sweep_summary
from exprun.display.text import default_console
from exprun.record.oof import OOF
from exprun.sweeps import ledger
from exprun.sweeps.comparison.compare import compare
from exprun.sweeps.comparison.configurations_csv import write_configurations
from exprun.sweeps.comparison.files import as_data, write
from exprun.sweeps.comparison.table import answer
from exprun.sweeps.mean_runs import write_mean
from exprun.sweeps.oof import write_oof
from exprun.sweeps.published import judge
from exprun.sweeps.published_table import comparison
from exprun.sweeps.read_results import read_results
from exprun.sweeps.search.conclusion import conclude_search


def conclude(folder: Path, code: int | None = None, *, trust: bool = True) -> int:
    """Write the leaderboard, the configurations, their comparison and ``mean/``, and print a
    summary; draw the paths of test functions and, unless ``code`` is given, as after an
    interruption, print the published figures next to the measured ones. Returns the exit code:
    ``code`` if given, else 0 if every job is finished (divergence included), or 1.

    Without ``trust``, a user-defined test function is not called for drawing (UsageError).
    """
    rows = ledger.leaderboard(folder)
    pictures: list[str] = []
    begun = [row for row in rows if row["status"] != ledger.PENDING]
    if any((folder / str(row["folder"]) / "trajectory.csv").is_file() for row in begun):
        from exprun.common import font_cache  # noqa: F401  # set before anything imports matplotlib
        from exprun.problems.panels import draw_sweep  # importing matplotlib is slow

        pictures = draw_sweep(folder, begun, trust=trust)
    console = default_console()
    asked = ledger.read(folder)
    results = read_results([folder])
    write_mean(folder, results)
    predicted = write_oof(folder, results)
    if results.figures:
        compared = compare(results)
        write(compared, as_data(compared))
        write_configurations(compared)
        if "search" not in asked:
            answer(compared, os.path.relpath(folder), console)
    if "search" in asked:
        conclude_search(folder, console)
    sweep_summary(rows, os.path.relpath(folder), console, pictures=pictures)
    if predicted:
        file = os.path.relpath(folder / OOF)
        say(console, "oof", f"{file}: {predicted:,} rows predicted out of fold")
    if code is not None:
        return code
    if asked.get("published"):
        jobs = [(job["variant"], folder / job["folder"]) for job in asked["jobs"]]
        comparison(judge(folder, asked["published"], jobs, asked["overrides"]))
    return int(any(row["status"] not in DONE for row in rows))
