"""Data sets in the user's files: choose feature and target columns, and the task (classes or
numbers)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from exprun.common.errors import UsageError, list_override, nearest
from exprun.common.named_files import expanded, is_pattern
from exprun.data.column_roles import (
    Choice,
    Column,
    as_list,
    columns_named,
    groups_of,
    kinds_of,
    read_features,
    time_column,
    weights_of,
)
from exprun.data.csv_file import CsvFile
from exprun.data.frame import CATEGORICAL, NUMERIC, Frame
from exprun.data.npz_file import TEST, NpzFile
from exprun.data.number_format import DECIMALS, THOUSANDS
from exprun.data.open_file import READERS, open_file
from exprun.data.read_options import AUTO, MISSING, Reading
from exprun.data.source import Source
from exprun.data.spelling import is_number, is_whole
from exprun.data.table import Table, listed
from exprun.data.targets import FEW_ROWS, targets_of, without_full_stops
from exprun.data.task import Task
from exprun.data.text_file import DELIMITERS


def csv(
    path: str,
    target: Column | Sequence[Column],
    test_path: str | None = None,
    header: bool = True,
    delimiter: str = "auto",
    decimal: str = "auto",
    thousands: str = "auto",
    missing: Sequence[Column] = MISSING,
    **roles: Any,
) -> Table:
    """Read a CSV file; all columns except the target and those with other ``roles`` (see
    ``Choice``) are features.

    ``test_path`` is an official test split with the same columns. Without a ``header`` the columns
    are named ``1``, ``2``, …, from the end ``-1``, ``-2``, … ``decimal`` and ``thousands`` name the
    separators in numbers (see ``NumberFormat``). Raises UsageError, naming file, row and column,
    for invalid data.
    """
    sign = None if delimiter == "auto" else DELIMITERS.get(delimiter, delimiter)
    if decimal == thousands != "auto":
        raise UsageError(
            f"data.decimal={decimal} and data.thousands={thousands}: expected two different "
            "separators"
        )
    separators = DECIMALS.get(decimal), THOUSANDS.get(thousands)
    reading = Reading(header, sign, _words_of(missing), None, *separators)
    sources: list[Source] = [CsvFile(_one_file(path, "csv"), reading)]
    if test_path:
        first = sources[0].reading
        reading = replace(reading, decimal=first.decimal, thousands=first.thousands)
        sources.append(open_file(test_path, reading))
    return table(sources, Choice(target, **roles))


def parquet(
    path: str,
    target: Column | Sequence[Column],
    test_path: str | None = None,
    missing: Sequence[Column] = MISSING,
    **roles: Any,
) -> Table:
    """Read a Parquet file, or those of a folder or a pattern; see ``csv``."""
    return _typed("parquet", path, target, test_path, missing, roles)


def arrow(
    path: str,
    target: Column | Sequence[Column],
    test_path: str | None = None,
    missing: Sequence[Column] = MISSING,
    **roles: Any,
) -> Table:
    """Read an Arrow or Feather file; see ``csv``."""
    return _typed("arrow", path, target, test_path, missing, roles)


def npz(
    path: str,
    target: Column | Sequence[Column],
    test_path: str | None = None,
    missing: Sequence[Column] = MISSING,
    **roles: Any,
) -> Table:
    """Read a file of NumPy's ``savez`` with arrays of equal length; see ``csv``. An array ``x``
    with more dimensions has a column ``x_0``, ``x_1``, … for each number of a row. A file in the
    parts of Keras' data sets has an official test split."""
    reading = Reading(missing=_words_of(missing))
    file = _one_file(path, "npz")
    sources: list[Source] = [NpzFile(file, reading)]
    if test_path:
        sources.append(open_file(test_path, reading))
    elif isinstance(sources[0], NpzFile) and sources[0].in_parts:
        sources.append(NpzFile(file, reading, TEST))
    return table(sources, Choice(target, **roles))


def arff(
    path: str,
    target: Column | Sequence[Column],
    test_path: str | None = None,
    missing: Sequence[Column] = MISSING,
    **roles: Any,
) -> Table:
    """Read an ARFF file; see ``csv``."""
    return _typed("arff", path, target, test_path, missing, roles)


def xlsx(
    path: str,
    target: Column | Sequence[Column],
    test_path: str | None = None,
    missing: Sequence[Column] = MISSING,
    **roles: Any,
) -> Table:
    """Read the first sheet of an Excel workbook; see ``csv``."""
    return _typed("xlsx", path, target, test_path, missing, roles)


def _typed(
    option: str,
    path: str,
    target: Column | Sequence[Column],
    test_path: str | None,
    missing: Sequence[Column],
    roles: Mapping[str, Any],
) -> Table:
    """The table of a file whose columns have types."""
    reading = Reading(missing=_words_of(missing))
    file = str(expanded(path)) if option == "parquet" else _one_file(path, option)
    sources = [READERS[option](file, reading)]
    if test_path:
        sources.append(open_file(test_path, reading))
    return table(sources, Choice(target, **roles))


def _words_of(missing: Sequence[Column]) -> tuple[str, ...]:
    return tuple("null" if word is None else str(word) for word in missing)


def _one_file(path: str, option: str) -> str:
    """The path, expanded. Raises UsageError for a pattern."""
    if is_pattern(path):
        raise UsageError(f"{path}: is a pattern; data={option} reads one file, data=parquet many")
    return str(expanded(path))


def table(sources: Sequence[Source], chosen: Choice) -> Table:
    """The table of one file, or of a file and an official test split."""
    source = sources[0]
    if not as_list(chosen.target):
        raise UsageError("data.target is not given; expected a column: add data.target=…")
    targets = columns_named(source, "target", as_list(chosen.target))
    kinds = kinds_of(source, chosen, targets)
    features = [name for name in source.names if name in kinds and name not in targets]
    names = [*features, *targets]  # keeps the numeric features contiguous
    wanted = {name: kinds[name] for name in names}
    if chosen.group is not None:
        (group,) = columns_named(source, "group", [chosen.group])
        wanted[group] = CATEGORICAL
    if chosen.time is not None:
        (time,) = columns_named(source, "time", [chosen.time])
        if time in targets:
            raise UsageError(f"data.time={time}: is the target; expected another column")
        wanted.setdefault(time, AUTO)
    weighted = [] if chosen.weight is None else columns_named(source, "weight", [chosen.weight])
    wanted |= dict.fromkeys(weighted, NUMERIC)
    first = read_features(source, wanted, features)
    frames = [first]
    settled = {name: frames[0].kind(name) for name in names}
    for test in sources[1:]:
        missing = [name for name in (*names, *weighted) if name not in test.names]
        if missing:
            raise UsageError(
                f"{test.path}: column {missing[0]!r} of {source.path} is missing"
                f"{nearest(missing[0], test.names)}"
            )
        if test.reading.columns != source.reading.columns:
            raise UsageError(
                f"{test.path}: has {test.reading.columns} columns; expected "
                f"{source.reading.columns} as in {source.path}, for without a header only their "
                "positions tell them apart"
            )
        kinds_of_test = {name: settled[name] for name in names} | dict.fromkeys(weighted, NUMERIC)
        frames.append(test.read(kinds_of_test))
    y, task = targets_of(sources, frames, targets, chosen.task, [*map(str, chosen.order)])
    groups = groups_of(source, frames[0], group) if chosen.group is not None else None
    test_rows = sum(map(len, frames[1:]))
    counting = [name for name in features if counts_up(frames[0], name)]
    weights = [
        weights_of(s, f, name) for name in weighted for s, f in zip(sources, frames, strict=True)
    ]
    ordering = time_column(source, frames[0], time) if chosen.time is not None else None
    whole = frames[0].only(names)
    for test_frame in frames[1:]:
        whole = whole.extended(test_frame.only(names))
    name = Path(source.path).name
    found = whole.only(features)
    notes = [f"{source.path}: {_described(found)}{source.note}"]
    unread = [column for column in source.index if column not in wanted]
    if unread:
        notes.append(f"{source.path}: {listed(unread)} left out: an index that pandas wrote")
    if counting:
        notes.append(
            f"{source.path}: {listed(counting)} counts up from row to row; if that is the row's "
            f"number: {list_override('data.drop', [*map(str, chosen.drop), *counting])}"
        )
    for test, frame in zip(sources[1:], frames[1:], strict=True):
        labels = frame.categorical.get(targets[0])
        if labels and task.classes and without_full_stops(labels, task) is not labels:
            notes.append(f"{test.path}: labels read without the full stop at their end")
    if chosen.task == "auto":
        notes += _reason(frames[0], task)
    return Table(
        name,
        found,
        y,
        task,
        test_rows,
        groups,
        ordering,
        np.concatenate(weights) if weights else None,
        source.reading,
        tuple(notes),
        weight=weighted[0] if weighted else None,
    )


def counts_up(frame: Frame, name: str) -> bool:
    """Whether a numeric column counts up by one from row to row, as the numbers of rows do."""
    if frame.kind(name) != NUMERIC or len(frame) <= FEW_ROWS:
        return False
    head = frame.block([name], slice(FEW_ROWS + 1))[:, 0]  # most columns are told by these
    return bool((np.diff(head) == 1).all() and (np.diff(frame[name]) == 1).all())


def _reason(frame: Frame, task: Task) -> list[str]:
    """A note on why a target of numbers is treated as classes or as numbers, and how to change
    that."""
    name = task.targets[0]
    if task.classes and not task.ordered and all(map(is_number, task.classes)):
        return [
            f"target {name}: {len(task.classes)} different whole numbers, so classes; "
            "data.task=regression if they are amounts"
        ]
    words = frame.categorical.get(name)
    if not task.classes and words is not None and all(map(is_whole, words.words)):
        return [
            f"target {name}: {len(words.words)} different whole numbers, so amounts; "
            "data.task=classification if they are classes"
        ]
    return []


def _described(frame: Frame) -> str:
    """A line with the numbers of rows, columns by kind, and missing values."""
    words = list(frame.categorical)
    dates = [name for name in frame.names if name in frame.datetimes]
    numeric = len(frame.names) - len(words) - len(dates)
    said = f"{len(frame)} rows; features: {numeric} numeric"
    if dates:
        said += f", {len(dates)} of dates ({listed(dates)})"
    if words:
        said += f", {len(words)} categorical ({listed(words)})"
    gaps = [f"{name} {count}" for name, count in frame.gaps().items()]
    return said + (f"; missing values: {listed(gaps)}" if gaps else "")
