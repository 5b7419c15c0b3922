"""Noise and trend of learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

MAD = 0.6745
"""Median of the absolute value of a standard normal variable."""


def noise(values: Sequence[float]) -> float:
    """The standard deviation of the noise that is added to a smooth curve from epoch to epoch.

    Estimated from second differences, in which a straight line cancels and whose variance is 6
    times that of the noise; by their median, which a few sharp bends do not affect. 0 for fewer
    than 5 values.
    """
    if len(values) < 5:
        return 0.0
    triples = zip(values, values[1:], values[2:], strict=False)
    return median(abs(a - 2 * b + c) for a, b, c in triples) / MAD / math.sqrt(6)


def slope(values: Sequence[float]) -> tuple[float, float]:
    """Change per epoch by least squares, and its standard error; needs at least 3 values."""
    n = len(values)
    mean, middle = sum(values) / n, (n - 1) / 2
    spread = sum((i - middle) ** 2 for i in range(n))
    change = sum((i - middle) * (v - mean) for i, v in enumerate(values)) / spread
    rest = sum((v - mean - change * (i - middle)) ** 2 for i, v in enumerate(values))
    return change, math.sqrt(rest / (n - 2) / spread)


def falls(values: Sequence[float], sure: float = 3.0) -> bool:
    """Whether the slope is negative by more than ``sure`` standard errors."""
    if len(values) < 4:
        return False
    change, error = slope(values)
    return change < -sure * error and change < 0


def halves(values: Sequence[float]) -> float:
    """The fall in the second half of the epochs over that in the first: 1 for a straight line, near
    0 for a curve that has levelled off."""
    middle = len(values) // 2
    first, second = values[0] - values[middle], values[middle] - values[-1]
    return second / first if first > 0 else math.inf if second > 0 else 0.0
