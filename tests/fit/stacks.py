"""Stacks, compared with their members trained alone.

Stacks are for GPUs; here they run on the CPU, in double precision, where batched products and
single ones differ by so little that nothing else can hide behind it.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch

from exprun.data.prepare import Data, Part
from exprun.fit.loop import fit
from exprun.fit.stack import Member, fit_stack
from exprun.training.callbacks import Callback, Outcome
from exprun.training.training import Training
from tests import conftest

Make = Callable[[], Training]
CLOSE = {"rtol": 1e-6, "atol": 1e-7}
on_a_cpu = partial(conftest.built, "trainer.engine=replay")


def built(*words: str) -> Training:
    return in_double(on_a_cpu(*words))


def training(data: Data, **options: Any) -> Training:
    return in_double(conftest.training(data, engine="replay", **options))


@functools.cache
def data_in_double(key: int, data: Data) -> Data:
    """The same object for the same data: members may share it."""
    parts = {
        name: Part(
            part.x.double(),
            part.y.double() if part.y.is_floating_point() else part.y,
        )
        for name, part in (("train", data.train), ("val", data.val), ("test", data.test))
    }
    return replace(data, **parts)


def in_double(t: Training) -> Training:
    t.model.double()
    for state in t.optimizer.state.values():
        state.update({name: v.double() for name, v in state.items() if v.is_floating_point()})
    if t.averaging:
        t.averaging.sums = [v.double() for v in t.averaging.sums]
    t.data = data_in_double(id(t.data), t.data)
    if t.targets.is_floating_point():
        t.targets = t.targets.double()
    return t


def alike(a: object, b: object) -> bool:
    """Equal through dicts, lists and tensors, but for rounding."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.allclose(a, b, **CLOSE, equal_nan=True)
    if isinstance(a, dict):
        same = isinstance(b, dict) and a.keys() == b.keys()
        return same and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, float):
        return a == pytest.approx(b, rel=CLOSE["rtol"], abs=CLOSE["atol"], nan_ok=True)
    return a == b


class End:
    """How a member ended: its outcome, or what went wrong, and all its state at that moment."""

    def __init__(self, made: Training) -> None:
        self.training = made
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self.state: dict[str, Any] = {}

    def done(self, outcome: Outcome) -> None:
        assert self.outcome is None
        self.outcome = outcome
        self.state = copy.deepcopy(self.training.state_dict())

    def failed(self, error: Exception) -> None:
        self.error = error


def stacked(
    trainings: Sequence[Training],
    size: int | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    callbacks: Callable[[int], list[Callback]] = lambda number: [],
) -> list[End]:
    ends = [End(made) for made in trainings]
    members = (
        Member(end.training, callbacks(number), end.done, end.failed)
        for number, end in enumerate(ends)
    )
    fit_stack(members, size or len(trainings), interrupted)
    return ends


def assert_as_alone(
    makes: Sequence[Make], size: int | None = None, engine: str | None = "stacked"
) -> list[End]:
    """Train all in a stack, and each alone; returns how those of the stack ended."""
    ends = stacked([make() for make in makes], size)
    for number, (end, make) in enumerate(zip(ends, makes, strict=True)):
        solo = make()
        expected = fit(solo)
        assert end.error is None
        assert end.outcome is not None
        found = (end.outcome.status, end.outcome.reason)
        assert found == (expected.status, expected.reason), number
        assert alike(end.state, solo.state_dict()), number
        assert engine is None or str(end.outcome.engine).startswith(engine)
    return ends


def each(*words: str, **differing: Sequence[Any]) -> list[Make]:
    """One for each of the values, which all differ at once; ``__`` stands for a dot."""
    columns = [
        [f"{key.replace('__', '.')}={value}" for value in values]
        for key, values in differing.items()
    ]
    return [partial(built, *words, *row) for row in zip(*columns, strict=True)]
