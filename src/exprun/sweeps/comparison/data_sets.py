"""Levels compared across several data sets (``data=iris,wine,digits``): each data set is a block.

The figure of a level on a data set is its mean over the seeds, other factors tuned within that
data set. Verdicts are by the exact signed ranks of two levels' differences, adjusted by Holm, as
Benavoli et al. (2016, JMLR 17:5) advise; Friedman's test and Nemenyi's critical difference (Demšar
2006), whose verdict on two levels depends on which others are compared, are reported beside.
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
    """Average ranks of the levels over the data sets on which all have a figure, 1 is best:
    Friedman's chi-square with its p, and the difference of average ranks from which two levels
    differ (Nemenyi, α = .05)."""

    data_sets: list[str]
    mean_ranks: dict[str, float]
    chi2: float
    df: int
    p: float
    critical_difference: float


def data_keys(results: Results, by: Sequence[str]) -> list[str]:
    """The factors that say which data set a job is of, if several data sets are in the sweep and
    they are not what is compared."""
    keys = [key for key in DATA_KEYS if key in results.factors]
    return [] if set(keys) & set(by) else keys


def levels_across(
    results: Results, by: Sequence[str], keys: Sequence[str], read: Figures
) -> list[Level]:
    """The levels of the factors ``by``, with a figure for each data set."""
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
        # rounded: equal counts of rows have equal means, whatever the order of their sum
        figures={k: round(fmean(one.figures.values()), 12) for k, one in within.items() if one.n},
        batches=dict.fromkeys(within, 0),
        validation=fmean(validations) if validations else None,
        diverged=sum(one.diverged for one in within.values()),
        missing=sum(one.missing for one in within.values()),
    )


def pairs_across(read: Figures, levels: Sequence[Level], against: Level | None) -> list[Pair]:
    """All pairs, or those with the baseline ``against``, judged by signed ranks."""
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
    """Friedman's test of the levels; None for fewer than two levels, or data sets that all have."""
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
