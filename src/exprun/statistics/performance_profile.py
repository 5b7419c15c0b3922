"""The score of the AlgoPerf benchmark, which summarises times to a target over workloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

R_MAX = 4.0
"""Ratio to the fastest time from which a time counts as not reached."""


def scores(times: Mapping[str, Sequence[float]], r_max: float = R_MAX) -> dict[str, float]:
    """The area under the performance profile of each method, 0 to 1 (Dahl et al. 2023,
    arXiv:2306.07179, section 4.4; profiles: Dolan & Moré 2002).

    ``times`` holds each method's times to the target on the same workloads, infinite if it is not
    reached. The profile at τ is the share of workloads on which a method takes at most τ times the
    fastest method's time; its mean over 1 ≤ τ ≤ ``r_max`` is the score.
    """
    y = np.array([*times.values()], float)
    fastest = y.min(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.isfinite(y), np.where(y == fastest, 1.0, y / fastest), np.inf)
    share = np.clip((r_max - ratio) / (r_max - 1), 0.0, 1.0).mean(axis=1)
    return dict(zip(times, share.tolist(), strict=True))
