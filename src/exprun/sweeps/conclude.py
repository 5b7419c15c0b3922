"""The end of a sweep: its leaderboard, its pictures, and the published figures beside its own."""

from __future__ import annotations

import os
from pathlib import Path

from exprun.common.constants import FINISHED
from exprun.display.summary import sweep_summary
from exprun.sweeps import ledger
from exprun.sweeps.published import judge
from exprun.sweeps.published_table import comparison


def conclude(folder: Path, code: int | None = None, *, trust: bool = True) -> int:
    """Write the leaderboard, show it, draw the paths of test functions and, unless the sweep was
    interrupted, show the published figures beside its own; returns the exit code: ``code`` if that
    is given, else 0 if every job came to a result (a divergence is one), or 1.

    Unless there is ``trust``, somebody's own test function is not called to be drawn (UsageError).
    """
    rows = ledger.leaderboard(folder)
    pictures: list[str] = []
    begun = [row for row in rows if row["status"] != ledger.PENDING]
    if any((folder / str(row["folder"]) / "trajectory.csv").is_file() for row in begun):
        from exprun.problems.panels import draw_sweep  # matplotlib takes its time to import

        pictures = draw_sweep(folder, begun, trust=trust)
    sweep_summary(rows, os.path.relpath(folder), pictures=pictures)
    if code is not None:
        return code
    asked = ledger.read(folder)
    if asked.get("published"):
        jobs = [(job["variant"], folder / job["folder"]) for job in asked["jobs"]]
        comparison(judge(folder, asked["published"], jobs, asked["overrides"]))
    return int(any(row["status"] not in FINISHED for row in rows))
