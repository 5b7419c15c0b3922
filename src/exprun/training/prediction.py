"""Predictions for new rows: labels and probabilities of classes, or numbers in the target's unit.

``Model`` is a trained network with the preprocessing of its inputs and the meaning of its outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exprun.common.errors import UsageError
from exprun.data.frame import Frame
from exprun.data.one_hot_inputs import Inputs
from exprun.data.preprocess import Preprocessing
from exprun.data.task import Task

ROWS, NUMBERS = 8192, 2**24
"""Most rows of a forward pass, and most numbers of its inputs, 64 MiB, which bound its memory."""


def rows_at_once(width: int) -> int:
    """Rows of a forward pass with so many inputs."""
    return max(1, min(ROWS, NUMBERS // max(1, width)))


def probabilities(outputs: Tensor, activation: str) -> Tensor:
    """Probabilities of the classes, (n, K) float64 whose rows add up to 1, from outputs (n, K), or
    (n, 1) for two classes.

    ``activation`` is the loss's ``output_activation``: ``softmax``; ``sigmoid``, one per class,
    normalised to sum 1 for more than two classes, as scikit-learn's ``OneVsRestClassifier`` does;
    or ``identity`` for outputs trained towards 0 and 1: their positive parts, normalised.
    """
    z = outputs.double()
    if activation == "softmax":
        return z.softmax(1)
    if z.shape[1] == 1:
        z = torch.cat([-z, z], 1)
    positive = z.sigmoid() if activation == "sigmoid" else z.clamp_min(0)
    total = positive.sum(1, keepdim=True)
    return torch.where(total > 0, positive / total, 1 / positive.shape[1])


def amounts(outputs: Tensor, activation: str) -> Tensor:
    """The predicted numbers, (n, targets) float64, standardised as the targets are: the outputs, or
    their exponentials for the ``activation`` ``exp``."""
    return outputs.double().exp() if activation == "exp" else outputs.double()


def class_ids(outputs: Tensor) -> Tensor:
    """The predicted classes (n,) of outputs (n, K), or (n, 1) for two classes."""
    if outputs.shape[1] == 1:
        return (outputs[:, 0] > 0).long()
    return outputs.max(1).indices  # argmax, but five times as fast for outputs stored unit by unit


@torch.inference_mode()
def forward(network: nn.Module, x: Inputs) -> Tensor:
    """The outputs (n, K) for inputs (n, width), in eval mode, ``rows_at_once``."""
    network.eval()
    return torch.cat([network(rows) for rows in x.split(rows_at_once(x.shape[1]))])


@dataclass(frozen=True)
class Prediction:
    """The predictions for n rows.

    For classes: ``labels`` (n,) as spelled in the data, and ``values`` (n, K), the probabilities in
    the order of ``task.classes``. For numbers: ``values`` (n, targets), and ``labels`` is None.
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
    """A trained network, the preprocessing of its inputs, and the activation that turns its outputs
    into probabilities or numbers (see ``probabilities`` and ``amounts``)."""

    network: nn.Module
    preprocessing: Preprocessing
    output_activation: str

    def outputs(self, frame: Frame) -> Tensor:
        """The network's outputs (n, K) for a frame of n rows. Raises UsageError if one is not
        finite, and as ``Preprocessing.apply`` does."""
        parts = []
        step = rows_at_once(self.preprocessing.width)
        for first in range(0, len(frame), step):
            rows = slice(first, first + step)
            x = torch.from_numpy(self.preprocessing.apply(frame, rows))
            parts.append(forward(self.network, x))
        outputs = torch.cat(parts)
        finite = outputs.isfinite().all(1)
        if not finite.all():
            row = int(finite.logical_not().nonzero()[0]) + 1
            raise UsageError(f"the network's answer to row {row} is not a finite number")
        return outputs

    def predict(self, frame: Frame) -> Prediction:
        """The predictions for a frame's rows, in order; raises UsageError as ``outputs`` does."""
        return self.answers(self.outputs(frame))

    def answers(self, outputs: Tensor) -> Prediction:
        """The predictions that the network's outputs (n, K) mean."""
        task, target = self.preprocessing.task, self.preprocessing.target
        if task.classes:
            labels = np.array(task.classes, dtype=object)[class_ids(outputs).numpy()]
            shares = probabilities(outputs, self.output_activation).float()
            return Prediction(task, labels, shares.numpy())
        standardized = amounts(outputs, self.output_activation).numpy()
        return Prediction(task, None, standardized * np.array(target.std) + np.array(target.mean))
