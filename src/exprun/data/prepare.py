"""From a table to what a training reads: three parts, preprocessed, as tensors on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exprun.data.preprocess import Preprocessing, Scaling
from exprun.data.split import Rows, split
from exprun.data.table import Table
from exprun.errors import UsageError
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
        x = _single(inputs.apply(table.x[rows]), table.features, table.name)
        if table.task.classes:
            y = torch.from_numpy(table.y[rows])
        else:
            values = target.apply(table.y[rows].astype(np.float64))
            y = _single(values, table.task.targets, table.name)
        return Part(x.to(device), y.to(device))

    return Data(
        name=table.name,
        train=part(parts.train),
        val=part(parts.val),
        test=part(parts.test),
        preprocessing=Preprocessing(table.features, inputs, table.task, target),
    )


def _single(values: NDArray[np.float64], names: Sequence[str], source: str) -> Tensor:
    """(rows, columns) as float32; raises UsageError for a number that is too large for it."""
    fits = (np.abs(values) <= np.finfo(np.float32).max).all(axis=0)
    if not fits.all():
        name = names[int(np.argmin(fits))]
        raise UsageError(f"{source}: column {name!r} has numbers too large for 32 bits, above 3e38")
    return torch.from_numpy(values.astype(np.float32))
