"""Mean and standard deviation of learning curves over repeated runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
Curve = Mapping[str, Column]
"""The columns of a ``metrics.csv`` or ``trajectory.csv``, with a row per epoch or iteration."""

POINTS = 100
"""Maximum number of points of a mean curve."""


@dataclass(frozen=True)
class MeanCurve:
    """Steps with the mean and the standard deviation over runs; the latter is None for one run."""

    steps: Column
    mean: Column
    std: Column | None


def mean_curve(curves: Sequence[Curve], column: str, step: str = "epoch") -> MeanCurve | None:
    """The mean of all curves with the column, up to the length of the shortest, so that every point
    is the mean of the same runs; at most POINTS points. None if no curve has the column."""
    having = [curve for curve in curves if column in curve and len(curve[column])]
    if not having:
        return None
    chosen = thinned(min(len(curve[column]) for curve in having))
    values = np.array([curve[column][chosen] for curve in having])
    std = values.std(axis=0, ddof=1) if len(values) > 1 else None
    return MeanCurve(having[0][step][chosen], values.mean(axis=0), std)


def thinned(length: int) -> NDArray[np.int64]:
    """Evenly spaced indices of at most POINTS of ``length`` rows, including the first and the
    last."""
    return np.unique(np.linspace(0, length - 1, min(length, POINTS)).round().astype(np.int64))
