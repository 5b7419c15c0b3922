"""Whether a change helped, from runs in pairs: each seed without it and with it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

EXACT = 16
"""Pairs up to which every flip of the signs is tried: 2^16."""

HELPED, WORSE, SAME = "helped", "made it worse", "no difference that {} pairs can show"


@dataclass(frozen=True)
class Verdict:
    """Of the differences, turned so that positive is better: how many pairs are better, worse and
    equal; their mean with its confidence interval, None if a run of a pair gave no figure; the
    p-value of the sign-flip test; and what may be said."""

    better: int
    worse: int
    equal: int
    mean: float | None
    interval: tuple[float, float] | None
    p: float
    conclusion: str


def judge(differences: Sequence[float], confidence: float = 0.95) -> Verdict:
    """The verdict on differences, positive is better; ±inf where one run of a pair has no figure.

    It helped, or made it worse, if Student's interval of the mean difference does not contain 0:
    exact for normal differences, which few pairs cannot tell. The sign-flip test needs no such
    thing, but its p is at least 2/2^n: 0.0625 for 5 pairs, so it is reported and does not decide.
    If a run gave no figure, all pairs must agree, 5 of them at least. Raises ValueError for fewer
    than 2 pairs.
    """
    n = len(differences)
    if n < 2:
        raise ValueError(f"{n} pair: expected 2 at least")
    better, worse = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    mean, interval = None, None
    if all(map(math.isfinite, differences)):
        mean = sum(differences) / n
        half = _half_width(differences, mean, confidence)
        interval = (mean - half, mean + half)
        up, down = interval[0] > 0, interval[1] < 0
    else:
        up, down = better == n >= AGREE, worse == n >= AGREE
    conclusion = HELPED if up else WORSE if down else SAME.format(n)
    return Verdict(
        better, worse, n - better - worse, mean, interval, sign_flip(differences), conclusion
    )


AGREE = 5
"""Pairs that must all agree if some have no figure: the chance that signs alone do so is 1/16."""


def _half_width(differences: Sequence[float], mean: float, confidence: float) -> float:
    from scipy.special import stdtrit  # quicker to import than scipy.stats

    n = len(differences)
    error = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1) / n)
    return float(stdtrit(n - 1, (1 + confidence) / 2)) * error


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p-value: the share of all ways to flip the signs that give a mean at least as far
    from 0 (Fisher 1935). With more than EXACT pairs, or infinite differences, of the signs alone
    (the sign test, exact for any number)."""
    n = len(differences)
    if n > EXACT or not all(map(math.isfinite, differences)):
        decided = [d for d in differences if d]
        positive = sum(d > 0 for d in decided)
        tail = min(positive, len(decided) - positive)
        ways = sum(math.comb(len(decided), k) for k in range(tail + 1))
        return min(1.0, 2 * ways / 2.0 ** len(decided))
    observed = abs(math.fsum(differences))
    sizes = [abs(d) for d in differences]
    tolerance = 1e-12 * math.fsum(sizes)
    flips = itertools.product((1, -1), repeat=n)
    extreme = sum(
        abs(math.fsum(s * d for s, d in zip(signs, sizes, strict=True))) >= observed - tolerance
        for signs in flips
    )
    return extreme / 2.0**n
