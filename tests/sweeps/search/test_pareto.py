"""Non-dominated sorting and crowding distance, compared with their definitions and with Optuna."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.study._multi_objective import _fast_non_domination_rank

from exprun.sweeps.search.pareto import Costs, crowding, dominates, fronts, pareto_order

costs_of = st.integers(1, 3).flatmap(
    lambda objectives: st.lists(
        st.tuples(*[st.integers(0, 4).map(float)] * objectives), min_size=1, max_size=25
    )
)


@given(costs_of)
@settings(max_examples=60)
def test_fronts_are_optunas(costs: list[Costs]) -> None:
    ranks = _fast_non_domination_rank(np.asarray(costs))
    found = fronts(costs)
    assert sorted(i for front in found for i in front) == list(range(len(costs)))
    assert all({ranks[i] for i in front} == {place} for place, front in enumerate(found))


@given(costs_of)
@settings(max_examples=60)
def test_nothing_comes_before_what_dominates_it(costs: list[Costs]) -> None:
    order = pareto_order(costs)
    for place, i in enumerate(order):
        assert not any(dominates(costs[j], costs[i]) for j in order[place:])


def test_one_objective_is_its_order() -> None:
    costs = [(3.0,), (1.0,), (math.inf,), (2.0,), (1.0,), (math.nan,)]
    assert pareto_order(costs) == [1, 4, 3, 0, 2, 5]


def test_the_least_crowded_comes_first() -> None:
    """Deb et al. 2002: the ends are at infinity, the others at the sides of their cuboid."""
    front = [(0.0, 10.0), (1.0, 9.0), (2.0, 4.0), (10.0, 0.0)]
    assert crowding(front) == [
        math.inf,
        pytest.approx(0.2 + 0.6),
        pytest.approx(0.9 + 0.9),
        math.inf,
    ]
    assert pareto_order(front) == [0, 3, 2, 1]
    assert crowding([front[1]] * 3) == [math.inf] * 3
    assert pareto_order([(10.0, 10.0), *front]) == [1, 4, 3, 2, 0]
