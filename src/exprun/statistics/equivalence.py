"""Tests that a difference is too small to matter, which a large p of a t test does not show."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from exprun.statistics.paired import Array, moments, standard_error


def tost(d: ArrayLike, delta: float, overlap: float = 0.0) -> Array:
    """p of two one-sided t tests (Schuirmann 1987) that the mean of differences (..., n) lies
    within ±``delta``: the larger of the two. 1 for fewer than 2 pairs."""
    from scipy.special import stdtr

    n, mean, sd = moments(d)
    if n < 2:
        return np.ones(np.shape(mean))
    error = standard_error(sd, n, overlap)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (np.abs(mean) - delta) / error
    exact = np.where(np.abs(mean) < delta, 2.0**-n, 1.0)  # no spread: one-sided sign test
    return np.where(error > 0, stdtr(n - 1, t), exact)


class Posterior(NamedTuple):
    """Posterior probabilities that the mean difference lies below, within and above a region."""

    below: float
    within: float
    above: float


def posterior(d: ArrayLike, delta: float, overlap: float = 0.0) -> Posterior:
    """Posterior of the mean of differences (n,) for the region ±``delta``: the correlated Bayesian
    t test with a flat prior (Benavoli et al. 2017, JMLR 18:77, eq. 3); their ρ/(1-ρ) is
    ``overlap``."""
    from scipy.special import stdtr

    n, mean, sd = moments(d)
    error = float(standard_error(sd, n, overlap))
    if error == 0:
        return Posterior(float(mean < -delta), float(abs(mean) <= delta), float(mean > delta))
    below = float(stdtr(n - 1, (-delta - mean) / error))
    above = float(stdtr(n - 1, (mean - delta) / error))
    return Posterior(below, 1 - below - above, above)
