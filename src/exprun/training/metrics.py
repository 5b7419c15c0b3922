"""What a network's outputs are worth, in the units of the target.

``evaluate`` is what every epoch is measured with; ``full`` is measured once, at the end.
"""

from __future__ import annotations

import torch
from torch import Tensor

from exprun.data.preprocess import Preprocessing
from exprun.data.task import Task
from exprun.training.prediction import class_ids, probabilities

SMALLEST = torch.finfo(torch.float64).eps
"""Probabilities below count as this in the log loss, as in scikit-learn."""


def names(task: Task) -> list[str]:
    """The figures of the learning curve: the loss, then what ``evaluate`` gives."""
    return ["loss", "accuracy"] if task.classes else ["loss", "rmse", "mae", "r2"]


OF_CLASSES = ("balanced_accuracy", "macro_f1", "roc_auc", "log_loss")
"""What ``full`` gives of classes besides."""


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
    """What ``evaluate`` gives, and of classes ``balanced_accuracy``, ``macro_f1``, ``roc_auc`` and
    ``log_loss``, all as in scikit-learn; of several targets also the figures of each, like
    ``rmse_height``. ``activation`` makes probabilities of the outputs (see ``prediction``).

    A class that no row has counts in none of them, nor in ``macro_f1`` unless it was predicted;
    ``roc_auc``, one class against the rest and averaged, is missing if all rows have one class.
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
        (classes,) = scored.nonzero(as_tuple=True)
        areas = [_roc_auc(shares[:, k], y == k) for k in classes.tolist()]
        figures["roc_auc"] = torch.stack(areas).mean().item()
    of_true = shares.gather(1, y[:, None]).clamp(SMALLEST, 1 - SMALLEST)
    figures["log_loss"] = -of_true.log().mean().item()
    return figures


def confusion(outputs: Tensor, y: Tensor, task: Task) -> Tensor:
    """How many rows of each class (down) were taken for each class (across), (K, K) int64."""
    k = len(task.classes)
    return torch.bincount(y * k + class_ids(outputs), minlength=k * k).view(k, k)


def _roc_auc(scores: Tensor, positive: Tensor) -> Tensor:
    """The probability that a positive row has a higher score (n,) than another one, equal scores
    being half a win: the area under the ROC curve, float64 (Hanley & McNeil 1982).

    The rank of a positive row among all is looked up in the sorted scores; with many classes there
    are few of them, and memory is that of one column.
    """
    ordered, of_positive = scores.sort().values, scores[positive]
    below = torch.searchsorted(ordered, of_positive)
    not_above = torch.searchsorted(ordered, of_positive, right=True)
    n = len(of_positive)
    wins = (below + not_above + 1).double().sum() / 2 - n * (n + 1) / 2
    return wins / (n * (len(scores) - n))
