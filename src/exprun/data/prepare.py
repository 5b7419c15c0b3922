"""From a table to what a training reads: three parts, preprocessed, as tensors on the device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from exprun.data.preprocess import Preprocessing, Scaling
from exprun.data.split import Rows, split
from exprun.data.table import Table
from exprun.streams import stream


@dataclass(frozen=True)
class Part:
    """Rows of one part: ``x`` (n, features) float32; ``y`` (n,) class ids or (n, targets) float32,
    standardised if the target is."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Data:
    """A data set ready for training."""

    name: str
    train: Part
    val: Part
    test: Part
    preprocessing: Preprocessing


def prepare(
    table: Table,
    *,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    standardize: bool = True,
    standardize_target: bool = False,
    device: torch.device | str = "cpu",
) -> Data:
    """Split, fit the preprocessing on the training rows, and move everything to the device.

    Raises UsageError if the table cannot be split as asked.
    """
    parts = split(table, val_fraction, test_fraction, stream(split_seed, "split"))
    features = len(table.features)
    inputs = (
        Scaling.standardize(table.x[parts.train]) if standardize else Scaling.identity(features)
    )
    if table.task.classes:
        target = Scaling.identity(0)
    elif standardize_target:
        target = Scaling.standardize(table.y[parts.train].astype(np.float64))
    else:
        target = Scaling.identity(table.task.width)

    def part(rows: Rows) -> Part:
        x = torch.from_numpy(inputs.apply(table.x[rows]).astype(np.float32))
        if table.task.classes:
            y = torch.from_numpy(table.y[rows])
        else:
            y = torch.from_numpy(target.apply(table.y[rows].astype(np.float64)).astype(np.float32))
        return Part(x.to(device), y.to(device))

    return Data(
        name=table.name,
        train=part(parts.train),
        val=part(parts.val),
        test=part(parts.test),
        preprocessing=Preprocessing(table.features, inputs, table.task, target),
    )
