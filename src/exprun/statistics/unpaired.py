"""Comparison of two groups of runs without common seeds: Welch's t (1947), which allows unequal
variances."""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike

from exprun.statistics.paired import moments, t_quantile, two_sided


@dataclass(frozen=True)
class Welch:
    """Difference of two means, its standard error, and the degrees of freedom of its t
    (Satterthwaite 1946); ``least`` is the smallest p of a rank test for groups of these sizes, used
    if neither group has a spread."""

    difference: float
    error: float
    df: float
    least: float

    @property
    def p(self) -> float:
        """Two-sided p of the means being equal. If neither group has any spread, that of the ranks:
        both extreme orders among all ways to choose the first group."""
        if self.error == 0:
            return self.least if self.difference else 1.0
        return float(two_sided(self.difference / self.error, self.df))

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """Confidence interval of the difference, with confidence 1 - ``alpha``."""
        half = t_quantile(alpha, self.df) * self.error if self.error else 0.0
        return self.difference - half, self.difference + half

    def tost(self, delta: float) -> float:
        """p of two one-sided tests (Schuirmann 1987) of the difference lying within ±``delta``."""
        inside = delta - abs(self.difference)
        if self.error == 0:
            return self.least / 2 if inside > 0 else 1.0
        tail = float(two_sided(inside / self.error, self.df)) / 2
        return tail if inside > 0 else 1 - tail


def welch(a: ArrayLike, b: ArrayLike) -> Welch:
    """Welch's t of the mean of ``a`` minus the mean of ``b``, at least 2 figures each."""
    (n, mean_a, sd_a), (m, mean_b, sd_b) = moments(a), moments(b)
    parts = float(sd_a) ** 2 / n, float(sd_b) ** 2 / m
    variance = sum(parts)
    df = (
        variance**2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (m - 1)) if variance else n + m - 2
    )
    difference = float(mean_a - mean_b)
    return Welch(difference, math.sqrt(variance), df, 2 / math.comb(n + m, n))
