"""A figure with panels side by side, in the style of all pictures."""

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
"""Characters of a title, for each panel in a row."""


@contextmanager
def panels(count: int, title: str, *, columns: int = 3) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure with ``count`` panels, row by row, and a title above them."""
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
    """Name the horizontal axis and give it whole numbers."""
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def plain(text: str) -> str:
    """A text of somebody else's, for matplotlib takes what stands between dollars for a formula."""
    return text.replace("$", r"\$")
