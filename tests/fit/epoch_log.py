"""What a training was, epoch by epoch."""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor, nn

from exprun.data.prepare import Data, Part
from exprun.data.preprocess import Preprocessing
from exprun.data.scaling import Scaling
from exprun.data.task import Task
from exprun.fit.loop import fit
from exprun.techniques import losses
from exprun.techniques.optimizers import Momentum
from exprun.techniques.schedules import FactorScheduler, exponential
from exprun.training.callbacks import Callback
from exprun.training.training import Training

STILL = partial(torch.optim.SGD, lr=0.0)


class EpochLog(Callback):
    """Writes down the curves, every finished epoch's whole state, and every batch's inputs."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.states: list[dict] = []
        self.batches: list[Tensor] = []
        self.iterations: list[int] = []

    def on_start(self, training: Training) -> None:
        training.model.register_forward_pre_hook(self._see)

    def _see(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if model.training:
            self.batches.append(inputs[0].clone())

    def on_iteration(self, training: Training, iteration: int) -> None:
        self.iterations.append(iteration)

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        self.rows.append(row)
        self.states.append(copy.deepcopy(training.state_dict()))


def fitted(training: Training) -> tuple[Training, EpochLog]:
    log = EpochLog()
    fit(training, [log])
    return training, log


def same(a: object, b: object) -> bool:
    """Equal to the last bit, through dicts, lists and tensors."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def constant_data(x: list[list[float]], y: list[list[float]]) -> Data:
    """These rows and numbers to train on, as they are."""
    part, none = Part(torch.tensor(x), torch.tensor(y)), Part(torch.empty(0), torch.empty(0))
    width = len(x[0])
    names = tuple(f"x{i}" for i in range(width))
    preprocessing = Preprocessing.identity(names, Task(("y",)), Scaling.identity(1))
    return Data("constant", part, none, none, preprocessing)


# ------------------------------------------------------------------------------ streams

CHANGES = {
    "dropout": {"dropout": [0.5, 0.5]},
    "momentum": {"optimizer": partial(Momentum, lr=0.1)},
    "adam": {"optimizer": partial(torch.optim.Adam, lr=0.01)},
    "batch norm": {"norm": nn.BatchNorm1d},
    "schedule": {"scheduler": partial(FactorScheduler, factor=partial(exponential, gamma=0.5))},
    "loss": {"loss": losses.BinaryCrossEntropy},
}
