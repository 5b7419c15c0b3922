"""Power of paired t tests. It is never computed from the observed difference, because that would
only restate its p-value (Hoenig & Heisey 2001)."""

from __future__ import annotations

import math

from exprun.statistics.paired import t_quantile


def power(d_z: float, n: int, alpha: float = 0.05) -> float:
    """Probability that a two-sided paired t test of n ≥ 2 pairs detects a true effect of ``d_z``
    standard deviations."""
    from scipy.special import nctdtr

    critical, shift = t_quantile(alpha, n - 1), d_z * math.sqrt(n)
    below, above = nctdtr(n - 1, shift, -critical), 1 - nctdtr(n - 1, shift, critical)
    return sum(0.0 if math.isnan(tail) else float(tail) for tail in (below, above))


def visible(n: int, alpha: float = 0.05, wanted: float = 0.8) -> float:
    """The d_z that n pairs detect with power ``wanted``."""
    low, high = 0.0, 1.0
    while power(high, n, alpha) < wanted:
        high *= 2
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, n, alpha) >= wanted else (middle, high)
    return high


def pairs_needed(d_z: float, alpha: float = 0.05, wanted: float = 0.8) -> int:
    """The fewest pairs that detect ``d_z`` with power ``wanted``."""
    n = 2
    while power(d_z, n, alpha) < wanted:
        n += 1
    return n
