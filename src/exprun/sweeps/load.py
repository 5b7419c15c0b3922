"""Sweeps and runs as Arrow tables, for a notebook: ``exprun.load_sweep`` and ``exprun.load_run``.

Nothing here imports torch, or pandas: ``.to_pandas()`` of a table does, if it is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from exprun.common.errors import UsageError
from exprun.sweeps.results import curves_table, read_results, read_run, results_table

if TYPE_CHECKING:
    import pyarrow as pa


class Tables(NamedTuple):
    """``results`` has a row for each job: ``sweep``, ``number``, ``configuration``, what varies,
    ``seed``, ``status``, ``reason`` and every figure. ``curves`` has a row for each epoch of each
    job: ``sweep``, ``number``, ``configuration``, ``seed`` and the columns of ``metrics.csv``."""

    results: pa.Table
    curves: pa.Table


def load_sweep(path: str | PathLike[str] | Sequence[str | PathLike[str]]) -> Tables:
    """The tables of a sweep's folder, or of several together; raises UsageError if that is none."""
    paths = [path] if isinstance(path, str | PathLike) else path
    results = read_results([Path(one) for one in paths])
    return Tables(results_table(results), curves_table(results))


def load_run(path: str | PathLike[str]) -> Tables:
    """The tables of a single run's folder; raises UsageError if it has no result."""
    folder = Path(path)
    if not (folder / "result.json").is_file():
        raise UsageError(f"{folder}: has no result.json; expected the folder of a run that ended")
    results = read_run(folder)
    return Tables(results_table(results), curves_table(results))
