"""Reads sweeps and runs as Arrow tables: ``exprun.load_sweep`` and ``exprun.load_run``.

Nothing here imports torch or pandas; ``.to_pandas()`` of a table imports pandas, if installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from exprun.common.errors import UsageError
from exprun.sweeps.read_results import read_results, read_run
from exprun.sweeps.results import REPETITION, Results

if TYPE_CHECKING:
    import pyarrow as pa


class Tables(NamedTuple):
    """``results`` has a row for each job: ``sweep``, ``number``, ``configuration``, the factors (as
    numbers if all values are), ``seed`` and other varying repetition keys, ``status``, ``reason``
    and every figure. ``curves`` has a row for each epoch of each job: ``sweep``, ``number``,
    ``configuration``, ``seed`` and the columns of ``metrics.csv``."""

    results: pa.Table
    curves: pa.Table


def load_sweep(path: str | PathLike[str] | Sequence[str | PathLike[str]]) -> Tables:
    """The tables of one sweep's folder or of several combined; raises UsageError for a folder that
    is not a sweep's."""
    paths = [Path(one) for one in ([path] if isinstance(path, str | PathLike) else path)]
    for run in paths:
        if (run / "result.json").is_file():
            raise UsageError(f"{run}: is a single run's folder; exprun.load_run reads it")
    results = read_results(paths)
    return Tables(_results_table(results), _curves_table(results))


def load_run(path: str | PathLike[str]) -> Tables:
    """The tables of a single run's folder; raises UsageError if it has no result."""
    folder = Path(path)
    if (folder / "sweep.json").is_file():
        raise UsageError(f"{folder}: is a sweep's folder; exprun.load_sweep reads it")
    if not (folder / "result.json").is_file():
        raise UsageError(f"{folder}: has no result.json; expected the folder of a run that ended")
    results = read_run(folder)
    return Tables(_results_table(results), _curves_table(results))


def _results_table(results: Results) -> pa.Table:
    """A row for each job: ``sweep``, ``number``, ``configuration``, the factors, the repetition
    keys, ``status``, ``reason``, then every figure."""
    import pyarrow as pa

    named = {id(job): c.name for c in results.configurations for job in c.jobs}
    jobs = results.jobs
    columns: dict[str, Any] = {
        "sweep": [str(job.sweep) for job in jobs],
        "number": [job.number for job in jobs],
        "configuration": [named[id(job)] for job in jobs],
    }
    columns |= {k: _column([job.values.get(k) for job in jobs]) for k in results.factors}
    columns |= {
        key: _column([job.block[i] or None for job in jobs])
        for i, key in enumerate(REPETITION)
        if key in results.repetition or key == "seed"
    }
    columns |= {"status": [job.status for job in jobs], "reason": [job.reason for job in jobs]}
    columns |= {
        name: pa.array([_float(job.metrics.get(name)) for job in jobs], pa.float64())
        for name in results.metrics
    }
    return pa.table(columns)


def _curves_table(results: Results) -> pa.Table:
    """A row for each epoch of each job: ``sweep``, ``number``, ``configuration``, ``seed``, then
    the columns of ``metrics.csv``; null where a run lacks the figure."""
    import pyarrow as pa

    named = {id(job): c.name for c in results.configurations for job in c.jobs}
    tables = []
    for job in results.jobs:
        curve = job.curve()
        if not curve:
            continue
        count = len(next(iter(curve.values())))
        head = {
            "sweep": [str(job.sweep)] * count,
            "number": [job.number] * count,
            "configuration": [named[id(job)]] * count,
            "seed": _column([job.block[0]] * count),
        }
        figures = {name: pa.array(column, pa.float64()) for name, column in curve.items()}
        tables.append(pa.table({**head, **figures}))
    return pa.concat_tables(tables, promote_options="default") if tables else pa.table({})


def _column(values: Sequence[str | None]) -> Sequence[int | float | str | None]:
    """Values of overrides as integers if all are integers, else as floats if all are numbers, else
    unchanged."""
    for number in (int, float):
        try:
            return [None if value is None else number(value) for value in values]
        except ValueError:
            pass
    return values


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
