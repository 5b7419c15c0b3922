"""From new rows to answers: labels and probabilities of classes, numbers in the target's own unit.

``Model`` is what a training leaves: a network, and what stands before and behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exprun.common.errors import UsageError
from exprun.data.frame import Frame
from exprun.data.preprocess import Preprocessing
from exprun.data.task import Task

ROWS = 8192
"""Rows at a time: bounds the memory of the activations."""


def probabilities(outputs: Tensor, activation: str) -> Tensor:
    """Probabilities of the classes, (n, K) float64 whose rows add up to 1, from outputs (n, K), or
    (n, 1) for two classes.

    ``activation`` is the loss's ``output_activation``: softmax; or sigmoid, one for each class, of
    which the shares are taken if there are more than two, as scikit-learn's ``OneVsRestClassifier``
    does; or identity, outputs that were trained towards 0 and 1: the shares of what is above 0.
    """
    z = outputs.double()
    if activation == "softmax":
        return z.softmax(1)
    if z.shape[1] == 1:
        z = torch.cat([-z, z], 1)
    positive = z.sigmoid() if activation == "sigmoid" else z.clamp_min(0)
    total = positive.sum(1, keepdim=True)
    return torch.where(total > 0, positive / total, 1 / positive.shape[1])


def class_ids(outputs: Tensor) -> Tensor:
    """The predicted classes (n,) of outputs (n, K), or (n, 1) for two classes."""
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > 0).long()
    return outputs.max(1).indices  # argmax, five times as fast where outputs lie unit by unit


@torch.inference_mode()
def forward(network: nn.Module, x: Tensor) -> Tensor:
    """The outputs (n, K) for inputs (n, width), in eval mode, some rows at a time."""
    network.eval()
    return torch.cat([network(rows) for rows in x.split(ROWS)])


@dataclass(frozen=True)
class Prediction:
    """The answers for some rows.

    Of classes: ``labels`` (n,) as they were spelled, and ``values`` (n, K), their probabilities in
    the order of ``task.classes``. Of numbers: ``values`` (n, targets).
    """

    task: Task
    labels: NDArray[np.object_] | None
    values: NDArray[np.float32] | NDArray[np.float64]

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """Named columns: the target, and ``probability_<label>`` for each class."""
        if self.labels is None:
            return dict(zip(self.task.targets, self.values.T, strict=True))
        names = [f"probability_{label}" for label in self.task.classes]
        return {self.task.targets[0]: self.labels, **dict(zip(names, self.values.T, strict=True))}


@dataclass(frozen=True)
class Model:
    """A trained network, the preprocessing of its inputs, and what its outputs mean (see
    ``probabilities``)."""

    network: nn.Module
    preprocessing: Preprocessing
    output_activation: str

    def outputs(self, frame: Frame) -> Tensor:
        """The network's outputs (n, K). Raises UsageError if one is not a finite number, or for
        what ``Preprocessing.apply`` refuses."""
        parts = []
        for first in range(0, len(frame), ROWS):
            rows = slice(first, first + ROWS)
            x = torch.from_numpy(self.preprocessing.apply(frame, rows))
            parts.append(forward(self.network, x))
        outputs = torch.cat(parts)
        finite = outputs.isfinite().all(1)
        if not finite.all():
            row = int(finite.logical_not().nonzero()[0]) + 1
            raise UsageError(f"the network's answer to row {row} is not a finite number")
        return outputs

    def predict(self, frame: Frame) -> Prediction:
        """The answers for a frame's rows, in their order; raises what ``outputs`` raises."""
        return self.answers(self.outputs(frame))

    def answers(self, outputs: Tensor) -> Prediction:
        """What the network's outputs (n, K) say."""
        task, target = self.preprocessing.task, self.preprocessing.target
        if task.classes:
            labels = np.array(task.classes, dtype=object)[class_ids(outputs).numpy()]
            shares = probabilities(outputs, self.output_activation).float()
            return Prediction(task, labels, shares.numpy())
        numbers = outputs.double().numpy() * np.array(target.std) + np.array(target.mean)
        return Prediction(task, None, numbers)
