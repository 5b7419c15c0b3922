"""Plot of the noise of minibatch gradients over the batch size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exprun.common.figure_style import FAINT, INK, palette, save
from exprun.common.streams import stream
from exprun.plots.figure import panels
from exprun.training.training import Training

MOST_ROWS = 1024
"""Most training rows, drawn at random, whose gradients are measured."""

DRAWS = 20
"""Batches drawn of each size."""


@dataclass(frozen=True)
class Noise:
    """The distances ‖g_B - g‖ of the gradients of batches from the gradient g of all rows:
    ``measured`` (sizes, DRAWS) and their root mean square by theory, ``predicted`` (sizes,), for
    batches of ``sizes`` rows; and ‖g‖, ``gradient``."""

    sizes: list[int]
    measured: NDArray[np.float64]
    predicted: NDArray[np.float64]
    gradient: float


def measure(training: Training) -> Noise:
    """The noise at the current weights, of the loss without penalties, in eval mode: without
    dropout, and batch normalisation by its moving averages, so that rows are independent.

    Batches of B of N rows are drawn without replacement, as in an epoch, so E ‖g_B - g‖² is
    S²/B (1 - B/N), with S² = Σ ‖g_i - g‖² / (N - 1) over the rows' gradients g_i.
    """
    generator = stream(0, "gradient noise")
    total = len(training.data.train)
    drawn = torch.randperm(total, generator=generator)[:MOST_ROWS].to(training.device)
    x, targets = training.data.train.x[drawn], training.targets[drawn]
    weights = [w for w in training.model.parameters() if w.requires_grad]
    training.model.eval()

    def gradient(rows: Tensor) -> Tensor:
        loss = training.loss.training_rows(training.model(x[rows]), targets[rows]).mean()
        found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        return torch.cat([g.ravel() for g in found])

    n = len(drawn)
    whole = gradient(torch.arange(n))
    variance = sum(
        float((gradient(row) - whole).square().sum()) for row in torch.arange(n).split(1)
    )
    sizes = [2**k for k in range(n.bit_length()) if 2**k <= n / 2]
    measured = [
        [
            float((gradient(torch.randperm(n, generator=generator)[:size]) - whole).norm())
            for _ in range(DRAWS)
        ]
        for size in sizes
    ]
    b = np.array(sizes)
    predicted = np.sqrt(variance / max(n - 1, 1) / b * (1 - b / n))
    return Noise(sizes, np.array(measured), predicted, float(whole.norm()))


def draw(found: dict[str, Noise], batch_size: int | None, title: str, folder: Path) -> list[str]:
    """Write ``gradient_noise.png`` and ``.svg``: a panel for each of the named measurements, with
    the run's batch size marked. Returns the files' names."""
    color, other = palette(2)
    with panels(len(found), title) as (figure, all_axes):
        for axes, (name, noise) in zip(all_axes, found.items(), strict=True):
            sizes = np.repeat(noise.sizes, DRAWS)
            axes.plot(sizes, noise.measured.ravel(), "o", ms=3, alpha=0.5, mew=0, color=color)
            axes.plot([], [], "o", ms=4, color=color, label=f"{DRAWS} batches of each size")
            axes.plot(
                noise.sizes,
                noise.predicted,
                color=INK,
                lw=1.2,
                label="theory, √(tr(Σ) (1/B - 1/N))",
            )
            axes.axhline(noise.gradient, color=other, lw=1.5, label="‖g‖, the gradient itself")
            if batch_size and batch_size <= noise.sizes[-1]:
                axes.axvline(batch_size, color=FAINT, lw=1, ls=":", label="batch size of the run")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set(xlabel="rows in the batch, B", ylabel="noise, ‖g_B - g‖")
            axes.set_title(name, loc="left")
            axes.xaxis.set_major_formatter("{x:g}")
        low = min(axes.get_ylim()[0] for axes in all_axes)
        high = max(axes.get_ylim()[1] for axes in all_axes)
        for axes in all_axes:
            axes.set_ylim(low, high)
        all_axes[0].legend()
        return save(figure, folder, "gradient_noise")
