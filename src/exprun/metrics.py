"""What a network's outputs are worth, in the units of the target."""

from __future__ import annotations

import torch
from torch import Tensor

from exprun.data.preprocess import Preprocessing
from exprun.data.task import Task


def names(task: Task) -> list[str]:
    """The figures of a task: the loss, then what ``evaluate`` gives."""
    return ["loss", "accuracy"] if task.classes else ["loss", "rmse", "mae", "r2"]


def evaluate(outputs: Tensor, y: Tensor, preprocessing: Preprocessing) -> dict[str, float]:
    """Metrics of outputs (n, K) for targets ``y``, (n,) class ids or (n, targets) standardised.

    Classes: ``accuracy``. Numbers: ``rmse`` and ``mae`` in the target's own unit and ``r2``, each
    averaged over the targets; r2 of a constant target is 0, or 1 if predicted exactly.
    """
    if preprocessing.task.classes:
        predicted = (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(1)
        return {"accuracy": (predicted == y).sum().item() / len(y)}
    error = outputs.double() - y.double()
    squared, spread = error.square().mean(0), y.double().var(0, correction=0)
    unit = torch.tensor(preprocessing.target.std, dtype=torch.float64, device=y.device)
    exact = torch.where(squared == 0, 1.0, 0.0).double()
    r2 = torch.where(spread > 0, 1 - squared / spread.clamp_min(1e-300), exact)
    return {
        "rmse": (squared.sqrt() * unit).mean().item(),
        "mae": (error.abs().mean(0) * unit).mean().item(),
        "r2": r2.mean().item(),
    }
