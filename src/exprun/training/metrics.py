"""Metrics of a network's outputs: accuracy of classes, errors in the units of the target.

``evaluate`` computes the metrics of every epoch; ``full`` those of the final evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exprun.data.preprocess import Preprocessing
from exprun.data.task import Task
from exprun.training.prediction import class_ids, probabilities

SMALLEST = torch.finfo(torch.float64).eps
"""Probabilities are clipped to [SMALLEST, 1 - SMALLEST] in the log loss, as in scikit-learn."""


def names(task: Task) -> list[str]:
    """The figures of the learning curve: the loss, then the metrics of ``evaluate``."""
    return ["loss", "accuracy"] if task.classes else ["loss", "rmse", "mae", "r2"]


AT_ONCE = 64
"""Classes whose scores are copied at once, column by column."""

OF_CLASSES = ("balanced_accuracy", "macro_f1", "roc_auc", "log_loss")
"""The metrics of classes that only ``full`` computes."""


def evaluate(outputs: Tensor, y: Tensor, preprocessing: Preprocessing) -> dict[str, Tensor]:
    """Metrics of outputs (n, K) for targets ``y``, (n,) class ids or (n, targets) standardised, as
    float64 scalars.

    Classes: ``accuracy``. Numbers: ``rmse`` and ``mae`` in the target's own unit and ``r2``, each
    averaged over the targets; r2 of a constant target is 0, or 1 if predicted exactly.
    """
    if preprocessing.task.classes:
        return {"accuracy": (class_ids(outputs) == y).mean(dtype=torch.float64)}
    errors = _errors(outputs, y, preprocessing)
    return {name: values.mean() for name, values in errors.items()}


def _errors(outputs: Tensor, y: Tensor, preprocessing: Preprocessing) -> dict[str, Tensor]:
    """RMSE, MAE and R² of each target, (targets,)."""
    error = outputs.double() - y.double()
    squared, spread = error.square().mean(0), y.double().var(0, correction=0)
    unit = torch.tensor(preprocessing.target.std, dtype=torch.float64, device=y.device)
    exact = torch.where(squared == 0, 1.0, 0.0).double()
    r2 = torch.where(spread > 0, 1 - squared / spread.clamp_min(1e-300), exact)
    return {"rmse": squared.sqrt() * unit, "mae": error.abs().mean(0) * unit, "r2": r2}


def full(
    outputs: Tensor, y: Tensor, preprocessing: Preprocessing, activation: str
) -> dict[str, float]:
    """All metrics of outputs (n, K) as floats: those of ``evaluate``; for classes also
    ``balanced_accuracy``, ``macro_f1``, ``roc_auc`` and ``log_loss``, all as in scikit-learn; for
    several targets also the figures of each, like ``rmse_height``.

    ``activation`` turns outputs into probabilities (see ``prediction``). A class without rows is
    left out of the averages, of ``macro_f1`` only if it was not predicted either. ``roc_auc`` (one
    class against the rest, averaged) is missing if all rows have the same class.
    """
    measured = evaluate(outputs, y, preprocessing)
    figures = {name: value.item() for name, value in measured.items()}
    task = preprocessing.task
    if not task.classes:
        if len(task.targets) > 1:
            for name, values in _errors(outputs, y, preprocessing).items():
                each = zip(task.targets, values.tolist(), strict=True)
                figures |= {f"{name}_{target}": value for target, value in each}
        return figures
    shares = probabilities(outputs, activation)
    k, ids = len(task.classes), class_ids(outputs)
    counts = [torch.bincount(of, minlength=k) for of in (y[ids == y], y, ids)]
    right, true, predicted = (count.double() for count in counts)
    there, seen = true > 0, (true + predicted) > 0
    figures["balanced_accuracy"] = (right[there] / true[there]).mean().item()
    figures["macro_f1"] = (2 * right[seen] / (true + predicted)[seen]).mean().item()
    scored = there & (true < len(y))
    if len(task.classes) == 2:
        scored[0] = False
    if scored.any():
        classes = scored.nonzero().flatten().tolist()
        figures["roc_auc"] = _roc_auc(shares.cpu().numpy(), y.cpu().numpy(), classes)
    of_true = shares.gather(1, y[:, None]).clamp(SMALLEST, 1 - SMALLEST)
    figures["log_loss"] = -of_true.log().mean().item()
    return figures


def confusion(outputs: Tensor, y: Tensor, task: Task) -> Tensor:
    """Number of rows per true class (first axis) and predicted class (second), (K, K) int64."""
    k = len(task.classes)
    return torch.bincount(y * k + class_ids(outputs), minlength=k * k).view(k, k)


def _roc_auc(scores: NDArray[np.floating], y: NDArray[np.integer], classes: Sequence[int]) -> float:
    """The probability that a row of a class has a higher score for it, ``scores`` (n, K), than a
    row of another one, equal scores being half a win, averaged over ``classes``: the area under the
    ROC curve (Hanley & McNeil 1982).

    The ranks of a class's rows are looked up in its sorted scores, by numpy: with 3000 rows of 1000
    classes a quarter of the time that torch takes on a CPU.
    """
    n, by_class = len(y), np.argsort(y, kind="stable")
    ends = np.cumsum(np.bincount(y, minlength=scores.shape[1]))
    areas = []
    for i, k in enumerate(classes):
        if i % AT_ONCE == 0:  # columns side by side in memory would be fetched again for each
            columns = np.ascontiguousarray(scores[:, classes[i : i + AT_ONCE]].T)
        column = columns[i % AT_ONCE]
        own = np.sort(column[by_class[ends[k - 1] if k else 0 : ends[k]]])
        column.sort()
        below, not_above = (np.searchsorted(column, own, side) for side in ("left", "right"))
        wins = (below + not_above + 1).sum() / 2 - len(own) * (len(own) + 1) / 2
        areas.append(wins / (len(own) * (n - len(own))))
    return float(np.mean(areas))
