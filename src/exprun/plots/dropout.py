"""Plot of the masks of dropout and of their scaling."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.colors import ListedColormap

from exprun.common.figure_style import FAINT, ordered, palette, save
from exprun.plots.figure import panels
from exprun.techniques.networks import MLP, Dropout
from exprun.training.training import Training

ROWS, UNITS = 24, 40
"""Most rows and units of a mask that are drawn."""

MASKS = (1, 10, 1000)
"""Numbers of masks whose mean is drawn."""


def draw(training: Training, title: str, folder: Path) -> list[str]:
    """Write ``dropout.png`` and ``.svg``: the mask of the first hidden layer with dropout at the
    first iteration, and the mean over iterations of a row's activations in training, over the same
    activations in prediction. Returns the files' names; none if no layer has dropout.

    Masks are those of the training's stream, whose iteration is advanced.
    """
    model = training.model
    drops = [h.dropout for h in model.hidden] if isinstance(model, MLP) else []
    layers = [(k, drop) for k, drop in enumerate(drops, 1) if isinstance(drop, Dropout) and drop.p]
    if not layers:
        return []
    number, dropout = layers[0]
    activations: list[torch.Tensor] = []
    hook = dropout.register_forward_pre_hook(lambda _, inputs: activations.append(inputs[0]))
    model.eval()
    with torch.no_grad():
        model(training.data.train.x[:ROWS])
    hook.remove()
    x = activations[0]
    mask = torch.empty_like(x)
    masks = []
    for _ in range(MASKS[-1]):
        masks.append(dropout.draw(mask)[0].clone())
        if len(masks) == 1:
            first = mask[:, :UNITS].cpu().numpy()
        training.streams.dropout.advance()
    factors = torch.stack(masks)  # of the first row: (iterations, units)
    kept = 1 / (1 - dropout.p)
    with panels(2, title) as (figure, (left, right)):
        colors = ["#e3e7ee", palette(2)[1]]
        left.imshow(
            first,
            cmap=ListedColormap(colors),
            vmin=0,
            vmax=kept,
            aspect="auto",
            interpolation="nearest",
        )
        left.grid(visible=False)
        for value, color in zip((0, kept), colors, strict=True):
            left.plot([], [], "s", ms=7, color=color, label=f"{value:.3g}")
        left.set(xlabel=f"units of hidden layer {number}", ylabel="rows of the batch")
        left.set_title(f"one mask, p = {dropout.p:g}: 0 or 1/(1 - p)", loc="left")
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
        row = x[0].cpu().numpy()
        for count, color in zip(MASKS, ordered(len(MASKS)), strict=True):
            means = (factors[:count].mean(0) * x[0]).cpu().numpy()
            label = f"mean of {count} masks" if count > 1 else "one mask"
            right.plot(row, means, "o", ms=3.5, color=color, mew=0, alpha=0.8, label=label)
        right.axline((0, 0), slope=1, color=FAINT, lw=1, zorder=0)
        right.set(xlabel="activation x in prediction", ylabel="m x in training")
        right.set_title("E(m x) = x: the mean stays what it was", loc="left")
        right.legend()
        return save(figure, folder, "dropout")
