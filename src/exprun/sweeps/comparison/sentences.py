"""Sentences that state the result for a pair of levels."""

from __future__ import annotations

from collections.abc import Sequence

from exprun.display.text import p_value
from exprun.statistics.sequential import ALPHA, ANYTIME
from exprun.sweeps.comparison.compare import Comparison
from exprun.sweeps.comparison.pairs import (
    BETTER,
    DATA_SETS,
    EQUAL,
    INCONCLUSIVE,
    NOT_COMPARABLE,
    UNPAIRED,
    WORSE,
    Pair,
)

PER_CENT = ("accuracy", "balanced_accuracy")
"""Metrics whose differences are printed in percentage points."""

ROUNDING = 1e-7
"""Mean differences below this, in points or units of the metric, are float32 rounding errors."""


def sentences(pairs: Sequence[Pair], comparison: Comparison) -> list[tuple[str, str]]:
    """The sentence and the verdict for each pair, conclusive verdicts first."""
    order = [BETTER, WORSE, EQUAL, INCONCLUSIVE, NOT_COMPARABLE]
    ordered = sorted(pairs, key=lambda pair: order.index(pair.verdict))
    return [(sentence(pair, comparison), pair.verdict) for pair in ordered]


def sentence(pair: Pair, comparison: Comparison) -> str:
    """``adam beats sgd by 0.70 points (95 % 0.34 to 1.05, 8 paired seeds, p = .005 adjusted for 3
    pairs; for this split of the data)``."""
    a, b = short(pair.a, comparison.by), short(pair.b, comparison.by)
    if pair.verdict == NOT_COMPARABLE:
        return f"{a} and {b} are not comparable: {pair.why}"
    assert pair.difference is not None
    first, second, sign = a, b, 1
    if (pair.difference > 0) != comparison.higher:
        first, second, sign = b, a, -1
    better = [pair.wins, pair.losses][::sign]  # won and lost by ``first`` if higher is better
    if not comparison.higher:
        sign, better = -sign, better[::-1]
    size = amount(sign * pair.difference, comparison)
    details = _details(pair, comparison, sign, better)
    if pair.verdict in (BETTER, WORSE):
        return f"{first} beats {second}{'' if pair.diverged else f' by {size}'} {details}"
    if pair.verdict == EQUAL:
        within = amount(comparison.delta or 0.0, comparison)
        return f"{a} and {b} are practically equal, within ± {within} {details}"
    because = f": {pair.why}" if pair.why else ""
    if pair.wins == pair.losses == 0 < pair.ties:
        even = f"are equal in each of the {pair.n} pairs"
        return f"inconclusive: {a} and {b} {even} {details}{because}"
    if pair.diverged:
        return f"inconclusive: {first} is better than {second} on average {details}{because}"
    if abs(_scaled(pair.difference, comparison)) < ROUNDING:
        return f"inconclusive: {a} and {b} are equal on average {details}{because}"
    return f"inconclusive: {first} is {size} better than {second} {details}{because}"


def _details(pair: Pair, comparison: Comparison, sign: int, better: Sequence[int]) -> str:
    """The details in parentheses; ``better`` are the numbers of pairs in which the level that is
    named first is better and worse."""
    counts = f"{better[0]} better, {pair.ties} equal, {better[1]} worse"
    p = _p(pair, comparison)
    if pair.method == DATA_SETS:
        return f"(mean of {pair.n} data sets, {counts}, {p} of signed ranks)"
    repeated = repetitions(pair, comparison)
    if pair.diverged:
        return f"({repeated}, {counts}, {p}; runs diverged: the difference has no size)"
    ends = sorted(sign * x for x in (pair.low, pair.high) if x is not None)
    low_high = " to ".join(_number(_scaled(x, comparison)) for x in ends)
    span = f"95 % {low_high}" if ends else "no interval yet"
    skewed = f", skewed: {counts}" if pair.skewed else ""
    return f"({span}, {repeated}, {p}{skewed}; {comparison.scope})"


def _p(pair: Pair, comparison: Comparison) -> str:
    """p, the number of tests that it is adjusted for, and what else is needed to read it: the type
    of test, the unadjusted p, or the batch that it is from."""
    equal = pair.verdict == EQUAL
    p = pair.p_equal if equal else pair.p_adjusted
    assert p is not None
    tests = sum(one.p is not None for one in comparison.pairs)
    text = p_value(p) + (f" adjusted for {tests} pairs" if tests > 1 else "")
    if equal:
        return f"{text}, two one-sided tests"
    if pair.p is not None and pair.p < ALPHA <= p and pair.method != DATA_SETS:
        text += (
            f", {p_value(pair.p)} alone"  # unadjusted p, consistent with the unadjusted interval
        )
    if pair.by_first:
        return f"{text}, by the first {pair.first} of them"
    return f"{text}, valid at any time" if pair.method == ANYTIME else text


def repetitions(pair: Pair, comparison: Comparison) -> str:
    """The repetitions that the difference is a mean over, like ``8 paired seeds``."""
    if pair.method == UNPAIRED:
        return f"{pair.n} and {pair.n_b} seeds, none in common"
    return f"{pair.n} {'random splits' if comparison.splits > 1 else 'paired seeds'}"


def short(name: str, by: Sequence[str]) -> str:
    """The name of a level, without the key if only one factor is compared."""
    return name.partition("=")[2] or name if len(by) == 1 else name


def amount(value: float, comparison: Comparison) -> str:
    """A difference of the metric as text, with its unit."""
    unit = " points" if _in_points(comparison) else ""
    return f"{_number(_scaled(value, comparison))}{unit}"


def _scaled(value: float, comparison: Comparison) -> float:
    return 100 * value if _in_points(comparison) else value


def _in_points(comparison: Comparison) -> bool:
    return comparison.metric.partition("_")[2] in PER_CENT


def _number(value: float) -> str:
    """The number with two decimals, or two significant digits if small or large; values are scaled
    by 1 + 1e-9 so that 0.695 rounds to 0.70 despite its binary representation."""
    if value == 0:
        return "0"
    value *= 1 + 1e-9
    return f"{value:.2f}" if 0.05 <= abs(value) < 1000 else f"{value:#.2g}"
