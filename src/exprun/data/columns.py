"""The preprocessing of a column of a file: its gaps filled, scaled or encoded as inputs of a
network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exprun.data.datetimes import circle
from exprun.data.encoding import (
    Encoding,
)
from exprun.data.frame import CATEGORICAL, DATETIME, NUMERIC, Frame, Rows
from exprun.data.scaling import (
    Linear,
    Quantiles,
)
from exprun.data.spelling import places


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
