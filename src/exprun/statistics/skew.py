"""A test of skewness. With skewed differences Student's t, and the anytime t most of all, claims
too much: a few seeds carry the mean, and until one of them is drawn the others look shifted."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from exprun.statistics.paired import Array

LEAST = 8
"""Fewest pairs for which the test is computed."""


def skew_test(d: ArrayLike) -> Array:
    """Two-sided p of D'Agostino's (1970) test that differences (..., n) are not skewed; 1 for fewer
    than LEAST, or if all are equal."""
    from scipy.special import ndtr

    d = np.asarray(d, float)
    n = d.shape[-1]
    if n < LEAST:
        return np.ones(d.shape[:-1])
    centred = d - d.mean(-1, keepdims=True)
    second = (centred**2).mean(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        g1 = np.where(second > 0, (centred**3).mean(-1) / second**1.5, 0.0)
    y = g1 * math.sqrt((n + 1) * (n + 3) / (6.0 * (n - 2)))
    beta = 3 * (n**2 + 27 * n - 70) * (n + 1) * (n + 3) / ((n - 2.0) * (n + 5) * (n + 7) * (n + 9))
    w2 = math.sqrt(2 * (beta - 1)) - 1
    z = np.arcsinh(y / math.sqrt(2 / (w2 - 1))) / math.sqrt(0.5 * math.log(w2))
    return np.asarray(2 * ndtr(-np.abs(z)))
