"""Learning curves of repeated runs as one: their mean and spread over the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]
Curve = Mapping[str, Column]
"""The columns of a ``metrics.csv`` or ``trajectory.csv``, a row each epoch or iteration."""

POINTS = 100
"""Points of a mean curve at most."""


@dataclass(frozen=True)
class MeanCurve:
    """The mean at each step and the standard deviation over the runs, None of a single run."""

    steps: Column
    mean: Column
    std: Column | None


def mean_curve(curves: Sequence[Curve], column: str, step: str = "epoch") -> MeanCurve | None:
    """Over the curves that have the column, as far as all of them go, so that every point is the
    mean of the same runs; at most ``POINTS`` points. None if no curve has it."""
    having = [curve for curve in curves if column in curve and len(curve[column])]
    if not having:
        return None
    chosen = thinned(min(len(curve[column]) for curve in having))
    values = np.array([curve[column][chosen] for curve in having])
    std = values.std(axis=0, ddof=1) if len(values) > 1 else None
    return MeanCurve(having[0][step][chosen], values.mean(axis=0), std)


def thinned(length: int) -> NDArray[np.int64]:
    """Indices of at most ``POINTS`` of so many rows, evenly spaced, the first and last among
    them."""
    return np.unique(np.linspace(0, length - 1, min(length, POINTS)).round().astype(np.int64))
