"""Rungs: the epochs at which a search compares configurations, and how many go on.

Successive halving (Jamieson & Talwalkar 2016), Hyperband (Li et al. 2018) and the median stopping
rule (Golovin et al. 2017), all of them synchronous: the configurations of a rung are compared when
every one of them has been trained that far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from exprun.sweeps.search.pareto import Costs, pareto_order

NONE, HALVING, HYPERBAND, MEDIAN = "none", "halving", "hyperband", "median"
RULES = (NONE, HALVING, HYPERBAND, MEDIAN)


@dataclass(frozen=True)
class Rung:
    """Configurations are trained for ``epochs`` with the first ``repetitions`` of the search's;
    the best ``kept`` of them go on, or, if that is None, those that the median rule does not
    stop."""

    epochs: int
    repetitions: int
    kept: int | None


@dataclass(frozen=True)
class Bracket:
    """``size`` configurations that compete with each other."""

    size: int
    rungs: tuple[Rung, ...]


def brackets(
    rule: str, count: int, *, epochs: int, least: int, factor: int, repetitions: int
) -> list[Bracket]:
    """The brackets for ``count`` configurations and a budget of ``epochs`` each.

    ``least`` is the minimum of epochs in the first rung, ``factor`` (η) the ratio of the epochs of
    successive rungs, and of the numbers of configurations in them. A rung needs all repetitions
    only at the end: rung k of K uses the share k/K of them.
    """
    levels = _levels(epochs, least, factor)
    if rule == NONE:
        return [_bracket(count, levels[-1:], factor, repetitions)]
    if rule == HALVING:
        return [_bracket(count, levels, factor, repetitions)]
    if rule == MEDIAN:
        rungs = _bracket(count, levels, factor, repetitions).rungs
        stopping = [Rung(rung.epochs, rung.repetitions, None) for rung in rungs[:-1]]
        return [Bracket(count, (*stopping, rungs[-1]))]
    sizes = _shares(count, len(levels), factor)
    return [
        _bracket(size, levels[start:], factor, repetitions)
        for start, size in enumerate(sizes)
        if size
    ]


def _levels(epochs: int, least: int, factor: int) -> list[int]:
    """The epochs of the rungs: budget / η^k, not below ``least``."""
    levels = [epochs]
    while epochs / factor ** len(levels) >= least:
        levels.append(math.ceil(epochs / factor ** len(levels)))
    return levels[::-1]


def _bracket(count: int, levels: Sequence[int], factor: int, repetitions: int) -> Bracket:
    """Successive halving over these levels. The last rung has η configurations at least, so that
    the chosen one has been compared over all repetitions with others."""
    rungs = []
    for k, level in enumerate(levels, 1):
        kept = max(count // factor**k, min(factor, count))
        last = k == len(levels)
        share = math.ceil(repetitions * k / len(levels))
        rungs.append(Rung(level, share, count if last else kept))
    return Bracket(count, tuple(rungs))


def _shares(count: int, number: int, factor: int) -> list[int]:
    """``count`` configurations shared out to Hyperband's brackets, the one with all rungs first,
    in the proportions of Li et al. 2018, algorithm 1: ⌈S/(s+1) η^s⌉ with S brackets."""
    weights = [math.ceil(number / (s + 1) * factor**s) for s in range(number - 1, -1, -1)]
    total, sizes, given = sum(weights), [], 0
    for i in range(number):
        until = round(count * sum(weights[: i + 1]) / total)
        sizes.append(until - given)
        given = until
    return sizes


def survivors(rung: Rung, costs: Sequence[Costs], averages: Sequence[float]) -> list[int]:
    """The indices of the configurations that go on after a rung, the best first
    (``pareto_order``).

    ``costs`` are to be minimised; ``averages`` are the running averages of each one's curve, with
    which the median rule compares the first of them. Configurations with an infinite cost are
    stopped unless all have one; of equal costs the earlier configuration's are the better.
    """
    order = pareto_order(costs)
    if rung.kept is None:
        finite = sorted(value for value in averages if math.isfinite(value))
        middle = _median(finite) if finite else math.inf
        kept = [i for i in order if costs[i][0] <= middle]
    else:
        kept = order[: rung.kept]
    alive = [i for i in kept if all(map(math.isfinite, costs[i]))]
    return alive or kept[:1] or order[:1]


def _median(values: Sequence[float]) -> float:
    half = len(values) // 2
    return values[half] if len(values) % 2 else (values[half - 1] + values[half]) / 2
