"""The training loop.

``fit`` goes through the epochs, ``iterate`` is one forward and backward pass; after each epoch
comes a validation, and whoever watches is told. Everything here takes plain objects and knows
nothing of configs, files and screens.

Iterations that are the same operations every time are recorded and replayed (``replay``), with the
same bits; ``iterate`` is what they all do, and what runs whenever a replay will not do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from exprun import light, metrics
from exprun.data.prepare import Part
from exprun.divergence import Diverged, locate
from exprun.observer import Observer, Outcome
from exprun.prediction import ROWS
from exprun.replay import ReplayedTraining, obstacle
from exprun.tape import Unrecordable
from exprun.training import Training
from exprun.vocabulary import COMPLETED, DIVERGED, EARLY_STOPPED, INTERRUPTED

ALIGNMENT = 64
"""Bytes: where torch puts a new tensor on a CPU."""

TOO_LARGE = "a loss was not finite, or too large to be added up"
"""Why a replay was given up."""


def fit(
    training: Training,
    observers: Sequence[Observer] = (),
    interrupted: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train until ``max_epochs``, early stopping, divergence, or ``interrupted()``.

    Afterwards ``training.kept`` holds the weights that are the model. An interrupted epoch counts
    as not begun.
    """
    for observer in observers:
        observer.on_start(training)
    return go_on(training, observers, interrupted)


def go_on(
    training: Training, observers: Sequence[Observer], interrupted: Callable[[], bool]
) -> Outcome:
    """``fit`` for a training that the observers know already."""
    t = training
    seconds, rows = 0.0, 0

    def outcome(status: str, reason: str) -> Outcome:
        engine = f"ordinary: {ordinary}" if ordinary else "replayed"
        return Outcome(status, reason, rows / seconds if seconds else 0.0, engine)

    ordinary = obstacle(t)
    replay = None if ordinary else ReplayedTraining(t, with_penalties)
    try:
        while not (ending := ended(t)):
            began = time.perf_counter()
            before = t.snapshot()
            try:
                iterations = train_epoch(t, replay, observers, interrupted)
                sound = replay is None or replay.all_finite()
            except Unrecordable as why:
                ordinary, sound = str(why), False
            if not sound:  # once more, and look at every loss
                t.load_state_dict(before)
                replay, ordinary = None, ordinary or TOO_LARGE
                continue
            if iterations is None:
                t.load_state_dict(before)
                return outcome(INTERRUPTED, f"interrupted in epoch {t.epoch + 1}")
            seconds += time.perf_counter() - began
            rows += t.rows_per_epoch
            end_epoch(t, iterations, observers)
    except Diverged as divergence:
        return outcome(DIVERGED, str(divergence))
    return outcome(*ending)


def ended(training: Training) -> tuple[str, str] | None:
    """Status and reason, if the training is at its end."""
    t = training
    if t.stopping.exhausted:
        waited = f"{t.stopping.monitor} has not improved for {t.stopping.patience} epochs"
        return EARLY_STOPPED, waited
    if t.epoch >= t.max_epochs:
        return COMPLETED, f"all {t.max_epochs} epochs done" if t.max_epochs > 1 else "1 epoch done"
    return None


def train_epoch(
    training: Training,
    replay: ReplayedTraining | None,
    observers: Sequence[Observer],
    interrupted: Callable[[], bool],
) -> int | None:
    """Train on all training rows in a new order; returns the iterations done since the start of the
    training, or None if it was interrupted."""
    t = training
    order = torch.randperm(len(t.data.train), generator=t.streams.order).to(t.device)
    todo = batches(t.data.train.x, t.targets, order, t.batch_size or len(order))
    done = 0
    t.set_mode(True)
    while done < t.iterations_per_epoch:
        if replay:
            done += replay(todo[done : t.iterations_per_epoch], done)
        else:
            iterate(t, *todo[done], t.iteration + done)
            done += 1
        for observer in observers:
            observer.on_iteration(t, t.iteration + done)
        if interrupted():
            return None
    return t.iteration + done


def batches(x: Tensor, y: Tensor, order: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """The rows of ``x`` and ``y`` in that order, ``size`` at a time.

    Each batch begins at an address that suits the kernels, for some round differently elsewhere:
    all are gathered at once if they fit one behind the other, else one by one.
    """
    if size * x[:1].nbytes % ALIGNMENT:
        each = order.split(size)
        return [(x.index_select(0, rows), y.index_select(0, rows)) for rows in each]
    xs, ys = x.index_select(0, order), y.index_select(0, order)  # six times as fast as x[order]
    return list(zip(xs.split(size), ys.split(size), strict=True))


def end_epoch(training: Training, iterations: int, observers: Sequence[Observer]) -> None:
    """Measure what the epoch has brought, keep its weights if they are the best, and tell the
    scheduler and the observers. Raises Diverged."""
    t = training
    t.epoch, t.iteration = t.epoch + 1, iterations
    row = models_row = curve_row(t)
    with t.averaging.applied(t.iteration) if t.averaging else nullcontext():
        if t.averaging:
            models_row = curve_row(t)
            row = row | as_averages(models_row)
        t.history.append(row)
        if t.stopping.update(t.epoch, models_row):
            t.kept = {name: w.clone() for name, w in t.model.state_dict().items()}
            t.kept_row = models_row
    t.scheduler.after_epoch(row.get("val_loss", row["train_loss"]))
    for observer in observers:
        observer.on_epoch(t, row)


def with_penalties(training: Training, loss: Tensor) -> Tensor:
    """What an iteration lowers: the loss of a batch and the penalties of the regularizers."""
    for regularizer in training.regularizers:
        penalty = regularizer.penalty(training.model, len(training.data.train))
        if penalty is not None:
            loss = loss + penalty
    return loss


def iterate(training: Training, xb: Tensor, yb: Tensor, iteration: int) -> float:
    """One iteration: forward and backward pass on a batch (n, inputs) with its encoded targets,
    and the update of the weights; returns the objective before that. ``iteration`` counts from 0.
    Raises Diverged."""
    t = training
    t.scheduler.before_iteration(iteration, t.iterations_per_epoch)
    reevaluates = isinstance(t.optimizer, torch.optim.LBFGS)
    masks = t.streams.dropout.get_state() if reevaluates else None
    values: list[float] = []

    def closure() -> Tensor:
        if masks is not None:
            t.streams.dropout.set_state(masks)  # the same masks for all evaluations
        t.optimizer.zero_grad()
        loss = with_penalties(t, t.loss(t.model(xb), yb))
        if not values:
            values.append(loss.item())
            if not math.isfinite(values[0]):
                raise locate(t.model, xb, t.epoch + 1, iteration + 1, updates=iteration)
        loss.backward()
        return loss

    light.step(t.optimizer, closure)
    for regularizer in t.regularizers:
        regularizer.constrain(t.model)
    if t.averaging:
        t.averaging.update()
    return values[0]


def evaluate(training: Training, part: Part) -> dict[str, float]:
    """Mean loss and metrics of one part of the data, with the model as it is, in eval mode."""
    t = training
    t.set_mode(False)
    with torch.inference_mode():
        chunks = [t.model(x) for x in part.x.split(ROWS)]
        outputs = chunks[0] if len(chunks) == 1 else torch.cat(chunks)
        loss = {"loss": t.loss.reported(outputs, part.y)}
        return loss | metrics.evaluate(outputs, part.y, t.data.preprocessing)


@torch.inference_mode()
def all_finite(model: nn.Module) -> bool:
    """Whether all parameters are finite numbers."""
    parameters = list(model.parameters())
    if math.isfinite(torch.stack([w.sum() for w in parameters]).sum().item()):  # the quick look
        return True
    return all(bool(w.isfinite().all()) for w in parameters)


def curve_row(training: Training) -> dict[str, float]:
    """The learning curve's row of the epoch just done: train and validation figures, both measured
    with the weights as they are now, the first on ``Training.measured``. Raises Diverged if a
    weight or a loss is not finite."""
    t = training
    parts = {"train": t.measured, "val": t.data.val}
    figures = {name: evaluate(t, part) for name, part in parts.items() if len(part)}
    broken = not all_finite(t.model)
    for name, values in figures.items():
        if broken or not math.isfinite(values["loss"]):
            x = parts[name].x[:ROWS]
            raise locate(t.model, x, t.epoch, t.iteration, updates=t.iteration)
    return {
        "epoch": t.epoch,
        "iteration": t.iteration,
        "lr": t.optimizer.param_groups[0]["lr"],
        **{f"{part}_{k}": figures[part][k] for k in figures["train"] for part in figures},
    }


def as_averages(row: dict[str, float]) -> dict[str, float]:
    """The figures of a row under the names that they have beside those of the weights themselves:
    ``val_ema_loss`` for ``val_loss``."""
    words = {name: name.partition("_") for name in row}
    return {f"{part}_ema_{what}": row[name] for name, (part, _, what) in words.items() if what}
