"""What a file holds column by column, and what in it may mislead a training: ``exprun inspect``."""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from exprun.common.errors import CellError, UsageError, list_override
from exprun.common.override_value import override_value
from exprun.common.streams import stream
from exprun.data.column_roles import Choice, columns_named, too_many_levels
from exprun.data.datetimes import EXPECTED, iso, mostly_unread, periods_of
from exprun.data.encoding import TARGET, encoding_of
from exprun.data.frame import CATEGORICAL, DATETIME, NUMERIC, Frame
from exprun.data.read_options import AUTO, LABEL
from exprun.data.source import Source
from exprun.data.spelling import is_number, is_whole
from exprun.data.split import split_rows
from exprun.data.tabular import counts_up, table
from exprun.data.targets import FEW_ROWS
from exprun.data.task import Task
from exprun.statistics import kolmogorov_smirnov

USUAL_TARGETS = ("target", "label", "labels", "class", "y", "outcome", "price")
"""Names, in lower case, of columns that are probably the target."""

EXAMPLES = 3
"""Words of a categorical column that are shown, the most frequent ones."""

LEAK_CORRELATION = 0.9999
"""Absolute correlation with a numeric target from which a feature is suspicious."""

FEWEST_PER_VALUE = 3
"""Rows per distinct value, on average, below which a category that determines the class proves
nothing."""

USUAL_FRACTION = 0.15
"""``data.val_fraction`` and ``data.test_fraction``, if nobody says."""

SENTINEL_ROWS = 3
"""Rows with the same extreme value, far from all others, from which it may stand for a gap."""

DRIFT_P = 0.001
"""Probability of a difference as large between two samples of one distribution, for all columns
together, below which two files are said to differ."""


@dataclass(frozen=True)
class Column:
    """A column: ``values`` are its range or most frequent words, ``becomes`` is its role in a
    training."""

    name: str
    kind: str
    gaps: int
    distinct: int
    values: str
    becomes: str


@dataclass(frozen=True)
class Inspection:
    """The columns of a file with ``rows`` rows, its ``target`` and ``task`` (None if a training
    would refuse it), suspicions, columns to leave out, and the line a training would print."""

    rows: int
    columns: list[Column]
    target: str
    guessed: bool
    task: Task | None
    suspicions: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def inspect(source: Source, target: str | None = None, test: Source | None = None) -> Inspection:
    """Read a file, and an official test split if there is one.

    ``target=None`` takes the column with a usual name of targets, else the last one. Raises
    UsageError for a file that cannot be read at all, or a target that does not exist.
    """
    guessed = target is None
    name = _guess(source.names)
    if target is not None:
        (name,) = columns_named(source, "target", [target])
    frame, faults = _read(source, {n: LABEL if n == name else AUTO for n in source.names})
    task, problems = None, [*faults.values()]
    drop = [column for column in source.names if column != name and counts_up(frame, column)]
    drop += [
        column
        for column in source.names
        if column not in (*drop, name, *source.index, *faults)
        and frame.kind(column) == CATEGORICAL
        and too_many_levels(frame, column)
    ]
    try:
        made = table([source], Choice(name, drop=drop))
        task = made.task
        if test is None:
            split_rows(made, USUAL_FRACTION, USUAL_FRACTION, stream(0, "split"))
    except UsageError as error:
        problems += [str(error)] if str(error) not in problems else []
    columns = [_column(frame, column, name, task, drop, source.index) for column in source.names]
    suspicions = [*_ids(frame, drop), *_duplicates(frame), *_dates(frame)]
    left_out = (*drop, name, *source.index, *faults)
    features = [c.name for c in columns if c.name not in left_out]
    suspicions += [line for f in features for line in _sentinel(frame, f)]
    suspicions += [line for f in features for line in _leak(frame, f, name, task)]
    if test is not None:
        suspicions += _drift(source, frame, test, [*features, name], name)
    return Inspection(len(frame), columns, name, guessed, task, suspicions, drop, problems)


def _read(source: Source, wanted: Mapping[str, str]) -> tuple[Frame, dict[str, str]]:
    """The columns, and the errors about the cells of some, which are read as words."""
    kinds, faults = dict(wanted), dict[str, str]()
    while True:
        try:
            return source.read(kinds), faults
        except CellError as error:
            if kinds[error.column] == CATEGORICAL:
                raise
            faults[error.column] = str(error)
            kinds[error.column] = CATEGORICAL


def _guess(names: Sequence[str]) -> str:
    usual = [n for n in names if n.lower() in USUAL_TARGETS]
    return usual[0] if usual else names[-1]


def _column(
    frame: Frame,
    name: str,
    target: str,
    task: Task | None,
    drop: Sequence[str],
    index: Sequence[str],
) -> Column:
    gaps = frame.gaps().get(name, 0)
    if frame.kind(name) == CATEGORICAL:
        words = frame.categorical[name]
        counts = Counter(words.codes[words.codes >= 0].tolist())
        distinct = len(counts)
        shown = [words.words[code] for code, _ in counts.most_common(EXAMPLES)]
        numbers = all(map(is_number, words.words)) and len(words.words) > 0
        values = _range(np.array(words.words, float)) if numbers else ", ".join(shown)
        values += ", …" * (not numbers and distinct > EXAMPLES)
        levels = distinct + (gaps > 0)
        becomes = f"{_inputs(levels)}, one-hot"
        if encoding_of(AUTO, levels) == TARGET:
            becomes = f"target encoding of {levels:,} categories"
        kind = "text"
        if numbers:  # a target is read as labels
            kind = "whole numbers" if all(map(is_whole, words.words)) else NUMERIC
    else:
        column = frame[name]
        present = column[~np.isnan(column)]
        distinct = len(np.unique(present))
        values = _range(present)
        kind = frame.kind(name)
        inputs = "1 input, standardised"
        if kind == DATETIME:
            periods = periods_of(present)
            values = (
                " … ".join(map(iso, sorted({present.min(), present.max()}))) if distinct else ""
            )
            inputs = f"{_inputs(1 + 2 * len(periods))}: {', '.join(['elapsed time', *periods])}"
        becomes = "constant: no help" if distinct < 2 else inputs
        becomes += ", gaps by the median" * (gaps > 0 and distinct > 1)
    if name == target:
        becomes = f"target: {task.description}" if task else "target"
    elif name in drop:
        becomes = "nothing: leave it out"
    elif name in index:
        becomes = "left out: an index"
    return Column(name, kind, gaps, distinct, values, becomes)


def _inputs(count: int) -> str:
    return "1 input" if count == 1 else f"{count} inputs"


def _range(values: NDArray[np.float64]) -> str:
    if not len(values):
        return "no values"
    low, high = float(values.min()), float(values.max())
    return f"{low:.6g}" if low == high else f"{low:.6g} … {high:.6g}"


def _ids(frame: Frame, drop: Sequence[str]) -> Iterator[str]:
    for name in drop:
        if frame.kind(name) == CATEGORICAL:
            words = frame.categorical[name].words
            if not mostly_unread(words):
                yield f"{name}: {len(words)} different words in {len(frame)} rows, as names have"
        else:
            yield f"{name}: counts up from row to row, an identifier"


def _dates(frame: Frame) -> Iterator[str]:
    """Columns of dates that are not read as such, each of which would be a category."""
    for name, words in frame.categorical.items():
        if mostly_unread(words.words):
            yield f"{name}: dates, of which each would be a category; {EXPECTED}"


def _sentinel(frame: Frame, name: str) -> Iterator[str]:
    """An extreme value of a numeric column that is frequent and farther from the other values than
    they are from each other: a sentinel, as -999 or 9999 written for a missing value."""
    if frame.kind(name) != NUMERIC:
        return
    values, counts = np.unique(frame[name][~np.isnan(frame[name])], return_counts=True)
    if len(values) < SENTINEL_ROWS:
        return
    for extreme, others in ((0, values[1:]), (-1, values[:-1])):
        distance = np.abs(others - values[extreme]).min()
        if counts[extreme] >= SENTINEL_ROWS and distance > np.ptp(others):
            yield (
                f"{name}: {values[extreme]:.6g} in {counts[extreme]} rows is far from all others "
                f"({_range(others)}); if it stands for a gap, add it to data.missing"
            )


def _duplicates(frame: Frame) -> list[str]:
    """Rows that occur several times: with random parts some are trained on and tested."""
    columns = []
    for name in frame.names:
        if frame.kind(name) == CATEGORICAL:
            columns.append(frame.categorical[name].codes.astype(np.float64))
        else:
            columns.append(np.nan_to_num(frame[name], nan=math.inf))
    rows = np.stack(columns, axis=1)
    rows = rows[np.lexsort(rows.T)]
    count = int((rows[1:] == rows[:-1]).all(axis=1).sum())
    if not count:
        return []
    rows_are = "1 row is a copy of another" if count == 1 else f"{count} rows are copies of others"
    return [f"{rows_are}: drawn at random, copies lie in the training and the test part"]


def _leak(frame: Frame, name: str, target: str, task: Task | None) -> list[str]:
    """Whether a single feature gives the target away."""
    if task is None or len(frame) <= FEW_ROWS:
        return []
    if not task.classes:
        return _proportional(frame, name, target)
    y = frame.categorical[target].codes
    if frame.kind(name) == CATEGORICAL:
        x = frame.categorical[name].codes
        values = len(np.unique(x))
        pairs = len(np.unique(np.stack([x, y]), axis=1).T)
        if values > 1 and pairs == values and len(frame) >= FEWEST_PER_VALUE * values:
            return [f"{name}: each of its {values} words belongs to one class, it gives them away"]
        return []
    numbers = frame[name]
    if np.isnan(numbers).any() or np.ptp(numbers) == 0:
        return []
    order = np.argsort(numbers, kind="stable")
    changes = np.diff(y[order]) != 0
    tied = np.diff(numbers[order]) == 0
    classes = len(np.unique(y))
    if int(changes.sum()) == classes - 1 and not (changes & tied).any():
        return [f"{name}: separates all {classes} classes by itself, without an error"]
    return []


def _proportional(frame: Frame, name: str, target: str) -> list[str]:
    """Whether a feature is a linear function of the numeric target."""
    x, y = _numbers(frame, name), _numbers(frame, target)
    if x is None or y is None or frame.kind(name) == CATEGORICAL:
        return []
    there = ~np.isnan(x)
    if there.sum() <= FEW_ROWS or np.ptp(x[there]) == 0 or np.ptp(y[there]) == 0:
        return []
    r = float(np.corrcoef(x[there], y[there])[0, 1])
    if abs(r) < LEAK_CORRELATION:
        return []
    return [f"{name}: is the target in another unit (correlation {r:.5f})"]


def _numbers(frame: Frame, name: str) -> NDArray[np.float64] | None:
    if frame.kind(name) != CATEGORICAL:
        return frame[name]
    words = frame.categorical[name]
    if not all(map(is_number, words.words)):
        return None
    found: NDArray[np.float64] = np.array([*map(float, words.words), math.nan])[words.codes]
    return found


def _drift(
    source: Source, frame: Frame, test: Source, names: Sequence[str], target: str
) -> Iterator[str]:
    """Columns of the test file that are distributed otherwise, by the two-sample Kolmogorov-Smirnov
    distance or by words that only it has."""
    missing = [name for name in source.names if name not in test.names]
    if missing:
        yield f"{test.path}: has no column {missing[0]!r}"
        return
    other = test.read({name: LABEL if name == target else frame.kind(name) for name in names})
    for name in names:
        if frame.kind(name) == CATEGORICAL and name in other.categorical:
            known = set(frame.categorical[name].words)
            words = other.categorical[name]
            new = [word for word in words.words if word not in known]
            if new:
                yield f"{name}: {test.path} has words that {source.path} has not: {new[0]}" + (
                    f", and {len(new) - 1} more" if len(new) > 1 else ""
                )
            continue
        a, b = _numbers(frame, name), _numbers(other, name)
        if a is None or b is None:
            continue
        a, b = a[~np.isnan(a)], b[~np.isnan(b)]
        if not len(a) or not len(b):
            continue
        found = kolmogorov_smirnov.distance(a, b)
        if kolmogorov_smirnov.tail(found, len(a), len(b)) * len(names) < DRIFT_P:
            yield (
                f"{name}: distributed otherwise in {test.path} (Kolmogorov-Smirnov distance "
                f"{found:.2f})"
            )


def command(found: Inspection, path: str, data: str, test: str | None) -> list[str]:
    """The words of the command that trains on the file, as they are typed into a shell."""
    words = [f"data={data}", f"data.path={override_value(path)}"]
    number = re.fullmatch(r"0|[1-9]\d*", found.target)  # a column without a header
    words.append(f"data.target={found.target if number else override_value(found.target)}")
    if test:
        words.append(f"data.test_path={override_value(test)}")
    return [
        *map(shlex.quote, words),
        *([list_override("data.drop", found.drop)] * bool(found.drop)),
    ]
