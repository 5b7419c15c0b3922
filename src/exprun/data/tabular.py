"""Data sets in the user's files: choose feature and target columns, and the task (classes or
numbers)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprun.common.errors import NoFeature, UsageError, list_override, nearest
from exprun.data.csv_file import CsvFile
from exprun.data.datetimes import EXPECTED, mostly_unread
from exprun.data.frame import CATEGORICAL, NUMERIC, Frame
from exprun.data.npz_file import TEST, NpzFile
from exprun.data.number_format import DECIMALS, THOUSANDS
from exprun.data.open_file import READERS, open_file
from exprun.data.read_options import AUTO, LABEL, MISSING, Reading
from exprun.data.source import Source
from exprun.data.spelling import is_number, is_whole
from exprun.data.table import Table, listed
from exprun.data.targets import FEW_ROWS, TaskName, targets_of, without_full_stops
from exprun.data.task import Task
from exprun.data.text_file import DELIMITERS

Column = str | int

MOST_LEVELS = 1000
"""Maximum number of distinct words in a column not declared categorical, because each is an
input."""


@dataclass(frozen=True)
class Choice:
    """The roles of a file's columns.

    With ``task="auto"`` a target of text, or of whole numbers with at most MOST_CLASSES distinct
    values, gives classes, any other gives numbers; ``order`` are all labels of ordered classes, the
    lowest first. ``drop`` are ignored; rows with equal values of ``group`` stay in one part of the
    split; ``time`` orders the rows, and is a feature unless dropped; ``weight`` has the weights of
    the rows; ``numeric`` and ``categorical`` override the detected kinds of columns.
    """

    target: Column | Sequence[Column]
    task: TaskName = "auto"
    order: Sequence[str | float] = ()
    drop: Sequence[Column] = ()
    group: Column | None = None
    time: Column | None = None
    weight: Column | None = None
    numeric: Sequence[Column] = ()
    categorical: Sequence[Column] = ()


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
    sources: list[Source] = [CsvFile(_expanded(path), reading)]
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
    """Read a Parquet file, or a folder of them; see ``csv``."""
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
    sources: list[Source] = [NpzFile(_expanded(path), reading)]
    if test_path:
        sources.append(open_file(test_path, reading))
    elif isinstance(sources[0], NpzFile) and sources[0].in_parts:
        sources.append(NpzFile(_expanded(path), reading, TEST))
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
    sources = [READERS[option](_expanded(path), reading)]
    if test_path:
        sources.append(open_file(test_path, reading))
    return table(sources, Choice(target, **roles))


def _words_of(missing: Sequence[Column]) -> tuple[str, ...]:
    return tuple("null" if word is None else str(word) for word in missing)


def _expanded(path: str) -> str:
    return str(Path(path).expanduser())


def table(sources: Sequence[Source], chosen: Choice) -> Table:
    """The table of one file, or of a file and an official test split."""
    source = sources[0]
    if not _as_list(chosen.target):
        raise UsageError("data.target is not given; expected a column: add data.target=…")
    targets = columns_named(source, "target", _as_list(chosen.target))
    kinds = _kinds(source, chosen, targets)
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
    first = _read_features(source, wanted, features)
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
    groups = _groups(source, frames[0], group) if chosen.group is not None else None
    test_rows = sum(map(len, frames[1:]))
    counting = [name for name in features if counts_up(frames[0], name)]
    weights = [
        _weights(s, f, name) for name in weighted for s, f in zip(sources, frames, strict=True)
    ]
    ordering = _time(source, frames[0], time) if chosen.time is not None else None
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
    )


def counts_up(frame: Frame, name: str) -> bool:
    """Whether a numeric column counts up by one from row to row, as the numbers of rows do."""
    if frame.kind(name) != NUMERIC or len(frame) <= FEW_ROWS:
        return False
    column = frame.numbers[:, frame.places[name]]
    head = column[: FEW_ROWS + 1].astype(np.float64)  # most columns are told by these
    if not (np.diff(head) == 1).all():
        return False
    return bool((np.diff(column.astype(np.float64)) == 1).all())


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


def _as_list(columns: Column | Sequence[Column] | None) -> list[Column]:
    if columns is None:
        return []
    return [columns] if isinstance(columns, str | int) else list(columns)


def columns_named(source: Source, key: str, columns: Sequence[Column]) -> list[str]:
    """The names of the columns as in the file; raises UsageError for one that does not exist."""
    found = []
    for column in columns:
        name, names = str(column), source.names
        if not source.reading.header and re.fullmatch(r"-\d+", name) and -int(name) <= len(names):
            name = names[int(name)]
        if name not in names:
            hint = source.missing_hint(name) or nearest(name, names)
            shown = ", ".join(names if len(names) <= 20 else [*names[:10], "…", names[-1]])
            raise UsageError(
                f"{source.path}: there is no column {name!r}, which data.{key} names{hint} "
                f"(columns: {shown})"
            )
        found.append(name)
    return found


def _kinds(source: Source, chosen: Choice, targets: list[str]) -> dict[str, str]:
    """The kind to read each feature and target as; raises UsageError for contradictory roles."""
    given = {
        key: columns_named(source, key, getattr(chosen, key))
        for key in ("drop", "numeric", "categorical")
    }
    for key, column in {"group": chosen.group, "weight": chosen.weight}.items():
        given[key] = columns_named(source, key, [] if column is None else [column])
    seen = dict.fromkeys(targets, "target")
    if len(seen) < len(targets):
        raise UsageError(f"data.target={chosen.target}: expected every column once")
    for key, columns in given.items():
        for name in columns:
            if name in seen and (seen[name] != "drop" or key not in ("group", "weight")):
                raise UsageError(
                    f"data.{key} has {name!r}, which data.{seen[name]} has too; expected other "
                    "columns"
                )
            seen[name] = key
    several = len(targets) > 1
    if chosen.order and (several or chosen.task == "regression"):
        raise UsageError(
            "data.order is for one target of classes; expected data.order=[], or data.task=auto "
            "and one column in data.target"
        )
    if several and chosen.task == "classification":
        raise UsageError(
            "data.task=classification has one target; expected one column in data.target"
        )
    left_out = {"drop", "group", "weight"}
    kinds = {name: AUTO for name in source.names if seen.get(name) not in left_out}
    for name in source.index:
        if name not in seen:
            del kinds[name]
    kinds |= dict.fromkeys(given["numeric"], NUMERIC)
    kinds |= dict.fromkeys(given["categorical"], CATEGORICAL)
    as_target = {"auto": LABEL, "classification": CATEGORICAL, "regression": LABEL}
    single = CATEGORICAL if chosen.order else as_target[chosen.task]
    kinds |= dict.fromkeys(targets, NUMERIC if several else single)
    if set(kinds) == set(targets):
        raise UsageError(
            f"{source.path}: no column is left as a feature besides the target {targets[0]!r}"
        )
    return kinds


def _read_features(source: Source, wanted: Mapping[str, str], features: Sequence[str]) -> Frame:
    """The columns of the file. Raises UsageError, with all of them in one message, for features
    that can be none as they are."""
    left, refused = dict(wanted), list[NoFeature]()
    while True:
        try:
            frame = source.read(left)
            break
        except NoFeature as error:
            if error.column not in features or len(left) == 1:
                raise
            refused.append(error)
            del left[error.column]
    auto = [name for name in features if name in left and wanted[name] == AUTO]
    refused += [
        _as_names_have(source, frame, name)
        for name in auto
        if frame.kind(name) == CATEGORICAL and too_many_levels(frame, name)
    ]
    if not refused:
        return frame
    if len(refused) == 1:
        raise refused[0]
    refused.sort(key=lambda error: source.names.index(error.column))
    each = ", ".join(f"{error.column!r} ({error.why})" for error in refused)
    names = [error.column for error in refused]
    raise UsageError(
        f"{source.path}: {len(names)} columns can be no features as they are: {each}; leave them "
        f"out with {list_override('data.drop', names)}, or declare words with data.categorical"
    )


def _as_names_have(source: Source, frame: Frame, name: str) -> NoFeature:
    """The error about a column whose words are probably ids, names or dates, not categories."""
    words, rows, drop = (
        frame.categorical[name].words,
        len(frame),
        list_override("data.drop", [name]),
    )
    if mostly_unread(words):
        return NoFeature(
            f"{source.path}: column {name!r} has dates like {words[0]!r}; {EXPECTED}, or {drop}",
            name,
            f"dates like {words[0]!r}",
        )
    return NoFeature(
        f"{source.path}: column {name!r} has {len(words)} different words in {rows} rows, as "
        f"names have; leave it out with {drop}, or say {list_override('data.categorical', [name])}",
        name,
        f"{len(words)} different words in {rows} rows",
    )


def too_many_levels(frame: Frame, name: str) -> bool:
    """Whether a categorical column has more distinct words than categories have: more than
    MOST_LEVELS, or than half of the rows."""
    levels, rows = len(frame.categorical[name].words), len(frame)
    return levels > MOST_LEVELS or (rows > FEW_ROWS and 2 * levels > rows)


def _groups(source: Source, frame: Frame, name: str) -> NDArray[np.int64]:
    codes = frame.categorical[name].codes
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        raise UsageError(f"{source.where(row)}: the group {name!r} is missing")
    return codes.astype(np.int64)


def _weights(source: Source, frame: Frame, name: str) -> NDArray[np.float64]:
    """The weights (rows,); raises UsageError for a gap or a negative one, or if all are 0."""
    weights: NDArray[np.float64] = frame[name]
    wrong = ~(weights >= 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        what = "is missing" if np.isnan(weights[row]) else f"is {weights[row]:g}"
        raise UsageError(
            f"{source.where(row)}: the weight {name!r} {what}; expected a number of at least 0"
        )
    if not weights.any():
        raise UsageError(f"{source.path}: the weight {name!r} is 0 in every row")
    return weights


def _time(source: Source, frame: Frame, name: str) -> Frame:
    """The column that orders the rows; raises UsageError for words and gaps."""
    if frame.kind(name) == CATEGORICAL:
        raise UsageError(f"{source.path}: data.time={name}: has words; expected dates or numbers")
    missing = np.isnan(frame[name])
    if missing.any():
        where = source.where(int(np.argmax(missing)))
        raise UsageError(
            f"{where}: the time {name!r} is missing; expected one in each row, or another data.time"
        )
    return frame.only([name])
