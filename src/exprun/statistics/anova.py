"""Which factors of a full grid matter: analysis of variance with the seeds as blocks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Effect(NamedTuple):
    """Result for one factor or the interaction of two: F with its degrees of freedom, p, and the
    share of the variance within blocks that it explains (η²)."""

    factors: tuple[str, ...]
    f: float
    df: int
    df_error: int
    p: float
    share: float


def blocked_anova(values: ArrayLike, factors: Sequence[str]) -> list[Effect]:
    """Main effects and two-way interactions of ``values`` (blocks, levels of the first factor, of
    the second, …), one value per cell.

    The block means are removed; the error is the residual of the additive model of blocks and cells
    (randomised complete blocks, Fisher 1935). Empty if there is only one block or cell, or the
    error is 0 up to rounding.
    """
    from scipy.special import fdtrc

    y = np.asarray(values, float)
    blocks, *levels = y.shape
    cells = y.mean(axis=0)
    block_means = y.reshape(blocks, -1).mean(axis=1).reshape(-1, *[1] * len(levels))
    residuals = y - cells - block_means + y.mean()
    df_error = (blocks - 1) * (cells.size - 1)
    error, total = float((residuals**2).sum()), float(((y - block_means) ** 2).sum())
    rounding = y.size * (1e-14 * float(np.abs(y).max(initial=0.0))) ** 2
    if df_error == 0 or error <= max(rounding, 1e-20 * total):
        return []
    axes = range(len(levels))
    effects = []
    for chosen in [(i,) for i in axes] + list(itertools.combinations(axes, 2)):
        part = np.zeros(cells.shape)
        for size in range(len(chosen) + 1):  # inclusion and exclusion of margins
            for kept in itertools.combinations(chosen, size):
                others = tuple(axis for axis in axes if axis not in kept)
                part = part + (-1) ** (len(chosen) - size) * cells.mean(axis=others, keepdims=True)
        square = blocks * float((part**2).sum())
        df = int(np.prod([levels[i] - 1 for i in chosen]))
        f = square / df / (error / df_error)
        p = float(fdtrc(df, df_error, f))
        names = tuple(factors[i] for i in chosen)
        effects.append(Effect(names, f, df, df_error, p, square / total))
    return effects
