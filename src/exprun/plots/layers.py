"""What diagnostics measured of the layers: over the epochs, and theory beside measurement."""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from exprun.common.figure_style import FAINT, ordered, save
from exprun.plots.figure import label_epochs, panels
from exprun.plots.histograms import Histogram

Rows = list[dict[str, str]]

FIGURES = (
    ("act_std", "std of activations"),
    ("grad_std", "std of ∂L/∂z"),
    ("update_ratio", "‖ΔW‖ / ‖W‖ an iteration"),
)
"""Columns of ``diagnostics.csv`` that are drawn, and what they are."""

THEORY = (("act", "E[a²]"), ("grad", "E[δ²]"))
"""Columns of ``initialization.csv``, and what they are (``docs/diagnostics.md``)."""


def read(path: Path) -> Rows:
    """The rows of a CSV file; none if there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def draw(layers: Rows, initial: Rows, title: str, folder: Path) -> list[str]:
    """``layers.png`` and ``.svg``: the rows of ``diagnostics.csv`` over the epochs, a line a layer;
    below, if there are ``initial`` rows, what theory predicts for the initial weights beside what
    was measured, layer by layer."""
    names = list(dict.fromkeys(row["layer"] for row in layers))
    count = len(FIGURES) + (len(THEORY) if initial else 0)
    with panels(count, title) as (figure, found):
        for axes, (column, label) in zip(found, FIGURES, strict=False):
            for name, color in zip(names, ordered(len(names)), strict=True):
                points = [
                    (int(row["epoch"]), float(row[column]))
                    for row in layers
                    if row["layer"] == name and row.get(column)
                ]
                if points:
                    axes.plot(
                        *zip(*points, strict=True), color=color, marker=".", lw=1.3, label=name
                    )
            label_epochs(axes)
            axes.set_ylabel(label)
            _choose_scale(axes)
        handles, labels = found[1].get_legend_handles_labels()  # gradients are there of all layers
        figure.legend(handles, labels, loc="outside right upper")
        for axes, (kind, label) in zip(found[len(FIGURES) :], THEORY, strict=False):
            _draw_theory(axes, initial, kind)
            axes.set(ylabel=f"{label} of the initial weights")
        return save(figure, folder, "layers")


def _draw_theory(axes: Axes, initial: Rows, kind: str) -> None:
    """Predicted and measured mean squares, in the order of the layers."""
    places = np.arange(len(initial))
    for column, marker, color in (("predicted", "_", "#d1495b"), ("measured", "o", "#2b6cb0")):
        values = [float(row[f"{kind}_{column}"] or "nan") for row in initial]
        size = 18 if marker == "_" else 5
        axes.plot(places, values, marker, ms=size, mew=2, color=color, label=column)
    axes.set_xticks(places, [row["layer"] for row in initial], rotation=30, ha="right")
    _choose_scale(axes)
    axes.margins(x=0.15)
    axes.legend()


def _choose_scale(axes: Axes) -> None:
    """A logarithmic axis for what spans powers of ten, else one that begins at 0."""
    values = np.array([v for line in axes.lines for v in np.asarray(line.get_ydata(), float)])
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0.0, *values))


def predicted_variances(initial: Rows) -> dict[str, float]:
    """Theory's variance of each layer's pre-activations: fan_in · var(w) · E[a²] of the layer
    below (He et al. 2015, eq. 7)."""
    found: dict[str, float] = {}
    for below, row in itertools.pairwise(initial):
        square = below["act_predicted"] or below["act_measured"]
        if square and row["fan_in"] and row["weight_std"]:
            found[row["layer"]] = (
                float(row["fan_in"]) * float(row["weight_std"]) ** 2 * float(square)
            )
    return found


def draw_histograms(
    histograms: dict[str, list[Histogram]],
    initial: Rows,
    title: str,
    folder: Path,
    *,
    normalised: bool = False,
) -> list[str]:
    """``histograms.png`` and ``.svg``: the pre-activations of each layer after some epochs, dark to
    light; dashed, the normal distribution that theory predicts for the initial weights, which has
    variance 1 in hidden layers that are ``normalised`` before their activation."""
    variances = predicted_variances(initial)
    if normalised:
        variances |= {name: 1.0 for name in variances if name.startswith("hidden.")}
    with panels(len(histograms), title) as (figure, found):
        for axes, (name, series) in zip(found, histograms.items(), strict=True):
            for histogram, color in zip(series, ordered(len(series)), strict=True):
                edges, density = histogram.edges, histogram.density
                label = f"epoch {histogram.epoch}"
                axes.stairs(density, edges, color=color, lw=1.2, label=label)
            if name in variances:
                std = math.sqrt(variances[name])
                x = np.linspace(-4 * std, 4 * std, 200)
                normal = np.exp(-0.5 * (x / std) ** 2) / (std * math.sqrt(2 * math.pi))
                axes.plot(x, normal, color=FAINT, ls="--", lw=1.2, label="theory, epoch 0")
            axes.set(xlabel=f"z of {name}", ylabel="density")
        found[0].legend()
        return save(figure, folder, "histograms")
