"""The training loop.

``fit`` loops over epochs, ``iterate`` is one forward and backward pass with its update. Each epoch
ends with an evaluation and the callbacks' ``on_epoch``. Everything here takes plain objects and is
independent of configs, files and terminals.

``iterate`` is the reference for every engine and the fallback. Faster are whole epochs in compiled
code (``engine.native``) and, where that is not possible, replay of an iteration's recorded
operations (``engine.replay``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

from torch import Tensor

from exprun.common.constants import COMPLETED, DIVERGED, EARLY_STOPPED, INTERRUPTED, STOPPED
from exprun.engine.native import random_numbers
from exprun.engine.native.network import NOT_ASKED, Changed
from exprun.engine.native.network import obstacle as native_obstacle
from exprun.engine.native.training import NativeTraining
from exprun.engine.replay import ReplayedTraining
from exprun.engine.replay import obstacle as replay_obstacle
from exprun.engine.tape import Unrecordable
from exprun.fit.learning_curve import Curve, ema_columns
from exprun.techniques import torch_optim
from exprun.training.batch_norm import recompute_statistics
from exprun.training.batches import ReadAhead, blocks, shuffled
from exprun.training.callbacks import Callback, Outcome
from exprun.training.divergence import Diverged, locate
from exprun.training.training import Training

NOT_FINITE = "a loss was not finite, or too large to be added up"
"""Reason for abandoning replay."""


def fit(
    training: Training,
    callbacks: Sequence[Callback] = (),
    interrupted: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train until ``max_epochs``, early stopping, divergence, ``pause_epoch``, or ``interrupted()``
    is true.

    Afterwards ``training.kept`` holds the model's weights. An interrupted epoch is rolled back.
    """
    for callback in callbacks:
        callback.on_start(training)
    return continue_fit(training, callbacks, interrupted)


def continue_fit(
    training: Training, callbacks: Sequence[Callback], interrupted: Callable[[], bool]
) -> Outcome:
    """``fit`` without calling ``on_start``, for a training whose callbacks have been started."""
    t = training
    random_numbers.register()
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
            except Changed as why:  # the native network no longer matches the training
                go_back(before)
                native, not_native = None, str(why)
                t.not_native = not_native
                replay = None if ordinary else ReplayedTraining(t, with_penalties)
                curve = Curve(t, replayed=replay is not None)
                continue
            except Unrecordable as why:
                ordinary, sound = str(why), False
            if not sound:  # repeat the epoch eagerly, checking every loss
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
    """The engine that computed the iterations and why no faster one was used: ``engine`` of
    ``result.json``."""
    if not_native is None:
        return "native"
    used = f"ordinary: {ordinary}" if ordinary else "replayed"
    return used if not_native == NOT_ASKED else f"{used}; not native: {not_native}"


def ended(training: Training) -> tuple[str, str] | None:
    """Status and reason if the training has ended, else None."""
    t = training
    if t.stopping.exhausted:
        waited = f"{t.stopping.monitor} has not improved for {t.stopping.patience} epochs"
        return EARLY_STOPPED, waited
    if t.epoch >= t.max_epochs:
        return COMPLETED, f"all {t.max_epochs} epochs done" if t.max_epochs > 1 else "1 epoch done"
    if t.pause_epoch is not None and t.epoch >= t.pause_epoch:
        return STOPPED, f"paused after {t.epoch} of {t.max_epochs} epochs"
    return None


def train_epoch(
    training: Training,
    native: NativeTraining | None,
    replay: ReplayedTraining | None,
    callbacks: Sequence[Callback],
    interrupted: Callable[[], bool],
) -> int | None:
    """Train on all training rows in a new random order; returns the number of iterations since the
    start of the training, or None if interrupted."""
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
    """Run the iterations of an epoch, one or several at a time; yields how many have been run."""
    t, data = training, training.data
    order = new_order(t)
    buffer = data.shuffle_buffer
    read_ahead = ReadAhead(data.train.x, order, buffer) if buffer else None
    done, size = 0, t.batch_size or 0
    while native and done < t.iterations_per_epoch:
        if read_ahead:
            read_ahead(done * size)
        done += native(order, done)
        yield done
    for xs, ys in () if native else batches(t, order):
        if read_ahead:
            read_ahead(done * size)
        end = done + len(xs)
        while done < end:
            if replay:
                done += replay(xs[done - end :], ys[done - end :], done)
            else:
                iterate(t, xs[done - end], ys[done - end], t.iteration + done)
                done += 1
            yield done


def new_order(training: Training) -> Tensor:
    """A random permutation of the training rows' indices, (n,) int64 on the CPU."""
    data = training.data
    rows = len(data.train)
    return shuffled(rows, data.shuffle_buffer or rows, training.streams.order)


def batches(training: Training, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield blocks of m batches of the training rows in this order: inputs (m, n, inputs) and
    encoded targets (m, n, …)."""
    t, rows = training, order.to(training.device)
    return blocks(t.data.train.x, t.targets, rows, t.batch_size or len(rows), t.smallest_batch)


def end_epoch(
    training: Training, curve: Curve, iterations: int, callbacks: Sequence[Callback]
) -> None:
    """Evaluate the epoch, keep its weights if they are the best, and call the scheduler and the
    callbacks. ``iterations`` counts from the start of the training. Raises Diverged."""
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
    """The objective of an iteration, a scalar: a batch's loss plus the regularizers' penalties."""
    for regularizer in training.regularizers:
        penalty = regularizer.penalty(training.model, len(training.data.train))
        if penalty is not None:
            loss = loss + penalty
    return loss


def iterate(training: Training, xb: Tensor, yb: Tensor, iteration: int) -> float:
    """One iteration: forward and backward pass on a batch (n, inputs) with its encoded targets,
    then the update of the weights. Returns the objective before the update. ``iteration`` counts
    from 0. Raises Diverged if the objective is not finite."""
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
