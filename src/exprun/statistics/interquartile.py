"""The interquartile mean, which one run that went wrong cannot carry (Agarwal et al. 2021, NeurIPS
34, "Deep reinforcement learning at the edge of the statistical precipice")."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean without the lowest and the highest quarter, each rounded down to whole figures."""
    cut = len(values) // 4
    return fmean(sorted(values)[cut : len(values) - cut])
