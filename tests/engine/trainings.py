"""Trainings that are replayed and plain, of all optimizers, regularizers and schedules."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.optim.lr_scheduler import LRScheduler

from exprun.config.paths import conf_dir
from exprun.data.frame import Frame
from exprun.data.prepare import prepare
from exprun.data.table import Table
from exprun.data.task import Task
from exprun.fit.loop import fit
from exprun.techniques.optimizers import Adamax, Momentum, NAdam, RAdam
from exprun.techniques.schedules import FactorScheduler, TorchScheduler
from exprun.training.callbacks import Outcome
from exprun.training.training import Training
from tests.conftest import built, same_bits, training

OPTIMIZERS = sorted({f.stem for f in (conf_dir() / "optimizer").glob("*.yaml")} - {"lbfgs"})
REGULARIZERS = [
    "none",
    "dropout",
    "l1,l2",
    "elastic_net",
    "max_norm",
    "weight_decay",
    "label_smoothing",
    "dropout,l1,l2,elastic_net,max_norm,label_smoothing",
]


TORCHS = "scheduler._target_=torch.optim.lr_scheduler"
ENGINES = {True: "replay", False: "plain"}
"""What computes the iterations, by whether they are replayed."""


def both(make: Callable[[bool], Training], engine: str | None = "replayed") -> list[Outcome]:
    """Fit one that replays and one that does not, which must end as the same."""
    trainings = make(True), make(False)
    outcomes = [fit(t) for t in trainings]
    replayed, ordinary = trainings
    assert same_bits(replayed.state_dict(), ordinary.state_dict())
    assert [o.status for o in outcomes] == [outcomes[1].status] * 2
    assert [o.reason for o in outcomes] == [outcomes[1].reason] * 2
    assert outcomes[1].engine == "ordinary: trainer.engine=plain"
    assert engine is None or outcomes[0].engine == engine
    return outcomes


def from_words(*words: str) -> Callable[[bool], Training]:
    return lambda replay: built(*words, f"trainer.engine={ENGINES[replay]}")


def by_hand(data: Any, **options: Any) -> Callable[[bool], Training]:
    return lambda replay: training(data, **options, engine=ENGINES[replay])


def targets(number: int) -> Any:
    """100 rows to train on, 50 to validate on, of 3 features and some targets."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(150, 3, generator=random, dtype=torch.float64)
    y = (x @ torch.randn(3, number, generator=random, dtype=torch.float64)).tanh()
    names = tuple(f"y{i}" for i in range(number))
    table = Table("several", Frame(("a", "b", "c"), x.numpy()), y.numpy(), Task(names))
    return prepare(table, val_fraction=1 / 3, test_fraction=0)


# ------------------------------------------------------------------------------ learning rates


def factors(*values: float) -> Any:
    """A schedule with these factors, an epoch each, then the last one."""
    return partial(FactorScheduler, factor=lambda t: values[min(int(t), len(values) - 1)])


# ------------------------------------------------------------------------------ hyperparameters


class Sets(LRScheduler):
    """Somebody's own scheduler, which gives a hyperparameter another value now and then."""

    def __init__(self, optimizer: Any, name: str, values: dict[int, Any]) -> None:
        self.name, self.values = name, values
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        for group in self.optimizer.param_groups:
            group[self.name] = self.values.get(self.last_epoch, group[self.name])
        return [group["lr"] for group in self.optimizer.param_groups]


Optim = torch.optim
HYPERPARAMETERS: dict[str, tuple[Any, Any]] = {
    "sgd momentum": (partial(Optim.SGD, momentum=0.5), 0.95),
    "sgd momentum turned on": (Optim.SGD, 0.9),
    "sgd momentum turned off": (partial(Optim.SGD, momentum=0.9), 0.0),
    "sgd dampening": (partial(Optim.SGD, momentum=0.9), 0.5),
    "sgd nesterov": (partial(Optim.SGD, momentum=0.9), True),
    "sgd weight_decay": (Optim.SGD, 0.5),
    "sgd maximize": (Optim.SGD, True),
    "rmsprop momentum": (partial(Optim.RMSprop, momentum=0.5), 0.9),
    "rmsprop alpha": (Optim.RMSprop, 0.5),
    "rmsprop eps": (Optim.RMSprop, 0.1),
    "adam betas": (partial(Optim.Adam, fused=True), (0.5, 0.9)),
    "adam eps": (partial(Optim.Adam, fused=True), 0.1),
    "adam weight_decay": (partial(Optim.Adam, fused=True), 0.1),
    "adamw weight_decay": (partial(Optim.AdamW, fused=True), 0.5),
    "adagrad weight_decay": (partial(Optim.Adagrad, fused=True), 0.5),
    "adadelta rho": (Optim.Adadelta, 0.5),
    "momentum momentum": (Momentum, 0.5),
    "nadam momentum_decay": (NAdam, 0.5),
    "radam betas": (RAdam, (0.5, 0.9)),
    "adamax weight_decay": (Adamax, 0.5),
}


def sets(name: str, values: dict[int, Any], interval: str = "epoch") -> Any:
    return lambda optimizer: TorchScheduler(
        optimizer, Sets(optimizer, name, values), interval=interval
    )


# ------------------------------------------------------------------------------ as it is written


class OwnOptimizer(torch.optim.SGD):
    """The tests' own."""
