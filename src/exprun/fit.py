"""The training loop.

``fit`` goes through the epochs, ``iterate`` is one forward and backward pass; after each epoch
comes a validation, and whoever watches is told. Everything here takes plain objects and knows
nothing of configs, files and screens.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from exprun import light, metrics
from exprun.data.prepare import Data, Part
from exprun.divergence import Diverged, locate
from exprun.losses import Loss
from exprun.regularizers import Regularizer
from exprun.schedules import Scheduler
from exprun.stopping import Stopping
from exprun.streams import Streams
from exprun.vocabulary import COMPLETED, DIVERGED, EARLY_STOPPED, INTERRUPTED

EVALUATION_ROWS = 8192
"""Rows per forward pass when nothing is trained: bounds the memory of the activations."""


@dataclass
class Training:
    """A network, what it is trained with, and how far it has come.

    ``batch_size=None`` takes all training rows at once. ``epoch`` and ``iteration`` count what is
    done; ``history`` is the learning curve, a row an epoch; ``kept`` are the weights that become
    the model (see ``Stopping``) and ``kept_row`` is their row.
    """

    model: nn.Module
    loss: Loss
    data: Data
    optimizer: torch.optim.Optimizer
    scheduler: Scheduler
    streams: Streams
    regularizers: Sequence[Regularizer] = ()
    stopping: Stopping = field(default_factory=Stopping)
    batch_size: int | None = 32
    max_epochs: int = 50

    epoch: int = 0
    iteration: int = 0
    kept: dict[str, Tensor] = field(default_factory=dict)
    kept_row: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        return self.data.train.x.device

    @property
    def smallest_batch(self) -> int:
        """Two rows with batch normalisation, for one row has no variance; else one."""
        return 1 + any(isinstance(m, nn.BatchNorm1d) for m in self.model.modules())

    @property
    def iterations_per_epoch(self) -> int:
        """Batches of an epoch; a left-over batch that is too small is none."""
        rows = len(self.data.train)
        full, left_over = divmod(rows, self.batch_size or rows)
        return full + (left_over >= self.smallest_batch)

    def state_dict(self) -> dict[str, Any]:
        """Everything that ``load_state_dict`` needs to go on exactly, as tensors and plain data."""
        return {
            "epoch": self.epoch,
            "iteration": self.iteration,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "streams": self.streams.state_dict(),
            "stopping": self.stopping.state_dict(),
            "kept": self.kept,
            "kept_row": self.kept_row,
            "history": self.history,
        }

    def snapshot(self) -> dict[str, Any]:
        """``state_dict`` as it is now, for good. What changes between epochs only, and is never
        written into, is not copied: the history grows with every epoch."""
        state = self.state_dict()
        settled = {name: state.pop(name) for name in ("kept", "kept_row", "history")}
        return copy.deepcopy(state) | settled

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back, or forward, to where ``state_dict`` was taken."""
        self.epoch, self.iteration = state["epoch"], state["iteration"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.streams.load_state_dict(state["streams"])
        self.stopping.load_state_dict(state["stopping"])
        self.kept, self.kept_row = state["kept"], state["kept_row"]
        self.history = state["history"]


class Observer:
    """Told what happens in a training; does nothing by itself.

    ``iteration`` counts from 1; ``row`` is the epoch's row of the learning curve: ``epoch``,
    ``iteration``, ``lr``, then ``train_loss``, ``val_loss``, ``train_accuracy``, … Figures of the
    validation part are missing if there is none.
    """

    def on_start(self, training: Training) -> None: ...

    def on_iteration(self, training: Training, iteration: int) -> None: ...

    def on_epoch(self, training: Training, row: dict[str, float]) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """How a training ended. ``samples_per_second`` counts the training rows that went forward and
    backward, and not the time of evaluation and logging; ``signal`` names the signal that
    interrupted it, if one did."""

    status: str
    reason: str
    samples_per_second: float = 0.0
    signal: str | None = None


def fit(
    training: Training,
    observers: Sequence[Observer] = (),
    interrupted: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train until ``max_epochs``, early stopping, divergence, or ``interrupted()``.

    Afterwards ``training.kept`` holds the weights that are the model. An interrupted epoch counts
    as not begun.
    """
    t = training
    x, y = t.data.train.x, t.loss.encode(t.data.train.y)
    batch_size = t.batch_size or len(x)
    smallest_batch = t.smallest_batch
    seconds, rows = 0.0, 0

    def outcome(status: str, reason: str) -> Outcome:
        return Outcome(status, reason, samples_per_second=rows / seconds if seconds else 0.0)

    for observer in observers:
        observer.on_start(t)
    try:
        while t.epoch < t.max_epochs and not t.stopping.exhausted:
            began = time.perf_counter()
            before = t.snapshot()
            order = torch.randperm(len(x), generator=t.streams.order).to(x.device)
            iteration = t.iteration
            t.model.train()
            for xb, yb in zip(x[order].split(batch_size), y[order].split(batch_size), strict=True):
                if len(xb) < smallest_batch:
                    continue
                iterate(t, xb, yb, iteration)
                iteration += 1
                rows += len(xb)
                for observer in observers:
                    observer.on_iteration(t, iteration)
                if interrupted():
                    t.load_state_dict(before)
                    return outcome(INTERRUPTED, f"interrupted in epoch {t.epoch + 1}")
            seconds += time.perf_counter() - began

            t.epoch, t.iteration = t.epoch + 1, iteration
            row = curve_row(t)
            t.history.append(row)
            if t.stopping.update(t.epoch, row):
                t.kept = {name: w.clone() for name, w in t.model.state_dict().items()}
                t.kept_row = row
            t.scheduler.after_epoch(row.get("val_loss", row["train_loss"]))
            for observer in observers:
                observer.on_epoch(t, row)
    except Diverged as divergence:
        return outcome(DIVERGED, str(divergence))
    if t.stopping.exhausted:
        waited = f"{t.stopping.monitor} has not improved for {t.stopping.patience} epochs"
        return outcome(EARLY_STOPPED, waited)
    return outcome(COMPLETED, f"all {t.max_epochs} epochs done")


def iterate(training: Training, xb: Tensor, yb: Tensor, iteration: int) -> None:
    """One iteration: forward and backward pass on a batch (n, inputs) with its encoded targets,
    and the update of the weights. ``iteration`` counts from 0. Raises Diverged."""
    t = training
    t.scheduler.before_iteration(iteration, t.iterations_per_epoch)
    reevaluates = isinstance(t.optimizer, torch.optim.LBFGS)
    masks = t.streams.dropout.get_state() if reevaluates else None
    evaluations = 0

    def objective() -> Tensor:
        nonlocal evaluations
        if masks is not None:
            t.streams.dropout.set_state(masks)  # the same masks for all evaluations
        t.optimizer.zero_grad()
        loss = t.loss(t.model(xb), yb)
        for regularizer in t.regularizers:
            penalty = regularizer.penalty(t.model, len(t.data.train))
            if penalty is not None:
                loss = loss + penalty
        if not evaluations and not math.isfinite(loss.item()):
            raise locate(t.model, xb, t.epoch + 1, iteration + 1, updates=iteration)
        evaluations += 1
        loss.backward()
        return loss

    light.step(t.optimizer, objective)
    for regularizer in t.regularizers:
        regularizer.constrain(t.model)


def evaluate(training: Training, part: Part) -> dict[str, float]:
    """Mean loss and metrics of one part of the data, with the model as it is, in eval mode."""
    t = training
    t.model.eval()
    with torch.inference_mode():
        outputs = torch.cat([t.model(x) for x in part.x.split(EVALUATION_ROWS)])
        loss = t.loss.total(outputs, t.loss.encode(part.y)).item() / len(part)
        return {"loss": loss} | metrics.evaluate(outputs, part.y, t.data.preprocessing)


def curve_row(training: Training) -> dict[str, float]:
    """The learning curve's row of the epoch just done: train and validation figures, both measured
    with the weights as they are now. Raises Diverged if a weight or a loss is not finite."""
    t = training
    parts = {"train": t.data.train, "val": t.data.val}
    figures = {name: evaluate(t, part) for name, part in parts.items() if len(part)}
    broken = not all(w.isfinite().all() for w in t.model.parameters())
    for name, values in figures.items():
        if broken or not math.isfinite(values["loss"]):
            x = parts[name].x[:EVALUATION_ROWS]
            raise locate(t.model, x, t.epoch, t.iteration, updates=t.iteration)
    return {
        "epoch": t.epoch,
        "iteration": t.iteration,
        "lr": t.optimizer.param_groups[0]["lr"],
        **{f"{part}_{k}": figures[part][k] for k in figures["train"] for part in figures},
    }
