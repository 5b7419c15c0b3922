"""How seeds added after a look at the first ones are judged, and how many to plan.

``comparison.json`` of the first sweep stores each plan with its time, and ``sweep.json`` stores the
time of each request for jobs. Seeds that were requested as planned are judged by that plan, others
by a test that is valid at any time (``statistics.sequential``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from exprun.common.errors import UsageError
from exprun.statistics import paired, sequential
from exprun.statistics.paired import Array
from exprun.statistics.sequential import ANYTIME, FEWEST, FIXED, Looks
from exprun.sweeps import ledger
from exprun.sweeps.comparison.figures import Figures
from exprun.sweeps.comparison.levels import Level

COMPARISON = "comparison.json"


@dataclass(frozen=True)
class Planned:
    """A plan for the next look: the total number of ``pairs``, of which ``first`` existed when the
    plan was made, for a number of simultaneous ``tests`` and intervals of ± ``delta``. ``method``
    is the test to be used at that look, ``made`` the time of the plan (ISO 8601)."""

    pairs: int
    method: str
    first: int
    tests: int
    delta: float | None
    made: str


@dataclass(frozen=True)
class Sample:
    """Paired differences of two levels in the order of their batches, the number of differences in
    the ``first`` batch, and the numbers of all ``batches``.

    A first batch of one pair counts as part of the next one: nothing can be claimed from it, and
    it does not show the spread, which a number of further pairs could be chosen by.
    """

    differences: Array
    first: int
    batches: list[int]


def sample(a: Level, b: Level) -> Sample:
    """The sample of differences a - b over the common blocks."""
    common = [block for block in a.figures if block in b.figures]
    batch = {block: max(a.batches[block], b.batches[block]) for block in common}
    common.sort(key=lambda block: batch[block])
    d = paired.differences([a.figures[k] for k in common], [b.figures[k] for k in common])
    numbers = [batch[block] for block in common]
    if numbers[1:2] > numbers[:1]:
        numbers[0] = numbers[1]
    return Sample(d, numbers.count(min(numbers)), sorted(set(numbers)))


def looks(sample: Sample, plan: Planned | None, read: Figures) -> Looks:
    """The method to judge the differences by: FIXED for one batch, that of the plan if the second
    batch follows it, else ANYTIME."""
    if len(sample.batches) == 1:
        return Looks(sample.first, FIXED, read.overlap)
    as_planned = plan and len(sample.batches) == 2 and len(sample.differences) == plan.pairs
    if plan and as_planned and not (read.overlap and plan.delta):
        asked = read.batches_asked[sample.batches[1]]
        if asked and plan.made < asked:
            return Looks(sample.first, plan.method, read.overlap)
    return Looks(sample.first, ANYTIME, read.overlap)


def plan_for(
    samples: Sequence[Sample], delta: float | None, plans: Sequence[Planned]
) -> Planned | None:
    """The plan made at the first look at these samples, or a new one; None if the first batch has
    too few pairs for a test."""
    first = min((one.first for one in samples), default=0)
    if first < FEWEST:
        return None
    wanted = (first, len(samples), delta)
    for old in plans:
        if (old.first, old.tests, old.delta) == wanted:
            return old
    sds = [float(paired.moments(one.differences[: one.first]).sd) for one in samples]
    made = sequential.plan(first, len(samples), sds, delta)
    return Planned(made.pairs, made.method, first, len(samples), delta, ledger.now())


def stored_plans(sweep: Path) -> list[Planned]:
    """The plans made at earlier looks; raises UsageError if ``comparison.json`` is damaged."""
    path = sweep / COMPARISON
    if not path.is_file():
        return []
    try:
        return [Planned(**plan) for plan in json.loads(path.read_text())["plans"]]
    except (ValueError, TypeError, KeyError):
        raise UsageError(f"{path}: is damaged; delete it, it is made again") from None
