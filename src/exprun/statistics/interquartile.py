"""The interquartile mean, which is robust to an outlying run (Agarwal et al. 2021, NeurIPS 34,
"Deep reinforcement learning at the edge of the statistical precipice")."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean without the ⌊n/4⌋ lowest and the ⌊n/4⌋ highest values."""
    cut = len(values) // 4
    return fmean(sorted(values)[cut : len(values) - cut])
