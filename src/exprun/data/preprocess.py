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
from exprun.common.errors import UsageError
from exprun.data.columns import Categorical, Column, Datetime, Numeric
from exprun.data.encoding import (
    ONE_HOT,
    TARGET,
    Supervision,
    cross_fitted,
)
from exprun.data.fit_columns import (
    AT_ONCE,
    MEDIAN,
    OWN_CATEGORY,
    encoded,
    fit_categorical,
    fit_numeric,
)
from exprun.data.frame import Frame, Rows
from exprun.data.read_options import Reading
from exprun.data.scaling import (
    Linear,
    Quantiles,
    Scaling,
)
from exprun.data.task import Task


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
        numeric = {c.name: c for c in fit_numeric(frame, rows, scaling, impute_numeric)}
        columns = [
            numeric[name]
            if name in numeric
            else encoded(
                fit_categorical(name, frame, rows, impute_categorical, unseen),
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
        return [*accumulate((column.width for column in self.columns), initial=0)][:-1]

    @cached_property
    def one_hot(self) -> list[tuple[Categorical, int]]:
        """The one-hot columns, each with the index of its first input."""
        return [
            (column, start)
            for column, start in zip(self.columns, self._starts, strict=True)
            if isinstance(column, Categorical) and not column.encoding
        ]

    @cached_property
    def without_one_hot(self) -> Preprocessing:
        """The preprocessing of the other columns."""
        one_hot = {column.name for column, _ in self.one_hot}
        return replace(self, columns=tuple(c for c in self.columns if c.name not in one_hot))

    @cached_property
    def dense_places(self) -> Rows:
        """The indices of the inputs of all columns that are not one-hot, (k,)."""
        ones = [start + k for column, start in self.one_hot for k in range(column.width)]
        return np.delete(np.arange(self.width), ones)

    def codes(self, frame: Frame, rows: Rows | slice = slice(None)) -> NDArray[np.int32]:
        """For each one-hot column the index of the input that is 1, (rows, one-hot columns); -1 for
        none, an unseen word. Raises UsageError for one with ``unseen="error"``."""
        chosen = np.arange(len(frame))[rows]
        codes = np.empty((len(chosen), len(self.one_hot)), dtype=np.int32)
        for k, (column, start) in enumerate(self.one_hot):
            places = _seen(column, frame, chosen)
            codes[:, k] = np.where(places < 0, -1, places + start)
        return codes

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
            if isinstance(column, Categorical) and column.encoding:
                places = _seen(column, frame, chosen)
                inputs[:, start : start + column.width] = column.encoding.inputs[places]
        for ones in self.codes(frame, chosen).T:
            known = np.flatnonzero(ones >= 0)
            inputs[known, ones[known]] = 1
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


def _seen(column: Categorical, frame: Frame, rows: Rows) -> NDArray[np.int64]:
    """``column.places``; raises UsageError for an unseen word with ``unseen="error"``."""
    places = column.places(frame, rows)
    if column.unseen == "error" and (places < 0).any():
        raise UsageError(_unseen(column, frame, rows[places < 0][0]))
    return places


def _unseen(column: Categorical, frame: Frame, row: int) -> str:
    words = frame.categorical[column.name]
    code = words.codes[row]
    word = repr(words.words[code]) if code >= 0 else "a gap"
    return (
        f"column {column.name!r} has {word}, which no training row has; expected one of its "
        f"{len(column.levels)} categories, or data.unseen=ignore"
    )
