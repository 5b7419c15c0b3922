"""The picture of a descent: contours of the function with the path, and f over the iterations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from exprun.common.figure_style import COLORS, FAINT, INK, OTHER_COLORS, STAR, STYLE, save
from exprun.problems.curvature import Function, curvatures, is_quadratic
from exprun.problems.descent import Descent

Box = tuple[float, float, float, float]
"""Left, right, bottom, top."""

GROUND = LinearSegmentedColormap.from_list("ground", ["#fbfcfe", "#dfe6f0", "#b4c1d6"])
LEVELS = 18
"""Number of contours, at heights above the minimum in equal ratios."""

DECADES = 5.0
"""Decades between the heights of the lowest and the highest contour."""

GRID = 201
"""Points per side of the grid on which f is computed."""

REACH = 3.0
"""How far the view follows a path, as a multiple of the spread of starts and minima."""


def draw(problem: Descent, folder: Path) -> list[str]:
    """Draw ``path.png`` and ``.svg`` (contours with the path, f over the iterations) and, if
    ``animation`` is set, ``path.gif``; returns the names."""
    color = COLORS.get(name_of(problem.optimizer), OTHER_COLORS[0])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 5.0), layout="constrained")
        FigureCanvasAgg(figure)
        plane, curve = figure.subplots(1, 2, width_ratios=[1.45, 1])
        box = view([problem.points], [problem.minimum] if problem.minimum else [])
        contours(plane, problem.function, problem.minima, box)
        track(plane, problem.points, color)
        _legend(plane, problem, color)
        values(curve, problem.path, lowest_value(problem.function, problem.minima), color)
        ticks(curve)
        curve.set_title("f over the iterations", loc="left", color=INK)
        figure.suptitle(f"{problem.title}:  {describe(problem)}", x=0.012, ha="left", color=INK)
        figure.supxlabel("\n".join(_facts(problem)), x=0.012, ha="left", fontsize=9, color=FAINT)
        names = save(figure, folder, "path")
        if problem.animation:
            names.append(_animate(problem, folder, box, color))
    return names


def name_of(optimizer: torch.optim.Optimizer) -> str:
    """The name of the optimizer's option in ``conf/optimizer/``."""
    name = type(optimizer).__name__.lower()
    return "nesterov" if optimizer.defaults.get("nesterov") else name


def describe(problem: Descent) -> str:
    """The optimizer and its settings for a title: ``adam, lr 0.01``."""
    group = problem.optimizer.param_groups[0]
    words = [f"{name_of(problem.optimizer)}, lr {problem.path[0]['lr']:.4g}"]
    if group.get("momentum"):
        words.append(f"momentum {group['momentum']:g}")
    return ", ".join(words)


def _facts(problem: Descent) -> list[str]:
    """The lines of the picture on curvature and stability."""
    low, high = problem.curvature
    where = f"at the minimum {_at(problem.minimum)}" if problem.minimum else "where the path ends"
    line = f"curvature {where}: {low:.4g} to {high:.4g}"
    end = problem.points[-1]
    if problem.minimum and np.isfinite(end).all() and not is_quadratic(problem.function, *end):
        low, high = curvatures(problem.function, *end)
        line += f", where the path ends {low:.4g} to {high:.4g}"
    if problem.stability_limit is not None and problem.method:
        line += f"   ·   stable there below lr {problem.method.formula} = "
        line += f"{problem.stability_limit:.4g}"
    return [line, str(problem.verdict)]


def _at(point: Sequence[float] | None) -> str:
    return "" if point is None else f"({point[0]:.4g}, {point[1]:.4g})"


def view(paths: Sequence[NDArray[np.float64]], minima: Sequence[tuple[float, float]]) -> Box:
    """The visible box: starts, minima and the paths up to REACH, at an aspect ratio of at most
    4 to 3."""
    starts = [path[0] for path in paths]
    anchors = np.array([*starts, *minima])
    spread = max(float(np.ptp(anchors, axis=0).max()), 1.0)
    center = (anchors.min(axis=0) + anchors.max(axis=0)) / 2
    around = [m + 0.5 * spread * np.array(d) for m in map(np.array, minima) for d in CORNERS]
    points = np.concatenate([anchors, *paths, *([around] if around else [])])
    points = points[np.isfinite(points).all(axis=1)]
    points = np.clip(points, center - REACH * spread / 2, center + REACH * spread / 2)
    points = np.concatenate([points, anchors])
    low, high = points.min(axis=0), points.max(axis=0)
    size, middle = (high - low) * 1.14, (low + high) / 2
    width, height = max(size[0], size[1]), max(size[1], 0.75 * size[0])
    return (
        float(middle[0] - width / 2),
        float(middle[0] + width / 2),
        float(middle[1] - height / 2),
        float(middle[1] + height / 2),
    )


CORNERS = ((-1, -1), (1, 1))


def lowest_value(function: Function, minima: Sequence[tuple[float, float]]) -> float | None:
    """f at the minima; None if there are none."""
    if not minima:
        return None
    points = torch.tensor(minima, dtype=torch.float64)
    return float(function(points[:, 0], points[:, 1]).min())


def contours(
    axes: Axes, function: Function, minima: Sequence[tuple[float, float]], box: Box
) -> None:
    """Draw labelled contours of f: in equal ratios of the height above its minimum, or in equal
    steps if it has no minimum."""
    left, right, bottom, top = box
    x, y = np.linspace(left, right, GRID), np.linspace(bottom, top, GRID)
    xs, ys = np.meshgrid(x, y)
    with torch.no_grad():
        f = function(torch.from_numpy(xs), torch.from_numpy(ys)).numpy()
    f = np.where(np.isfinite(f), f, np.nan)
    lowest = lowest_value(function, minima)
    highest = float(np.nanmax(f))
    if lowest is None or not highest > lowest:
        levels = np.linspace(float(np.nanmin(f)), highest, LEVELS)
        shade = f
    else:
        heights = np.geomspace((highest - lowest) * 10**-DECADES, highest - lowest, LEVELS)
        levels = lowest + heights
        shade = np.log10(np.maximum(f - lowest, heights[0]))
    axes.imshow(shade, cmap=GROUND, extent=box, origin="lower", interpolation="bilinear", zorder=0)
    lines = axes.contour(x, y, f, levels=levels, colors="#7d8ba3", linewidths=0.6, zorder=1)
    texts = axes.clabel(lines, levels[LEVELS // 2 :: 3], fmt="%.3g", fontsize=6.5)
    for text in texts:
        text.set_color("#55627a")
    inside = [m for m in minima if left <= m[0] <= right and bottom <= m[1] <= top]
    for minimum in inside:
        axes.plot(*minimum, marker="*", ms=11, mfc=STAR, mec=INK, mew=0.8, ls="", zorder=6)
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", xlabel="x", ylabel="y")


def track(axes: Axes, points: NDArray[np.float64], color: str, label: str | None = None) -> None:
    """Draw a path with a dot per iteration unless there are too many; its start is an open circle,
    its end a square."""
    shown = _near(points, axes)
    dots = len(shown) <= 150
    axes.plot(
        *shown.T,
        color=color,
        lw=1.3,
        marker="o" if dots else "",
        ms=2.6,
        mew=0,
        label=label,
        zorder=3,
        solid_joinstyle="round",
    )
    axes.plot(*shown[0], marker="o", ms=6.5, mfc="white", mec=color, mew=1.5, zorder=5)
    if len(shown) == len(points):
        axes.plot(*shown[-1], marker="s", ms=5, mfc=color, mec="white", mew=0.8, zorder=5)


def _near(points: NDArray[np.float64], axes: Axes) -> NDArray[np.float64]:
    """The path up to the first point far outside the axes, because drawing libraries lose precision
    for coordinates millions of widths away."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    size = np.array([right - left, top - bottom])
    far = np.abs(points - [(left + right) / 2, (bottom + top) / 2]) > 20 * size
    beyond = np.flatnonzero((far | ~np.isfinite(points)).any(axis=1))
    return points[: beyond[0]] if len(beyond) else points


def _legend(axes: Axes, problem: Descent, color: str) -> None:
    """A legend above the plane: start, end and minimum with the values of f there."""
    first, last = problem.path[0], problem.path[-1]
    marks = [
        ("o", "white", color, "start", (first["x"], first["y"]), first["f"]),
        ("s", color, "white", "end", (last["x"], last["y"]), last["f"]),
    ]
    if problem.minimum:
        lowest = lowest_value(problem.function, [problem.minimum])
        assert lowest is not None
        marks.append(("*", STAR, INK, "minimum", problem.minimum, lowest))
    handles = [
        Line2D([], [], ls="", marker=marker, ms=7 + 3 * (marker == "*"), mfc=face, mec=edge,
               label=f"{name} {_at(at)}\nf = {f:.4g}")
        for marker, face, edge, name, at, f in marks
    ]  # fmt: skip
    axes.legend(
        handles=handles, ncols=3, loc="lower left", bbox_to_anchor=(-0.02, 1.0), fontsize=8,
        columnspacing=1.2, handletextpad=0.2, labelcolor=INK,
    )  # fmt: skip


def values(
    axes: Axes,
    path: Sequence[dict[str, float]],
    lowest: float | None,
    color: str,
    label: str | None = None,
    dashes: str = "-",
) -> None:
    """Draw f over the iterations: the height above the minimum on a logarithmic scale, or f itself
    without a minimum."""
    iterations = [row["iteration"] for row in path]
    heights = np.array([row["f"] for row in path])
    if lowest is not None:
        heights = np.maximum(heights - lowest, 1e-32)
        axes.set_yscale("log")
    heights = np.where(np.abs(heights) < 1e200, heights, np.nan)
    axes.plot(iterations, heights, color=color, lw=1.5, ls=dashes, label=label)
    unit = "f" if not lowest else "f above the minimum"
    axes.set(xlabel="iteration", ylabel=unit)
    axes.grid(color="#e3e7ee", lw=0.6)
    axes.set_axisbelow(True)


FEWEST_TICKS = 3


def ticks(axes: Axes) -> None:
    """Set the ticks of the f axis, after all lines are drawn and its limits are set: on a
    logarithmic axis at powers of ten, with as many between them as FEWEST_TICKS requires."""
    if axes.get_yscale() != "log":
        return
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    for locator in (LogLocator(), LogLocator(subs=(1, 2, 5)), MaxNLocator(5)):
        axes.yaxis.set_major_locator(locator)
        if sum(low <= tick <= high for tick in locator()) >= FEWEST_TICKS:
            return


FRAMES = 60
"""Maximum number of frames of an animation."""


def _animate(problem: Descent, folder: Path, box: Box, color: str) -> str:
    """Write ``path.gif``, the growing path with a frame per iteration or per several, and a pause
    at the end; returns its name."""
    from PIL import Image

    figure = Figure(figsize=(5.2, 4.6), layout="constrained", dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    contours(axes, problem.function, problem.minima, box)
    axes.set_title(f"{problem.title}:  {describe(problem)}", loc="left", color=INK)
    canvas.draw()  # type: ignore[no-untyped-call]
    ground = canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]
    points = _near(problem.points, axes)
    (line,) = axes.plot([], [], color=color, lw=1.3, marker="o", ms=2.6, mew=0, animated=True)
    (head,) = axes.plot([], [], marker="o", ms=7, mfc=color, mec="white", animated=True)
    box_of_text = {"boxstyle": "round,pad=0.3", "fc": "#ffffffdd", "ec": "none"}
    note = axes.text(
        0.02, 0.97, "", transform=axes.transAxes, va="top", bbox=box_of_text, animated=True
    )
    frames = []
    for end in np.unique(np.linspace(1, len(points), min(FRAMES, len(points))).round()).astype(int):
        canvas.restore_region(ground)  # type: ignore[no-untyped-call]
        line.set_data(*points[:end].T)
        head.set_data(*points[end - 1 : end].T)
        note.set_text(f"iteration {end - 1}   f = {problem.path[end - 1]['f']:.4g}")
        for artist in (line, head, note):
            axes.draw_artist(artist)
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        frames.append(Image.fromarray(pixels[..., :3].copy()))
    durations = [80] * (len(frames) - 1) + [1500]
    frames[0].save(
        folder / "path.gif", save_all=True, append_images=frames[1:], duration=durations, loop=0
    )
    return "path.gif"
