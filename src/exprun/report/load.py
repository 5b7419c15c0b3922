"""``exprun.load_figures``: the figures of a report for a notebook."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from exprun.report.contents import report
from exprun.report.study import View
from exprun.sweeps.read_results import read_results


def load_figures(path: str | PathLike[str], metric: str | None = None) -> dict[str, View]:
    """The figures of ``exprun report`` by name, for display in a notebook: ``curve_val_loss``,
    ``configurations``, ``heat_map_optimizer_reg``, …; each has its numbers as ``table``.

    Raises UsageError if there is no sweep, or none of its jobs has finished.
    """
    found = report(read_results([Path(path)]), str(path), metric)
    return {view.name: view for view in found.views}
