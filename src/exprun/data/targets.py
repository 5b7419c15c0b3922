"""The targets of files: classes or numbers, checked row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exprun.common.errors import UsageError, choices
from exprun.data.builder import LARGEST
from exprun.data.datetimes import mostly_unread
from exprun.data.frame import Frame, Words
from exprun.data.source import Source
from exprun.data.spelling import is_number, is_whole, places
from exprun.data.task import MERGED, Task

TaskName = Literal["auto", "classification", "regression"]

FEW_ROWS = 20
"""Number of rows up to which all words of a column may be different."""

MOST_CLASSES = 100
"""A target of whole numbers with more distinct values than this is numeric, not classes."""


def targets_of(
    sources: Sequence[Source],
    frames: Sequence[Frame],
    names: list[str],
    task: TaskName,
    order: Sequence[str] = (),
) -> tuple[NDArray[np.int64] | NDArray[np.float64], Task]:
    """The targets of all files together, class ids (rows,) or numbers (rows, targets), and the
    task; ``order`` are all labels of ordered classes, from the lowest on."""
    for source, frame in zip(sources, frames, strict=True):
        for name in names:
            check_no_gap(source, frame, name)
    for name in names:
        _check_varied(sources[0], frames[0], name)
    first = frames[0].categorical.get(names[0])
    if first is None:
        numbers = [np.stack([frame[name] for name in names], axis=1) for frame in frames]
        return np.concatenate(numbers), Task(tuple(names))
    path, name = sources[0].path, names[0]
    numeric = all(map(is_number, first.words))
    whole = all(map(is_whole, first.words))
    few = len(first.words) <= MOST_CLASSES and len(first.words) < len(frames[0])
    if task == "regression" and not numeric:
        raise UsageError(f"{path}: the target {name!r} is text; expected data.task=classification")
    amounts = task == "auto" and not order and numeric and not (whole and few)
    if task == "regression" or amounts:
        columns = [
            _amounts(s, f.categorical[name], name) for s, f in zip(sources, frames, strict=True)
        ]
        return np.concatenate(columns), Task((name,))
    if mostly_unread(first.words):
        raise UsageError(f"{path}: the target {name!r} is a date; expected classes or numbers")
    if len(first.words) == len(frames[0]) > FEW_ROWS:
        raise UsageError(
            f"{path}: the target {name!r} is another word in every row; expected classes or numbers"
        )
    if order:
        _check_order(path, name, first.words, order)
        labels = list(order)
    else:
        labels = sorted(first.words, key=float) if numeric else sorted(first.words)
    made = Task((name,), tuple(labels), ordered=bool(order))
    return np.concatenate(
        [
            class_ids(f.categorical[name], made, s.where)
            for s, f in zip(sources, frames, strict=True)
        ]
    ), made


def _check_order(path: str, name: str, labels: Sequence[str], order: Sequence[str]) -> None:
    """Raise UsageError unless ``order`` has every label once and no other."""
    if len(set(order)) < len(order):
        twice = next(label for label in order if order.count(label) > 1)
        raise UsageError(f"{path}: data.order names {twice!r} twice; expected each label once")
    found = places(labels, order)
    unnamed = [label for label, place in zip(labels, found, strict=True) if place < 0]
    unused = [label for k, label in enumerate(order) if k not in found]
    if unnamed:
        what = f"does not name {unnamed[0]!r}, which the target {name!r} has"
    elif unused:
        what = f"names {unused[0]!r}, which no row of the target {name!r} has"
    else:
        return
    raise UsageError(
        f"{path}: data.order {what}; expected each of its labels once: "
        f"{', '.join(sorted(labels)[:10])}"
    )


def _amounts(source: Source, column: Words, name: str) -> NDArray[np.float64]:
    """A target's words as numbers (rows, 1); raises UsageError for one that is not a number or too
    large."""
    values = np.array([float(word) if is_number(word) else np.nan for word in column.words])
    wrong = ~(np.abs(values) <= LARGEST)[column.codes]
    if wrong.any():
        row = int(np.argmax(wrong))
        word = column.words[column.codes[row]]
        said = (
            f"is too large for 32 bits, above {LARGEST:.2g}" if is_number(word) else "is no number"
        )
        raise UsageError(f"{source.where(row)}: the target {name!r}: {word!r} {said}")
    return values[column.codes][:, None]


def check_no_gap(source: Source, frame: Frame, name: str) -> None:
    """Raise UsageError at the first row without a target."""
    column = frame.categorical.get(name)
    gaps = np.isnan(frame[name]) if column is None else column.codes < 0
    if gaps.any():
        where = source.where(int(np.argmax(gaps)))
        raise UsageError(f"{where}: the target {name!r} is missing; expected a value in every row")


def _check_varied(source: Source, frame: Frame, name: str) -> None:
    column = frame.categorical.get(name)
    varied = np.ptp(frame[name]) > 0 if column is None else len(column.words) > 1
    if not varied:
        raise UsageError(f"{source.path}: the target {name!r} is the same in every row")


def without_full_stops(column: Words, task: Task) -> Words:
    """The labels without the full stop at their end, as the second file of some published sets has
    it (UCI Adult), if every label has one and is a class of the task without it."""
    if not column.words or any(word in task.classes for word in column.words):
        return column
    shortened = tuple(word.removesuffix(".") for word in column.words)
    stops = all(word.endswith(".") for word in column.words)
    known = {*task.classes, *task.merged}
    return replace(column, words=shortened) if stops and set(shortened) <= known else column


def class_ids(column: Words, task: Task, where: Callable[[int], str]) -> NDArray[np.int64]:
    """Labels as class ids (rows,) of the task; raises UsageError for an unknown label, at the
    position that ``where`` names."""
    column = without_full_stops(column, task)
    known = np.array(places(column.words, [*task.classes, *task.merged]), dtype=np.int64)
    if task.merged:
        known[known >= len(task.classes)] = task.classes.index(MERGED)
    found: NDArray[np.int64] = known[column.codes]
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        label = column.words[column.codes[row]]
        raise UsageError(
            f"{where(row)}: the target {task.targets[0]!r} is {label!r}, which no row for "
            f"training has; expected {choices(task.classes[:10])}{task.amount_hint}"
        )
    return found
