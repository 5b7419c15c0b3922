"""Seeds that were added after a look at the first ones: how they are judged, and how many to plan.

``comparison.json`` of the first sweep keeps each plan with the time at which it was made, and
``sweep.json`` the time at which each batch was asked for: seeds that were asked for as planned are
judged by that plan, others by a test that is valid at any time (``statistics.sequential``).
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
    """``pairs`` in all that the next look is to have, planned after ``first`` of them for so many
    ``tests`` at once and for intervals of ± ``delta``; ``method`` is how they are judged then, and
    ``made`` when it was planned (ISO 8601)."""

    pairs: int
    method: str
    first: int
    tests: int
    delta: float | None
    made: str


@dataclass(frozen=True)
class Sample:
    """Paired differences of two levels in the order in which they were asked for: how many belong
    to the ``first`` batch, and the numbers of all ``batches``."""

    differences: Array
    first: int
    batches: list[int]


def sample(a: Level, b: Level) -> Sample:
    """The differences a - b over the common blocks."""
    common = [block for block in a.figures if block in b.figures]
    batch = {block: max(a.batches[block], b.batches[block]) for block in common}
    common.sort(key=lambda block: batch[block])
    d = paired.differences([a.figures[k] for k in common], [b.figures[k] for k in common])
    numbers = [batch[block] for block in common]
    return Sample(d, numbers.count(min(numbers)), sorted(set(numbers)))


def looks(sample: Sample, plan: Planned | None, read: Figures) -> Looks:
    """How the differences are judged: at a fixed number, as planned, or at any time."""
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
    """The plan that was made at the first look at these samples, or a new one; None if the first
    batch has too few pairs for a test."""
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
    """The plans that were made at earlier looks; raises UsageError if ``comparison.json`` is
    damaged."""
    path = sweep / COMPARISON
    if not path.is_file():
        return []
    try:
        return [Planned(**plan) for plan in json.loads(path.read_text())["plans"]]
    except (ValueError, TypeError, KeyError):
        raise UsageError(f"{path}: is damaged; delete it, it is made again") from None
