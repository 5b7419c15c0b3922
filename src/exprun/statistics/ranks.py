"""Comparison of several methods on several data sets by ranks, because figures of different data
sets have no common scale: average ranks, Friedman's test, Nemenyi's critical difference (Demšar
2006, JMLR 7)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from exprun.statistics.paired import Array


@dataclass(frozen=True)
class Friedman:
    """Friedman's test: ``mean_ranks`` of the methods, where 1 is the highest figure, chi-square
    with ``df`` degrees of freedom, corrected for ties, and its p."""

    mean_ranks: Array
    chi2: float
    df: int
    p: float


def friedman(values: ArrayLike) -> Friedman:
    """Friedman's (1937) test whether the methods differ on figures (data sets, methods), at least 2
    of each. p = 1 if all methods are tied on every data set."""
    from scipy.special import chdtrc

    y = np.asarray(values, float)
    n, k = y.shape
    ranks = 1 + (y[:, None, :] > y[:, :, None]).sum(-1) + (_equal(y) - 1) / 2
    mean_ranks = ranks.mean(axis=0)
    spread = float(((ranks - (k + 1) / 2) ** 2).sum())
    if spread == 0:
        return Friedman(mean_ranks, 0.0, k - 1, 1.0)
    chi2 = n**2 * (k - 1) * float(((mean_ranks - (k + 1) / 2) ** 2).sum()) / spread
    return Friedman(mean_ranks, chi2, k - 1, float(chdtrc(k - 1, chi2)))


def _equal(y: Array) -> Array:
    """For each figure, the number of equal figures of the same data set, itself included."""
    return np.asarray((y[:, None, :] == y[:, :, None]).sum(-1), float)


def nemenyi(k: int, n: int, alpha: float = 0.05) -> float:
    """Nemenyi's (1963) critical difference: average ranks of k methods on n data sets that differ
    by at least this much differ significantly, corrected for all pairs."""
    return range_quantile(k, alpha) / math.sqrt(2) * math.sqrt(k * (k + 1) / (6 * n))


def range_quantile(k: int, alpha: float = 0.05) -> float:
    """The value that the range of k standard normal numbers exceeds with probability ``alpha``: the
    studentized range's quantile with infinite degrees of freedom."""
    low, high = 0.0, 20.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        low, high = (middle, high) if _range_tail(middle, k) > alpha else (low, middle)
    return high


def _range_tail(q: float, k: int) -> float:
    """P(range > q) = 1 - k ∫ φ(z) (Φ(z) - Φ(z - q))^(k-1) dz."""
    from scipy.special import ndtr

    z = np.linspace(-9, 9, 2001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return 1 - k * float((density * (ndtr(z) - ndtr(z - q)) ** (k - 1)).sum() * (z[1] - z[0]))
