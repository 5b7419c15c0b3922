"""A picture of a sweep's descent paths, like the lecture's: a panel per setting with a line per
optimizer, and f of all paths over the iterations below."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from exprun.common import figure_style
from exprun.config.allowed_targets import check_targets
from exprun.problems import descent_picture, stability
from exprun.problems.build import test_function

MOST_PANELS = 24
"""Maximum number of panels; of more, only the best are drawn."""

MOST_LINES = 6
"""Maximum number of optimizers in one panel."""

COLUMNS = 4


@dataclass(frozen=True)
class Path2D:
    """The path of one job: ``words`` are the overrides that distinguish it, ``rows`` its table."""

    number: int
    words: tuple[str, ...]
    rows: list[dict[str, float]]
    verdict: str

    @property
    def optimizer(self) -> str:
        """The optimizer's name if the jobs differ in it, else empty."""
        return next((w.partition("=")[2] for w in self.words if w.startswith("optimizer=")), "")

    @property
    def setting(self) -> str:
        """The other overrides that distinguish the job."""
        words = [word for word in self.words if not word.startswith("optimizer=")]
        pairs = (word.partition("=") for word in words)
        return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, _, value in pairs)

    @property
    def points(self) -> NDArray[np.float64]:
        return np.array([[row["x"], row["y"]] for row in self.rows])


def draw_sweep(folder: Path, jobs: Sequence[Mapping[str, Any]], *, trust: bool) -> list[str]:
    """Draw ``paths.png`` and ``.svg`` into the sweep's folder, one pair per function, and return
    their names. ``jobs`` are the leaderboard's rows, best first.

    Without ``trust``, raises UsageError for a function that is not exprun's.
    """
    functions: dict[str, list[tuple[Mapping[str, Any], DictConfig]]] = {}
    for job in jobs:
        if not (folder / str(job["folder"]) / "trajectory.csv").is_file():
            continue
        config = OmegaConf.load(folder / str(job["folder"]) / ".hydra" / "config.yaml")
        assert isinstance(config, DictConfig)
        if not trust:
            check_targets(config, str(folder / str(job["folder"])))
        problem: Any = OmegaConf.to_container(config.problem, resolve=True)
        unlike = ("start", "iterations", "animation")
        key = json.dumps({k: v for k, v in problem.items() if k not in unlike}, sort_keys=True)
        functions.setdefault(key, []).append((job, config))
    names = []
    for number, (key, members) in enumerate(functions.items(), 1):
        name = "paths" if len(functions) == 1 else f"paths_{number}"
        names += _draw(folder, name, json.loads(key), [job for job, _ in members])
    return names


def _draw(
    folder: Path, name: str, problem: dict[str, Any], jobs: Sequence[Mapping[str, Any]]
) -> list[str]:
    function, title = test_function(problem)
    minima = [(x, y) for x, y in problem["minima"]]
    panels = _panels(_paths(folder, jobs))  # the best first
    left_out = len(panels) - MOST_PANELS
    panels = dict(list(panels.items())[:MOST_PANELS])
    in_order = sorted(panels, key=_by_numbers)
    panels = {key: sorted(panels[key], key=lambda path: path.number) for key in in_order}
    paths = [path for lines in panels.values() for path in lines]
    box = descent_picture.view([path.points for path in paths], _reached(minima, paths))
    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    most = max(map(len, panels.values()))
    heights = [lines * (2.75 + 0.19 * most), 2.5]
    with mpl.rc_context(figure_style.STYLE):
        figure = Figure(figsize=(max(3.3 * columns, 8), sum(heights) + 0.6), layout="constrained")
        FigureCanvasAgg(figure)
        parts: Any = figure.subfigures(2, 1, height_ratios=heights)
        above, below = parts
        planes = np.atleast_1d(above.subplots(lines, columns)).flat
        colors, dashes = colors_of(panels), _dashes(panels)
        for setting, members in panels.items():
            plane = next(planes)
            descent_picture.contours(plane, function, minima, box)
            for path in members:
                said = f"{path.optimizer}  f = {path.rows[-1]['f']:.3g}, {path.verdict}"
                descent_picture.track(plane, path.points, colors[path.words], said.strip())
            plane.set(xlabel="", ylabel="")
            plane.set_title(setting, loc="left", color=figure_style.INK)
            plane.legend(
                loc="upper left",
                bbox_to_anchor=(-0.03, -0.1),
                borderaxespad=0.3,
                handlelength=1.2,
                labelcolor=figure_style.INK,
            )
        for empty in planes:
            empty.remove()
        curve = below.subplots()
        lowest = descent_picture.lowest_value(function, minima)
        for setting, members in panels.items():
            for path in members:
                label = " ".join(filter(None, [path.optimizer, path.setting]))
                line = colors[path.words], label, dashes[setting]
                descent_picture.values(curve, path.rows, lowest, *line)
        show_settled(curve, paths)
        descent_picture.ticks(curve)
        if len(paths) <= MOST_PANELS:
            curve.legend(
                loc="center left", bbox_to_anchor=(1.0, 0.5), ncols=math.ceil(len(paths) / 12)
            )
        shared = f"   (the best {MOST_PANELS} of {MOST_PANELS + left_out})" if left_out > 0 else ""
        figure.suptitle(f"{title}{shared}", x=0.012, ha="left", color=figure_style.INK)
        return figure_style.save(figure, folder, name)


def show_settled(axes: Axes, paths: Sequence[Path2D]) -> None:
    """Limit the y axis to the lines of paths that do not diverge, so that these stay readable;
    ``axes.lines`` are in the order of ``paths``."""
    settled = [
        np.asarray(line.get_ydata(), dtype=np.float64)
        for line, path in zip(axes.lines, paths, strict=True)
        if path.verdict != stability.DIVERGING
    ]
    if not settled or len(settled) == len(paths):
        return
    low, high = np.nanmin(np.concatenate(settled)), np.nanmax(np.concatenate(settled))
    if axes.get_yscale() == "log":
        axes.set_ylim(low / 3, high * 3)
    else:
        room = 0.1 * (high - low) or 1.0
        axes.set_ylim(low - room, high + room)


DASHES = ("-", "--", ":", "-.")


def _dashes(panels: Mapping[str, Sequence[Path2D]]) -> dict[str, str]:
    """A dash style for each setting, which distinguishes lines of the same color."""
    plain = all(path.optimizer == "" for members in panels.values() for path in members)
    return {s: "-" if plain else DASHES[i % len(DASHES)] for i, s in enumerate(panels)}


def _paths(folder: Path, jobs: Sequence[Mapping[str, Any]]) -> list[Path2D]:
    """Read the paths of the jobs; ``words`` are the overrides that not all jobs share."""
    words = [str(job["overrides"]).split(" ") for job in jobs]
    shared = set(words[0]).intersection(*words) if len(words) > 1 else set()
    paths = []
    for job, own in zip(jobs, words, strict=True):
        run = folder / str(job["folder"])
        with (run / "trajectory.csv").open(newline="") as file:
            rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
        word = json.loads((run / "result.json").read_text())["verdict"]
        paths.append(Path2D(job["number"], tuple(w for w in own if w not in shared), rows, word))
    return paths


def _panels(paths: Sequence[Path2D]) -> dict[str, list[Path2D]]:
    """The paths by setting, and also by optimizer if there are too many for one panel."""
    panels: dict[str, list[Path2D]] = {}
    crowded = len({path.optimizer for path in paths}) > MOST_LINES
    for path in paths:
        key = f"{path.optimizer} {path.setting}".strip() if crowded else path.setting
        panels.setdefault(key, []).append(path)
    return panels


def _by_numbers(setting: str) -> list[tuple[float, str]]:
    """A sort key for settings: by their words, numbers by value."""
    keys = []
    for word in setting.replace(",", "").split():
        try:
            keys.append((float(word), ""))
        except ValueError:
            keys.append((math.inf, word))
    return keys


def colors_of(panels: Mapping[str, Sequence[Path2D]]) -> dict[tuple[str, ...], str]:
    """The color of each path: its optimizer's; if the optimizer is the same for all, one per path,
    from dark to light if the paths differ in a single number."""
    paths = [path for members in panels.values() for path in members]
    unknown = sorted({p.optimizer for p in paths} - set(figure_style.COLORS))
    own = dict(zip(unknown, figure_style.palette(len(unknown)), strict=True))
    if {path.optimizer for path in paths} == {""}:
        order = order_of(paths)
        each = figure_style.ordered(len(paths)) if order else figure_style.palette(len(paths))
        return {path.words: color for path, color in zip(order or paths, each, strict=True)}
    known = figure_style.COLORS | own
    return {path.words: known[path.optimizer] for path in paths}


def order_of(paths: Sequence[Path2D]) -> list[Path2D]:
    """The paths ordered by the single number in which they differ; empty if they differ in anything
    else or there are fewer than three."""
    pairs = [" ".join(path.words).partition("=") for path in paths]
    try:
        numbers = [float(value) for _, _, value in pairs]
    except ValueError:  # a word, or several overrides
        return []
    if len({key for key, _, _ in pairs}) > 1 or len(paths) < 3:
        return []
    return [path for _, path in sorted(zip(numbers, paths, strict=True), key=lambda p: p[0])]


def _reached(
    minima: Sequence[tuple[float, float]], paths: Sequence[Path2D]
) -> list[tuple[float, float]]:
    """The minima nearest to the paths' ends (to the start for an end that is not finite), sorted,
    without duplicates."""
    ends = [p.points[-1] if np.isfinite(p.points[-1]).all() else p.points[0] for p in paths]
    nearest = {min(minima, key=lambda m: math.dist(m, end)) for end in ends if minima}
    return sorted(nearest)
