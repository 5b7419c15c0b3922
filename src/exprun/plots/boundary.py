"""The decision boundary of a network with two inputs, and an animation of it over the epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from exprun.common.figure_style import INK, palette, save
from exprun.data.columns import Numeric
from exprun.data.frame import Frame
from exprun.data.prepare import Data, Part
from exprun.data.preprocess import Preprocessing
from exprun.display.text import shorten
from exprun.fit.loop import fit
from exprun.plots.figure import panels, plain
from exprun.training.callbacks import Callback
from exprun.training.prediction import Model
from exprun.training.training import Training

Array = NDArray[np.float64]

RESOLUTION = 160
"""Points of the grid in each direction."""

MARGIN = 0.08
"""Margin around the rows, as a share of their range."""

MOST_ROWS = 1000
"""Most rows of a part that are drawn: the first ones."""

FRAMES = 60
"""Most epochs after which an animation has a picture."""

FRAME_MS, LAST_FRAME_MS = 80, 1500

MARKERS = {"training": "o", "validation": "^", "test": "s"}

MAP = "viridis"
"""The colour map of a numeric target."""

LEGEND_WIDTH = 62
"""Characters that fit in a legend row below a panel; the mark of an entry takes 5."""

LONGEST_CLASS = 24
"""Most characters of a class name in the legend."""

STRENGTH = 0.45
"""Opacity of a class's background colour where its probability is 1."""


def obstacle(preprocessing: Preprocessing) -> str | None:
    """The reason why no boundary can be drawn, for an error message; None if one can."""
    columns = preprocessing.columns
    if len(columns) != 2 or not all(isinstance(column, Numeric) for column in columns):
        names = ", ".join(preprocessing.features[:3]) + ", …" * (len(columns) > 3)
        return (
            f"the boundary takes two inputs that are numbers, and there are {len(columns)}: {names}"
        )
    task = preprocessing.task
    if not task.classes and task.width > 1:
        return f"the surface takes one target, and there are {task.width}"
    return None


class Surface:
    """A grid that covers the rows of a data set with two inputs, and drawings of a model's
    predictions on it."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.limits: tuple[float, float] | None = None  # colour range of a numeric target
        self.preprocessing = data.preprocessing
        rows = np.concatenate([original(part, self.preprocessing) for part in parts(data).values()])
        low, high = rows.min(0), rows.max(0)
        room = MARGIN * np.where(high > low, high - low, 1.0)
        self.x, self.y = (
            np.linspace(a, b, RESOLUTION) for a, b in zip(low - room, high + room, strict=True)
        )
        grid = np.stack([axis.ravel() for axis in np.meshgrid(self.x, self.y)], axis=1)
        self.frame = Frame(self.preprocessing.features, grid)

    def values(self, model: Model) -> Array:
        """The model's class probabilities, or predicted number, at the points of the grid:
        (RESOLUTION, RESOLUTION, K)."""
        values = model.predict(self.frame).values
        return values.reshape(RESOLUTION, RESOLUTION, -1).astype(np.float64)

    def draw(self, axes: Axes, values: Array) -> None:
        """Colour the grid by the values; lines mark where two classes are equally probable, or
        equal predictions of a number."""
        if self.preprocessing.task.classes:
            colors = np.array([to_rgb(c) for c in palette(values.shape[2])])
            shares = STRENGTH * values
            image = shares @ colors + (1 - shares.sum(axis=2, keepdims=True))
            box = (self.x[0], self.x[-1], self.y[0], self.y[-1])
            axes.imshow(image, extent=box, origin="lower", aspect="auto", interpolation="bilinear")
            for k in range(values.shape[2] - (values.shape[2] == 2)):
                ahead = values[:, :, k] - np.delete(values, k, axis=2).max(axis=2)
                if ahead.min() < 0 < ahead.max():
                    axes.contour(self.x, self.y, ahead, [0.0], colors=INK, linewidths=1.1)
        else:
            low, high = self._limits(values)
            levels = np.linspace(low, high, 25)
            filled = axes.contourf(self.x, self.y, values[:, :, 0], levels, cmap=MAP, extend="both")
            lines = axes.contour(self.x, self.y, values[:, :, 0], 8, colors="white", linewidths=0.6)
            axes.clabel(lines, fontsize=7)
            bar = axes.figure.colorbar(filled, ax=axes, format="%.4g")
            bar.set_label(plain(self.preprocessing.task.targets[0]))

    def _limits(self, values: Array) -> tuple[float, float]:
        """The range of the colours: that of the targets and of the first prediction drawn, cached
        so that all frames have the same colours."""
        if self.limits is None:
            targets = [self._amounts(part) for part in parts(self.data).values()]
            seen = np.concatenate([values.ravel(), *targets])
            self.limits = float(seen.min()), float(seen.max())
        return self.limits

    def _amounts(self, part: Part) -> Array:
        """The target of each row (n,), in its original unit."""
        scaling = self.preprocessing.target
        return part.y[:, 0].double().cpu().numpy() * scaling.std[0] + scaling.mean[0]

    def draw_rows(self, axes: Axes) -> None:
        """Draw the rows in the colours of their classes or targets, with a marker for each part,
        and a legend below."""
        task = self.preprocessing.task
        colors = np.array(palette(max(task.width, 2)))
        labels = [plain(shorten(label, LONGEST_CLASS)) for label in task.classes]
        for label, color in zip(labels, colors, strict=False):
            axes.plot([], [], "o", ms=7, color=color, label=label)
        for name, part in parts(self.data).items():
            x, y = original(part, self.preprocessing)[:MOST_ROWS].T
            marker = MARKERS[name]
            look: Any = {"s": 14, "marker": marker, "linewidths": 0.4, "edgecolors": INK}
            if task.classes:
                classes = part.y[:MOST_ROWS].cpu().numpy()
                axes.scatter(x, y, c=colors[classes], **look)
            else:
                low, high = self.limits or (None, None)
                amounts = self._amounts(part)[:MOST_ROWS]
                axes.scatter(x, y, c=amounts, cmap=MAP, vmin=low, vmax=high, **look)
            axes.plot([], [], marker, ms=4, mfc="none", mec=INK, label=name)
        widest = max(map(len, (*labels, "validation")))
        columns = max(1, min(5, LEGEND_WIDTH // (widest + 5)))
        xlabel, ylabel = map(plain, self.preprocessing.features)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.grid(visible=False)
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=columns, columnspacing=1.0
        )


def parts(data: Data) -> dict[str, Part]:
    """The parts that have rows."""
    named = {"training": data.train, "validation": data.val, "test": data.test}
    return {name: part for name, part in named.items() if len(part)}


def original(part: Part, preprocessing: Preprocessing) -> Array:
    """The inputs (rows, 2) in their original units, with the scaling inverted."""
    x = part.x[:].double().cpu().numpy()
    scalings = [column.scaling for column in preprocessing.columns if isinstance(column, Numeric)]
    return np.stack([s.invert(x[:, k]) for k, s in enumerate(scalings)], axis=1)


def draw(model: Model, data: Data, title: str, folder: Path) -> list[str]:
    """Write ``boundary.png`` and ``.svg``: the model's predictions over the plane of its two
    inputs, with the rows. Returns the files' names."""
    surface = Surface(data)
    with panels(1, title) as (figure, (axes,)):
        surface.draw(axes, surface.values(model))
        surface.draw_rows(axes)
        return save(figure, folder, "boundary")


class Frames(Callback):
    """Records the network's predictions on the grid before training and after at most FRAMES of the
    epochs, as (epoch, values)."""

    def __init__(self, surface: Surface, epochs: int) -> None:
        self.surface = surface
        self.drawn = {*np.linspace(0, epochs, min(epochs, FRAMES) + 1).round().astype(int).tolist()}
        self.frames: list[tuple[int, Array]] = []

    def on_start(self, training: Training) -> None:
        self._record(training, 0)

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        if training.epoch in self.drawn:
            self._record(training, training.epoch)

    def _record(self, training: Training, epoch: int) -> None:
        activation = training.loss.output_activation
        model = Model(training.model, training.data.preprocessing, activation)
        self.frames.append((epoch, self.surface.values(model)))
        training.set_mode(True)


def animate(training: Training, epochs: int, title: str, folder: Path) -> list[str]:
    """Write ``boundary.gif``: repeat the first ``epochs`` of the training, drawing the boundary
    before them and after at most FRAMES of them, including the last, whose picture is shown
    longest. Equal seeds give equal bits, so this reproduces the run's own training. Returns the
    file's name."""
    from PIL import Image

    surface = Surface(training.data)
    training.max_epochs = epochs
    recorded = Frames(surface, epochs)
    fit(training, [recorded])
    images = []
    for epoch, values in recorded.frames:
        with panels(1, title) as (figure, (axes,)):
            surface.draw(axes, values)
            surface.draw_rows(axes)
            axes.set_title(f"epoch {epoch}", loc="left")
            images.append(Image.fromarray(_pixels(figure)))
    durations = [FRAME_MS] * (len(images) - 1) + [LAST_FRAME_MS]
    path = folder / "boundary.gif"
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0)
    return [path.name]


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()  # type: ignore[no-untyped-call]
    found: NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
    return found
