"""Stein's two-stage procedure: the number of further pairs depends on the spread of the first
alone, not on their mean (Stein 1945, Annals of Mathematical Statistics 16), so the test of all
pairs remains valid."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from exprun.statistics.paired import Array, moments, t_quantile, two_sided


def pairs_needed(sd: float, first: int, half_width: float, alpha: float = 0.05) -> int:
    """The number N of pairs in all, including the ``first`` with standard deviation ``sd``, for an
    interval of at most ±``half_width`` with confidence 1-α, whatever the true spread is."""
    if sd == 0:
        return first
    return max(first, math.ceil((t_quantile(alpha, first - 1) * sd / half_width) ** 2))


def t_test(d: ArrayLike, first: int) -> Array:
    """Two-sided p of the mean of all N differences (..., N) being 0, with the standard deviation of
    the ``first``."""
    d = np.asarray(d, float)
    n, mean, _ = moments(d)
    sd = moments(d[..., :first]).sd
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(mean == 0, 0.0, mean * math.sqrt(n) / sd)
    return np.where(np.isinf(t), 2.0 ** (1 - n), two_sided(t, first - 1))


def interval(d: ArrayLike, first: int, alpha: float = 0.05) -> tuple[Array, Array]:
    """Confidence interval of the mean of all N differences (..., N), with the standard deviation of
    the ``first``."""
    d = np.asarray(d, float)
    n, mean, _ = moments(d)
    half = t_quantile(alpha, first - 1) * moments(d[..., :first]).sd / math.sqrt(n)
    return mean - half, mean + half
