"""What a scheduler, or anybody, changes while a training is replayed."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR, SequentialLR

from exprun.fit.loop import fit
from exprun.techniques.optimizers import Momentum
from exprun.techniques.schedules import TorchScheduler
from exprun.training.callbacks import Callback
from exprun.training.training import Training
from tests.conftest import built, same_bits, training
from tests.engine.trainings import ENGINES, HYPERPARAMETERS, Optim, both, by_hand, factors, sets

pytestmark = pytest.mark.usefixtures("measured_by_replay")

MOVING = {
    "sgd": torch.optim.SGD,
    "momentum": Momentum,
    "rmsprop": torch.optim.RMSprop,
    "adadelta": torch.optim.Adadelta,
    "fused adam": partial(torch.optim.Adam, fused=True),
}


@pytest.mark.parametrize(
    "schedule",
    [(1, 0), (1, 0, 1), (1, 1, 0, 0, 1), (1, 100, 1e-30, 1)],
    ids=str,
)
@pytest.mark.parametrize("optimizer", MOVING.values(), ids=MOVING)
def test_a_learning_rate_that_becomes_nothing(iris, optimizer: Any, schedule: Any) -> None:
    options = {"optimizer": partial(optimizer, lr=0.01), "scheduler": factors(*schedule)}
    both(by_hand(iris, max_epochs=6, **options), engine=None)


@pytest.mark.parametrize("schedule", [(0, 1), (0, 0, 1), (0, 1, 0, 1)], ids=str)
@pytest.mark.parametrize("batch_size", [16, None])
@pytest.mark.parametrize("optimizer", MOVING.values(), ids=MOVING)
def test_a_learning_rate_of_nothing_at_first(
    iris, optimizer: Any, batch_size: int | None, schedule: Any
) -> None:
    options = {"optimizer": partial(optimizer, lr=0.01), "scheduler": factors(*schedule)}
    both(by_hand(iris, max_epochs=6, batch_size=batch_size, **options), engine=None)


def test_a_cycle_from_a_learning_rate_of_zero() -> None:
    def make(replay: bool) -> Training:
        made = built(
            "optimizer=momentum", f"trainer.engine={ENGINES[replay]}", "trainer.max_epochs=5"
        )
        cycle = torch.optim.lr_scheduler.CyclicLR(
            made.optimizer, base_lr=0.0, max_lr=0.5, step_size_up=2, cycle_momentum=False
        )
        made.scheduler = TorchScheduler(made.optimizer, cycle)
        return made

    both(make, engine=None)


@pytest.mark.parametrize("at", [{"epoch": 3}, {"iteration": 25}], ids=["epoch", "iteration"])
@pytest.mark.parametrize("what", HYPERPARAMETERS)
def test_a_hyperparameter_that_a_scheduler_changes(iris, what: str, at: dict[str, int]) -> None:
    """Once: what comes after it is recorded anew."""
    optimizer, value = HYPERPARAMETERS[what]
    (interval, time), name = next(iter(at.items())), what.split()[1]
    options = {"optimizer": partial(optimizer, lr=0.01), "max_epochs": 5}
    both(by_hand(iris, scheduler=sets(name, {time: value}, interval), **options))
    changed, unchanged = (
        training(iris, scheduler=sets(name, {time: value} if set_ else {}, interval), **options)
        for set_ in (True, False)
    )
    fit(changed)
    fit(unchanged)
    assert changed.history[2] == unchanged.history[2]  # iteration 25 is in the fourth epoch
    assert changed.history[-1]["train_loss"] != unchanged.history[-1]["train_loss"]


@pytest.mark.parametrize("interval", ["epoch", "iteration"])
@pytest.mark.parametrize("what", ["sgd momentum", "adamw weight_decay", "momentum momentum"])
def test_a_hyperparameter_that_changes_all_the_time(iris, what: str, interval: str) -> None:
    optimizer, value = HYPERPARAMETERS[what]
    name = what.split()[1]
    values = {time: value * (1 - 0.001 * time) for time in range(100)}
    options = {"optimizer": partial(optimizer, lr=0.01), "max_epochs": 8}
    make = by_hand(iris, scheduler=sets(name, values, interval), **options)
    both(make, engine=f"ordinary: {name} changes too often")


def warm_then_cycle(optimizer: Any) -> TorchScheduler:
    """Five iterations of a constant rate, then one cycle, which moves the momentum too."""
    schedulers = [
        ConstantLR(optimizer, factor=0.5, total_iters=5),
        OneCycleLR(optimizer, max_lr=0.1, total_steps=40),
    ]
    return TorchScheduler(
        optimizer, SequentialLR(optimizer, schedulers, milestones=[5]), interval="iteration"
    )


@pytest.mark.parametrize(
    "optimizer",
    [Optim.SGD, partial(Optim.SGD, momentum=0.9), Optim.RMSprop, partial(Optim.Adam, fused=True)],
    ids=["sgd", "sgd with momentum", "rmsprop", "adam"],
)
def test_torchs_cycle_behind_another_schedule(iris, optimizer: Any) -> None:
    make = by_hand(iris, optimizer=partial(optimizer, lr=0.05), scheduler=warm_then_cycle)
    both(make, engine=None)


class Restarts(LRScheduler):
    """Somebody's own scheduler, which forgets what the optimizer has gathered."""

    def get_lr(self) -> list[float]:
        if self.last_epoch == 3:
            self.optimizer.state.clear()
        return [group["lr"] for group in self.optimizer.param_groups]


@pytest.mark.parametrize("optimizer", [Momentum, partial(Optim.AdamW, fused=True)])
def test_a_state_that_a_scheduler_clears(iris, optimizer: Any) -> None:
    def scheduler(optimizer: Any) -> TorchScheduler:
        return TorchScheduler(optimizer, Restarts(optimizer))

    both(by_hand(iris, optimizer=partial(optimizer, lr=0.05), scheduler=scheduler, max_epochs=6))


def test_a_callback_that_changes_a_hyperparameter(iris) -> None:
    class Raises(Callback):
        def on_epoch(self, training: Training, row: dict[str, float]) -> None:
            training.optimizer.param_groups[0]["momentum"] = 0.1 * training.epoch

    trainings = [
        training(iris, optimizer=partial(Optim.SGD, lr=0.05), engine=engine)
        for engine in ("replay", "plain")
    ]
    engines = [fit(t, [Raises()]).engine for t in trainings]
    assert engines == ["replayed", "ordinary: trainer.engine=plain"]
    assert same_bits(trainings[0].state_dict(), trainings[1].state_dict())


def test_resumed_after_a_hyperparameter_was_changed(iris) -> None:
    def make(max_epochs: int) -> Training:
        momentum = sets("momentum", {3: 0.95, 5: 0.1})
        sgd = partial(Optim.SGD, lr=0.05, momentum=0.5)
        return training(iris, optimizer=sgd, scheduler=momentum, max_epochs=max_epochs)

    whole, begun, resumed = make(8), make(4), make(8)
    fit(whole)
    fit(begun)
    resumed.load_state_dict(copy.deepcopy(begun.state_dict()))
    fit(resumed)
    assert same_bits(resumed.state_dict(), whole.state_dict())
