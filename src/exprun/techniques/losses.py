"""Losses, with the encoding of targets that each one needs (slide "Gradient Descent").

A batch's loss is the mean over its rows (``reduction="mean"``) or their sum, the slides' mini-batch
form (``"sum"``). The losses reported in curves and results are always the mean over rows, without
class weights, label smoothing and penalties, so that techniques can be compared. With class weights
the weighted loss is reported too (``Loss.weighted``), because early stopping must monitor the loss
that training minimises.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from exprun.common.errors import UsageError
from exprun.data.task import Task

Reduction = Literal["mean", "sum"]


class Loss(ABC):
    """A loss for one task: the shape of its targets, the number of outputs, and its value."""

    needs_classes = False

    of_counts = False
    """Whether the targets are counts, which are read as numbers and not standardised."""

    output_activation = "identity"
    """The activation that turns outputs into probabilities (see ``prediction``): ``softmax``,
    ``sigmoid``, or ``identity`` if the outputs themselves are compared with the targets; ``exp``
    if they are logarithms of the predicted numbers."""

    class_weight: Tensor | None = None

    rows_weighted = False
    """Whether the rows of the training have weights, which are a last column of encoded targets."""

    def __init__(self, task: Task, reduction: Reduction = "mean") -> None:
        """Raises UsageError if the loss requires classes and the task has none."""
        if self.needs_classes and not task.classes:
            raise UsageError(
                "loss: cross-entropy needs classes, and this is a regression task; "
                "expected loss=mse, mae, huber or poisson"
            )
        self.task = task
        self.reduction: Reduction = reduction
        self.label_smoothing = 0.0

    @property
    def outputs(self) -> int:
        """Units of the network's output layer."""
        return self.task.width

    @property
    def for_training(self) -> tuple[float, list[float] | None]:
        """Label smoothing and class weights, in which the training loss differs from the reported
        one."""
        weights = None if self.class_weight is None else self.class_weight.tolist()
        return self.label_smoothing, weights

    def encode(self, y: Tensor) -> Tensor:
        """Encode class ids (n,) int64 as one-hot (n, classes) float; numbers (n, targets) are
        returned unchanged."""
        if self.task.classes:
            return F.one_hot(y, len(self.task.classes)).float()
        return y

    def encode_weighted(self, y: Tensor, weight: Tensor | None) -> Tensor:
        """``encode`` for the training loss: if its rows have weights, a last column of float32 is
        the ``weight`` (n,), 1 if it is None."""
        if not self.rows_weighted:
            return self.encode(y)
        columns = self.encode(y).view(len(y), -1).float()
        last = torch.ones_like(columns[:, 0]) if weight is None else weight
        return torch.cat([columns, last[:, None]], 1)

    def _parted(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Encoded targets and weights (…, n) from targets with weights (…, n, columns + 1)."""
        return targets[..., :-1], targets[..., -1]

    def ids(self, targets: Tensor) -> Tensor:
        """The class ids (…, n) of encoded targets."""
        return targets.argmax(-1)

    @abstractmethod
    def rows(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """The loss of every row, (…, n), from outputs (…, n, K) and encoded targets."""

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The training loss of a batch (n, K), a scalar; of k batches (k, n, K), (k,)."""
        return self.reduced(self.training_rows(outputs, targets))

    def training_rows(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The training loss of every row, (…, n), with label smoothing, class weights and the
        weights of the rows."""
        if not self.rows_weighted:
            return self._times_weights(self.rows(outputs, targets, self.label_smoothing), targets)
        targets, weight = self._parted(targets)
        return weight * self._times_weights(
            self.rows(outputs, targets, self.label_smoothing), targets
        )

    def _times_weights(self, rows: Tensor, targets: Tensor) -> Tensor:
        if self.class_weight is None:
            return rows
        return rows * self.class_weight.to(targets.device)[self.ids(targets)]

    def reduced(self, rows: Tensor) -> Tensor:
        """The mean or sum of the rows' losses (n,) or (k, n): a scalar or (k,)."""
        return rows.mean(-1) if self.reduction == "mean" else rows.sum(-1)

    def reported(self, outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
        """The loss reported in curves and results, a float64 scalar, for outputs (n, K) and targets
        ``y`` that are not encoded: the mean over the rows, by their ``weight`` (n,)."""
        return mean(self.rows(outputs, self.encode(y)), weight)

    def weighted(self, outputs: Tensor, y: Tensor, weight: Tensor | None = None) -> Tensor:
        """``reported`` with class weights: the mean over rows of weight times loss, as in
        training."""
        targets = self.encode(y)
        return mean(self._times_weights(self.rows(outputs, targets), targets), weight)


def mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """The mean over n rows of values (n, …), by their ``weight`` (n,) if there is one, float64."""
    if weight is None:
        return values.mean(0, dtype=torch.float64)
    w = weight.double()
    return (values.double().movedim(0, -1) * w).sum(-1) / w.sum()


class LossOfClasses(Loss):
    """A loss for classes, with optional weights per class."""

    needs_classes = True

    def __init__(
        self,
        task: Task,
        reduction: Reduction = "mean",
        class_weight: Sequence[float] | None = None,
    ) -> None:
        """``class_weight`` multiplies the rows of each class in the training loss, in the order of
        ``task.classes``; the mean is still over the rows, as in Keras and in scikit-learn (torch's
        ``CrossEntropyLoss`` divides by the weights of the batch instead). Raises UsageError if
        there is not one weight per class.
        """
        super().__init__(task, reduction)
        if class_weight is not None:
            self.class_weight = torch.tensor(class_weight, dtype=torch.float32)
            if len(class_weight) != task.width:
                raise UsageError(
                    f"loss.class_weight has {len(class_weight)} values for {task.width} "
                    f"classes; expected one each, in the order {', '.join(task.classes)}"
                )


def balanced(y: Tensor, classes: int) -> list[float]:
    """Class weights that give all classes the same total weight: n / (K nₖ) for the n class ids
    ``y``, as ``class_weight="balanced"`` of scikit-learn (King & Zeng 2001)."""
    counts = torch.bincount(y.cpu(), minlength=classes).double()
    return (len(y) / (classes * counts.clamp_min(1))).tolist()


class CrossEntropy(LossOfClasses):
    """Softmax and negative log-likelihood of the true class."""

    output_activation = "softmax"

    def encode(self, y: Tensor) -> Tensor:
        return y

    def _parted(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        return targets[..., 0].long(), targets[..., 1]

    def ids(self, targets: Tensor) -> Tensor:
        return targets

    def rows(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        *_, n, classes = outputs.shape
        by_class = outputs.view(-1, n, classes).transpose(1, 2)  # layout of ``networks.Output``
        rows = F.cross_entropy(
            by_class, targets.view(-1, n), reduction="none", label_smoothing=label_smoothing
        )
        return rows.view(targets.shape)


class BinaryCrossEntropy(LossOfClasses):
    """Sigmoid and binary cross-entropy, summed over a row's outputs (Nielsen, ch. 3).

    Two classes share one output; more have one each.
    """

    output_activation = "sigmoid"

    @property
    def outputs(self) -> int:
        return 1 if self.task.width == 2 else self.task.width

    def encode(self, y: Tensor) -> Tensor:
        return y.float().unsqueeze(1) if self.outputs == 1 else super().encode(y)

    def ids(self, targets: Tensor) -> Tensor:
        return targets[..., 0].long() if self.outputs == 1 else super().ids(targets)

    def rows(self, outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        if label_smoothing:
            targets = targets * (1 - label_smoothing) + label_smoothing / self.task.width
        return F.binary_cross_entropy_with_logits(outputs, targets, reduction="none").sum(-1)


class Elementwise(Loss):
    """A function of single outputs and their targets, averaged over a row's outputs."""

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


class Poisson(Elementwise):
    """exp(ŷ) - y ŷ, the negative log-likelihood of a Poisson distribution with mean exp(ŷ) but for
    the constant log y! (McCullagh & Nelder 1989)."""

    of_counts = True
    output_activation = "exp"

    def __init__(self, task: Task, reduction: Reduction = "mean") -> None:
        """Raises UsageError for a task with classes."""
        if task.classes:
            raise UsageError(
                "loss=poisson: expected counts, and the target is one of classes; expected "
                f"loss=cross_entropy or bce{task.amount_hint}"
            )
        super().__init__(task, reduction)

    def elements(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.poisson_nll_loss(outputs, targets, log_input=True, full=False, reduction="none")


def auto(
    task: Task, reduction: Reduction = "mean", class_weight: Sequence[float] | None = None
) -> Loss:
    """Cross-entropy for classes, mean squared error for numbers."""
    if task.classes or class_weight is not None:
        return CrossEntropy(task, reduction, class_weight)
    return SquaredError(task, reduction)
