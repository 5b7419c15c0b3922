"""Tests and intervals of paired differences when pairs were added after a look at the first ones.

The first batch is tested by Student's t at 5 %, as usual. Adding seeds because the result was
inconclusive and testing all pairs at 5 % again makes too many false claims (a look after every seed
to 50: 30 %). So claims that need the later seeds have to pass a tenth of that level, LATER, by a
test that depends on how the seeds were added:

- PLANNED: their number was fixed at the first look, without use of any figure, or was computed from
  the spread alone (STEIN, if a difference that matters was given).
- ANYTIME: in any other way, with any number of looks and any stopping rule.

The probability of a false claim is then at most α + LATER for each kind of plan. The result of the
first batch is dropped where its interval does not contain the mean of all pairs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exprun.statistics import anytime, paired, stein
from exprun.statistics.equivalence import tost
from exprun.statistics.paired import Array
from exprun.statistics.signs import sign_test
from exprun.statistics.skew import skew_test

ALPHA = 0.05
LATER = ALPHA / 10

FEWEST = 3
"""Fewest pairs from which anything is claimed."""

FIXED, PLANNED, STEIN, ANYTIME = "fixed", "planned", "stein", "anytime"


@dataclass(frozen=True)
class Looks:
    """How the pairs were collected: ``first`` of them at once, the others later in the way that
    ``method`` names; ``overlap`` is n_test/n_train if they are random splits of one data set."""

    first: int
    method: str = FIXED
    overlap: float = 0.0

    @property
    def later(self) -> float:
        """Significance level of claims from later pairs: LATER, or ALPHA if the first batch was too
        small to claim anything."""
        return LATER if self.first >= FEWEST else ALPHA


def p_value(d: ArrayLike, looks: Looks) -> Array:
    """Two-sided p (...,) of differences (..., n) in the order of collection, to be compared with
    ALPHA, after Holm's adjustment if there are several: the smaller of the p of the first batch,
    where its interval contains the mean of all, and that of all pairs."""
    if looks.method == FIXED:
        return paired.t_test(d, looks.overlap)
    return np.minimum(*_p_values(np.asarray(d, float), looks))


def shown_by_first(d: ArrayLike, looks: Looks) -> NDArray[np.bool_]:
    """Whether the ``p_value`` of differences (..., n) is that of the first batch alone."""
    if looks.method == FIXED:
        return np.zeros(np.shape(d)[:-1], bool)
    first, later = _p_values(np.asarray(d, float), looks)
    return np.asarray(first < later)


def _p_values(d: Array, looks: Looks) -> tuple[Array, Array]:
    """p of the first batch of differences (..., n), 1 where it is not used, and p of all, scaled
    for comparison with ALPHA."""
    if looks.method == PLANNED:
        p = paired.t_test(d, looks.overlap)
    elif looks.method == STEIN:
        p = stein.t_test(d, looks.first)
    else:
        p = anytime.p_value(d, looks.overlap, looks.later)
    later = np.minimum(1.0, p * (ALPHA / looks.later))
    if looks.first < FEWEST:
        return np.ones_like(later), later
    first = paired.t_test(d[..., : looks.first], looks.overlap)
    return np.where(_holds(_first_interval(d, looks, ALPHA), d), first, 1.0), later


def interval(d: ArrayLike, looks: Looks, alpha: float = ALPHA) -> tuple[Array, Array]:
    """Confidence interval of the mean of differences (..., n), n ≥ 2, from all looks; it contains
    the mean of ``d``."""
    d = np.asarray(d, float)
    if looks.method == FIXED:
        return paired.interval(d, alpha, looks.overlap)
    later = alpha * looks.later / ALPHA
    if looks.method == PLANNED:
        low, high = paired.interval(d, later, looks.overlap)
    elif looks.method == STEIN:
        low, high = stein.interval(d, looks.first, later)
    else:
        low, high = anytime.interval(d, later, looks.overlap)
    if looks.first >= FEWEST:
        first = _first_interval(d, looks, alpha)
        used = _holds(first, d)
        low = np.where(used, np.maximum(low, first[0]), low)
        high = np.where(used, np.minimum(high, first[1]), high)
    return low, high


def _first_interval(d: Array, looks: Looks, alpha: float) -> tuple[Array, Array]:
    """Student's interval of the first batch of differences (..., n)."""
    return paired.interval(d[..., : looks.first], alpha, looks.overlap)


def _holds(interval: tuple[Array, Array], d: Array) -> NDArray[np.bool_]:
    """Whether an interval (...,) contains the mean of all differences (..., n)."""
    mean = d.mean(-1)
    return np.asarray((interval[0] <= mean) & (mean <= interval[1]))


def equivalence(d: ArrayLike, delta: float, looks: Looks) -> Array:
    """p that the mean of differences (..., n) lies within ±``delta``, to be compared with ALPHA."""
    d = np.asarray(d, float)
    if looks.method in (FIXED, PLANNED):
        p = tost(d, delta, looks.overlap)
        if looks.method == FIXED:
            return p
        p = np.minimum(1.0, p * (ALPHA / looks.later))
    else:  # by the interval, which is conservative: wider than needed
        low, high = interval(d, looks)
        p = np.where((low > -delta) & (high < delta), ALPHA / 2, 1.0)
    if looks.first >= FEWEST:
        first = tost(d[..., : looks.first], delta, looks.overlap)
        p = np.where(_holds(_first_interval(d, looks, ALPHA), d), np.minimum(p, first), p)
    return p


def rests_on_few(d: ArrayLike) -> NDArray[np.bool_]:
    """Whether differences (..., n) are skewed and the sign test does not confirm the t test: then a
    few differences carry the mean, and t claims too much."""
    return np.asarray((skew_test(d) < ALPHA) & (sign_test(d) >= ALPHA))


@dataclass(frozen=True)
class Plan:
    """The number of ``pairs`` in all, including the first, and the ``method`` that tests them."""

    pairs: int
    method: str


def plan(first: int, tests: int, sds: ArrayLike = (), half_width: float | None = None) -> Plan:
    """The pairs to collect in all after the ``first``, at least FEWEST, for ``tests`` simultaneous
    tests.

    Without ``half_width`` as many as halve the width of the intervals; no figure is used. With it,
    that is, if a difference that matters was given, as many as make all intervals at most
    ±``half_width`` wide, by the standard deviations ``sds`` of the first differences: by Stein's
    plan or, if that takes fewer pairs, for the anytime test.
    """
    if half_width is None:
        now = paired.t_quantile(ALPHA / tests, first - 1) / math.sqrt(first)
        n = first + 1
        while paired.t_quantile(LATER / tests, n - 1) / math.sqrt(n) > now / 2:
            n += 1
        return Plan(n, PLANNED)
    level, sd = LATER / tests, float(np.max(np.asarray(sds, float), initial=0.0))
    by_stein = stein.pairs_needed(sd, first, half_width, level)
    n = first + 1
    while n < by_stein and anytime.t_threshold(n, level) * sd / math.sqrt(n) > half_width:
        n += 1
    return Plan(by_stein, STEIN) if by_stein <= n else Plan(n, ANYTIME)
