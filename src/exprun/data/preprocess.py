"""Preprocessing from the columns of a file to a network's inputs, fitted on training rows only.

It is plain data and saved with the model in ``preprocess.json``, because predictions on new rows
need it in addition to the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exprun.common.elementary import Numbers
from exprun.common.errors import UsageError, list_override
from exprun.common.threads import mapped
from exprun.data.datetimes import circle, periods_of
from exprun.data.encoding import (
    FREQUENCY,
    ONE_HOT,
    TARGET,
    Encoding,
    Supervision,
    cross_fitted,
    encoding_of,
    target_means,
)
from exprun.data.frame import CATEGORICAL, DATETIME, NUMERIC, Frame, Rows
from exprun.data.read_options import Reading
from exprun.data.scaling import (
    NONE,
    STANDARDIZE,
    UNIT,
    Linear,
    Quantiles,
    Scaling,
    fit_scaling,
)
from exprun.data.spelling import places
from exprun.data.task import Task

AT_ONCE = 2**20
"""Numbers that are copied at once, 8 MiB, which bounds the temporary memory."""

MEDIAN, MOST_FREQUENT, OWN_CATEGORY = "median", "most_frequent", "own_category"


@dataclass(frozen=True)
class Numeric:
    """A numeric column, one input: missing values become ``fill``, then it is scaled."""

    name: str
    fill: float = 0.0
    scaling: Linear | Quantiles = field(default_factory=Linear)

    kind = NUMERIC
    width = 1

    @property
    def input_names(self) -> tuple[str, ...]:
        return (self.name,)


@dataclass(frozen=True)
class Datetime:
    """A column of dates or times, in seconds since 1970: one input for the time itself, which is
    filled and scaled like a number, and two for each of ``periods`` (see ``datetimes.PERIODS``),
    sine and cosine of the phase in it. ``zoned`` says whether the times of the training have time
    zones."""

    name: str
    fill: float
    scaling: Linear | Quantiles
    periods: tuple[str, ...] = ()
    zoned: bool = False

    kind = DATETIME

    @property
    def width(self) -> int:
        return 1 + 2 * len(self.periods)

    @property
    def input_names(self) -> tuple[str, ...]:
        """``day``, ``day: time of year, sine``, ``day: time of year, cosine``."""
        parts = (f"{p}, {f}" for p in self.periods for f in ("sine", "cosine"))
        return (self.name, *(f"{self.name}: {part}" for part in parts))

    def circles(self, frame: Frame, rows: Rows) -> NDArray[np.float64]:
        """The inputs but the first one, (rows, 2 · periods)."""
        values = frame.block([self.name], rows)[:, 0]
        return circle(np.where(np.isnan(values), self.fill, values), self.periods)


@dataclass(frozen=True)
class Categorical:
    """A categorical column: one input per level (one-hot), or the numbers of an ``encoding``.
    Different spellings of the same number or boolean are the same level.

    The level None, if there is one, stands for missing values; otherwise they become ``fill``. A
    word that is no level, or a missing value with neither, is unseen: zeros, or the encoding's
    numbers for that, with ``unseen="ignore"``, an error with ``"error"``.
    """

    name: str
    levels: tuple[str | None, ...]
    fill: str | None = None
    unseen: Literal["ignore", "error"] = "ignore"
    encoding: Encoding | None = None

    kind = CATEGORICAL

    @property
    def width(self) -> int:
        return len(self.encoding.of) if self.encoding else len(self.levels)

    @property
    def input_names(self) -> tuple[str, ...]:
        """``colour=red`` for each level, ``colour=(missing)`` for missing values; ``colour: mean of
        price`` with an encoding."""
        if self.encoding:
            return tuple(f"{self.name}: {of}" for of in self.encoding.of)
        return tuple(
            f"{self.name}={'(missing)' if level is None else level}" for level in self.levels
        )

    def places(self, frame: Frame, rows: Rows | slice) -> NDArray[np.int64]:
        """The index of each row's level, (rows,); -1 is unseen."""
        column = frame.categorical[self.name]
        gap = self.levels.index(self.fill) if self.fill in self.levels else -1
        lookup = np.array([*places(column.words, self.levels), gap])
        found: NDArray[np.int64] = lookup[column.codes[rows]]
        return found


Column = Numeric | Datetime | Categorical


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of each column, and the task and target scaling that give a network's
    outputs their meaning. ``reading`` holds the options with which the file was read, ``weight`` is
    the name of the column of the rows' weights, if there is one."""

    columns: tuple[Column, ...]
    task: Task
    target: Scaling
    reading: Reading = field(default_factory=Reading)
    weight: str | None = None

    @classmethod
    def identity(cls, names: Sequence[str], task: Task, target: Scaling) -> Preprocessing:
        """Numeric columns that are used as inputs unchanged."""
        return cls(tuple(map(Numeric, names)), task, target)

    @classmethod
    def fit(
        cls,
        frame: Frame,
        rows: Rows,
        task: Task,
        target: Scaling,
        *,
        scaling: str = "standardize",
        impute_numeric: str = MEDIAN,
        impute_categorical: str = OWN_CATEGORY,
        unseen: Literal["ignore", "error"] = "ignore",
        encoding: str = ONE_HOT,
        supervision: Supervision | None = None,
        reading: Reading | None = None,
        weight: str | None = None,
    ) -> Preprocessing:
        """Fit on the ``rows`` of ``frame`` only: imputation (``median`` or ``most_frequent`` of a
        numeric column, ``most_frequent`` or ``own_category`` of a categorical one), then scaling
        (``standardize``, ``min_max``, ``unit``, ``quantile`` or ``none``) and the levels. Dates are
        standardised where ``unit`` or ``none`` would leave them as large as they are. ``encoding``
        is ``one_hot``, ``target``, which needs the ``supervision`` of the rows, ``frequency`` or
        ``auto``, see ``encoding_of``.

        Raises UsageError if a column has only missing values there.
        """
        numeric = {c.name: c for c in _fit_numeric(frame, rows, scaling, impute_numeric)}
        columns = [
            numeric[name]
            if name in numeric
            else _encoded(
                _fit_categorical(name, frame, rows, impute_categorical, unseen),
                frame,
                rows,
                encoding,
                supervision,
            )
            for name in frame.names
        ]
        return cls(tuple(columns), task, target, reading or Reading(), weight)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the file's columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the network's inputs, in order."""
        return tuple(name for column in self.columns for name in column.input_names)

    @cached_property
    def width(self) -> int:
        """Number of inputs of the network."""
        return sum(column.width for column in self.columns)

    @cached_property
    def _starts(self) -> list[int]:
        """The index of each column's first input."""
        return [0, *accumulate(column.width for column in self.columns[:-1])]

    def apply(self, frame: Frame, rows: Rows | slice = slice(None)) -> NDArray[np.float32]:
        """The network's inputs (rows, width) float32 for rows of a frame with these columns.

        Raises UsageError for a number that is too large for float32, and for an unseen word with
        ``unseen="error"``.
        """
        chosen = np.arange(len(frame))[rows]
        inputs = np.zeros((len(chosen), self.width), dtype=np.float32)
        numeric = [
            (column, start)
            for column, start in zip(self.columns, self._starts, strict=True)
            if not isinstance(column, Categorical)
        ]
        if numeric:
            self._scale(frame, chosen, [c for c, _ in numeric], inputs, [s for _, s in numeric])
        for column, start in zip(self.columns, self._starts, strict=True):
            if isinstance(column, Datetime):
                inputs[:, start + 1 : start + column.width] = column.circles(frame, chosen)
            if isinstance(column, Categorical):
                places = column.places(frame, chosen)
                known = np.flatnonzero(places >= 0)
                if column.unseen == "error" and len(known) < len(places):
                    raise UsageError(_unseen(column, frame, chosen[places < 0][0]))
                if column.encoding:
                    inputs[:, start : start + column.width] = column.encoding.inputs[places]
                else:
                    inputs[known, start + places[known]] = 1
        return inputs

    def cross_fit(
        self,
        inputs: NDArray[np.float32],
        frame: Frame,
        rows: Rows,
        supervision: Supervision,
    ) -> None:
        """Replace in the inputs (rows, width) of the training rows, with which the preprocessing
        was fitted, those of target encoding by cross-fitted ones."""
        for column, start in zip(self.columns, self._starts, strict=True):
            if not (isinstance(column, Categorical) and column.encoding):
                continue
            if column.encoding.method == TARGET:
                places = column.places(frame, rows)
                values = cross_fitted(places, len(column.levels), supervision)
                inputs[:, start : start + column.width] = column.encoding.scaled(values)

    @staticmethod
    def _scale(
        frame: Frame,
        rows: Rows,
        columns: Sequence[Numeric | Datetime],
        inputs: NDArray[np.float32],
        places: Sequence[int],
    ) -> None:
        """Write the scaled columns into ``inputs`` at the column indices ``places``, in chunks of
        rows."""
        names = [column.name for column in columns]
        fills = np.array([column.fill for column in columns])
        linear = [c.scaling if isinstance(c.scaling, Linear) else Linear() for c in columns]
        center = np.array([scaling.center for scaling in linear])
        scale = np.array([scaling.scale for scaling in linear])
        together = len(columns) == inputs.shape[1]
        step = max(1, AT_ONCE // len(columns))
        for first in range(0, len(rows), step):
            part = slice(first, first + step)
            values = frame.block(names, rows[part], order="F")  # column by column is faster
            gaps = np.isnan(values)
            if gaps.any():
                values = np.where(gaps, fills, values)
            values -= center
            values /= scale
            for k, column in enumerate(columns):
                if isinstance(column.scaling, Quantiles):
                    values[:, k] = column.scaling.apply(values[:, k])
            inputs[part, slice(None) if together else places] = single(values, names)

    def unlike_zones(self, frame: Frame) -> list[str]:
        """The columns of dates that have time zones in the training or in the frame, but not in
        both: times without one are taken as UTC beside instants."""
        dates = [column for column in self.columns if isinstance(column, Datetime)]
        return [column.name for column in dates if column.zoned != (column.name in frame.zoned)]

    def unseen(self, frame: Frame) -> dict[str, int]:
        """Number of rows with a word that no training row had, per categorical column that has
        any."""
        counts = {
            column.name: int((column.places(frame, slice(None)) < 0).sum())
            for column in self.columns
            if isinstance(column, Categorical)
        }
        return {name: count for name, count in counts.items() if count}


def single(values: Numbers, names: Sequence[str]) -> NDArray[np.float32]:
    """Convert (rows, columns) to float32; raises UsageError for a number that is too large."""
    with np.errstate(over="ignore"):
        found: NDArray[np.float32] = values.astype(np.float32)
    fits = np.isfinite(found)
    if not fits.all():
        name = names[int(np.argmin(fits.all(axis=0)))]
        raise UsageError(f"column {name!r} has numbers too large for 32 bits, above 3e38")
    return found


def _fit_numeric(frame: Frame, rows: Rows, scaling: str, impute: str) -> list[Numeric | Datetime]:
    """The preprocessing of the numeric columns and of those of dates."""
    numeric = [name for name in frame.places if name not in frame.datetimes]
    dates = [name for name in frame.places if name in frame.datetimes]
    largest = _largest(frame, rows, numeric) if scaling == UNIT else 1.0
    step = max(1, AT_ONCE // max(1, len(rows)))

    def fit(names: Sequence[str]) -> list[Numeric | Datetime]:
        block = frame.block(names, rows, order="F")  # contiguous columns are faster here
        gaps = np.isnan(block)
        if gaps.all(axis=0).any():
            raise UsageError(_empty(names[int(np.argmax(gaps.all(axis=0)))]))
        of = _median if impute == MEDIAN else _most_frequent
        if gaps.any():
            fills = np.array([of(block[~gaps[:, k], k]) for k in range(len(names))])
            block = np.where(gaps, fills, block)
        else:
            fills = np.array([of(block[:, k]) for k in range(len(names))])
        of_dates = names[0] in frame.datetimes
        method = STANDARDIZE if of_dates and scaling in (UNIT, NONE) else scaling
        fitted = zip(
            names,
            fills.tolist(),
            fit_scaling(method, np.asfortranarray(block), largest),
            block.T,
            strict=True,
        )
        if not of_dates:
            return [Numeric(name, fill, scaled) for name, fill, scaled, _ in fitted]
        return [
            Datetime(name, fill, scaled, periods_of(values), name in frame.zoned)
            for name, fill, scaled, values in fitted
        ]

    groups = [
        names[first : first + step]
        for names in (numeric, dates)
        for first in range(0, len(names), step)
    ]
    return [column for columns in mapped(fit, groups) for column in columns]


def _largest(frame: Frame, rows: Rows, names: Sequence[str]) -> float:
    """The divisor of the scaling ``unit``: 255 for bytes, such as images; otherwise the largest
    absolute value of the columns in these rows."""
    if frame.numbers.dtype == np.uint8:
        return 255.0
    step = max(1, AT_ONCE // max(1, len(names)))
    parts = (frame.block(names, rows[k : k + step]) for k in range(0, len(rows), step))
    found = max(float(np.fmax.reduce(np.abs(part), axis=None, initial=0)) for part in parts)
    return found or 1.0


def _median(values: Numbers) -> float:
    """The median for values without NaN, like ``np.median`` but without importing numpy.ma, which
    is slow."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    ordered = np.partition(values, (low, high))
    return float((ordered[low] + ordered[high]) / 2)


def _most_frequent(values: Numbers) -> float:
    """The most frequent number; the smallest one of several."""
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[np.argmax(counts)])


def _fit_categorical(
    name: str, frame: Frame, rows: Rows, impute: str, unseen: Literal["ignore", "error"]
) -> Categorical:
    column = frame.categorical[name]
    codes = column.codes[rows]
    counts = np.bincount(codes[codes >= 0], minlength=len(column.words))
    levels = sorted(word for word, count in zip(column.words, counts, strict=True) if count)
    if not levels:
        raise UsageError(_empty(name))
    if impute == OWN_CATEGORY:
        gap = [None] if (codes < 0).any() else []
        return Categorical(name, (*levels, *gap), None, unseen)
    frequent = min(word for word, n in zip(column.words, counts, strict=True) if n == counts.max())
    return Categorical(name, tuple(levels), frequent, unseen)


def _encoded(
    column: Categorical, frame: Frame, rows: Rows, method: str, supervision: Supervision | None
) -> Categorical:
    """The column with its encoding, whose inputs are standardised by the training rows."""
    levels = len(column.levels)
    method = encoding_of(method, levels)
    if method == ONE_HOT:
        return column
    places = column.places(frame, rows)
    if method == FREQUENCY:
        of: tuple[str, ...] = ("frequency",)
        values = np.bincount(places, minlength=levels)[:, None] / len(rows)
        unseen, trained = np.zeros(1), values[places]
    else:
        assert supervision is not None
        of = supervision.of
        values, unseen = target_means(places, levels, supervision.y)
        trained = cross_fitted(places, levels, supervision)
    scaling = [s for s in fit_scaling(STANDARDIZE, trained) if isinstance(s, Linear)]
    numbers = tuple(map(tuple, values.tolist()))
    return replace(
        column, encoding=Encoding(method, of, numbers, tuple(unseen.tolist()), tuple(scaling))
    )


def _empty(name: str) -> str:
    drop = list_override("data.drop", [name])
    return f"column {name!r} has no value in any training row; leave it out with {drop}"


def _unseen(column: Categorical, frame: Frame, row: int) -> str:
    words = frame.categorical[column.name]
    code = words.codes[row]
    word = repr(words.words[code]) if code >= 0 else "a gap"
    return (
        f"column {column.name!r} has {word}, which no training row has; expected one of its "
        f"{len(column.levels)} categories, or data.unseen=ignore"
    )
