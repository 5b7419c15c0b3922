"""The charts of a report: lines with bands, dots with intervals, heat maps, parallel coordinates.

Each takes plain numbers and returns a ``Drawing`` that fits the width of a phone without shrinking
its text; a page places several side by side. Configurations keep their colour and dash, ``Look``,
in all charts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from exprun.report.axes import GAP, Scale, bottom_axis, left_axis, left_margin, scale, spelled_ticks
from exprun.report.drawing import (
    Area,
    Dot,
    Drawing,
    Group,
    Line,
    Shape,
    Text,
    text_width,
)

WIDTH = 440.0
"""Width of a chart in pixels: on a screen of 390 its text of 12 pixels is 10 high."""

HEIGHT = 190.0
"""Height of the plot area in pixels, without axes and legend."""

ROW = 20.0
"""Height of a row of dots in pixels."""

BAND_OPACITY = 0.14


@dataclass(frozen=True)
class Look:
    """How a configuration is drawn in all charts: the name of a colour and the index of a dash."""

    color: str = "other"
    dash: int = 0


@dataclass(frozen=True)
class Key:
    """An entry of a legend."""

    words: str
    look: Look


@dataclass(frozen=True)
class Curve:
    """A line through (x, y) with a band from ``low`` to ``high``, which may be empty; nan is a gap.
    ``configuration`` is the number by which the page highlights it."""

    name: str
    look: Look
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    configuration: int | None = None
    marked: bool = False


@dataclass(frozen=True)
class Estimate:
    """A value with its interval and the single measurements that it summarises. Unknown numbers are
    nan; without a value only ``remark`` is shown."""

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    singles: Sequence[float] = ()
    look: Look = Look("ink")
    configuration: int | None = None
    remark: str = ""


@dataclass(frozen=True)
class Coordinate:
    """An axis of parallel coordinates: numeric values or, with ``names``, indices 0, 1, … of
    names."""

    title: str
    values: Sequence[float]
    names: Sequence[str] = ()
    log: bool = False


def lines(
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    *,
    legend: Sequence[Key] = (),
    log_x: bool = False,
    log_y: bool = False,
    y_range: tuple[float, float] | None = None,
    reference: float | None = None,
) -> Drawing:
    """Curves with bands, the first on top; ``y_range`` limits the vertical axis and clips the
    curves, ``reference`` is a dashed horizontal line."""
    entries, legend_height = _legend(legend)
    top = 26.0
    bottom = top + HEIGHT
    inside = [y_range] if y_range else [(*c.y, *c.low, *c.high) for c in curves]
    extra = [] if reference is None else [reference]
    y = scale([v for values in inside for v in values] + extra, bottom, top, log=log_y)
    left = left_margin(y)
    right = WIDTH - 10
    places = [float(v) for c in curves for v in c.x]
    counts = all(v.is_integer() for v in places)
    x = scale(places, left, right, log=log_x, counts=counts, margin=0.02)
    drawing = Drawing(WIDTH, bottom + 40 + legend_height, _aloud(y_label, x_label, curves))
    drawing.add(*left_axis(y, left, right, y_label), *bottom_axis(x, top, bottom, x_label))
    groups: list[Shape] = [_curve(curve, x, y) for curve in reversed(curves)]
    if reference is not None and math.isfinite(y(reference)):
        groups.append(Line([(left, y(reference)), (right, y(reference))], "muted", 2, 1))
    drawing.add(Group(groups, clip=(left, top, right + 4, bottom)))
    drawing.add(*_moved(entries, bottom + 48))
    return drawing


def _aloud(y_label: str, x_label: str, curves: Sequence[Curve]) -> str:
    names = "; ".join(curve.name for curve in curves[:12])
    more = f" and {len(curves) - 12} more" if len(curves) > 12 else ""
    return f"{y_label} over {x_label}: {names}{more}"


def _curve(curve: Curve, x: Scale, y: Scale) -> Group:
    points = [(x(a), y(b)) for a, b in zip(curve.x, curve.y, strict=True)]
    shapes: list[Shape] = [Line(points, curve.look.color, curve.look.dash)]
    if curve.low:
        low = [(x(a), y(b)) for a, b in zip(curve.x, curve.low, strict=True)]
        high = [(x(a), y(b)) for a, b in zip(curve.x, curve.high, strict=True)]
        # gaps of the band collapse onto the line, so that the polygon stays in one piece
        low, high = (
            [p if math.isfinite(p[1]) else at for p, at in zip(edge, points, strict=True)]
            for edge in (low, high)
        )
        outline = [p for p in [*low, *reversed(high)] if math.isfinite(p[0] + p[1])]
        if outline:
            shapes.insert(0, Area(outline, curve.look.color, BAND_OPACITY))
    if curve.marked:
        shapes += [Dot(*p, color=curve.look.color) for p in points if math.isfinite(p[0] + p[1])]
    return Group(shapes, curve.configuration, curve.name)


def dots(
    rows: Sequence[Estimate],
    x_label: str,
    *,
    legend: Sequence[Key] = (),
    reference: float | None = None,
    band: tuple[float, float] | None = None,
    log: bool = False,
    counts: bool = False,
) -> Drawing:
    """One row per estimate: a dot with its interval, single measurements as faint dots, the name on
    the left or, if names are long, above.

    ``reference`` is a vertical line through all rows, ``band`` a shaded range.
    """
    names_beside = max([text_width(row.name) for row in rows] or [0]) <= 0.46 * WIDTH
    height = ROW if names_beside else 1.7 * ROW
    left = max([text_width(row.name) for row in rows] or [0]) + 10 if names_beside else 6.0
    right = WIDTH - 12
    top, bottom = 6.0, 6.0 + height * len(rows)
    values = [v for row in rows for v in (row.value, row.low, row.high, *row.singles)]
    values += [v for v in (reference, *(band or ())) if v is not None]
    x = scale(values, left, right, log=log, counts=counts)
    entries, legend_height = _legend(legend)
    words = "; ".join(f"{row.name} {_spelled(row)}" for row in rows[:12])
    drawing = Drawing(WIDTH, bottom + 40 + legend_height, f"{x_label}: {words}")
    if band is not None:
        drawing.add(Area(_rectangle(x(band[0]), top, x(band[1]), bottom), "grid", 0.7))
    drawing.add(*bottom_axis(x, top, bottom, x_label))
    if reference is not None:
        drawing.add(Line([(x(reference), top), (x(reference), bottom)], "muted", 1, 1))
    for i, row in enumerate(rows):
        y = top + height * (i + (0.5 if names_beside else 0.74))
        drawing.add(_estimate(row, x, y, left, names_beside=names_beside))
    drawing.add(*_moved(entries, bottom + 48))
    return drawing


def _estimate(row: Estimate, x: Scale, y: float, left: float, *, names_beside: bool) -> Group:
    color = row.look.color
    if names_beside:
        shapes: list[Shape] = [Text(left - 10, y + 4, row.name, "end")]
    else:
        shapes = [Text(left, y - 11, _fitted(row.name, WIDTH - left))]
    for value in row.singles:
        if math.isfinite(x(value)):
            shapes.append(Dot(x(value), y, 2, color, opacity=0.35))
    if math.isfinite(x(row.low) + x(row.high)):
        shapes.append(Line([(x(row.low), y), (x(row.high), y)], color, width=2))
    if math.isfinite(x(row.value)):
        shapes.append(Dot(x(row.value), y, 4, color))
        if row.look.dash:  # dots have no dashes: the second and further ones are rings
            shapes.append(Dot(x(row.value), y, 4 - 0.9 * row.look.dash, "surface"))
    elif row.remark:
        shapes.append(Text(x.start + 4, y + 4, row.remark, color="muted"))
    return Group(shapes, row.configuration, f"{row.name}: {_spelled(row)}")


def _spelled(row: Estimate) -> str:
    if not math.isfinite(row.value):
        return row.remark or "no value"
    interval = f" ({row.low:.4g} to {row.high:.4g})" if math.isfinite(row.low + row.high) else ""
    return f"{row.value:.4g}{interval}{f', {row.remark}' if row.remark else ''}"


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    row_title: str,
    column_title: str,
    label: str,
    *,
    lower_is_better: bool = False,
) -> Drawing:
    """A cell for each pair of row and column, with its value as text; darker is better. Cells
    without a value are grey.

    ``values`` holds one sequence per row.
    """
    left = min(max(map(text_width, [*rows, row_title])), 0.35 * WIDTH) + 14
    top, height = 42.0, 30.0
    width = (WIDTH - left) / len(columns)
    drawing = Drawing(
        WIDTH, top + height * len(rows) + 30, f"{label} by {row_title}, {column_title}"
    )
    finite = [v for row in values for v in row if math.isfinite(v)]
    best, worst = (min(finite), max(finite)) if lower_is_better else (max(finite), min(finite))
    drawing.add(
        Text(0, top - 8, _fitted(row_title, left - 8), bold=True),
        Text((left + WIDTH) / 2, 12, column_title, "middle", bold=True),
    )
    for j, name in enumerate(columns):
        drawing.add(Text(left + width * (j + 0.5), top - 8, _fitted(name, width - 4), "middle"))
    texts = _cell_texts(values, width - 6)
    for i, name in enumerate(rows):
        y = top + height * i
        drawing.add(Text(left - 8, y + height / 2 + 4, _fitted(name, left - 10), "end"))
        for j, value in enumerate(values[i]):
            x = left + width * j
            if not math.isfinite(value):
                drawing.add(Area(_rectangle(x + 1, y + 1, x + width - 1, y + height - 1), "grid"))
                continue
            part = (value - worst) / (best - worst) if best != worst else 0.5
            color, dark = heat(part)
            cell: list[Shape] = [
                Area(_rectangle(x + 1, y + 1, x + width - 1, y + height - 1), color)
            ]
            if texts is not None:
                ink = "#ffffff" if dark else "#1c1f24"
                cell.append(Text(x + width / 2, y + height / 2 + 4, texts[i][j], "middle", ink))
            drawing.add(Group(cell, title=f"{name}, {columns[j]}: {value:.5g}"))
    words = f"{label}, mean of the jobs of a cell; dark is better"
    caption = _fitted(words, WIDTH)
    drawing.add(Text(0, top + height * len(rows) + 20, caption, color="muted"))
    return drawing


SEQUENTIAL = ("#f4f1c9", "#b9dca4", "#6cc0a0", "#2f9aa0", "#256f98", "#1f3f7a")
"""Colours from worse to better: light to dark in equal steps, readable in grey and by colour-blind
readers."""


def heat(part: float) -> tuple[str, bool]:
    """The colour for a value from 0 (worst) to 1 (best), and whether text on it should be white."""
    place = min(max(part, 0.0), 1.0) * (len(SEQUENTIAL) - 1)
    i = min(int(place), len(SEQUENTIAL) - 2)
    ends = [[int(color[k : k + 2], 16) for k in (1, 3, 5)] for color in SEQUENTIAL[i : i + 2]]
    mixed = [round(a + (b - a) * (place - i)) for a, b in zip(*ends, strict=True)]
    luminance = 0.2126 * mixed[0] + 0.7152 * mixed[1] + 0.0722 * mixed[2]
    return "#" + "".join(f"{value:02x}" for value in mixed), luminance < 115


def parallel(
    coordinates: Sequence[Coordinate], looks: Sequence[Look], configurations: Sequence[int]
) -> Drawing:
    """Parallel coordinates: an axis for each factor and metric, a line for each configuration, the
    first on top."""
    top, bottom = 44.0, 44.0 + HEIGHT
    count = len(coordinates)
    widest = max(map(text_width, coordinates[0].names or ["0.0000"]))
    left, right = min(widest, 70) + GAP, WIDTH - 40
    step = (right - left) / max(count - 1, 1)
    titles = ", ".join(coordinate.title for coordinate in coordinates)
    drawing = Drawing(WIDTH, bottom + 12, f"configurations over {titles}")
    scales = []
    for i, coordinate in enumerate(coordinates):
        x = left + step * i
        y = (
            Scale(-0.3, len(coordinate.names) - 0.7, bottom, top)
            if coordinate.names
            else scale(coordinate.values, bottom, top, log=coordinate.log)
        )
        scales.append((x, y))
    paths = []
    for look, configuration, *values in zip(
        looks, configurations, *(c.values for c in coordinates), strict=True
    ):
        points = [(x, y(value)) for (x, y), value in zip(scales, values, strict=True)]
        paths.append(Group([Line(points, look.color, look.dash)], configuration))
    drawing.add(*reversed(paths))
    for i, ((x, y), coordinate) in enumerate(zip(scales, coordinates, strict=True)):
        drawing.add(Line([(x, top - 6), (x, bottom + 6)], "muted", width=1))
        place, anchor = (0.0, "start") if i == 0 else (x, "middle")
        if i == count - 1:
            place, anchor = WIDTH, "end"
        drawing.add(Text(place, 12 + 16 * (i % 2), coordinate.title, anchor, bold=True))
        drawing.add(*_coordinate_names(coordinate, x, y))
    return drawing


def _coordinate_names(coordinate: Coordinate, x: float, y: Scale) -> list[Shape]:
    if coordinate.names:
        places = [(float(i), name) for i, name in enumerate(coordinate.names)]
    else:
        ticks = y.ticks(4)
        places = list(zip(ticks, spelled_ticks(ticks), strict=True))
    return [
        Text(x - GAP, y(place) + 4, _fitted(words, 80), "end", "ink", 11, halo=True)
        for place, words in places
    ]


# --- shared helpers ---


def _legend(keys: Sequence[Key]) -> tuple[list[Shape], float]:
    """The shapes of a legend, from (0, 0) downwards in as many rows as needed, and its height."""
    if not keys:
        return [], 0.0
    shapes: list[Shape] = []
    x, y = 0.0, 0.0
    for key in keys:
        width = 30 + text_width(key.words) + 14
        if x and x + width > WIDTH:
            x, y = 0.0, y + 18
        shapes.append(Line([(x, y), (x + 24, y)], key.look.color, key.look.dash, 2))
        shapes.append(Text(x + 30, y + 4, _fitted(key.words, WIDTH - 30)))
        x += width
    return shapes, y + 18


def _moved(shapes: Sequence[Shape], down: float) -> list[Shape]:
    """Lines and texts moved down by ``down`` pixels."""
    moved: list[Shape] = []
    for shape in shapes:
        if isinstance(shape, Line):
            moved.append(
                Line([(x, y + down) for x, y in shape.points], shape.color, shape.dash, shape.width)
            )
        elif isinstance(shape, Text):
            moved.append(Text(shape.x, shape.y + down, shape.words))
    return moved


def _rectangle(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _fitted(words: str, width: float) -> str:
    """The words, with the middle replaced by … if they are wider than ``width`` pixels."""
    if text_width(words) <= width:
        return words
    keep = max(int(len(words) * width / text_width(words)) - 1, 2)
    return f"{words[: (keep + 1) // 2]}…{words[len(words) - keep // 2 :]}"


def _cell_texts(values: Sequence[Sequence[float]], width: float) -> list[list[str]] | None:
    """The values as texts with as many digits as fit into ``width`` pixels, at most 5; None if not
    even 3 fit."""
    for digits in (5, 4, 3):
        texts = [[f"{value:.{digits}g}" for value in row] for row in values]
        finite = [v for row in values for v in row if math.isfinite(v)]
        if all(abs(v) < 1 for v in finite):
            texts = [[f"{value:.{digits - 1}f}" for value in row] for row in values]
        if all(text_width(text) <= width for row in texts for text in row):
            return texts
    return None
