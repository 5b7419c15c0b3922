"""How often ``exprun compare`` claims a difference that is not there, and how often it sees one.

    python -m bench.verdicts            # 2000 sweeps a cell at least: the tables of docs/compare.md

Simulated are the test figures of k configurations with n seeds, paired by seeds: what the pairs
share, with the same variance as what each configuration adds, and then the functions of
``exprun.statistics`` that judge a real sweep. Nothing is trained. Ends with 1 if a cell of the bar
is above 6.0 %.

Configurations are equal in their means. ``once``: one look. ``advice``: who is not told of a
difference asks for the seeds that the first look named, and looks again. ``every seed``: a look
after every seed, to 50. A false claim is one at any of these looks. Few configurations (k ≤ 6) are
all compared with each other; of many, a shortlist by validation is confirmed on fresh seeds, as
``exprun compare`` has it; ``against one`` compares all with a baseline named beforehand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import combinations

import numpy as np

from exprun.statistics.anytime import running_log_e, running_t
from exprun.statistics.multiplicity import holm
from exprun.statistics.paired import Array, differences, t_test, two_sided
from exprun.statistics.sequential import (
    ALPHA,
    ANYTIME,
    LATER,
    Looks,
    p_value,
    plan,
    rests_on_few,
)
from exprun.statistics.unpaired import welch
from exprun.sweeps.comparison.compare import MOST, SHORTLIST

SWEEPS = 2000
FIGURES = 60_000
"""SWEEPS of a cell at least, and more of few configurations: so many configurations in all."""

TO = 50
BAR = 0.060
TEST_ROWS = 30

Draw = Callable[[np.random.Generator, tuple[int, int, int]], Array]
"""Makes figures (sweeps, configurations, seeds) with equal means."""


def normal(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    return _shared(rng, shape) + rng.normal(size=shape)


def skewed(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    return _shared(rng, shape) - rng.exponential(size=shape)


def unequal(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Standard deviations from .2 to 2."""
    return _shared(rng, shape) + np.linspace(0.2, 2, shape[1])[:, None] * rng.normal(size=shape)


def counts(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Accuracies of 30 test rows, each right with probability .9."""
    return rng.binomial(TEST_ROWS, 0.9, shape) / TEST_ROWS


def one_skewed(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """The first is 1 less an exponential number, the others hardly vary: every difference with the
    first has a long tail on one side, and a mean of 0."""
    figures = 0.05 * rng.normal(size=shape)
    figures[:, 0] += 1 - rng.exponential(size=figures[:, 0].shape)
    return figures


def _shared(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """What all configurations share at a seed."""
    return rng.normal(size=(shape[0], 1, shape[2]))


KINDS: dict[str, Draw] = {
    "normal": normal,
    "all equally skewed": skewed,
    "spreads .2 to 2": unequal,
    "30 test rows": counts,
}
"""What the bar is about."""

ALL, ONE, SHORT = "all pairs", "against one", "shortlist"


def pairs_of(comparison: str, k: int) -> list[tuple[int, int]]:
    return [(0, i) for i in range(1, k)] if comparison == ONE else list(combinations(range(k), 2))


def paired(y: Array, pairs: list[tuple[int, int]], n: int) -> Array:
    """Differences (sweeps, pairs, n) of the first n seeds of figures (sweeps, k, seeds)."""
    first, second = np.array(pairs).T
    return differences(y[:, first, :n], y[:, second, :n])


def claims(d: Array, looks: Looks) -> Array:
    """Which pairs (sweeps, pairs) are told apart."""
    return (holm(p_value(d, looks)) < ALPHA) & ~rests_on_few(d)


def once(y: Array, pairs: list[tuple[int, int]], n: int) -> Array:
    return claims(paired(y, pairs, n), Looks(n))


def advice(y: Array, pairs: list[tuple[int, int]], n: int) -> Array:
    """Another look at as many seeds as were named at the first."""
    planned = plan(n, len(pairs))
    return once(y, pairs, n) | claims(paired(y, pairs, planned.pairs), Looks(n, planned.method))


def smallest_p(d: Array, n: int) -> Array:
    """A bound of p at all looks after the first n of differences (sweeps, pairs, seeds)."""
    later = np.exp(-np.maximum(running_log_e(d).max(-1), 0)) * ALPHA / LATER
    return np.minimum(later, t_test(d[..., :n]))


def every_seed(y: Array, pairs: list[tuple[int, int]], n: int) -> Array:
    found = once(y, pairs, n)
    d = paired(y, pairs, TO)
    some = (holm(smallest_p(d, n)) < ALPHA).any(-1)
    for seeds in range(n + 1, TO + 1):
        found[some] |= claims(d[some, :, :seeds], Looks(n, ANYTIME))
    return found


def plain(y: Array, pairs: list[tuple[int, int]], n: int, to: int = TO) -> Array:
    """What is done everywhere: a t test of each pair at 5 %, after every seed."""
    t = running_t(paired(y, pairs, to))[2]
    df = np.arange(1, to)
    return (two_sided(t, df) < ALPHA)[..., n - 2 :].any(-1)


LOOKS = {"once": once, "advice": advice, "every seed": every_seed}


def figures(
    draw: Draw, rng: np.random.Generator, comparison: str, k: int, n: int, sweeps: int
) -> tuple[Array, list[tuple[int, int]]]:
    """Figures (sweeps, configurations, seeds), and the pairs that are compared. Of a shortlist they
    are those of fresh seeds, of the configurations that are best on the n seeds of the search, by
    validation figures that agree with the test figures as those of one training do."""
    if comparison != SHORT:
        pairs = pairs_of(comparison, k)
        return draw(rng, (sweeps, k, max(TO, plan(n, len(pairs)).pairs))), pairs
    pairs = pairs_of(ALL, SHORTLIST)
    search = draw(rng, (sweeps, k, n)) + 0.5 * draw(rng, (sweeps, k, n))
    best = np.argsort(-search.mean(-1), axis=-1)[:, :SHORTLIST]
    fresh = draw(rng, (sweeps, k, max(TO, plan(n, len(pairs)).pairs)))
    return np.take_along_axis(fresh, best[..., None], axis=1), pairs


def false_claims() -> float:
    """Print the share of sweeps of equal configurations with a claim, and return the largest."""
    worst = 0.0
    heads = ("configurations", "compared", "seeds", *LOOKS, "plain t, every seed")
    print("|", " | ".join(heads), "|")
    print("|---|---|--:|--:|--:|--:|--:|")
    for number, (kind, draw) in enumerate(KINDS.items()):
        for k in (3, 10, 30):
            for comparison in (ONE, ALL if k <= MOST else SHORT):
                for n in (5, 10):
                    rng = np.random.default_rng([number, k, n, comparison == ONE])
                    sweeps = max(SWEEPS, FIGURES // k)
                    y, pairs = figures(draw, rng, comparison, k, n, sweeps)
                    rates = [judge(y, pairs, n).any(-1).mean() for judge in LOOKS.values()]
                    worst = max(worst, *rates)
                    cells = [f"{100 * rate:.1f}" for rate in rates]
                    naive = f"{100 * plain(y, pairs, n).any(-1).mean():.0f}"
                    print(f"| {k}, {kind} | {comparison} | {n} |", " | ".join([*cells, naive]), "|")
    return float(worst)


def power() -> None:
    """Print how often a difference of two configurations is seen."""
    heads = ("d_z", "seeds", *LOOKS, "plain t, once", "plain t, every seed")
    print("|", " | ".join(heads), "|")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    pairs = [(0, 1)]
    for effect in (0.0, 0.5, 1.0, 2.0):
        for n in (5, 10):
            rng = np.random.default_rng([17, n])
            y = normal(rng, (SWEEPS, 2, max(TO, plan(n, 1).pairs)))
            y[:, 0] += effect * np.sqrt(2)
            rates = [judge(y, pairs, n).mean() for judge in LOOKS.values()]
            rates += [plain(y, pairs, n, n).mean(), plain(y, pairs, n).mean()]
            words = " | ".join(f"{100 * rate:.0f}" for rate in rates)
            print(f"| {effect:g} | {n} | {words} |")


def without_common_seeds() -> float:
    """Print the share of sweeps of three equal configurations, each with seeds of its own, in which
    Welch's t claims a difference, and return the largest."""
    print("| configurations | seeds each | claims |")
    print("|---|--:|--:|")
    rates = []
    for number, (kind, draw) in enumerate(KINDS.items()):
        for n in (5, 10):
            rng = np.random.default_rng([29, number, n])
            groups = np.stack([draw(rng, (SWEEPS, 3, n))[:, i] for i in range(3)], axis=1)
            p = [[welch(y[a], y[b]).p for a, b in pairs_of(ALL, 3)] for y in groups]
            rates.append((holm(p) < ALPHA).any(-1).mean())
            print(f"| 3, {kind} | {n} | {100 * rates[-1]:.1f} |")
    return float(max(rates))


def lopsided() -> None:
    """Print the false claims where one configuration is skewed and the means are equal: ``once``,
    at any of the looks after every seed, and at the last of them, when the skew can be seen; by the
    means alone, and as ``exprun compare`` does, which also looks at the skew and the signs."""
    print("| judged by | seeds | once | at any look | at the last look |")
    print("|---|--:|--:|--:|--:|")
    for n in (5, 10):
        y = one_skewed(np.random.default_rng([23, n]), (10 * SWEEPS, 2, TO))
        pairs = [(0, 1)]
        first, last = paired(y, pairs, n), paired(y, pairs, TO)
        alone = [
            p < ALPHA
            for p in (
                p_value(first, Looks(n)),
                smallest_p(last, n),
                p_value(last, Looks(n, ANYTIME)),
            )
        ]
        ours = [once(y, pairs, n), every_seed(y, pairs, n), claims(last, Looks(n, ANYTIME))]
        for name, found in (("means alone", alone), ("exprun compare", ours)):
            print(f"| {name} | {n} |", " | ".join(f"{100 * x.mean():.1f}" for x in found), "|")


def main() -> int:
    worst = false_claims()
    print()
    worst = max(worst, without_common_seeds())
    print(f"\nat most {100 * worst:.1f} % false claims; the bar is {100 * BAR:.1f} %\n")
    power()
    print()
    lopsided()
    return int(worst > BAR)


if __name__ == "__main__":
    sys.exit(main())
