"""How often ``exprun compare`` claims a difference that is not there, and how often it sees one.

    python -m bench.verdicts            # 2000 sweeps a cell; about two minutes
    python -m bench.verdicts --markdown # the table of docs/compare.md

Simulated are the test figures of k configurations with n seeds, paired by seeds: what the pairs
share, with the same variance as what each configuration adds, and then the functions of
``exprun.statistics`` that judge a real sweep. Nothing is trained.

Configurations are equal in their means. ``once``: one look. ``advice``: who is not told of a
difference asks for the seeds that the first look named, and looks again. ``every seed``: a look
after every seed, to 50. A false claim is one at any of these looks. Few configurations (k ≤ 6) are
all compared with each other; of many, a shortlist by validation is confirmed on fresh seeds, as
``exprun compare`` has it; ``against one`` compares all with a baseline named beforehand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from exprun.statistics.multiplicity import holm
from exprun.statistics.paired import Array, differences, t_test
from exprun.statistics.sequential import ALPHA, ANYTIME, Looks, p_value, plan

SWEEPS = 2000
TO = 50
BAR = 0.060
TEST_ROWS = 30
SHORTLIST = 4

Draw = Callable[[np.random.Generator, tuple[int, int, int]], Array]


def normal(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    sweeps, _, seeds = shape
    return rng.normal(size=(sweeps, 1, seeds)) + rng.normal(size=shape)


def skewed(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    sweeps, _, seeds = shape
    return rng.normal(size=(sweeps, 1, seeds)) - rng.exponential(size=shape)


def unequal(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Standard deviations from .2 to 2."""
    sweeps, k, seeds = shape
    spread = np.linspace(0.2, 2, k)[:, None]
    return rng.normal(size=(sweeps, 1, seeds)) + spread * rng.normal(size=shape)


def counts(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Accuracies of 30 test rows, each right with probability .9."""
    return rng.binomial(TEST_ROWS, 0.9, shape) / TEST_ROWS


def one_skewed(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Only the first has the tail, and its mean is that of the others: no part of the bar."""
    figures = 0.3 * rng.normal(size=shape)
    figures[:, 0] += 1 - rng.exponential(size=figures[:, 0].shape)
    return figures


KINDS: dict[str, Draw] = {
    "normal": normal,
    "all skewed": skewed,
    "spreads .2 to 2": unequal,
    "30 test rows": counts,
}


def pairs_of(k: int, *, baseline: bool) -> list[tuple[int, int]]:
    return [(0, i) for i in range(1, k)] if baseline else list(combinations(range(k), 2))


def paired(y: Array, pairs: list[tuple[int, int]]) -> Array:
    """Differences (sweeps, pairs, seeds) of figures (sweeps, k, seeds)."""
    first, second = np.array(pairs).T
    return differences(y[:, first], y[:, second])


def claims(d: Array, looks: Looks) -> Array:
    """Which pairs (sweeps, pairs) are told apart."""
    return holm(p_value(d, looks)) < ALPHA


def once(y: Array, pairs: list[tuple[int, int]], n: int) -> Array:
    return claims(paired(y[..., :n], pairs), Looks(n))


def advice(y: Array, pairs: list[tuple[int, int]], n: int) -> Array:
    """Another look at the number of seeds that was named at the first."""
    planned = plan(n, len(pairs))
    d = paired(y[..., : planned.pairs], pairs)
    return once(y, pairs, n) | claims(d, Looks(n, planned.method))


def every_seed(y: Array, pairs: list[tuple[int, int]], n: int) -> Array:
    found = once(y, pairs, n)
    for seeds in range(n + 1, TO + 1):
        found |= claims(paired(y[..., :seeds], pairs), Looks(n, ANYTIME))
    return found


def naive(y: Array, pairs: list[tuple[int, int]], n: int) -> Array:
    """What is done everywhere: a t test of all seeds, without Holm, after every seed."""
    found = np.zeros((len(y), len(pairs)), bool)
    for seeds in range(n, TO + 1):
        found |= t_test(paired(y[..., :seeds], pairs)) < ALPHA
    return found


LOOKS = {"once": once, "advice": advice, "every seed": every_seed}


def shortlisted(y: Array, validation: Array, n: int) -> Array:
    """The fresh seeds (sweeps, SHORTLIST, seeds) of those that are best on validation figures,
    which agree with the test figures as those of one training do."""
    best = np.argsort(-validation[..., :n].mean(-1), axis=-1)[:, :SHORTLIST]
    return np.take_along_axis(y, best[..., None], axis=1)


def cells(sweeps: int) -> Iterator[tuple[str, str, int, int, str, float]]:
    """Kind, comparison, k, n, looks, and the share of sweeps with a false claim."""
    for number, (kind, draw) in enumerate(KINDS.items()):
        for k in (3, 10, 30):
            for n in (5, 10):
                rng = np.random.default_rng([number, k, n])
                longest = max(TO, plan(n, 2).pairs)
                y = draw(rng, (sweeps, k, longest))
                settings = {"against one": (y, pairs_of(k, baseline=True))}
                if k > 6:
                    validation = y[..., :n] + 0.5 * draw(rng, (sweeps, k, n))
                    fresh = shortlisted(draw(rng, (sweeps, k, longest)), validation, n)
                    settings["shortlist"] = (fresh, pairs_of(SHORTLIST, baseline=False))
                else:
                    settings["all pairs"] = (y, pairs_of(k, baseline=False))
                for comparison, (figures, pairs) in settings.items():
                    for looks, judge in LOOKS.items():
                        false = judge(figures, pairs, n).any(axis=-1).mean()
                        yield kind, comparison, k, n, looks, float(false)


def main() -> int:
    import time

    start = time.perf_counter()
    worst = 0.0
    for *words, false in cells(SWEEPS):
        worst = max(worst, false)
        print(*words, f"{false:.3f}", "<<<" if false > BAR else "", f"{time.perf_counter() - start:.0f}s", flush=True)
    print(worst)
    return int(worst > BAR)


if __name__ == "__main__":
    sys.exit(main())
