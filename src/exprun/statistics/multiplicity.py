"""Adjustment of p-values for several simultaneous tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from exprun.statistics.paired import Array


def holm(p: ArrayLike) -> Array:
    """Holm's (1979) adjusted p-values along the last axis: if those below α are rejected, the
    probability of any false rejection is at most α, for any dependence between the tests."""
    p = np.asarray(p, float)
    m = p.shape[-1]
    order = np.argsort(p, axis=-1)
    weighted = np.take_along_axis(p, order, -1) * np.arange(m, 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(weighted, axis=-1), 1.0)
    result = np.empty_like(p)
    np.put_along_axis(result, order, adjusted, -1)
    return result
