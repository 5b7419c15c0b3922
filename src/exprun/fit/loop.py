"""The training loop.

``fit`` goes through the epochs, ``iterate`` is one forward and backward pass; after each epoch
comes a validation, and whoever watches is told. Everything here takes plain objects and knows
nothing of configs, files and screens.

``iterate`` is what every iteration does, and what runs when nothing faster will do. Faster are
whole epochs as compiled code (``engine.native``), and, where that cannot be, the operations of an
iteration recorded and replayed (``engine.replay``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from exprun.common.constants import COMPLETED, DIVERGED, EARLY_STOPPED, INTERRUPTED
from exprun.engine.native import masks as dropout_masks
from exprun.engine.native.network import NOT_ASKED, Changed
from exprun.engine.native.network import obstacle as native_obstacle
from exprun.engine.native.training import NativeTraining
from exprun.engine.replay import ReplayedTraining
from exprun.engine.replay import obstacle as replay_obstacle
from exprun.engine.tape import Unrecordable
from exprun.fit.learning_curve import Curve, ema_columns
from exprun.techniques import torch_optim
from exprun.training.batch_norm import recompute_statistics
from exprun.training.batches import blocks
from exprun.training.callbacks import Callback, Outcome
from exprun.training.divergence import Diverged, locate
from exprun.training.training import Training

NOT_FINITE = "a loss was not finite, or too large to be added up"
"""Why a replay was given up."""


def fit(
    training: Training,
    callbacks: Sequence[Callback] = (),
    interrupted: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train until ``max_epochs``, early stopping, divergence, or ``interrupted()``.

    Afterwards ``training.kept`` holds the weights that are the model. An interrupted epoch counts
    as not begun.
    """
    for callback in callbacks:
        callback.on_start(training)
    return continue_fit(training, callbacks, interrupted)


def continue_fit(
    training: Training, callbacks: Sequence[Callback], interrupted: Callable[[], bool]
) -> Outcome:
    """``fit`` for a training that the callbacks know already."""
    t = training
    dropout_masks.register()
    seconds, rows = 0.0, 0
    not_native, ordinary = native_obstacle(t), replay_obstacle(t)
    native = None if not_native else NativeTraining(t)
    replay = None if native or ordinary else ReplayedTraining(t, with_penalties)
    curve = Curve(t, replayed=replay is not None, native=native)

    def outcome(status: str, reason: str) -> Outcome:
        engine = describe_engine(not_native, ordinary)
        return Outcome(status, reason, rows / seconds if seconds else 0.0, engine)

    try:
        while not (ending := ended(t)):
            began = time.perf_counter()
            before = native.save() if native else t.snapshot()
            go_back = native.restore if native else t.load_state_dict
            try:
                done = train_epoch(t, native, replay, callbacks, interrupted)
                sound = replay is None or replay.all_finite()
            except Changed as why:  # nothing of what the engine was made for may be assumed
                go_back(before)
                native, not_native = None, str(why)
                replay = None if ordinary else ReplayedTraining(t, with_penalties)
                curve = Curve(t, replayed=replay is not None)
                continue
            except Unrecordable as why:
                ordinary, sound = str(why), False
            if not sound:  # once more, and look at every loss
                go_back(before)
                replay, ordinary = None, ordinary or NOT_FINITE
                continue
            if done is None:
                go_back(before)
                return outcome(INTERRUPTED, f"interrupted in epoch {t.epoch + 1}")
            seconds += time.perf_counter() - began
            rows += t.rows_per_epoch
            end_epoch(t, curve, done, callbacks)
    except Diverged as divergence:
        return outcome(DIVERGED, str(divergence))
    return outcome(*ending)


def describe_engine(not_native: str | None, ordinary: str | None) -> str:
    """What computed the iterations, and why nothing faster did: ``engine`` of ``result.json``."""
    if not_native is None:
        return "native"
    used = f"ordinary: {ordinary}" if ordinary else "replayed"
    return used if not_native == NOT_ASKED else f"{used}; not native: {not_native}"


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
    native: NativeTraining | None,
    replay: ReplayedTraining | None,
    callbacks: Sequence[Callback],
    interrupted: Callable[[], bool],
) -> int | None:
    """Train on all training rows in a new order; returns the iterations done since the start of the
    training, or None if it was interrupted."""
    t = training
    t.set_mode(True)
    done = 0
    for done in iterations(t, native, replay):
        for callback in callbacks:
            callback.on_iteration(t, t.iteration + done)
        if interrupted():
            return None
    return t.iteration + done


def iterations(
    training: Training, native: NativeTraining | None, replay: ReplayedTraining | None
) -> Iterator[int]:
    """Do those of an epoch, one or several at a time; yields how many are done."""
    t = training
    order = new_order(t)
    done = 0
    while native and done < t.iterations_per_epoch:
        done += native(order, done)
        yield done
    for xs, ys in () if native else batches(t, order):
        end = done + len(xs)
        while done < end:
            if replay:
                done += replay(xs[done - end :], ys[done - end :], done)
            else:
                iterate(t, xs[done - end], ys[done - end], t.iteration + done)
                done += 1
            yield done


def new_order(training: Training) -> Tensor:
    """The training rows of an epoch, as they are gone through, on the CPU."""
    return torch.randperm(len(training.data.train), generator=training.streams.order)


def batches(training: Training, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches (m, n, inputs) of all training rows in this order, and their targets."""
    t, rows = training, order.to(training.device)
    return blocks(t.data.train.x, t.targets, rows, t.batch_size or len(rows), t.smallest_batch)


def end_epoch(
    training: Training, curve: Curve, iterations: int, callbacks: Sequence[Callback]
) -> None:
    """Measure what the epoch has brought, keep its weights if they are the best, and tell the
    scheduler and the callbacks. Raises Diverged."""
    t = training
    t.epoch, t.iteration = t.epoch + 1, iterations
    row = models_row = curve.row()
    with t.averaging.applied(t.iteration) if t.averaging else nullcontext():
        if t.averaging:
            t.set_mode(False)
            recompute_statistics(t.model, t.data.train.x)
            models_row = curve.row()
            row = row | ema_columns(models_row)
        t.history.append(row)
        if t.stopping.update(t.epoch, models_row):
            t.kept = t.copied_tensors()
            t.kept_row = models_row
    lowered = "weighted_loss" if "train_weighted_loss" in row else "loss"
    t.scheduler.after_epoch(row.get(f"val_{lowered}", row[f"train_{lowered}"]))
    for callback in callbacks:
        callback.on_epoch(t, row)


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
    values: list[float] = []

    def closure() -> Tensor:
        t.optimizer.zero_grad()
        loss = with_penalties(t, t.loss(t.model(xb), yb))
        if not values:
            values.append(loss.item())
            if not math.isfinite(values[0]):
                raise locate(t.model, xb, t.epoch + 1, iteration + 1, updates=iteration)
        loss.backward()
        return loss

    torch_optim.step(t.optimizer, closure)
    for regularizer in t.regularizers:
        regularizer.constrain(t.model)
    if t.averaging:
        t.averaging.update()
    t.streams.dropout.advance()
    return values[0]
