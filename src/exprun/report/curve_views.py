"""Figures of learning curves: means over the seeds, best value so far, time to a target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from exprun.common.constants import DIVERGED
from exprun.record.mean_curves import POINTS, Column, Curve, mean_curve, thinned
from exprun.report import charts
from exprun.report.charts import Estimate
from exprun.report.study import DRAWN, Cell, Study, Table, View
from exprun.statistics.performance_profile import R_MAX, scores
from exprun.sweeps.comparison.figures import Block
from exprun.sweeps.ranking import higher_is_better
from exprun.sweeps.results import Configuration, JobResult

BANDS = 8
"""Most configurations that have a band around their curve; more bands would hide each other."""

ROWS = 20
"""Most rows of a chart of dots."""

PARTS = {"val": "Validation", "train": "Training", "test": "Test"}


def title(column: str) -> str:
    """The title of a column: ``Validation roc auc`` for ``val_roc_auc``."""
    part, _, name = column.partition("_")
    return f"{PARTS[part]} {name.replace('_', ' ')}" if part in PARTS and name else column


def learning_curves(study: Study, column: str) -> View | None:
    """Mean and standard deviation over the seeds of a column of the curves, by configuration; None
    if no run has the column."""
    curves: list[charts.Curve] = []
    rows: list[tuple[Cell, ...]] = []
    for place, configuration in enumerate(study.ranked[:DRAWN]):
        curve = mean_curve(_to_the_end(study, configuration), column, study.step)
        if curve is None:
            continue
        band = curve.std if place < BANDS else None
        curves.append(_drawn(study, configuration, curve.steps, curve.mean, band))
        stds = [None] * len(curve.steps) if curve.std is None else curve.std.tolist()
        for at, value, std in zip(curve.steps.tolist(), curve.mean.tolist(), stds, strict=True):
            rows.append((study.name(configuration), at, value, std))
    if not curves:
        return None
    caption = f"{column} after each {study.step}"
    if study.seeds > 1:
        caption += (
            ", mean over the seeds, as far as all seeds of a configuration were trained; the "
        )
        caption += "band is one standard deviation to either side"
        caption += f", around the best {BANDS}" if len(curves) > BANDS else ""
    log_y, y_range = y_axis(curves, column)
    drawing = charts.lines(
        curves, study.step, column, legend=study.legend, log_y=log_y, y_range=y_range
    )
    table = Table(("configuration", study.step, f"{column}_mean", f"{column}_sd"), rows)
    caption += f".{study.best(len(curves))}"
    return View(f"curve_{column}", title(column), caption, drawing, table)


def _to_the_end(study: Study, configuration: Configuration) -> list[Curve]:
    """The curves of a configuration's jobs, without diverged ones, which end early, unless all
    diverged."""
    found = study.curves_of(configuration)
    return [curve for job, curve in found if job.status != DIVERGED] or [c for _, c in found]


def _drawn(
    study: Study, configuration: Configuration, x: Column, y: Column, std: Column | None = None
) -> charts.Curve:
    return charts.Curve(
        study.name(configuration),
        study.look(configuration),
        x.tolist(),
        y.tolist(),
        () if std is None else (y - std).tolist(),
        () if std is None else (y + std).tolist(),
        study.numbers[configuration.name],
    )


def y_axis(curves: Sequence[charts.Curve], column: str) -> tuple[bool, tuple[float, float] | None]:
    """Whether to use a log scale, and the range to show; None is the full range. The first epochs
    or a bad configuration would flatten all other curves, so a twentieth of the points may lie
    outside."""
    values = np.array([v for c in curves for v in c.y if math.isfinite(v)])
    if not len(values):
        return False, None
    is_loss = not higher_is_better(column)
    low, high = float(values.min()), float(values.max())
    if is_loss and low > 0 and high > 20 * low:
        return True, (low, float(np.quantile(values, 0.95)))
    edges = [v for c in curves for v in (*c.low, *c.high) if math.isfinite(v)]
    low, high = min([low, *edges]), max([high, *edges])
    if is_loss:
        return False, (low, min(high, float(np.quantile(values, 0.95))))
    return False, (max(low, float(np.quantile(values, 0.05))), high)


def best_so_far(study: Study, unit: str) -> View | None:
    """The best value of the curve up to each epoch or second of training (``unit``): means over the
    seeds, up to the end of the seed that trained longest."""
    curves: list[charts.Curve] = []
    rows: list[tuple[Cell, ...]] = []
    for configuration in study.ranked[:DRAWN]:
        found = [*_bests(study, configuration, unit).values()]
        if not found:
            continue
        start, end = (max(float(times[i]) for times, _ in found) for i in (0, -1))
        at = np.linspace(start, end, POINTS)
        if unit == "epochs":
            at = np.arange(start, end + 1)[thinned(int(end - start) + 1)]
        steps = [best[np.searchsorted(times, at + 1e-9, side="right") - 1] for times, best in found]
        mean = np.mean(steps, axis=0)
        curves.append(_drawn(study, configuration, at, mean))
        points = zip(at.tolist(), mean.tolist(), strict=True)
        rows += [(study.name(configuration), *point) for point in points]
    if not curves:
        return None
    caption = f"The best {study.curve} up to then, mean over the seeds.{study.best(len(curves))}"
    if unit == "seconds":
        caption += " Seconds are each run's own. Runs of a sweep share the machine, stacked runs a "
        caption += "core: they can be compared within a sweep only."
    log_y, y_range = y_axis(curves, study.curve)
    label = f"best {study.curve} so far"
    drawing = charts.lines(curves, unit, label, legend=study.legend, log_y=log_y, y_range=y_range)
    table = Table(("configuration", unit, f"best_{study.curve}"), rows)
    return View(f"best_so_far_{unit}", f"Best so far against {unit}", caption, drawing, table)


def _bests(
    study: Study, configuration: Configuration, unit: str
) -> dict[Block, tuple[Column, Column]]:
    """For each job of a configuration, by its block, the end times of its epochs and the best
    values up to them."""
    found = {}
    for job, curve in study.curves_of(configuration):
        if study.step != "epoch" or study.curve not in curve:
            continue
        values = curve[study.curve]
        best = np.fmax if higher_is_better(study.curve) else np.fmin  # these ignore nan
        times = _times(job, curve, unit)
        if np.isfinite(times).all():
            found[job.block] = times, best.accumulate(values)
    return found


def _times(job: JobResult, curve: Curve, unit: str) -> Column:
    """The end time of each epoch, in epochs or seconds; nan if it is unknown."""
    if unit == "epochs":
        return curve["epoch"]
    seconds = job.metrics.get("seconds")
    part: Column = curve["epoch"] / curve["epoch"][-1]
    return part * (math.nan if seconds is None else seconds)


def target(study: Study) -> tuple[float, str] | None:
    """The target value for ``time_to_target`` and its origin in words: the best value of the
    baseline's median run or, without a baseline, of the median configuration's. None if fewer than
    two configurations have a curve."""
    medians = {}
    for configuration in study.ranked[:DRAWN]:
        found = _bests(study, configuration, "epochs").values()
        bests = [float(best[-1]) for _, best in found]
        if bests and all(map(math.isfinite, bests)):
            medians[configuration.name] = float(np.median(bests))
    if len(medians) < 2:
        return None
    baseline = study.comparison["baseline"]
    if baseline in medians:
        return medians[baseline], "the baseline reaches in its median run"
    worst_first = sorted(medians.values(), reverse=not higher_is_better(study.curve))
    middle = worst_first[(len(worst_first) - 1) // 2]
    return middle, "the median configuration reaches in its median run"


def time_to_target(study: Study) -> View | None:
    """Epochs until the curve reaches ``target``: the median and each seed, the fastest
    configuration first, with the score of their times; the table also has seconds."""
    found = target(study)
    if found is None:
        return None
    goal, origin = found
    drawn = study.ranked[:DRAWN]
    reached = {c.name: r for c in drawn if (r := _reached(study, c, goal, "epochs"))}
    score = _scores(reached)
    rows: list[tuple[Cell, ...]] = []
    estimates = []
    for configuration in drawn:
        if configuration.name not in reached:
            continue
        epochs = [*reached[configuration.name].values()]
        seconds = [*_reached(study, configuration, goal, "seconds").values()]
        name, there = study.name(configuration), [v for v in epochs if math.isfinite(v)]
        medians = [_median(values) for values in (epochs, seconds)]
        own = score.get(configuration.name)
        rows.append((name, len(there), len(epochs), *medians, own))
        remark = f"{len(there)} of {len(epochs)} reach it" if len(there) < len(epochs) else ""
        value = math.nan if medians[0] is None else medians[0]
        remark_alone = math.isnan(value)  # the remark takes the place of the dots
        estimates.append(
            Estimate(
                name if own is None else f"{name} ({own:.2f})",
                value,
                singles=there if len(epochs) > 1 and not remark_alone else (),
                look=study.look(configuration),
                configuration=study.numbers[configuration.name],
                remark=remark,
            )
        )
    estimates.sort(key=lambda row: (math.isnan(row.value), row.value))
    drawing = charts.dots(estimates[:ROWS], f"epochs to {study.curve} {goal:.4g}", counts=True)
    caption = f"Epochs until {study.curve} is {goal:.4g}, which {origin}: median and each seed. A "
    caption += "seed that does not get there counts as infinitely long."
    if score:
        caption += (
            " In parentheses the AlgoPerf score: the mean over the seeds of how near a time is to "
            f"the fastest one of that seed, 1 if it is that, 0 from {R_MAX:g} times as long on."
        )
    if len(estimates) > ROWS:
        caption += f" The fastest {ROWS} of {len(estimates)}."
    columns = ("configuration", "reached", "runs", "median_epochs", "median_seconds", "score")
    return View("time_to_target", "Time to target", caption, drawing, Table(columns, rows))


def _scores(reached: Mapping[str, Mapping[Block, float]]) -> dict[str, float]:
    """The score of each configuration's times over the seeds that all configurations have; empty if
    there are none."""
    blocks = set.intersection(*(set(times) for times in reached.values())) if reached else set()
    if not blocks:
        return {}
    return scores({name: [times[b] for b in sorted(blocks)] for name, times in reached.items()})


def _reached(
    study: Study, configuration: Configuration, goal: float, unit: str
) -> dict[Block, float]:
    """The time at which the curve of each job reaches ``goal``, by block; infinity if it never
    does."""
    up = higher_is_better(study.curve)
    reached = {}
    for block, (times, best) in _bests(study, configuration, unit).items():
        there = np.flatnonzero(best >= goal if up else best <= goal)
        reached[block] = float(times[there[0]]) if len(there) else math.inf
    return reached


def _median(values: Sequence[float]) -> float | None:
    """The median; None if it is infinite or there are no values."""
    middle = float(np.median(values)) if values else math.inf
    return middle if math.isfinite(middle) else None


def paths(study: Study) -> View | None:
    """Paths of the optimizers through the plane of a test function; None for other problems."""
    curves: list[charts.Curve] = []
    rows: list[tuple[Cell, ...]] = []
    for configuration in study.ranked[:DRAWN]:
        for _, curve in study.curves_of(configuration)[:1]:
            if "x" not in curve or "y" not in curve:
                continue
            chosen = thinned(len(curve["x"]))
            points = np.stack([curve["x"][chosen], curve["y"][chosen]])
            x, y = points[:, np.isfinite(points).all(axis=0)]
            if len(x):
                curves.append(_drawn(study, configuration, x, y))
                pairs = zip(x.tolist(), y.tolist(), strict=True)
                rows += [(study.name(configuration), *pair) for pair in pairs]
    if not curves:
        return None
    inside = [np.quantile([v for c in curves for v in c.y], q) for q in (0.01, 0.99)]
    y_range = float(inside[0]), float(inside[1])
    drawing = charts.lines(curves, "x", "y", legend=study.legend, y_range=y_range)
    caption = f"Every path from its start.{study.best(len(curves))}"
    return View("paths", "Paths", caption, drawing, Table(("configuration", "x", "y"), rows))
