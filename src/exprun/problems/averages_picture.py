"""The picture of exponential moving averages of a series."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from exprun.common.figure_style import INK, STYLE, palette, save
from exprun.problems.averages import MovingAverages


def draw(problem: MovingAverages, folder: Path) -> list[str]:
    """Draw ``averages.png`` and ``.svg`` into ``folder`` and return their names: the series with
    the corrected averages, and the effect of the correction at the beginning."""
    columns = problem.columns()
    days = np.arange(1, len(problem.values) + 1)
    beginning = days <= min(len(days), max(30, math.ceil(2.5 / (1 - max(problem.betas)))))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 6.2), layout="constrained")
        FigureCanvasAgg(figure)
        whole, start = figure.subplots(2, 1)
        for axes, chosen in ((whole, days > 0), (start, beginning)):
            axes.plot(
                days[chosen], problem.values[chosen], ".", ms=3, color="#a9b1bf", label="each day"
            )
        for color, beta in zip(palette(len(problem.betas)), problem.betas, strict=True):
            raw, right = columns[f"ema_{beta:g}"], columns[f"ema_{beta:g}_corrected"]
            span = f"β = {beta:g}, about {1 / (1 - beta):.3g} days"
            whole.plot(days, right, color=color, lw=1.5 if len(days) < 1000 else 0.8, label=span)
            start.plot(days[beginning], right[beginning], color=color, lw=1.6)
            start.plot(days[beginning], raw[beginning], color=color, lw=1.2, ls=(0, (4, 2)))
        whole.set_title(f"exponential moving averages of {problem.name}", loc="left", color=INK)
        start.set_title(
            "the beginning: dashed as they are, from v = 0; solid with bias correction",
            loc="left",
            color=INK,
        )
        whole.legend(ncols=len(problem.betas) + 1, loc="lower center", bbox_to_anchor=(0.5, -0.32))
        for axes in (whole, start):
            axes.grid(color="#e3e7ee", lw=0.6)
            axes.margins(x=0.01)
            axes.set_axisbelow(True)
        start.set_xlabel("day")
        return save(figure, folder, "averages")
