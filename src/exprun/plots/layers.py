"""Plots of the layers' diagnostics over the epochs, and of theory against measurement."""

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
"""Columns of ``diagnostics.csv`` that are drawn, with their axis labels."""

THEORY = (("act", "E[a²]"), ("grad", "E[δ²]"))
"""Prefixes of columns of ``initialization.csv``, with their axis labels
(``docs/diagnostics.md``)."""


def read(path: Path) -> Rows:
    """The rows of a CSV file; empty if the file does not exist."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def draw(layers: Rows, initial: Rows, title: str, folder: Path) -> list[str]:
    """Write ``layers.png`` and ``.svg``: the rows of ``diagnostics.csv`` over the epochs, one line
    per layer; below, if there are ``initial`` rows, predicted and measured values of the initial
    weights by layer. Returns the files' names."""
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
        handles, labels = found[1].get_legend_handles_labels()  # all layers have gradients
        figure.legend(handles, labels, loc="outside right upper")
        for axes, (kind, label) in zip(found[len(FIGURES) :], THEORY, strict=False):
            _draw_theory(axes, initial, kind)
            axes.set(ylabel=f"{label} of the initial weights")
        return save(figure, folder, "layers")


def _draw_theory(axes: Axes, initial: Rows, kind: str) -> None:
    """Draw predicted and measured mean squares by layer, in the order of the layers."""
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
    """Set a logarithmic y axis if the values are positive and span more than a factor of ten, else
    a linear one that includes 0."""
    values = np.array([v for line in axes.lines for v in np.asarray(line.get_ydata(), float)])
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0.0, *values))


def predicted_variances(initial: Rows) -> dict[str, float]:
    """The variance of each layer's pre-activations that theory predicts: fan_in · var(w) · E[a²] of
    the layer below (He et al. 2015, eq. 7)."""
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
    """Write ``histograms.png`` and ``.svg``: densities of each layer's pre-activations after some
    epochs, from dark to light; dashed, the normal distribution that theory predicts for the initial
    weights, with variance 1 in hidden layers that are ``normalised`` before their activation.
    Returns the files' names."""
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
