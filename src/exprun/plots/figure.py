"""A matplotlib figure with a grid of panels, in the common style of all pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from exprun.common import font_cache  # noqa: F401  # set before matplotlib looks for fonts
from exprun.common.figure_style import INK, STYLE

PANEL = (4.8, 3.5)
"""Width and height of a panel, in inches."""

LONGEST = 62
"""Most characters of a title, for each panel in a row."""


@contextmanager
def panels(count: int, title: str, *, columns: int = 3) -> Iterator[tuple[Figure, list[Axes]]]:
    """Context with a figure of ``count`` panels, filled row by row, and their axes, with a title
    above them."""
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(columns * PANEL[0], rows * PANEL[1]), layout="constrained")
        FigureCanvasAgg(figure)
        found = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes in found[count:]:
            axes.set_axis_off()
        longest = columns * LONGEST
        short = title if len(title) <= longest else f"{title[: longest - 1]}…"
        figure.suptitle(plain(short), x=0.01, ha="left", fontsize=10, color=INK)
        for axes in found[:count]:
            axes.grid(color="#e3e7ee", lw=0.6)
            axes.set_axisbelow(True)
        yield figure, found[:count]


def label_epochs(axes: Axes) -> None:
    """Label the horizontal axis ``epoch``, with ticks at whole numbers only."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def plain(text: str) -> str:
    """The text with dollar signs escaped, because matplotlib renders text between them as a
    formula."""
    return text.replace("$", r"\$")
