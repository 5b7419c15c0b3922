"""Expected best of m configurations, to compare tuning budgets of different sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence


def expected_best(values: Sequence[float], m: int, *, higher: bool = True) -> float:
    """The expected best of m of the values drawn at random without replacement: the unbiased
    estimate (Tang et al. 2020, arXiv:2004.13705, which corrects Dodge et al. 2019). Raises
    ValueError unless 1 ≤ m ≤ n."""
    n = len(values)
    if not 1 <= m <= n:
        raise ValueError(f"the best of {m} among {n} values; expected 1 to {n}")
    ordered = sorted(values, reverse=not higher)
    return math.fsum(
        value * math.comb(i - 1, m - 1) / math.comb(n, m) for i, value in enumerate(ordered, 1)
    )
