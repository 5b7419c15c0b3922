"""Rungs and survivors, compared with the algorithms as published."""

from __future__ import annotations

import math
import statistics

import pytest

from exprun.sweeps.search.schedule import Rung, brackets, survivors


def rungs(rule: str, count: int, epochs: int, **settings: int) -> list[list[tuple[int, int]]]:
    """The epochs and the number of configurations at each rung of each bracket."""
    given = {"least": 1, "factor": 3, "repetitions": 1} | settings
    found = []
    for bracket in brackets(rule, count, epochs=epochs, **given):
        sizes = [bracket.size, *(rung.kept or 0 for rung in bracket.rungs[:-1])]
        levels = [rung.epochs for rung in bracket.rungs]
        found.append(list(zip(levels, sizes, strict=True)))
    return found


def test_successive_halving() -> None:
    """27 configurations, η = 3: n_k = 27/3^k at r_k = 3^k (Jamieson & Talwalkar 2016), but for the
    last rung, which keeps η of them."""
    assert rungs("halving", 27, 27) == [[(1, 27), (3, 9), (9, 3), (27, 3)]]
    assert rungs("halving", 64, 16, factor=2) == [[(1, 64), (2, 32), (4, 16), (8, 8), (16, 4)]]
    assert rungs("halving", 48, 50) == [[(2, 48), (6, 16), (17, 5), (50, 3)]]
    assert rungs("halving", 2, 27) == [[(1, 2), (3, 2), (9, 2), (27, 2)]]
    assert rungs("halving", 27, 27, least=4) == [[(9, 27), (27, 9)]]
    assert rungs("none", 27, 27) == [[(27, 27)]]


def test_hyperbands_brackets() -> None:
    """Algorithm 1 of Li et al. 2018 with R = 81 and η = 3: ⌈5/(s+1) 3^s⌉ configurations begin with
    81/3^s epochs."""
    found = rungs("hyperband", 81 + 34 + 15 + 8 + 5, 81)
    assert [bracket[0] for bracket in found] == [(1, 81), (3, 34), (9, 15), (27, 8), (81, 5)]
    assert [epochs for epochs, _ in found[1]] == [3, 9, 27, 81]


@pytest.mark.parametrize("rule", ["halving", "hyperband", "median", "none"])
@pytest.mark.parametrize("count", [2, 3, 10, 48])
def test_every_configuration_is_in_one_bracket_and_the_end_has_all_repetitions(
    rule: str, count: int
) -> None:
    found = brackets(rule, count, epochs=50, least=1, factor=3, repetitions=5)
    assert sum(bracket.size for bracket in found) == count
    for bracket in found:
        shares = [rung.repetitions for rung in bracket.rungs]
        assert shares == sorted(shares)
        assert (bracket.rungs[-1].epochs, shares[-1]) == (50, 5)


def test_survivors_are_the_best_and_the_earlier_of_equals() -> None:
    assert survivors(Rung(1, 1, 2), [(3.0,), (1.0,), (2.0,), (1.0,)], [0.0] * 4) == [1, 3]
    assert survivors(Rung(1, 1, 3), [(3.0,), (math.inf,), (2.0,)], [0.0] * 3) == [2, 0]
    assert survivors(Rung(1, 1, 2), [(math.inf,)] * 3, [math.inf] * 3) == [0]


def test_the_median_rule() -> None:
    """Golovin et al. 2017: a trial is stopped if its best value is worse than the median of the
    running averages."""
    averages, best = [4.0, 3.0, 2.0, 1.0, math.inf], [3.5, 2.6, 1.9, 0.5, math.inf]
    middle = statistics.median(averages[:4])
    expected = [i for i in (3, 2, 1, 0) if best[i] <= middle]
    costs = [(own,) for own in best]
    assert survivors(Rung(1, 1, None), costs, averages) == expected == [3, 2]
