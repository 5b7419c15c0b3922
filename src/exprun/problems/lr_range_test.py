"""The learning-rate range test (Smith 2017, "Cyclical Learning Rates for Training Neural Networks",
section 3.3): the loss while the learning rate grows, and the learning rate that this suggests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from exprun.common.constants import COMPLETED, DIVERGED, INTERRUPTED
from exprun.common.errors import UsageError
from exprun.fit.loop import batches, iterate, new_order
from exprun.problems.problem import Problem
from exprun.techniques.networks import count_parameters
from exprun.training.callbacks import Outcome
from exprun.training.divergence import Diverged
from exprun.training.training import Training

SAFETY = 10.0
"""The suggestion is the largest stable learning rate divided by this."""


@dataclass
class Curve:
    """The curve of the test, with values per iteration: the first parameter group's learning rate,
    the objective (the batch's loss and penalties) before the update, and its smoothed value.

    ``exploded`` is the learning rate at which the test was stopped early, if it was.
    """

    beta: float
    lrs: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    smoothed: list[float] = field(default_factory=list)
    exploded: float | None = None
    average: float = 0.0

    def add(self, lr: float, loss: float) -> None:
        """Append an iteration. The smoothed loss is the exponential moving average v = beta v +
        (1 - beta) loss, v = 0 at first, corrected for that start by 1 / (1 - beta^t) (slide
        "Exponential moving average")."""
        self.average = self.beta * self.average + (1 - self.beta) * loss
        self.lrs.append(lr)
        self.losses.append(loss)
        self.smoothed.append(self.average / (1 - self.beta ** len(self.lrs)))

    @property
    def lowest(self) -> int:
        """The index of the lowest smoothed loss."""
        finite = [i for i, loss in enumerate(self.smoothed) if math.isfinite(loss)]
        return min(finite, key=self.smoothed.__getitem__, default=0)

    @property
    def largest_stable(self) -> float:
        """The learning rate at the lowest smoothed loss."""
        return self.lrs[self.lowest]

    @property
    def steepest(self) -> float | None:
        """The learning rate where the smoothed loss falls fastest over log lr, with differences
        over 1 / (1 - beta) iterations, the span of the average; None if it never falls."""
        half = max(round(1 / (1 - self.beta) / 2), 1)
        falls = {
            i: self.smoothed[i - half] - self.smoothed[i + half]
            for i in range(2 * half, self.lowest - half + 1)
        }
        best = max(falls, key=falls.__getitem__, default=None)
        return None if best is None or falls[best] <= 0 else self.lrs[best]

    @property
    def suggestion(self) -> float | None:
        """``largest_stable`` divided by SAFETY, rounded to two digits; None if the smoothed loss
        was never lower than at the start."""
        if self.lowest == 0:
            return None
        return float(f"{self.largest_stable / SAFETY:.1e}")


class GrowingLR:
    """A scheduler that increases all parameter groups' learning rates exponentially by a common
    factor, the first group's from ``start`` to ``end`` in ``iterations``."""

    steady, ahead = False, True

    def __init__(
        self, optimizer: torch.optim.Optimizer, start: float, end: float, iterations: int
    ) -> None:
        self.optimizer = optimizer
        self.start, self.growth, self.iterations = start, end / start, iterations
        first = optimizer.param_groups[0]["lr"]
        self.ratios = [group["lr"] / first for group in optimizer.param_groups]

    def lr(self, iteration: int) -> float:
        """The first group's learning rate in this iteration, counted from 0."""
        return float(self.start * self.growth ** (iteration / (self.iterations - 1)))

    def before_iteration(self, iteration: int, iterations_per_epoch: int) -> None:
        for group, ratio in zip(self.optimizer.param_groups, self.ratios, strict=True):
            group["lr"] = self.lr(iteration) * ratio

    def after_epoch(self, val_loss: float) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass
class LRRangeTest(Problem):
    """The range test of a training: ``iterations`` in which the learning rate grows from
    ``start_lr`` to ``end_lr``. It stops early when the smoothed loss exceeds ``explosion`` times
    its lowest value or is not finite.

    Raises UsageError if the range is empty or has fewer than two iterations, or if the optimizer
    uses a line search, for which the learning rate says little about the step length.
    """

    table = "lr_range.csv"

    training: Training
    start_lr: float = 1e-6
    end_lr: float = 10.0
    iterations: int = 200
    beta: float = 0.9
    explosion: float = 4.0

    def __post_init__(self) -> None:
        if self.iterations < 2:
            raise UsageError(
                f"problem.iterations={self.iterations}: expected at least 2, one for each end of "
                "the range"
            )
        if self.end_lr <= self.start_lr:
            raise UsageError(
                f"problem.end_lr={self.end_lr:g}: expected more than "
                f"problem.start_lr={self.start_lr:g}"
            )
        if any(group.get("line_search_fn") for group in self.training.optimizer.param_groups):
            raise UsageError(
                "problem=lr_range_test: L-BFGS with a line search finds its step lengths itself; "
                "expected optimizer.line_search_fn=null, or another optimizer"
            )
        self.curve = Curve(self.beta)

    def solve(self, interrupted: Callable[[], bool] = lambda: False) -> Outcome:
        """Run the test and restore the training bit by bit afterwards: weights, running statistics,
        optimizer, random streams. The training's own scheduler is not used."""
        t = self.training
        before, scheduler, was_training = t.snapshot(), t.scheduler, t.model.training
        growing = GrowingLR(t.optimizer, self.start_lr, self.end_lr, self.iterations)
        t.scheduler = growing
        t.model.train()
        try:
            for i, (xb, yb) in enumerate(islice(_endless_batches(t), self.iterations)):
                if interrupted():
                    return Outcome(INTERRUPTED, f"interrupted in iteration {i + 1}")
                if self._explodes(growing.lr(i), xb, yb, i):
                    self.curve.exploded = growing.lr(i)
                    break
        finally:
            t.scheduler = scheduler
            t.load_state_dict(before)
            t.optimizer.zero_grad()
            t.model.train(was_training)
        status = COMPLETED if math.isfinite(self.curve.losses[0]) else DIVERGED
        return Outcome(status, self.verdict)

    def _explodes(self, lr: float, xb: Tensor, yb: Tensor, iteration: int) -> bool:
        """Run and record an iteration; returns whether the smoothed loss exploded."""
        curve = self.curve
        try:
            curve.add(lr, iterate(self.training, xb, yb, iteration))
        except Diverged:
            curve.add(lr, math.nan)
        return not curve.smoothed[-1] <= self.explosion * curve.smoothed[curve.lowest]

    @property
    def verdict(self) -> str:
        """The conclusion from the curve, in a sentence."""
        curve = self.curve
        if not math.isfinite(curve.losses[0]):
            return "diverged: the loss of the initial weights is not finite"
        if curve.suggestion is None:
            return (
                f"no suggestion: no learning rate from {curve.lrs[0]:.2g} to {curve.lrs[-1]:.2g} "
                "lowers the loss"
            )
        words = [
            f"suggested optimizer.lr={curve.suggestion:g}: 1/{SAFETY:g} of "
            f"{curve.largest_stable:.2g}, where the smoothed loss is lowest"
        ]
        if curve.steepest is not None:
            words.append(f"it falls fastest at {curve.steepest:.2g}")
        if curve.exploded is not None:
            words.append(f"explodes at {curve.exploded:.2g}")
        elif curve.lowest == len(curve.lrs) - 1:
            words.append("was still falling at the end, so try a larger problem.end_lr")
        return ", ".join(words)

    def rows(self) -> list[dict[str, float]]:
        columns = zip(self.curve.lrs, self.curve.losses, self.curve.smoothed, strict=True)
        return [
            {"iteration": i, "lr": lr, "loss": loss, "smoothed_loss": smoothed}
            for i, (lr, loss, smoothed) in enumerate(columns, 1)
        ]

    def figures(self) -> dict[str, float]:
        curve = self.curve
        named = {
            "suggested_lr": curve.suggestion,
            "steepest_lr": curve.steepest,
            "largest_stable_lr": None if curve.suggestion is None else curve.largest_stable,
            "exploded_lr": curve.exploded,
        }
        return {name: math.nan if lr is None else lr for name, lr in named.items()}

    def facts(self) -> dict[str, Any]:
        model, device = self.training.model, self.training.device
        suggestion = self.curve.suggestion
        return {
            "epochs": 0,
            "parameters": count_parameters(model),
            "device": str(device),
            "verdict": f"optimizer.lr={suggestion:g}" if suggestion else "no suggestion",
        }


def _endless_batches(training: Training) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches epoch after epoch without end, each epoch in a new random order."""
    while True:
        for xs, ys in batches(training, new_order(training)):
            yield from zip(xs, ys, strict=True)
