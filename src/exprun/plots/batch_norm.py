"""Plot of the moments of batches in batch normalisation beside their moving averages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from exprun.common.figure_style import INK, palette, save
from exprun.common.streams import stream
from exprun.plots.figure import panels
from exprun.training.training import Training

UNITS = 32
"""Most units that are drawn."""

BATCHES = 30
"""Most batches that are drawn."""


def moments(training: Training, norm: nn.BatchNorm1d) -> NDArray[np.float64]:
    """Mean and unbiased variance of each of the norm's inputs in the first batches of an epoch at
    the current weights: (batches, 2, units)."""
    found = []

    def record(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        z = inputs[0].double()
        found.append(torch.stack([z.mean(0), z.var(0)]))

    rows = len(training.data.train)
    order = torch.randperm(rows, generator=stream(0, "moments"))
    hook = norm.register_forward_pre_hook(record)
    training.model.eval()
    with torch.no_grad():
        for batch in order.split(training.batch_size or rows)[:BATCHES]:
            if len(batch) > 1:
                training.model(training.data.train.x[batch.to(training.device)])
    hook.remove()
    return torch.stack(found).cpu().numpy()


def draw(training: Training, title: str, folder: Path) -> list[str]:
    """Write ``batch_norm.png`` and ``.svg``: mean and variance of each unit in the batches, which
    normalise in training, and the moving averages, which do in prediction, of the first batch
    normalisation. Returns the files' names; none if the network has no such layer."""
    norms = (m for m in training.model.modules() if isinstance(m, nn.BatchNorm1d))
    norm = next((m for m in norms if m.running_mean is not None), None)
    if norm is None or norm.running_mean is None or norm.running_var is None:
        return []
    found = moments(training, norm)
    moving = [norm.running_mean.cpu().numpy(), norm.running_var.cpu().numpy()]
    shown = moving[0].argsort()[
        np.linspace(0, len(moving[0]) - 1, min(UNITS, len(moving[0]))).astype(int)
    ]
    color = palette(2)[1]
    labels = "mean μ", "variance σ²"
    with panels(2, title) as (figure, all_axes):
        for which, (axes, label) in enumerate(zip(all_axes, labels, strict=True)):
            values = found[:, which, shown]
            units = np.broadcast_to(np.arange(len(shown)), values.shape)
            style: Any = {"ms": 2.5, "mew": 0, "alpha": 0.4, "color": color}
            axes.plot(units.ravel(), values.ravel(), "o", **style)
            axes.plot([], [], "o", ms=4, color=color, label=f"{len(found)} batches (training)")
            axes.plot(
                moving[which][shown],
                "_",
                ms=9,
                mew=1.8,
                color=INK,
                label="moving average (prediction)",
            )
            axes.set(xlabel="unit, by moving mean", ylabel=label)
        all_axes[1].set_ylim(bottom=0)
        all_axes[0].legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
        return save(figure, folder, "batch_norm")
