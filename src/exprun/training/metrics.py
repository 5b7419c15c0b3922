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
from exprun.techniques.losses import mean
from exprun.training.prediction import amounts, class_ids, probabilities

SMALLEST = torch.finfo(torch.float64).eps
"""Probabilities are clipped to [SMALLEST, 1 - SMALLEST] in the log loss, as in scikit-learn."""


DEVIANCE = "poisson_deviance"


def names(task: Task, activation: str = "identity") -> list[str]:
    """The figures of the learning curve: the loss, then the metrics of ``evaluate``."""
    if task.classes:
        return ["loss", "accuracy"]
    return ["loss", "rmse", "mae", "r2", *[DEVIANCE] * (activation == "exp")]


AT_ONCE = 64
"""Classes whose scores are copied at once, column by column."""

OF_CLASSES = ("balanced_accuracy", "macro_f1", "roc_auc", "log_loss")
OF_ORDERED_CLASSES = ("mean_rank_error", "quadratic_kappa")
"""The metrics of classes that only ``full`` computes."""


def evaluate(
    outputs: Tensor,
    y: Tensor,
    preprocessing: Preprocessing,
    activation: str = "identity",
    weight: Tensor | None = None,
) -> dict[str, Tensor]:
    """Metrics of outputs (n, K) for targets ``y``, (n,) class ids or (n, targets) standardised, as
    float64 scalars; the rows count by their ``weight`` (n,), as with scikit-learn's
    ``sample_weight``.

    Classes: ``accuracy``. Numbers: ``rmse`` and ``mae`` in the target's own unit and ``r2``, each
    averaged over the targets; r2 of a constant target is 0, or 1 if predicted exactly; with the
    ``activation`` ``exp`` also ``poisson_deviance``, twice the mean of y log(y/μ) - y + μ.
    """
    if preprocessing.task.classes:
        return {"accuracy": mean(class_ids(outputs) == y, weight)}
    errors = _errors(outputs, y, preprocessing, activation, weight)
    return {name: values.mean() for name, values in errors.items()}


def _errors(
    outputs: Tensor,
    y: Tensor,
    preprocessing: Preprocessing,
    activation: str,
    weight: Tensor | None,
) -> dict[str, Tensor]:
    """The metrics of ``evaluate`` of each target, (targets,)."""
    predicted, y = amounts(outputs, activation), y.double()
    error = predicted - y
    squared = mean(error.square(), weight)
    spread = y.var(0, correction=0) if weight is None else mean((y - mean(y, weight)) ** 2, weight)
    unit = torch.tensor(preprocessing.target.std, dtype=torch.float64, device=y.device)
    exact = torch.where(squared == 0, 1.0, 0.0).double()
    r2 = torch.where(spread > 0, 1 - squared / spread.clamp_min(1e-300), exact)
    errors = {"rmse": squared.sqrt() * unit, "mae": mean(error.abs(), weight) * unit, "r2": r2}
    if activation == "exp":
        errors[DEVIANCE] = 2 * mean(y.xlogy(y) - y * outputs + error, weight)
    return errors


def full(
    outputs: Tensor,
    y: Tensor,
    preprocessing: Preprocessing,
    activation: str,
    weight: Tensor | None = None,
) -> dict[str, float]:
    """All metrics of outputs (n, K) as floats: those of ``evaluate``; for classes also
    ``balanced_accuracy``, ``macro_f1``, ``roc_auc`` and ``log_loss``, all as in scikit-learn; for
    ordered ones ``mean_rank_error``, the mean distance of the predicted class from the true one in
    the order, and ``quadratic_kappa``, Cohen's kappa with squared distances as weights (Cohen
    1968); for several targets also the figures of each, like ``rmse_height``.

    ``activation`` turns outputs into probabilities or numbers (see ``prediction``). A class without
    rows is left out of the averages, of ``macro_f1`` only if it was not predicted either.
    ``roc_auc`` (one class against the rest, averaged) is missing if all rows have the same class,
    ``quadratic_kappa`` if the same one is predicted for all of them, too. Rows of ``weight`` 0 do
    not count as rows.
    """
    measured = evaluate(outputs, y, preprocessing, activation, weight)
    figures = {name: value.item() for name, value in measured.items()}
    task = preprocessing.task
    if not task.classes:
        if len(task.targets) > 1:
            for name, values in _errors(outputs, y, preprocessing, activation, weight).items():
                each = zip(task.targets, values.tolist(), strict=True)
                figures |= {f"{name}_{target}": value for target, value in each}
        return figures
    if weight is not None:
        outputs, y, weight = outputs[weight > 0], y[weight > 0], weight[weight > 0]
    shares = probabilities(outputs, activation)
    k, ids = len(task.classes), class_ids(outputs)

    def per_class(of: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        if weight is None:
            return torch.bincount(of[rows], minlength=k).double()
        totals = torch.zeros(k, dtype=torch.float64, device=of.device)
        return totals.index_add(0, of[rows], weight[rows].double())  # repeatable on a GPU, too

    right, true, predicted = per_class(y, ids == y), per_class(y), per_class(ids)
    there, seen = true > 0, (true + predicted) > 0
    figures["balanced_accuracy"] = (right[there] / true[there]).mean().item()
    figures["macro_f1"] = (2 * right[seen] / (true + predicted)[seen]).mean().item()
    scored = there.clone() if there.sum() > 1 else torch.zeros_like(there)
    if len(task.classes) == 2:
        scored[0] = False
    if scored.any():
        classes = scored.nonzero().flatten().tolist()
        weights = None if weight is None else weight.double().cpu().numpy()
        figures["roc_auc"] = _roc_auc(shares.cpu().numpy(), y.cpu().numpy(), classes, weights)
    of_true = shares.gather(1, y[:, None])[:, 0].clamp(SMALLEST, 1 - SMALLEST)
    figures["log_loss"] = -mean(of_true.log(), weight).item()
    if task.ordered:
        distances = (ids - y).double()
        figures["mean_rank_error"] = mean(distances.abs(), weight).item()
        ranks = torch.arange(k, dtype=torch.float64, device=y.device)
        apart = (ranks[:, None] - ranks).square()
        by_chance = (true / true.sum()) @ apart @ (predicted / predicted.sum())
        if by_chance > 0:
            observed = mean(distances.square(), weight)
            figures["quadratic_kappa"] = 1 - (observed / by_chance).item()
    return figures


def confusion(outputs: Tensor, y: Tensor, task: Task) -> Tensor:
    """Number of rows per true class (first axis) and predicted class (second), (K, K) int64."""
    k = len(task.classes)
    return torch.bincount(y * k + class_ids(outputs), minlength=k * k).view(k, k)


def _roc_auc(
    scores: NDArray[np.floating],
    y: NDArray[np.integer],
    classes: Sequence[int],
    weights: NDArray[np.float64] | None,
) -> float:
    """The probability that a row of a class has a higher score for it, ``scores`` (n, K), than a
    row of another one, equal scores being half a win, averaged over ``classes``: the area under the
    ROC curve (Hanley & McNeil 1982).

    The ranks of a class's rows are looked up in its sorted scores, by numpy: with 3000 rows of 1000
    classes a quarter of the time that torch takes on a CPU.
    """
    if weights is not None:
        return float(np.mean([_weighted_area(scores[:, k], y == k, weights) for k in classes]))
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


def _weighted_area(
    scores: NDArray[np.floating], own: NDArray[np.bool_], weights: NDArray[np.float64]
) -> float:
    """The area under the ROC curve of ``own`` rows against the others; a pair counts by the product
    of its weights."""
    order = np.argsort(scores[~own])
    others = scores[~own][order]
    total = np.concatenate([[0.0], np.cumsum(weights[~own][order])])
    below, not_above = (total[np.searchsorted(others, scores[own], s)] for s in ("left", "right"))
    wins = weights[own] @ (below + not_above) / 2
    return float(wins / (weights[own].sum() * total[-1]))
