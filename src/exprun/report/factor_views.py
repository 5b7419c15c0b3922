"""Figures of the effects of a sweep's factors: main effects, sensitivity, heat maps, parallel
coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from exprun.report import charts
from exprun.report.charts import Coordinate, Curve, Estimate, Key, Look
from exprun.report.curve_views import y_axis
from exprun.report.drawing import SERIES
from exprun.report.study import Cell, Study, Table, View, figures, level, mean
from exprun.statistics import paired
from exprun.sweeps.results import Configuration

PARALLEL = 200
"""Most lines of parallel coordinates: the best configurations."""

HEAT_MAPS = 3
"""Most heat maps: of the factors with the largest influence."""

CLOSE = 0.01
"""Share of the best figure that counts as close to it if no ``delta`` is given."""

CELLS = 12
"""Most levels of a factor in a heat map."""


def main_effects(study: Study) -> View | None:
    """The mean of each level of each factor over all levels of the others, with an interval over
    the seeds. None if there is only one factor, or no level has a value."""
    rows: list[Estimate] = []
    table: list[tuple[Cell, ...]] = []
    for factor, levels in study.levels.items():
        for name in levels:
            mine = [c for c in study.ranked if level(c, factor) == name]
            by_seed = _means_by_seed(mine, study.metric)
            ends = _with_interval(by_seed)
            remark = "" if by_seed else "left out: there is no seed with a figure of every job"
            rows.append(Estimate(f"{factor}={name}", *ends, remark=remark))
            table.append((factor, name, len(by_seed), *(_or_none(value) for value in ends)))
    if len(study.levels) < 2 or all(math.isnan(row.value) for row in rows):
        return None
    caption = f"{study.metric} of each level, mean over all levels of the other factors."
    if any(math.isfinite(row.low) for row in rows):
        caption += " The interval (95 %, Student's t) is over the seeds."
    drawing = charts.dots(rows, study.metric)
    columns = ("factor", "level", "n", "mean", "low", "high")
    return View("main_effects", "Main effects", caption, drawing, Table(columns, table))


def _with_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The mean and its Student 95 % interval; nan where there are too few values."""
    low, high = paired.interval(values) if len(values) > 1 else (math.nan, math.nan)
    return mean(values), float(low), float(high)


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _means_by_seed(configurations: Sequence[Configuration], metric: str) -> list[float]:
    """The mean over the configurations, for each block in which all of them have a figure."""
    by_block: dict[tuple[str, ...], list[float]] = {}
    for configuration in configurations:
        for block, value in configuration.figures(metric).items():
            by_block.setdefault(block, []).append(value)
    return [mean(v) for v in by_block.values() if len(v) == len(configurations)]


def numbers_of(levels: Sequence[str]) -> list[float] | None:
    """The levels as numbers; None unless they are at least three, all finite numbers."""
    try:
        numbers = [float(name) for name in levels]
    except ValueError:
        return None
    return numbers if len(numbers) >= 3 and all(map(math.isfinite, numbers)) else None


def sensitivity(study: Study, factor: str) -> View | None:
    """The metric over a numeric factor, with a line for each level of the most influential other
    factor; of all further factors, the level that is best by validation at that point. None if the
    factor is not numeric, or no configuration has a figure.

    On a log scale the caption also gives the number of decades with a mean within ``delta`` of the
    best.
    """
    values = numbers_of(study.levels[factor])
    others = [name for name in study.order if name != factor]
    by = others[0] if others and len(study.levels[others[0]]) <= len(SERIES) else None
    if values is None:
        return None
    x = sorted(values)
    texts = dict(zip(values, study.levels[factor], strict=True))
    curves: list[Curve] = []
    rows: list[tuple[Cell, ...]] = []
    for i, group in enumerate(study.levels[by] if by else [""]):
        best = [
            next(
                (
                    c
                    for c in study.ranked
                    if level(c, factor) == texts[at] and (not by or level(c, by) == group)
                ),
                None,
            )
            for at in x
        ]
        found = [figures(c, study.metric) if c else [] for c in best]
        y = [mean(values) for values in found]
        std = [float(np.std(v, ddof=1)) if len(v) > 1 else math.nan for v in found]
        low = [a - b for a, b in zip(y, std, strict=True)]
        high = [a + b for a, b in zip(y, std, strict=True)]
        name = f"{by}={group}" if by else study.metric
        look = Look(SERIES[i] if by else "ink")
        curves.append(Curve(name, look, x, y, low, high, marked=True))
        for cells in zip(x, y, std, strict=True):
            rows.append((*((group,) if by else ()), *map(_or_none, cells)))
    reached = [v for c in curves for v in c.y if math.isfinite(v)]
    if not reached:
        return None
    best_value = min(reached) if study.lower else max(reached)
    caption = f"{study.metric} over {factor}: mean and standard deviation over the seeds."
    if by and len(others) > 1:
        caption += " Of the other factors, the level that is best by validation there."
    log_x = x[0] > 0 and x[-1] >= 8 * x[0]
    if log_x:
        within = study.comparison["delta"] or CLOSE * abs(best_value)
        widths = ", ".join(
            f"{c.name} {decades_within(c.x, c.y, within, lower=study.lower):.1f}"
            for c in curves
            if any(map(math.isfinite, c.y))
        )
        caption += f" Decades of {factor} within {within:.2g} of the line's best: {widths}."
    legend = [Key(c.name, c.look) for c in curves] if by else []
    log_y, y_range = y_axis(curves, study.metric)
    drawing = charts.lines(
        curves, factor, study.metric, legend=legend, log_x=log_x, log_y=log_y, y_range=y_range
    )
    columns = (*((by,) if by else ()), factor, f"{study.metric}_mean", f"{study.metric}_sd")
    name = f"sensitivity_{factor}"
    return View(name, f"Sensitivity to {factor}", caption, drawing, Table(columns, rows))


def decades_within(x: Sequence[float], y: Sequence[float], delta: float, *, lower: bool) -> float:
    """Decades of x around the best point over which y stays within ``delta`` of its best.

    x ascends and is positive; y is interpolated linearly in log x, and nan ends the range.
    """
    worse = [value if lower else -value for value in y]
    best = min((i for i, v in enumerate(worse) if math.isfinite(v)), key=lambda i: worse[i])
    limit = worse[best] + delta
    width = 0.0
    for step in (-1, 1):
        i = best
        while 0 <= i + step < len(x) and math.isfinite(worse[i + step]):
            apart = abs(math.log10(x[i + step] / x[i]))
            if worse[i + step] > limit:
                width += apart * (limit - worse[i]) / (worse[i + step] - worse[i])
                break
            width += apart
            i += step
    return width


def heat_maps(study: Study) -> list[View]:
    """Heat maps of the metric over pairs of factors, the most influential first; a cell is the mean
    of the configurations with its two levels."""
    factors = [name for name in study.order if 2 <= len(study.levels[name]) <= CELLS]
    views = []
    for pair in list(combinations(factors, 2))[:HEAT_MAPS]:
        down, across = sorted(pair, key=lambda name: -len(study.levels[name]))
        rows, columns = study.levels[down], study.levels[across]
        cells = [[_cell(study, {down: row, across: c}) for c in columns] for row in rows]
        if not any(math.isfinite(value) for line in cells for value in line):
            continue
        drawing = charts.heat_map(
            rows, columns, cells, down, across, study.metric, lower_is_better=study.lower
        )
        lines = [(row, *map(_or_none, line)) for row, line in zip(rows, cells, strict=True)]
        caption = f"{study.metric}: the mean of all jobs of a cell that have a figure."
        name = f"heat_map_{down}_{across}"
        table = Table((down, *columns), lines)
        views.append(View(name, f"{down} and {across}", caption, drawing, table))
    return views


def _cell(study: Study, levels: dict[str, str]) -> float:
    return mean(
        [
            value
            for c in study.ranked
            if all(level(c, factor) == name for factor, name in levels.items())
            for value in figures(c, study.metric)
        ]
    )


def parallel(study: Study) -> View | None:
    """Parallel coordinates of the best configurations: every factor, then the metric. None if there
    is only one factor, or fewer than two configurations have a figure."""
    shown = [c for c in study.ranked if math.isfinite(study.value(c))][:PARALLEL]
    if len(study.levels) < 2 or len(shown) < 2:
        return None
    coordinates = []
    for name, levels in study.levels.items():
        numbers = numbers_of(levels)
        if numbers is None:
            places = [float(levels.index(level(c, name))) for c in shown]
            coordinates.append(Coordinate(name, places, levels))
        else:
            log = min(numbers) > 0 and max(numbers) >= 8 * min(numbers)
            values = [float(level(c, name)) for c in shown]
            coordinates.append(Coordinate(name, values, log=log))
    coordinates.append(Coordinate(study.metric, [study.value(c) for c in shown]))
    numbered = [study.numbers[c.name] for c in shown]
    drawing = charts.parallel(coordinates, [study.look(c) for c in shown], numbered)
    best = study.best(len(shown))
    rows: list[tuple[Cell, ...]] = [
        (*(level(c, name) for name in study.levels), study.value(c)) for c in shown
    ]
    table = Table((*study.levels, study.metric), rows)
    return View(
        "parallel", "Parallel coordinates", f"Each line is a configuration.{best}", drawing, table
    )
