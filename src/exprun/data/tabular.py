"""Data sets in files: a CSV file of numbers with a header line."""

from __future__ import annotations

import csv as csv_lines
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv as pa_csv

from exprun.data.frame import Frame
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
    path = str(Path(path).expanduser())
    table = _read(path, target)
    for column in [target, *drop]:
        names = table.column_names
        if column not in names:
            one = re.search(r"[;\t|]", names[0]) if len(names) == 1 else None
            separator = f"; the columns seem to be separated by {one[0]!r}, not ','" if one else ""
            raise UsageError(
                f"{path}: there is no column {column!r}{separator or nearest(column, names)}"
                f" (columns: {', '.join(names)})"
            )
    if target in drop:
        raise UsageError(f"data.drop has {target!r}, which is data.target; expected other columns")
    features = [name for name in table.column_names if name != target and name not in drop]
    if not features:
        raise UsageError(f"{path}: no column is left as a feature besides the target {target!r}")
    tables = [(path, table)]
    if test_path is not None:
        test_path = str(Path(test_path).expanduser())
        test_table = _read(test_path, target)
        missing = [name for name in [*features, target] if name not in test_table.column_names]
        if missing:
            raise UsageError(f"{test_path}: column {missing[0]!r} of {path} is missing")
        tables.append((test_path, test_table))
    x = np.concatenate(
        [
            np.column_stack([_numbers(part, name, file) for name in features])
            for file, part in tables
        ]
    )
    y, classes = _targets(tables, target, task)
    test_rows = len(tables[1][1]) if test_path is not None else 0
    return Table(Path(path).name, Frame(tuple(features), x), y, Task((target,), classes), test_rows)


def _read(path: str, target: str) -> pa.Table:
    """All columns as Arrow infers them, but the target as it is spelled."""
    as_spelled = pa_csv.ConvertOptions(column_types={target: pa.string()})
    try:
        table = pa_csv.read_csv(path, convert_options=as_spelled)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    except pa.ArrowInvalid as error:
        if "UTF8" in str(error):
            raise _not_utf8(path) from None
        raise UsageError(f"{path}: not a CSV file: {str(error).splitlines()[0]}") from None
    twice = [name for name, times in Counter(table.column_names).items() if times > 1]
    if twice:
        raise UsageError(f"{path}: the column {twice[0]!r} stands twice in the header")
    if not len(table):
        raise UsageError(f"{path}: there is a header and no rows")
    if any(pa.types.is_binary(column.type) for column in table.columns):
        raise _not_utf8(path)
    return table


def _not_utf8(path: str) -> UsageError:
    return UsageError(f"{path}: is not UTF-8 text; convert it, for example with iconv -t UTF-8")


def _numbers(table: pa.Table, name: str, path: str) -> NDArray[np.float64]:
    """A column as float64; raises UsageError at the first cell that is not a finite number."""
    column = table[name]
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        where = f"{path}: row {_line(path, row)}, column {name!r}"
        raise UsageError(f"{where} is empty; expected a number")
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values: NDArray[np.float64] = column.to_numpy().astype(np.float64)
    else:
        values = _parsed(pc.cast(column, pa.string()).to_pylist(), name, path)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        where = f"{path}: row {_line(path, row)}, column {name!r}"
        raise UsageError(f"{where}: {values[row]} is not finite")
    return values


NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _parsed(words: list[str], name: str, path: str) -> NDArray[np.float64]:
    """Words as numbers; raises UsageError at the first that is none."""
    for row, word in enumerate(words):
        if not NUMBER.fullmatch(word.strip()):
            raise UsageError(
                f"{path}: row {_line(path, row)}, column {name!r}: {word!r} is not a number; leave "
                f"the column out with data.drop=[{name}]"
            )
    return np.array(words, dtype=np.float64)


def _line(path: str, row: int) -> int:
    """The line of the file in which a row (0 is the first after the header) ends."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        reader = csv_lines.reader(file)
        filled = (reader.line_num for cells in reader if cells)
        return next(itertools.islice(filled, row + 1, None))


MOST_CLASSES = 100
"""A target of whole numbers with more distinct values than this is a number, not a class."""


def _targets(
    tables: list[tuple[str, pa.Table]], name: str, task: str
) -> tuple[NDArray[np.int64] | NDArray[np.float64], tuple[str, ...]]:
    """Class ids and labels, or numbers (rows, 1) and no labels."""
    words = [(path, table[name].to_pylist()) for path, table in tables]
    for path, column in words:
        if "" in column or None in column:
            row = next(i for i, word in enumerate(column) if not word)
            raise UsageError(f"{path}: row {_line(path, row)}: the target {name!r} is empty")
    (first, known), *others = words
    labels = set(known)
    if len(labels) < 2:
        raise UsageError(f"{first}: the target {name!r} is the same in every row")
    numeric = all(NUMBER.fullmatch(word.strip()) for word in labels)
    whole = all(re.fullmatch(r"\s*[+-]?\d+\s*", word) for word in labels)
    of_classes = not numeric or (whole and len(labels) <= MOST_CLASSES)
    if task == "regression" and not numeric:
        raise UsageError(f"{first}: the target {name!r} is text; expected data.task=classification")
    if task == "regression" or (task == "auto" and not of_classes):
        numbers = [_parsed(column, name, path) for path, column in words]
        return np.concatenate(numbers)[:, None], ()
    in_order = sorted(labels, key=float) if numeric else sorted(labels)
    ids = {label: i for i, label in enumerate(in_order)}
    for path, column in others:
        unknown = set(column) - labels
        if unknown:
            raise UsageError(
                f"{path}: the target {name!r} has {min(unknown)!r}, which {first} has not; "
                f"expected {choices(in_order[:10])}"
            )
    y = np.array([ids[word] for _, column in words for word in column], dtype=np.int64)
    return y, tuple(in_order)
