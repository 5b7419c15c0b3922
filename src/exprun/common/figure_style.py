"""Style and colors of the pictures, and saving of figures as PNG and SVG.

Figures are drawn without pyplot, so no global state changes and no display is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": "#8a8f98",
    "axes.labelcolor": "#3c4048",
    "axes.linewidth": 0.8,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#3c4048",
    "ytick.color": "#3c4048",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.hashsalt": "exprun",  # makes equal pictures equal files
}
DPI = 150
INK, FAINT, STAR = "#22252b", "#6b7280", "#ffd166"

COLORS = {
    "sgd": "#d1495b",
    "momentum": "#00798c",
    "nesterov": "#6a4c93",
    "rmsprop": "#e07a1f",
    "adam": "#2b6cb0",
    "adamw": "#5fa8d3",
    "adagrad": "#3a7d44",
    "adadelta": "#9c6644",
    "adamax": "#b5179e",
    "nadam": "#1b998b",
    "radam": "#7f5539",
    "lbfgs": "#111827",
}
"""The color of each optimizer, the same in every picture."""

OTHER_COLORS = ("#c2185b", "#558b2f", "#f2a900", "#455a64", "#8e24aa", "#00acc1")
"""Colors for everything other than the known optimizers."""


def save(figure: Figure, folder: Path, name: str) -> list[str]:
    """Write ``name`` as PNG and SVG; returns the files' names. Equal pictures give equal files."""
    figure.savefig(folder / f"{name}.png", dpi=DPI, metadata={"Software": None})
    figure.set_layout_engine("none")  # the layout is final
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    return [f"{name}.png", f"{name}.svg"]


def palette(count: int) -> list[str]:
    """``count`` colors for lines without an order."""
    known = ("#d1495b", "#00798c", "#6a4c93", "#e07a1f", "#2b6cb0", "#3a7d44", *OTHER_COLORS)
    return [known[i % len(known)] for i in range(count)]


def ordered(count: int) -> list[str]:
    """``count`` colors for lines ordered by a number, from dark to light: viridis, distinguishable
    in grey too, without colors too light for a white background."""
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.85, count))
    return [to_hex(shade) for shade in shades]
