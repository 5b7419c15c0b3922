"""The order of configurations with several objectives: non-dominated sorting, then crowding
distance (Deb et al. 2002, NSGA-II). With one objective it is the order of the costs."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

Costs = tuple[float, ...]
"""The objectives of a configuration, all to be minimised."""


def dominates(a: Costs, b: Costs) -> bool:
    """Whether ``a`` is at least as good as ``b`` in every objective, and better in one."""
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def fronts(costs: Sequence[Costs]) -> list[list[int]]:
    """The indices by front: those that nothing dominates, those that only these dominate, and so
    on (efficient non-dominated sort with binary search, Zhang et al. 2015)."""
    found: list[list[int]] = []
    for i in sorted(range(len(costs)), key=costs.__getitem__):  # none dominates an earlier one

        def may_join(front: list[int], own: Costs = costs[i]) -> bool:
            return not any(dominates(costs[j], own) for j in front)

        place = bisect_left(found, True, key=may_join)
        if place == len(found):
            found.append([])
        found[place].append(i)
    return found


def crowding(costs: Sequence[Costs]) -> list[float]:
    """The crowding distance of each member of a front: the sum over the objectives of the distance
    between its two neighbours, as a share of the front's range; infinite for the ends. Members
    with equal costs have equal distances."""
    distances = dict.fromkeys(costs, 0.0)
    for objective in range(len(costs[0])):
        ordered = sorted(distances, key=lambda own: own[objective])
        span = ordered[-1][objective] - ordered[0][objective]
        distances[ordered[0]] = distances[ordered[-1]] = math.inf
        if 0 < span < math.inf:
            for before, own, after in zip(ordered, ordered[1:], ordered[2:], strict=False):
                distances[own] += (after[objective] - before[objective]) / span
    return [distances[own] for own in costs]


def pareto_order(costs: Sequence[Costs]) -> list[int]:
    """The indices, best first: front by front, and in each the least crowded first; of equals the
    earlier. Costs that are not finite come last."""
    finite = [i for i, own in enumerate(costs) if all(map(math.isfinite, own))]
    order = []
    for front in fronts([costs[i] for i in finite]):
        members = [finite[i] for i in front]
        distance = dict(zip(members, crowding([costs[i] for i in members]), strict=True))
        order += sorted(members, key=lambda i: (-distance[i], i))
    return order + sorted({*range(len(costs))} - {*finite})
