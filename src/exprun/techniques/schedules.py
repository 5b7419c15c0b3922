"""Learning-rate schedules as functions of the time in epochs, and the schedulers that apply them.

A schedule returns the factor on ``optimizer.lr`` at time ``t`` in epochs since the start: 0, 1, 2 …
with ``interval=epoch``, or in fractions of an epoch with ``interval=iteration``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, Protocol

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.optim.optimizer import Optimizer

Factor = Callable[[float], float]
"""Maps the time in epochs to the factor on the initial learning rate."""


def constant(t: float) -> float:
    """1 at every time."""
    return 1.0


def inverse_time(t: float, *, gamma: float) -> float:
    """1 / (1 + gamma t) (slide "Learning rate decay")."""
    return 1.0 / (1.0 + gamma * t)


def step(t: float, *, step_size: int, gamma: float) -> float:
    """gamma^⌊t / step_size⌋ (``torch.optim.lr_scheduler.StepLR``)."""
    return float(gamma ** (t // step_size))


def exponential(t: float, *, gamma: float) -> float:
    """gamma^t (``torch.optim.lr_scheduler.ExponentialLR``)."""
    return float(gamma**t)


def cosine(t: float, *, epochs: float, min_factor: float) -> float:
    """Half a cosine from 1 to ``min_factor`` over ``epochs`` (Loshchilov & Hutter 2017)."""
    progress = min(t / epochs, 1.0)
    return min_factor + (1 - min_factor) * (1 + math.cos(math.pi * progress)) / 2


def one_cycle(
    t: float, *, epochs: float, pct_start: float, div_factor: float, final_div_factor: float
) -> float:
    """One cycle (Smith & Topin 2018) like torch's ``OneCycleLR``, but in continuous time: the cycle
    ends after the last iteration, torch's at the last iteration.

    Only the learning rate changes. Without ``cycle_momentum=False`` torch's scheduler also sets the
    momentum (Adam's beta1) of every iteration, between 0.85 and 0.95, which turns momentum on in
    SGD and RMSprop with momentum 0.

    Cosine from 1/div_factor up to 1 during the share ``pct_start`` of ``epochs``, then cosine down
    to 1/(div_factor * final_div_factor): ``optimizer.lr`` is the highest learning rate.
    """
    progress = min(t / epochs, 1.0)
    if progress < pct_start:
        start, end, share = 1 / div_factor, 1.0, progress / pct_start
    else:
        start, end = 1.0, 1 / (div_factor * final_div_factor)
        share = (progress - pct_start) / (1 - pct_start) if pct_start < 1 else 1.0
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


class Scheduler(Protocol):
    """Sets an optimizer's learning rates during a training."""

    steady: bool
    """Whether the learning rates are constant within an epoch."""

    ahead: bool
    """Whether ``before_iteration`` sets hyperparameters of the optimizer and does nothing else, so
    that several iterations may be asked about before they are done."""

    def before_iteration(self, iteration: int, iterations_per_epoch: int) -> None:
        """Set the learning rates for this iteration, counted from 0."""

    def after_epoch(self, val_loss: float) -> None:
        """Update the schedule after an epoch with its validation loss."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def warmup(iteration: int, iterations_per_epoch: int, epochs: float) -> float:
    """Linear warm-up: the factor rises to 1 over ``epochs``, by the same amount each iteration."""
    iterations = epochs * iterations_per_epoch
    return min(1.0, (iteration + 1) / iterations) if iterations else 1.0


class FactorScheduler:
    """lr = initial lr * schedule(time) * warm-up, a function of the iteration only."""

    ahead = True

    def __init__(
        self,
        optimizer: Optimizer,
        factor: Factor = constant,
        *,
        interval: Literal["epoch", "iteration"] = "epoch",
        warmup_epochs: float = 0,
    ) -> None:
        self.optimizer = optimizer
        self.factor = factor
        self.interval = interval
        self.warmup_epochs = warmup_epochs
        self.steady = interval == "epoch" and not warmup_epochs
        self.initial = [group["lr"] for group in optimizer.param_groups]

    def before_iteration(self, iteration: int, iterations_per_epoch: int) -> None:
        epoch, within = divmod(iteration, iterations_per_epoch)
        if within and self.steady:
            return
        t = epoch if self.interval == "epoch" else iteration / iterations_per_epoch
        factor = self.factor(t) * warmup(iteration, iterations_per_epoch, self.warmup_epochs)
        for group, lr in zip(self.optimizer.param_groups, self.initial, strict=True):
            group["lr"] = lr * factor

    def after_epoch(self, val_loss: float) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class TorchScheduler:
    """Any scheduler of ``torch.optim.lr_scheduler``, multiplied by warm-up.

    It is stepped after every epoch, or with ``interval="iteration"`` after every iteration.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        scheduler: LRScheduler | ReduceLROnPlateau,
        *,
        interval: Literal["epoch", "iteration"] = "epoch",
        warmup_epochs: float = 0,
    ) -> None:
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.interval = interval
        self.warmup_epochs = warmup_epochs
        self.steady = interval == "epoch" and not warmup_epochs
        self.scheduled = self._read()
        self.ahead = _is_torchs(scheduler)

    def before_iteration(self, iteration: int, iterations_per_epoch: int) -> None:
        if self.interval == "iteration" and iteration:
            self._step()
        factor = warmup(iteration, iterations_per_epoch, self.warmup_epochs)
        self._write([lr * factor for lr in self.scheduled])

    def after_epoch(self, val_loss: float) -> None:
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self._step(val_loss)
        elif self.interval == "epoch":
            self._step()

    def _step(self, *val_loss: float) -> None:
        self._write(self.scheduled)  # torch's schedulers start from the optimizer's current lr
        self.scheduler.step(*val_loss)  # type: ignore[arg-type]  # a figure for plateaus only
        self.scheduled = self._read()

    def state_dict(self) -> dict[str, Any]:
        return {"scheduler": self.scheduler.state_dict(), "scheduled": self.scheduled}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state["scheduler"])
        self.scheduled = state["scheduled"]

    def _read(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _write(self, lrs: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr


def _is_torchs(scheduler: LRScheduler | ReduceLROnPlateau) -> bool:
    """Whether its code, and that of the schedulers it is made of, is torch's."""
    parts = getattr(scheduler, "_schedulers", [])  # of SequentialLR and ChainedScheduler
    return type(scheduler).__module__.startswith("torch.") and all(map(_is_torchs, parts))
