"""The roles of a file's columns: targets, features, groups, times and weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exprun.common.errors import NoFeature, UsageError, list_override, nearest
from exprun.data.datetimes import EXPECTED, mostly_unread
from exprun.data.frame import CATEGORICAL, NUMERIC, Frame
from exprun.data.read_options import AUTO, LABEL
from exprun.data.source import Source
from exprun.data.targets import FEW_ROWS, TaskName

Column = str | int


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


def as_list(columns: Column | Sequence[Column] | None) -> list[Column]:
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


def kinds_of(source: Source, chosen: Choice, targets: list[str]) -> dict[str, str]:
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


def read_features(source: Source, wanted: Mapping[str, str], features: Sequence[str]) -> Frame:
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
    """Whether a categorical column has more distinct words than categories have: more than half of
    the rows."""
    return len(frame) > FEW_ROWS and 2 * len(frame.categorical[name].words) > len(frame)


def groups_of(source: Source, frame: Frame, name: str) -> NDArray[np.int64]:
    codes = frame.categorical[name].codes
    if (codes < 0).any():
        row = int(np.argmax(codes < 0))
        raise UsageError(f"{source.where(row)}: the group {name!r} is missing")
    return codes.astype(np.int64)


def weights_of(source: Source, frame: Frame, name: str) -> NDArray[np.float64]:
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


def time_column(source: Source, frame: Frame, name: str) -> Frame:
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
