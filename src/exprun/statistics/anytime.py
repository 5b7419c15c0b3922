"""A t test that is valid for any number of looks at the data and any stopping rule.

E_n is the likelihood ratio of the t statistic of n differences, d_z ~ N(0, g) against d_z = 0
(Grünwald, de Heide & Koolen 2024, JRSS B 86; Wang & Ramdas 2023, arXiv:2310.03722). Under equal
means its expectation is 1 at every n, and the probability that it ever reaches 1/α is at most α
(Ville).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exprun.statistics.paired import Array

G = 1.0
"""Variance of the standardised effect d_z under the alternative."""


def log_e(t: ArrayLike, n: ArrayLike, g: float = G) -> Array:
    """ln E of a t statistic with n-1 degrees of freedom, n ≥ 2."""
    t, n = np.asarray(t, float), np.asarray(n, float)
    nu = n - 1
    square = np.minimum(t**2, 1e300)
    ratio = np.log1p(square / nu) - np.log1p(square / (nu * (1 + n * g)))
    return np.asarray(-0.5 * np.log1p(n * g) + 0.5 * n * ratio)


def running_t(d: ArrayLike, overlap: float = 0.0) -> tuple[Array, Array, Array]:
    """Mean, standard error and t of the first 2, 3, … of differences (..., n), each (..., n-1)."""
    d = np.asarray(d, float)
    n = np.arange(2, d.shape[-1] + 1)
    mean = np.cumsum(d, -1)[..., 1:] / n
    centred = d - d.mean(-1, keepdims=True)  # against cancellation
    squares, sums = np.cumsum(centred**2, -1)[..., 1:], np.cumsum(centred, -1)[..., 1:]
    variance = np.maximum(squares - sums**2 / n, 0.0) / (n - 1)
    flat = np.maximum.accumulate(d, -1)[..., 1:] == np.minimum.accumulate(d, -1)[..., 1:]
    error = np.where(flat, 0.0, np.sqrt(variance * (1 / n + overlap)))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(flat, 0.0, mean / error)  # no spread: no evidence
    return mean, error, t


def running_log_e(d: ArrayLike, overlap: float = 0.0) -> Array:
    """ln E of the first 2, 3, … of differences (..., n): (..., n-1)."""
    d = np.asarray(d, float)
    return log_e(running_t(d, overlap)[2], np.arange(2, d.shape[-1] + 1))


def p_value(d: ArrayLike, overlap: float = 0.0, alpha: float = 0.05) -> Array:
    """p (...,) of differences (..., n): 1 / max E over all looks, at most 1, or over the last look
    only where ``interval`` with this ``alpha`` uses the last look only."""
    d = np.asarray(d, float)
    if d.shape[-1] < 2:
        return np.ones(d.shape[:-1])
    evidence = running_log_e(d, overlap)
    held = _holds_mean(*_intervals(d, alpha, overlap))
    highest = np.where(held, evidence.max(-1), evidence[..., -1])
    return np.asarray(np.exp(-np.maximum(highest, 0.0)))


def t_threshold(n: int, alpha: float = 0.05, g: float = G) -> float:
    """The |t| from which E ≥ 1/α; infinite if n is too small to reach it."""
    c = (alpha**2 / (1 + n * g)) ** (-1 / n)
    if c >= 1 + n * g:
        return math.inf
    return math.sqrt((n - 1) * (c - 1) / (1 - c / (1 + n * g)))


def interval(d: ArrayLike, alpha: float = 0.05, overlap: float = 0.0) -> tuple[Array, Array]:
    """Confidence interval of the mean of differences (..., n): the intersection of the intervals at
    all looks, or that of the last look where the intersection excludes the mean of the differences.
    Its ends, each (...,), may be infinite."""
    low, high = _intervals(np.asarray(d, float), alpha, overlap)
    held = _holds_mean(low, high)
    return np.where(held, low.max(-1), low[..., -1]), np.where(held, high.min(-1), high[..., -1])


def _intervals(d: Array, alpha: float, overlap: float) -> tuple[Array, Array]:
    """The ends of the intervals of the first 2, 3, … differences, each (..., n-1)."""
    mean, error, _ = running_t(d, overlap)
    thresholds = [t_threshold(n, alpha) for n in range(2, d.shape[-1] + 1)]
    with np.errstate(invalid="ignore"):
        half = np.where(error > 0, error * np.array(thresholds), np.inf)
    return mean - half, mean + half


def _holds_mean(low: Array, high: Array) -> NDArray[np.bool_]:
    """Whether the centre of the last interval lies in all of them; True if the last is infinite."""
    with np.errstate(invalid="ignore"):
        mean = (low[..., -1] + high[..., -1]) / 2
    inside = (low.max(-1) <= mean) & (mean <= high.min(-1))
    return np.asarray(inside | np.isnan(mean))
