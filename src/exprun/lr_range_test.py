"""The learning-rate range test (Smith 2017, "Cyclical Learning Rates for Training Neural Networks",
section 3.3): the loss while the learning rate grows, and the learning rate that this suggests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from exprun.divergence import Diverged
from exprun.errors import UsageError
from exprun.fit import Training, batches, iterate

SAFETY = 10.0
"""The suggestion is the largest stable learning rate divided by this."""


@dataclass
class LRRange:
    """The curve of a range test, a value an iteration: the first parameter group's learning rate,
    the objective (loss and penalties of the batch) before the update, and its smoothed value.

    ``exploded`` is the learning rate at which the test was given up, None if it came to its end.
    """

    beta: float
    lrs: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    smoothed: list[float] = field(default_factory=list)
    exploded: float | None = None
    average: float = 0.0

    def add(self, lr: float, loss: float) -> None:
        """Take note of an iteration. Smoothed is the exponential moving average v = beta v +
        (1 - beta) loss, v = 0 at first, corrected for that start by 1 / (1 - beta^t) (slide
        "Exponential moving average")."""
        self.average = self.beta * self.average + (1 - self.beta) * loss
        self.lrs.append(lr)
        self.losses.append(loss)
        self.smoothed.append(self.average / (1 - self.beta ** len(self.lrs)))

    @property
    def lowest(self) -> int:
        """The index of the lowest smoothed loss."""
        return min(range(len(self.smoothed)), key=self.smoothed.__getitem__)

    @property
    def largest_stable(self) -> float:
        """The learning rate where the smoothed loss is lowest: larger ones only make it worse."""
        return self.lrs[self.lowest]

    @property
    def steepest(self) -> float | None:
        """The learning rate where the smoothed loss falls fastest over log lr, looked at over the
        1 / (1 - beta) iterations that the average is about; None if it falls nowhere."""
        half = max(round(1 / (1 - self.beta) / 2), 1)
        falls = {
            i: self.smoothed[i - half] - self.smoothed[i + half]
            for i in range(2 * half, self.lowest - half + 1)
        }
        best = max(falls, key=falls.__getitem__, default=None)
        return None if best is None or falls[best] <= 0 else self.lrs[best]

    @property
    def suggestion(self) -> float | None:
        """A tenth of ``largest_stable``, to two digits; None if the loss is never lower than at the
        start, so that nothing is known."""
        if self.lowest == 0:
            return None
        return float(f"{self.largest_stable / SAFETY:.1e}")


class GrowingLR:
    """A scheduler: the learning rates of all parameter groups grow together, exponentially; the
    first group's from ``start`` to ``end`` in ``iterations``."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, start: float, end: float, iterations: int
    ) -> None:
        self.optimizer = optimizer
        self.start, self.growth, self.iterations = start, end / start, iterations
        first = optimizer.param_groups[0]["lr"]
        self.ratios = [group["lr"] / first for group in optimizer.param_groups]

    def lr(self, iteration: int) -> float:
        """The first group's learning rate in this iteration (0 is the first)."""
        return float(self.start * self.growth ** (iteration / (self.iterations - 1)))

    def before_iteration(self, iteration: int, iterations_per_epoch: int) -> None:
        for group, ratio in zip(self.optimizer.param_groups, self.ratios, strict=True):
            group["lr"] = self.lr(iteration) * ratio

    def after_epoch(self, val_loss: float) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def lr_range_test(
    training: Training,
    *,
    start_lr: float = 1e-6,
    end_lr: float = 10.0,
    iterations: int = 200,
    beta: float = 0.9,
    explosion: float = 4.0,
    interrupted: Callable[[], bool] = lambda: False,
) -> LRRange:
    """Train for ``iterations`` while the learning rate grows from ``start_lr`` to ``end_lr``, or
    until the smoothed loss is ``explosion`` times its lowest value, or no number; ``interrupted()``
    ends it too.

    The training itself is left as it was, to the last bit: weights, averages of normalisation,
    optimizer, random streams. Its scheduler is not used.

    Raises UsageError if ``end_lr`` is not above ``start_lr``, or if the optimizer searches its step
    lengths itself, so that its learning rate tells little.
    """
    t = training
    if end_lr <= start_lr:
        raise UsageError(f"problem.end_lr={end_lr:g}: expected more than start_lr={start_lr:g}")
    if any(group.get("line_search_fn") for group in t.optimizer.param_groups):
        raise UsageError(
            "problem=lr_range_test: optimizer=lbfgs with a line search finds its step lengths "
            "itself; expected optimizer.line_search_fn=null, or another optimizer"
        )
    before, scheduler, training_mode = t.snapshot(), t.scheduler, t.model.training
    growing = GrowingLR(t.optimizer, start_lr, end_lr, iterations)
    t.scheduler = growing
    t.model.train()
    curve = LRRange(beta)
    try:
        for i, (xb, yb) in enumerate(islice(_endless_batches(t), iterations)):
            try:
                curve.add(growing.lr(i), iterate(t, xb, yb, i))
            except Diverged:
                curve.exploded = growing.lr(i)
            else:
                if curve.smoothed[-1] > explosion * curve.smoothed[curve.lowest]:
                    curve.exploded = growing.lr(i)
            if curve.exploded or interrupted():
                break
    finally:
        t.scheduler = scheduler
        t.load_state_dict(before)
        t.optimizer.zero_grad()
        t.model.train(training_mode)
    return curve


def _endless_batches(training: Training) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch after the other, each in a new order."""
    t = training
    rows = len(t.data.train)
    while True:
        order = torch.randperm(rows, generator=t.streams.order).to(t.device)
        for xb, yb in batches(t.data.train.x, t.targets, order, t.batch_size or rows):
            if len(xb) >= t.smallest_batch:
                yield xb, yb
