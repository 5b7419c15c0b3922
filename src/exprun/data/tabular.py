"""Data sets in files: a CSV file of numbers with a header line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv as pa_csv

from exprun.data.table import Table
from exprun.data.task import Task
from exprun.errors import UsageError, choices, nearest


def csv(
    path: str,
    target: str,
    task: Literal["auto", "classification", "regression"] = "auto",
    test_path: str | None = None,
    drop: Sequence[str] = (),
) -> Table:
    """Read a CSV file; ``target`` is the column to predict, all others but ``drop`` are features.

    With ``task="auto"`` a target of text, or of whole numbers with at most MOST_CLASSES distinct
    values, is one of classes, any other a number. ``test_path`` is an official test split with the
    same columns. Raises UsageError, naming file, row and column, for whatever cannot be used.
    """
    table = _read(Path(path))
    for column in [target, *drop]:
        if column not in table.column_names:
            raise UsageError(
                f"{path}: there is no column {column!r}{nearest(column, table.column_names)}"
                f" (columns: {', '.join(table.column_names)})"
            )
    features = [name for name in table.column_names if name != target and name not in drop]
    if not features:
        raise UsageError(f"{path}: no column is left as a feature besides the target {target!r}")
    tables = {path: table}
    if test_path is not None:
        tables[test_path] = _read(Path(test_path))
        missing = [
            name for name in [*features, target] if name not in tables[test_path].column_names
        ]
        if missing:
            raise UsageError(f"{test_path}: column {missing[0]!r} of {path} is missing")
    x = np.concatenate(
        [
            np.column_stack([_numbers(part, name, file) for name in features])
            for file, part in tables.items()
        ]
    )
    labels = [_label_column(part, target, file) for file, part in tables.items()]
    y, classes = _target(labels, list(tables), target, task)
    test_rows = len(tables[test_path]) if test_path is not None else 0
    return Table(Path(path).name, tuple(features), x, y, Task((target,), classes), test_rows)


def _read(path: Path) -> pa.Table:
    try:
        table = pa_csv.read_csv(path)
    except FileNotFoundError:
        raise UsageError(f"data.path={path}: no such file") from None
    except OSError as error:
        raise UsageError(f"data.path={path}: cannot be read: {error.strerror or error}") from None
    except pa.ArrowInvalid as error:
        raise UsageError(f"{path}: not a CSV file: {str(error).splitlines()[0]}") from None
    twice = [name for name, times in Counter(table.column_names).items() if times > 1]
    if twice:
        raise UsageError(f"{path}: the column {twice[0]!r} stands twice in the header")
    if not len(table):
        raise UsageError(f"{path}: there is a header and no rows")
    return table


def _numbers(table: pa.Table, name: str, path: str) -> NDArray[np.float64]:
    """A column as float64; raises UsageError at the first cell that is not a finite number."""
    column = table[name]
    if pa.types.is_null(column.type) or column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise UsageError(f"{path}: row {row + 2}, column {name!r} is empty; expected a number")
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        words = pc.cast(column, pa.string()).to_pylist()
        row, word = next((i, w) for i, w in enumerate(words) if not _is_number(w))
        raise UsageError(
            f"{path}: row {row + 2}, column {name!r}: {word!r} is not a number; leave the column "
            f"out with data.drop=[{name}]"
        )
    values: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise UsageError(f"{path}: row {row + 2}, column {name!r}: {values[row]} is not finite")
    return values


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _label_column(table: pa.Table, target: str, path: str) -> pa.ChunkedArray:
    column = table[target]
    if pa.types.is_null(column.type) or column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise UsageError(f"{path}: row {row + 2}: the target {target!r} is empty")
    return column


MOST_CLASSES = 100
"""A target of whole numbers with more distinct values than this is a number, not a class."""


def _target(
    columns: list[pa.ChunkedArray], paths: list[str], name: str, task: str
) -> tuple[NDArray[np.int64] | NDArray[np.float64], tuple[str, ...]]:
    """Class ids and labels, or numbers (rows, 1) and no labels."""
    whole = all(pa.types.is_integer(column.type) for column in columns)
    numeric = all(whole or pa.types.is_floating(column.type) for column in columns)
    distinct = columns[0].unique().to_pylist()
    if len(distinct) < 2:
        raise UsageError(f"{paths[0]}: the target {name!r} is the same in every row")
    if task == "regression" and not numeric:
        raise UsageError(
            f"{paths[0]}: the target {name!r} is text; expected data.task=classification"
        )
    by_look = not numeric or (whole and len(distinct) <= MOST_CLASSES)
    if task == "regression" or (task == "auto" and not by_look):
        return np.concatenate([c.to_numpy() for c in columns]).astype(np.float64)[:, None], ()
    labels = sorted(distinct)
    ids = {label: i for i, label in enumerate(labels)}
    for column, path in zip(columns[1:], paths[1:], strict=True):
        unknown = [label for label in column.unique().to_pylist() if label not in ids]
        if unknown:
            raise UsageError(
                f"{path}: the target {name!r} has {unknown[0]!r}, which {paths[0]} has not; "
                f"expected {choices(str(label) for label in labels[:10])}"
            )
    y = np.array([ids[label] for column in columns for label in column.to_pylist()], dtype=np.int64)
    return y, tuple(str(label) for label in labels)
