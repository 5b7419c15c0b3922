"""Levels compared across several data sets (``data=iris,wine,digits``): each data set is a block.

The figure of a level on a data set is its mean over the seeds, with other factors tuned within that
data set. Verdicts use the exact signed-rank test of two levels' differences, adjusted by Holm, as
Benavoli et al. (2016, JMLR 17:5) recommend. Friedman's test and Nemenyi's critical difference
(Demšar 2006) are reported in addition; their verdict on two levels depends on which others are
compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from exprun.statistics import paired
from exprun.statistics.ranks import friedman, nemenyi
from exprun.statistics.sequential import FEWEST
from exprun.sweeps.comparison.figures import DATA_KEYS, Block, Figures, cost
from exprun.sweeps.comparison.levels import Level, best_first, grouped, level
from exprun.sweeps.comparison.pairs import (
    DATA_SETS,
    NOT_COMPARABLE,
    Pair,
    counted,
    decided,
    sides_of,
)
from exprun.sweeps.results import Configuration, Results, name_of


@dataclass(frozen=True)
class Ranks:
    """Average ranks of the levels, 1 is best, over the data sets on which all have a figure;
    Friedman's chi-square with its degrees of freedom and p, and the critical difference of average
    ranks, from which two levels differ (Nemenyi, α = .05)."""

    data_sets: list[str]
    mean_ranks: dict[str, float]
    chi2: float
    df: int
    p: float
    critical_difference: float


def data_keys(results: Results, by: Sequence[str]) -> list[str]:
    """The factors that define a job's data set; empty if the data do not vary or are themselves
    compared, that is, in ``by``."""
    keys = [key for key in DATA_KEYS if key in results.factors]
    return [] if set(keys) & set(by) else keys


def levels_across(
    results: Results, by: Sequence[str], keys: Sequence[str], read: Figures
) -> list[Level]:
    """The levels of the factors ``by``, best by validation first; each data set, defined by
    ``keys``, is a block."""
    figures: dict[Block, Figures] = {}
    for values, group in grouped(results.configurations, keys).items():
        jobs = [job for c in group for job in c.jobs]
        block = (name_of(dict(values)),)
        figures[block] = Figures(replace(results, jobs=jobs), read.metric, read.validation)
    levels = []
    for values, group in grouped(results.configurations, by).items():
        within: dict[Block, Level] = {}
        for own_values, own in grouped(group, keys).items():
            block = (name_of(dict(own_values)),)
            within[block] = level({}, own, figures[block])
        levels.append(_level(dict(values), group, within))
    return best_first(levels, read.validation)


def _level(values: dict[str, str], group: list[Configuration], within: dict[Block, Level]) -> Level:
    validations = [one.validation for one in within.values() if one.validation is not None]
    return Level(
        name=name_of(values),
        values=values,
        configurations=group,
        # rounded, so that means of equal counts of rows do not depend on the order of summation
        figures={k: round(fmean(one.figures.values()), 12) for k, one in within.items() if one.n},
        batches=dict.fromkeys(within, 0),
        validation=fmean(validations) if validations else None,
        diverged=sum(one.diverged for one in within.values()),
        missing=sum(one.missing for one in within.values()),
    )


def pairs_across(read: Figures, levels: Sequence[Level], against: Level | None) -> list[Pair]:
    """All pairs of levels, or those with the baseline ``against``, judged by signed-rank tests."""
    pairs = []
    for a, b in sides_of(levels, against):
        common = [block for block in a.figures if block in b.figures]
        if len(common) < FEWEST:
            what = "data set" if len(common) == 1 else "data sets"
            why = f"{len(common) or 'no'} {what} in common; {FEWEST} at least"
            pairs.append(Pair(a.name, b.name, len(common), NOT_COMPARABLE, why, method=DATA_SETS))
            continue
        d = paired.differences([a.figures[k] for k in common], [b.figures[k] for k in common])
        pair = counted(a, b, d)
        pairs.append(replace(pair, p=pair.p_wilcoxon, method=DATA_SETS))
    return decided(pairs, read.metric, None)


def ranks_of(levels: Sequence[Level], metric: str) -> Ranks | None:
    """Average ranks and Friedman's test of the levels; None for fewer than two levels or fewer than
    two common data sets."""
    common = [k for k in levels[0].figures if all(k in one.figures for one in levels)]
    if len(levels) < 2 or len(common) < 2:
        return None
    test = friedman([[-cost(one.figures[k], metric) for one in levels] for k in common])
    ordered = sorted(zip(test.mean_ranks.tolist(), (one.name for one in levels), strict=True))
    return Ranks(
        data_sets=[" ".join(block) for block in common],
        mean_ranks={name: rank for rank, name in ordered},
        chi2=test.chi2,
        df=test.df,
        p=test.p,
        critical_difference=nemenyi(len(levels), len(common)),
    )
