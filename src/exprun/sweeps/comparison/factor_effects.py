"""Analysis of variance of a full grid of factors, with the seeds as blocks."""

from __future__ import annotations

import itertools

import numpy as np

from exprun.statistics.anova import Effect, blocked_anova
from exprun.sweeps.comparison.figures import Figures
from exprun.sweeps.results import Results


def factor_effects(results: Results, read: Figures) -> list[Effect]:
    """Main effects and two-way interactions, the largest share of the variance first; empty unless
    every combination of levels has figures in at least two common blocks, on the same data."""
    factors = results.factors
    cells = {tuple(c.values.get(k) for k in factors): c for c in results.configurations}
    grid = list(itertools.product(*factors.values()))
    if cells.keys() != {*grid} or read.data:
        return []
    figures = {key: read.of(c.jobs, read.metric) for key, c in cells.items()}
    blocks = [b for b in next(iter(figures.values())) if all(b in f for f in figures.values())]
    if len(blocks) < 2:
        return []
    shape = [len(levels) for levels in factors.values()]
    y = np.array([[figures[key][block] for block in blocks] for key in grid])
    found = blocked_anova(y.T.reshape(len(blocks), *shape), list(factors))
    return sorted(found, key=lambda effect: -effect.share)
