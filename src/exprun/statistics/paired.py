"""Paired differences: Student's t (1908), its interval, and effect sizes."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

DIGITS = 11
"""Significant digits, relative to the largest figure, to which differences are rounded."""


def differences(a: ArrayLike, b: ArrayLike) -> Array:
    """``a - b``, rounded so that differences that are equal except for decimal rounding compare
    equal: accuracies are counts of rows, and .9733 - .9711 is the same number of rows as .9711 -
    .9689."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    largest = np.max(np.abs([a, b]), initial=0.0)
    if largest == 0:
        return np.asarray(a - b)
    unit = 10.0 ** (np.ceil(np.log10(largest)) - DIGITS)
    return np.asarray(np.round((a - b) / unit) * unit)


class Moments(NamedTuple):
    """Number of pairs, mean and standard deviation (n-1) of differences along the last axis."""

    n: int
    mean: Array
    sd: Array


def moments(d: ArrayLike) -> Moments:
    """Moments of differences (..., n). The standard deviation of equal numbers is exactly 0, that
    of fewer than 2 is infinite."""
    d = np.asarray(d, float)
    n = d.shape[-1]
    if n < 2:
        return Moments(n, d.mean(axis=-1), np.full(d.shape[:-1], np.inf))
    sd = np.where(np.ptp(d, axis=-1) == 0, 0.0, d.std(axis=-1, ddof=1))
    return Moments(n, d.mean(axis=-1), sd)


def standard_error(sd: Array, n: int, overlap: float = 0.0) -> Array:
    """Standard error of the mean, ``sd √(1/n + overlap)``. With random splits of one data set the
    pairs are not independent, and ``overlap`` is n_test/n_train (Nadeau & Bengio 2003, Machine
    Learning 52, eq. 9)."""
    return np.asarray(sd * np.sqrt(1 / n + overlap))


def t_statistic(d: ArrayLike, overlap: float = 0.0) -> Array:
    """t of differences (..., n); ±∞ if all are equal and not 0, 0 if all are 0."""
    n, mean, sd = moments(d)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = mean / standard_error(sd, n, overlap)
    return np.where(mean == 0, 0.0, t)


def t_test(d: ArrayLike, overlap: float = 0.0) -> Array:
    """Two-sided p of Student's t test that the mean of differences (..., n) is 0; 1 for fewer than
    2.

    Equal differences have no standard deviation to compare the mean with; p is then that of the
    sign test, 2/2^n.
    """
    d = np.asarray(d, float)
    n = d.shape[-1]
    if n < 2:
        return np.ones(d.shape[:-1])
    t = t_statistic(d, overlap)
    return np.where(np.isinf(t), 2.0 ** (1 - n), two_sided(t, n - 1))


def two_sided(t: ArrayLike, df: ArrayLike) -> Array:
    """P(|T| ≥ |t|) of Student's distribution."""
    from scipy.special import stdtr

    return np.asarray(2 * stdtr(df, -np.abs(t)))


@functools.cache
def t_quantile(alpha: float, df: float) -> float:
    """The t that |T| exceeds with probability ``alpha``."""
    from scipy.special import stdtrit

    return float(stdtrit(df, 1 - alpha / 2))


def interval(d: ArrayLike, alpha: float = 0.05, overlap: float = 0.0) -> tuple[Array, Array]:
    """Student's interval of the mean of differences (..., n), n ≥ 2, with confidence
    1 - ``alpha``."""
    n, mean, sd = moments(d)
    half = t_quantile(alpha, n - 1) * standard_error(sd, n, overlap)
    return mean - half, mean + half


def d_z(d: ArrayLike) -> float:
    """Mean over standard deviation of paired differences, times Hedges' J(n-1), which removes the
    bias of few pairs (Hedges 1981); known as g_z."""
    n, mean, sd = moments(d)
    return float(mean / sd) * hedges(n - 1) if sd > 0 else float(np.copysign(np.inf, mean))


def hedges(df: float) -> float:
    """Hedges' correction J = Γ(df/2) / (√(df/2) Γ((df-1)/2))."""
    from scipy.special import gammaln

    return float(np.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / np.sqrt(df / 2))


class Wins(NamedTuple):
    """Numbers of pairs in which the first is higher, both are equal, the second is higher."""

    wins: int
    ties: int
    losses: int

    @property
    def probability(self) -> float:
        """P(A>B), with ties counted as one half (Bouthillier et al. 2021)."""
        return (self.wins + self.ties / 2) / sum(self)


def wins(d: ArrayLike) -> Wins:
    """Numbers of positive, zero and negative differences (n,)."""
    signs: Any = np.sign(np.asarray(d, float))
    return Wins(*(int((signs == sign).sum()) for sign in (1, 0, -1)))


def correlation(a: ArrayLike, b: ArrayLike) -> float | None:
    """Pearson's r of paired figures: the variance of their differences is 1 - r of what unpaired
    figures would have (equal variances). None if one of them has no spread."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if len(a) < 2 or not np.ptp(a) or not np.ptp(b):
        return None
    return float(np.corrcoef(a, b)[0, 1])
