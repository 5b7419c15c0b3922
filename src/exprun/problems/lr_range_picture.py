"""The picture of a learning-rate range test, as PNG and SVG."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from exprun.common.figure_style import FAINT, INK, STYLE, save
from exprun.problems.lr_range_test import LRRangeTest

SUGGESTED, LOWEST, STEEPEST = "#3a7d44", "#2b6cb0", "#e07a1f"
MAX_LOSS_RATIO = 1.3
"""The highest loss shown, as a multiple of the first smoothed loss."""


def draw(test: LRRangeTest, folder: Path) -> list[str]:
    """Draw ``lr_range.png`` and ``.svg`` into ``folder`` and return their names: batch losses and
    their moving average over the learning rate, with the suggested values."""
    curve = test.curve
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.plot(curve.lrs, curve.losses, ".", ms=3, color="#b4c1d6", label="loss of a batch")
        average = f"moving average, β = {curve.beta:g}"
        axes.plot(curve.lrs, curve.smoothed, color=INK, lw=1.6, label=average)
        marks = [
            (curve.suggestion, SUGGESTED, "-", "suggested"),
            (curve.steepest, STEEPEST, ":", "falls fastest"),
            (curve.suggestion and curve.largest_stable, LOWEST, "--", "lowest"),
            (curve.exploded, FAINT, "-.", "given up"),
        ]
        for lr, color, style, name in marks:
            if lr is not None:
                axes.axvline(lr, color=color, ls=style, lw=1.2, label=f"{name}: {lr:.2g}")
        shown = [
            v for v in curve.losses if math.isfinite(v) and v <= MAX_LOSS_RATIO * curve.smoothed[0]
        ]
        if shown:
            low, high = min(shown), max(shown)
            axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low) or None)
        axes.set_xlabel("learning rate of the iteration")
        axes.set_ylabel("loss before its update")
        axes.set_title(f"LR range test, {type(test.training.optimizer).__name__}", loc="left")
        axes.legend(loc="lower left")
        return save(figure, folder, "lr_range")
