"""The two-sample Kolmogorov-Smirnov distance and a bound of its tail probability, without scipy."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The largest distance between the empirical distribution functions of two samples (n,) and
    (m,)."""
    at = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(v), at, side="right") / len(v) for v in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def tail(found: float, n: int, m: int) -> float:
    """The asymptotic bound 2 exp(-2 d² nm/(n + m)) of the probability of a distance of at least
    ``found`` between samples of n and m from one distribution, at most 1 (Smirnov 1939)."""
    return min(1.0, 2 * math.exp(-2 * found**2 * n * m / (n + m)))
