"""The statistical test and the verdict for each pair of levels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from exprun.statistics import paired, sequential
from exprun.statistics.equivalence import Posterior, posterior
from exprun.statistics.multiplicity import holm
from exprun.statistics.sequential import ALPHA, FEWEST, FIXED
from exprun.statistics.signs import wilcoxon
from exprun.statistics.skew import skew_test
from exprun.statistics.unpaired import welch
from exprun.sweeps.comparison.figures import AT_LEAST_0, Figures
from exprun.sweeps.comparison.levels import Level
from exprun.sweeps.comparison.more_seeds import Planned, Sample, looks, plan_for, sample
from exprun.sweeps.ranking import higher_is_better

BETTER, WORSE, EQUAL = "better", "worse", "practically_equal"
INCONCLUSIVE, NOT_COMPARABLE = "inconclusive", "not_comparable"
"""Verdicts on ``a`` and ``b``: ``a`` is better or worse (adjusted p < .05), the difference is
within ±δ (two one-sided tests), neither is shown, or they cannot be compared."""

UNPAIRED, DATA_SETS = "unpaired", "data_sets"
"""Methods in addition to those of ``statistics.sequential``: Welch's t test of levels without
common seeds, and the signed-rank test over data sets."""

FIVE = 5
"""Number of seeds that is proposed where there are too few for a test."""


@dataclass(frozen=True)
class Pair:
    """The comparison of levels ``a`` and ``b``, with its ``verdict`` and, where needed, the reason
    ``why``. ``difference`` is a - b in units of the metric, ``low`` to ``high`` its 95 % confidence
    interval, ``n`` the number of paired differences; for levels without common seeds, ``n`` and
    ``n_b`` are the numbers of figures of ``a`` and ``b``.

    ``p`` is that of the test by ``method``, ``p_adjusted`` is adjusted for all pairs (Holm),
    ``p_wilcoxon`` is that of the signed-rank test, ``p_equal`` that of the test for a difference
    within ±δ (adjusted), and ``chances`` are the posterior probabilities below, within and above
    ±δ. ``effect`` is g_z (Hedges), ``wins``, ``ties`` and ``losses`` count pairs by sign, and
    ``correlation`` is Pearson's r of the paired figures. ``first`` is the number of pairs in the
    first batch; with ``by_first``, ``p`` is that of the first batch, because the p of all pairs is
    larger. ``skewed``: the distribution of the differences is skewed (D'Agostino, p < .05).
    ``diverged``: a run diverged and counts as the worst figure, so there is no interval.
    ``more_seeds`` is the number of further seeds to request, 0 after a conclusive verdict."""

    a: str
    b: str
    n: int
    verdict: str
    why: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    p_wilcoxon: float | None = None
    p_equal: float | None = None
    chances: Posterior | None = None
    effect: float | None = None
    correlation: float | None = None
    wins: int = 0
    ties: int = 0
    losses: int = 0
    method: str = FIXED
    n_b: int | None = None
    first: int = 0
    by_first: bool = False
    skewed: bool = False
    diverged: bool = False
    more_seeds: int = 0

    @property
    def probability(self) -> float | None:
        """P(a > b) with ties counted half, whether or not a higher figure is better; None without
        pairs."""
        n = self.wins + self.ties + self.losses
        return (self.wins + self.ties / 2) / n if n else None


def pairs_of(
    read: Figures,
    levels: Sequence[Level],
    against: Level | None,
    delta: float | None,
    plans: Sequence[Planned],
) -> tuple[list[Pair], Planned | None]:
    """The verdicts on all pairs, or on those with the baseline ``against``, and the plan for more
    seeds: the one made at the first look, else a new one (see ``plan_for``)."""
    sides = sides_of(levels, against)
    refused = [_not_comparable(a, b, read) for a, b in sides]
    compared = [(a, b) for (a, b), why in zip(sides, refused, strict=True) if not why]
    samples = {(a.name, b.name): sample(a, b) for a, b in compared if _common(a, b)}
    plan = plan_for([*samples.values()], delta, plans)
    pairs = []
    for (a, b), why in zip(sides, refused, strict=True):
        if why:
            pairs.append(_refused(a, b, why))
        elif (a.name, b.name) in samples:
            pairs.append(_paired(a, b, samples[a.name, b.name], plan, read, delta))
        else:
            pairs.append(_unpaired(a, b, delta))
    return decided(pairs, read.metric, plan), plan


def sides_of(levels: Sequence[Level], against: Level | None) -> list[tuple[Level, Level]]:
    """The pairs of levels to compare: all, or each with the baseline ``against``."""
    if against is None:
        return list(itertools.combinations(levels, 2))
    return [(level, against) for level in levels if level is not against]


def _common(a: Level, b: Level) -> int:
    """The number of blocks in which both levels have a figure."""
    return len(a.figures.keys() & b.figures.keys())


def _not_comparable(a: Level, b: Level, read: Figures) -> str:
    """The reason why two levels cannot be compared; empty if they can."""
    if key := read.differ_in(a.values, b.values):
        return f"different data ({key})"
    if "f" in a.configurations[0].jobs[0].metrics:
        return "there is no chance in them: the figures are what they are"
    common = _common(a, b)
    if common < FEWEST and not (common == 0 and _can_be_unpaired(a, b, read)):
        what = "seed" if common == 1 else "seeds"
        return f"{common or 'no'} {what} in common; {FEWEST} at least"
    if len(read.splits) > 1 and not read.rows:
        return "result.json of these runs does not say how many rows the parts have"
    return ""


def _can_be_unpaired(a: Level, b: Level, read: Figures) -> bool:
    """Whether an unpaired test is possible: each level has enough seeds, requested in one batch,
    and there is only one split of the data."""
    enough = min(a.n, b.n) >= FEWEST
    at_once = all(len(set(side.batches.values())) == 1 for side in (a, b))
    return enough and at_once and len(read.splits) == 1


def _refused(a: Level, b: Level, why: str) -> Pair:
    common = [block for block in a.figures if block in b.figures]
    more = FIVE - len(common) if why.endswith("at least") else 0
    d = [a.figures[k] - b.figures[k] for k in common]
    difference = fmean(d) if d and not why.startswith("different") else None
    return Pair(a.name, b.name, len(common), NOT_COMPARABLE, why, difference, more_seeds=more)


def _paired(
    a: Level, b: Level, sample: Sample, plan: Planned | None, read: Figures, delta: float | None
) -> Pair:
    """The pair with the test of its paired differences, by the method that ``looks`` selects;
    ``decided`` adds the verdict."""
    d = sample.differences
    look = looks(sample, plan, read)
    low, high = (float(x) for x in sequential.interval(d, look))
    diverged = bool(a.diverged or b.diverged) and not read.metric.endswith(AT_LEAST_0)
    if diverged:
        low = high = math.nan
    carried = bool(sequential.rests_on_few(d))
    return replace(
        counted(a, b, d),
        why="the signs alone do not show it" if carried else "",
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        p=float(sequential.p_value(d, look)),
        p_equal=float(sequential.equivalence(d, delta, look)) if delta else None,
        chances=posterior(d, delta, look.overlap) if delta else None,
        effect=effect if math.isfinite(effect := paired.d_z(d)) else None,
        method=look.method,
        first=look.first,
        by_first=bool(sequential.shown_by_first(d, look)),
        skewed=bool(skew_test(d) < ALPHA),
        diverged=diverged,
    )


def counted(a: Level, b: Level, d: paired.Array) -> Pair:
    """The pair with the statistics that need no assumption about the distribution of the
    differences ``d``: mean, signs, signed ranks, and the correlation of the figures."""
    common = [block for block in a.figures if block in b.figures]
    sides = paired.wins(d)
    return Pair(
        a=a.name,
        b=b.name,
        n=len(d),
        verdict=INCONCLUSIVE,
        difference=float(d.mean()),
        p_wilcoxon=wilcoxon([float(x) for x in d]),
        correlation=paired.correlation(
            [a.figures[k] for k in common], [b.figures[k] for k in common]
        ),
        wins=sides.wins,
        ties=sides.ties,
        losses=sides.losses,
    )


def _unpaired(a: Level, b: Level, delta: float | None) -> Pair:
    """The pair with Welch's t test, for levels without common seeds."""
    test = welch([*a.figures.values()], [*b.figures.values()])
    low, high = test.interval()
    return Pair(
        a=a.name,
        b=b.name,
        n=a.n,
        n_b=b.n,
        verdict=INCONCLUSIVE,
        difference=test.difference,
        low=low,
        high=high,
        p=test.p,
        p_equal=test.tost(delta) if delta else None,
        method=UNPAIRED,
        first=a.n,
    )


def decided(pairs: Sequence[Pair], metric: str, plan: Planned | None) -> list[Pair]:
    """The pairs with adjusted p (Holm, over all pairs) and verdict. A pair with a ``why`` is not
    called better or worse: its differences are skewed and a few of them determine the mean."""
    adjusted = iter(holm([p for one in pairs if (p := one.p) is not None]).tolist())
    equal = iter(holm([p for one in pairs if (p := one.p_equal) is not None]).tolist())
    return [
        one
        if one.p is None
        else _verdict(
            replace(
                one,
                p_adjusted=next(adjusted),
                p_equal=None if one.p_equal is None else next(equal),
            ),
            metric,
            plan,
        )
        for one in pairs
    ]


def _verdict(pair: Pair, metric: str, plan: Planned | None) -> Pair:
    assert pair.p_adjusted is not None
    assert pair.difference is not None
    differs = pair.p_adjusted < ALPHA
    if differs and not pair.why:
        up = (pair.difference > 0) == higher_is_better(metric)
        return replace(pair, verdict=BETTER if up else WORSE)
    if pair.p_equal is not None and pair.p_equal < ALPHA:
        return replace(pair, verdict=EQUAL, why="")
    more = plan.pairs - pair.n if plan and plan.pairs > pair.n else pair.n
    if pair.method in (UNPAIRED, DATA_SETS):
        more = 0
    return replace(pair, why=pair.why if differs else "", more_seeds=more)
