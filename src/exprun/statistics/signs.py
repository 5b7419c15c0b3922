"""Tests that assume no normal distribution: sign test, sign-flip test, signed ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from exprun.statistics.paired import Array

EXACT = 16
"""Largest number of pairs for which all sign flips are enumerated: 2^16."""


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p of the sign-flip test: the share of all sign flips that give a mean at least as
    far from 0 (Fisher 1935). With more than EXACT pairs, or infinite differences, p of the sign
    test."""
    n = len(differences)
    if n > EXACT or not all(map(math.isfinite, differences)):
        return float(sign_test(differences))
    sizes = np.abs(np.asarray(differences, float))
    flips = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    means = np.abs(flips @ sizes)
    observed = abs(math.fsum(differences))
    return float((means >= observed - 1e-12 * sizes.sum()).mean())


def sign_test(differences: ArrayLike) -> Array:
    """Two-sided p of the sign test along the last axis, without zeros: exact for any number of
    pairs, infinite differences included."""
    from scipy.special import bdtr

    d = np.asarray(differences, float)
    positive, negative = (d > 0).sum(-1), (d < 0).sum(-1)
    tail = bdtr(np.minimum(positive, negative), positive + negative, 0.5)
    return np.asarray(np.minimum(1.0, 2 * tail))


def wilcoxon(differences: Sequence[float]) -> float:
    """Two-sided exact p of the signed-rank test, without zeros, ties ranked by their mean (Wilcoxon
    1945). Differences that are equal up to rounding must be equal numbers (see
    ``paired.differences``). With more than EXACT pairs, p of the sign test."""
    decided = [d for d in differences if d]
    ordered = sorted(abs(d) for d in decided)
    mean_rank = {
        size: ordered.index(size) + (1 + ordered.count(size)) / 2 for size in dict.fromkeys(ordered)
    }
    return sign_flip([math.copysign(mean_rank[abs(d)], d) for d in decided])
