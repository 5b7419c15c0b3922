"""The figures of a report for a notebook: ``exprun.load_figures``."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from exprun.report.contents import report
from exprun.report.study import View
from exprun.sweeps.read_results import read_results


def load_figures(path: str | PathLike[str], metric: str | None = None) -> dict[str, View]:
    """The figures of ``exprun report`` by their names, which a notebook draws: ``curve_val_loss``,
    ``configurations``, ``heat_map_optimizer_reg``, …; each has its numbers as ``table``.

    Raises UsageError if there is no sweep, or none of its jobs has come to its end.
    """
    found = report(read_results([Path(path)]), str(path), metric)
    return {view.name: view for view in found.views}
