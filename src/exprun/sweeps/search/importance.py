"""The importance of the searched keys by PED-ANOVA (Watanabe et al. 2023, IJCAI), as Optuna has it,
whose import takes longer than a short search.

How important a key is for being among the best: how much the density of its values among the best
configurations differs from that among all, as a Pearson divergence. Keys that only some
configurations have count by how many of the best do (Conditional PED-ANOVA, arXiv:2601.20800).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from exprun.sweeps.search.distributions import Choice, Distribution, Interval
from exprun.sweeps.search.samplers import Point

BEST = 5
"""Configurations among the best, at least."""

STEPS = 50
"""Maximum number of steps in which an interval is looked at."""

NARROWEST = 0.5 / 1.64
"""Least standard deviation of a kernel, in steps: 90 % of it lie within one step."""

Counts = NDArray[np.int64]
"""How many configurations have each value, or a value in each step of an interval."""


def importance(points: Sequence[Point], space: Mapping[str, Distribution]) -> dict[str, float]:
    """The share of each key of ``space`` in what sets the best tenth of the ``points``, BEST at
    least, apart from all of them, the most important first; empty if nothing does. The points are
    those of the configurations, best first."""
    best = points[: max(-(-len(points) // 10), BEST)]
    found: dict[str, float] = {}
    for key, values in space.items():
        among_best, among_all = ([p[key] for p in some if key in p] for some in (best, points))
        if not among_best or len(among_all) < 2:
            continue
        top, usual = (_density(_counts(own, values), values) for own in (among_best, among_all))
        weight = (len(among_best) / len(best)) ** 2 / (len(among_all) / len(points))
        found[key] = weight * float(usual @ (top / usual - 1) ** 2)
    whole = sum(found.values())
    shares = {key: share / whole for key, share in found.items()} if whole else {}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _counts(texts: Sequence[str], values: Distribution) -> Counts:
    """How often each value of a choice, or each step of an interval, occurs."""
    if isinstance(values, Choice):
        return np.bincount(
            [values.values.index(text) for text in texts], minlength=len(values.values)
        )
    steps, low, high = _steps(values), values.low, values.high
    numbers = np.array([values.number(text) for text in texts])
    if values.log:
        low, high, numbers = math.log(low), math.log(high), np.log(numbers)
    width = (high - low) / (steps - 1)
    # midpoints belong to the lower step
    places = np.ceil((numbers - low) / width - 0.5).astype(int)
    return np.bincount(np.clip(places, 0, steps - 1), minlength=steps)


def _steps(values: Interval) -> int:
    if not values.integer:
        return STEPS
    count = round(values.high - values.low) + 1
    return min(STEPS, math.ceil(math.log2(count)) + 1 if values.log else count)


def _density(counts: Counts, values: Distribution) -> NDArray[np.float64]:
    """The Parzen estimate of the density, with a uniform prior that counts as one configuration."""
    places = np.flatnonzero(counts)
    mixture = np.append(counts[places], 1) / (counts.sum() + 1)
    if isinstance(values, Choice):
        kernels = np.full((len(mixture), len(counts)), 1 / len(mixture))
        kernels[np.arange(len(places)), places] += 1
    else:
        from scipy.special import ndtr  # importing it is slow

        widths = np.full(len(mixture), _bandwidth(places, counts[places]))
        widths[-1] = len(counts)
        centres = np.append(places, (len(counts) - 1) / 2)
        edges = np.arange(len(counts) + 1) - 0.5
        kernels = np.diff(ndtr((edges - centres[:, None]) / widths[:, None]), axis=1)
    density: NDArray[np.float64] = mixture @ (kernels / kernels.sum(axis=1, keepdims=True))
    return density + 1e-12


def _bandwidth(places: Counts, counts: Counts) -> float:
    """The standard deviation of a kernel by Scott's rule (Scott 1992), in steps."""
    total = counts.sum()
    mean = places @ counts / total
    deviation = math.sqrt((places - mean) ** 2 @ counts / max(1, total - 1))
    upto = np.cumsum(counts)
    first = np.searchsorted(upto, total // 4, side="left")
    third = np.searchsorted(upto, total * 3 // 4, side="right")
    quartiles = places[min(len(places) - 1, third)] - places[first]
    return float(max(1.059 * min(quartiles / 1.34, deviation) * total**-0.2, NARROWEST))
