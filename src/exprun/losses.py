"""Losses: what the network's outputs are compared with, and how (slide "Gradient Descent").

A batch's loss is the mean over its rows (``reduction="mean"``) or their sum, the slides' mini-batch
form (``"sum"``). The losses reported in curves and results are always the
mean over rows, without label smoothing and penalties, so that techniques can be compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from exprun.data.task import Task
from exprun.errors import UsageError

Reduction = Literal["mean", "sum"]


class Loss(ABC):
    """A loss for one task: the shape of its targets, the number of outputs, and its value."""

    needs_classes = False

    def __init__(self, task: Task, reduction: Reduction = "mean") -> None:
        """Raises UsageError if the loss is one of classes and the task has none."""
        if self.needs_classes and not task.classes:
            raise UsageError(
                "loss: cross-entropy needs classes, and this is a regression task; "
                "expected loss=mse, mae or huber"
            )
        self.task = task
        self.reduction: Reduction = reduction
        self.label_smoothing = 0.0

    @property
    def outputs(self) -> int:
        """Units of the network's output layer."""
        return self.task.width

    def encode(self, y: Tensor) -> Tensor:
        """Class ids (n,) int64 as one-hot (n, classes) float; numbers (n, targets) as they are."""
        if self.task.classes:
            return F.one_hot(y, len(self.task.classes)).float()
        return y

    @abstractmethod
    def rows(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """The loss of every row, (…, n), from outputs (…, n, K) and encoded targets."""

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The training loss of a batch (n, K), a scalar; of several ones (k, n, K), (k,)."""
        return self.reduced(self.rows(outputs, targets, self.label_smoothing))

    def reduced(self, rows: Tensor) -> Tensor:
        """What the losses of a batch's rows, (n,) or (k, n), make together."""
        return rows.mean(-1) if self.reduction == "mean" else rows.sum(-1)


class CrossEntropy(Loss):
    """Softmax and negative log-likelihood of the true class."""

    needs_classes = True

    def encode(self, y: Tensor) -> Tensor:
        return y

    def rows(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        flat = F.cross_entropy(
            outputs.flatten(0, -2),
            targets.flatten(),
            reduction="none",
            label_smoothing=label_smoothing,
        )
        return flat.view(targets.shape)


class BinaryCrossEntropy(Loss):
    """Sigmoid and binary cross-entropy, summed over a row's outputs (Nielsen, ch. 3).

    Two classes share one output; more have one each.
    """

    needs_classes = True

    @property
    def outputs(self) -> int:
        return 1 if self.task.width == 2 else self.task.width

    def encode(self, y: Tensor) -> Tensor:
        return y.float().unsqueeze(1) if self.outputs == 1 else super().encode(y)

    def rows(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        if label_smoothing:
            targets = targets * (1 - label_smoothing) + label_smoothing / self.task.width
        return F.binary_cross_entropy_with_logits(outputs, targets, reduction="none").sum(-1)


class Elementwise(Loss):
    """A function of output minus target, averaged over a row's outputs."""

    def rows(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        return self.elements(outputs, targets).mean(-1)

    @abstractmethod
    def elements(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of every single output, of the shape of ``outputs``."""


class SquaredError(Elementwise):
    """(ŷ - y)²."""

    def elements(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs, targets, reduction="none")


class AbsoluteError(Elementwise):
    """|ŷ - y|."""

    def elements(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.l1_loss(outputs, targets, reduction="none")


class Huber(Elementwise):
    """(ŷ - y)²/2 up to ``delta``, linear beyond (Huber 1964)."""

    def __init__(self, task: Task, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(task, reduction)
        self.delta = delta

    def elements(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.huber_loss(outputs, targets, reduction="none", delta=self.delta)


def auto(task: Task, reduction: Reduction = "mean") -> Loss:
    """Cross-entropy for classes, mean squared error for numbers."""
    return (CrossEntropy if task.classes else SquaredError)(task, reduction)
