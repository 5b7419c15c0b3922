"""What may be claimed of paired differences, when some were asked for after a look at the others.

The first batch is judged by Student's t at 5 %, as anybody would. Who then adds seeds where that
was inconclusive, and tests all of them at 5 % again, claims too much (a look after every seed to
50: 30 %). So all that is claimed only because of later seeds has to pass a tenth of that, LATER, by
a test that fits how they were asked for:

- PLANNED: as many as was said at the first look, a number that no figure had a say in, or that was
  computed from the spread alone (STEIN, if a difference was named that matters).
- ANYTIME: in any other way; however often, and whenever one stops.

So the chance of a false claim is at most α + LATER for each kind of plan, whatever one does. What
the first batch shows is no longer used where its interval does not hold the mean of all pairs.
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
"""Pairs from which anything is said."""

FIXED, PLANNED, STEIN, ANYTIME = "fixed", "planned", "stein", "anytime"


@dataclass(frozen=True)
class Looks:
    """How the pairs came about: ``first`` of them were asked for at once, the others later in the
    way ``method`` says; ``overlap`` is n_test/n_train where they are random splits of one data set.
    """

    first: int
    method: str = FIXED
    overlap: float = 0.0

    @property
    def later(self) -> float:
        """The level of what is claimed only later; all of it if the first could claim nothing."""
        return LATER if self.first >= FEWEST else ALPHA


def p_value(d: ArrayLike, looks: Looks) -> Array:
    """Two-sided p of differences (..., n) in the order in which they were asked for, to be compared
    with ALPHA, after Holm if there are several: the smaller of that of the first batch, while it
    stands, and that of all of them."""
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
    """p of the first batch of differences (..., n), 1 where it does not stand, and of all."""
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
    """What the looks leave of the mean of differences (..., n), n ≥ 2; it holds their mean."""
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
    """Whether an interval (...,) holds the mean of all differences (..., n)."""
    mean = d.mean(-1)
    return np.asarray((interval[0] <= mean) & (mean <= interval[1]))


def equivalence(d: ArrayLike, delta: float, looks: Looks) -> Array:
    """p of the mean of differences (..., n) lying within ±``delta``, to be compared with ALPHA."""
    d = np.asarray(d, float)
    if looks.method in (FIXED, PLANNED):
        p = tost(d, delta, looks.overlap)
        if looks.method == FIXED:
            return p
        p = np.minimum(1.0, p * (ALPHA / looks.later))
    else:  # by the interval, which is wider than it would have to be
        low, high = interval(d, looks)
        p = np.where((low > -delta) & (high < delta), ALPHA / 2, 1.0)
    if looks.first >= FEWEST:
        first = tost(d[..., : looks.first], delta, looks.overlap)
        p = np.where(_holds(_first_interval(d, looks, ALPHA), d), np.minimum(p, first), p)
    return p


def rests_on_few(d: ArrayLike) -> NDArray[np.bool_]:
    """Whether differences (..., n) are skewed, and their signs alone do not show what t shows: the
    mean is carried by few, and t claims too much then."""
    return np.asarray((skew_test(d) < ALPHA) & (sign_test(d) >= ALPHA))


@dataclass(frozen=True)
class Plan:
    """``pairs`` in all, the first included, and how they are judged then."""

    pairs: int
    method: str


def plan(first: int, tests: int, sds: ArrayLike = (), half_width: float | None = None) -> Plan:
    """How many pairs to ask for after the ``first``, FEWEST at least, of ``tests`` at once.

    Without a ``half_width`` as many as make the intervals half as wide as now; no figure has a say.
    With it, that is, with a difference that matters, as many as make all intervals that narrow, by
    the standard deviations ``sds`` of the first differences: by Stein's plan, or, if that takes
    fewer pairs, for a test that is right at any time.
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
