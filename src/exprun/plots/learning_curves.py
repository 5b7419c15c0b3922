"""Learning curves: training and validation of one run, or means over the seeds of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from exprun.common.constants import EARLY_STOPPED
from exprun.common.figure_style import FAINT, INK, ordered, palette, save
from exprun.plots.figure import label_epochs, panels, plain
from exprun.record.mean_curves import Curve, mean_curve
from exprun.sweeps.ranking import higher_is_better
from exprun.sweeps.results import Configuration, JobResult, Results

TRAINING, VALIDATION, OTHERS = "#e07a1f", "#2b6cb0", "#d5d9e0"

LineStyle = str | tuple[float, tuple[float, ...]]

NAMED = 7
"""Most configurations that have a colour and a name; the others are grey."""

WITH_TRAINING = 4
"""Most configurations for which training curves are drawn too."""

MOST_METRICS = 6

DASHES: tuple[LineStyle, ...] = ("-", (0, (6, 2)), (0, (3, 1.5)), (0, (1, 1)))
"""Line styles, used in turn, so that curves that overlap can be told apart."""


def draw_run(job: JobResult, best_epoch: int | None, title: str, folder: Path) -> list[str]:
    """Write ``curves.png`` and ``.svg``: each metric on the training and the validation rows over
    the epochs, with the epoch whose weights were kept, and the epoch of early stopping. Returns the
    files' names."""
    curve = job.curve()
    names = _metrics(curve)
    with panels(len(names), title) as (figure, found):
        for axes, name in zip(found, names, strict=True):
            _draw_metric(axes, curve, name)
            if best_epoch:
                label = f"kept: epoch {best_epoch}"
                axes.axvline(best_epoch, color=INK, ls="--", lw=1.0, label=label)
            if job.status == EARLY_STOPPED:
                last = int(curve["epoch"][-1])
                axes.axvline(last, color=FAINT, ls=":", lw=1.0, label=f"stopped: epoch {last}")
            axes.legend()
        return save(figure, folder, "curves")


def _metrics(curve: Mapping[str, Sequence[float]]) -> list[str]:
    """The names of the metrics, ``loss``, ``accuracy``, …, the loss first, without those of
    averaged weights; at most MOST_METRICS."""
    found = [name.removeprefix("train_") for name in curve if name.startswith("train_")]
    found += [name.removeprefix("val_") for name in curve if name.startswith("val_")]
    return [name for name in dict.fromkeys(found) if not name.startswith("ema_")][:MOST_METRICS]


def _draw_metric(axes: Axes, curve: Mapping[str, Sequence[float]], name: str) -> None:
    epochs = curve["epoch"]
    lines = [
        (f"train_{name}", "training", TRAINING, "-"),
        (f"val_{name}", "validation", VALIDATION, "-"),
        (f"train_ema_{name}", "training, averaged weights", TRAINING, "--"),
        (f"val_ema_{name}", "validation, averaged weights", VALIDATION, "--"),
    ]
    for column, label, color, style in lines:
        if column in curve:
            axes.plot(epochs, curve[column], color=color, ls=style, lw=1.5, label=label)
    label_epochs(axes)
    axes.set_ylabel(name.replace("_", " "))


def draw_sweep(results: Results, title: str, folder: Path) -> list[str]:
    """Write ``curves.png`` and ``.svg``: the mean of each validation metric (training metric,
    without a validation part) over the seeds of each configuration, ± one standard deviation. At
    most NAMED configurations, the best by validation, have a colour; with at most WITH_TRAINING
    configurations the training curves are dotted. Returns the files' names."""
    curves = {
        c.name: [_columns(job) for job in c.jobs if job.ended_well] for c in _ordered(results)
    }
    columns = [name for runs in curves.values() for curve in runs for name in curve]
    names = list(dict.fromkeys(n for n in columns if n.startswith("val_")))
    names = names or list(dict.fromkeys(n for n in columns if n.startswith("train_")))
    names = [name for name in names if "_ema_" not in name][:MOST_METRICS]
    colors = colors_of(results, list(curves)[:NAMED])
    styles = {name: DASHES[k % len(DASHES)] for k, name in enumerate(colors)}
    dotted = len(curves) <= WITH_TRAINING and names[0].startswith("val_")
    with panels(len(names), title) as (figure, found):
        for axes, name in zip(found, names, strict=True):
            part, _, metric = name.partition("_")
            for configuration, runs in reversed(curves.items()):
                color = colors.get(configuration)
                _draw_mean(axes, runs, name, color, styles.get(configuration, "-"))
                training = mean_curve(runs, f"train_{metric}") if dotted else None
                if training is not None:
                    axes.plot(training.steps, training.mean, color=color, ls=":", lw=1.0)
            label_epochs(axes)
            where = "validation" if part == "val" else "training"
            more = " (dotted: training)" if dotted else ""
            axes.set_ylabel(f"{where} {metric.replace('_', ' ')}{more}")
        for configuration, color in colors.items():
            seeds = len(curves[configuration])
            label = f"{plain(configuration)} ({seeds} run{'s' * (seeds != 1)})"
            found[0].plot([], [], color=color, ls=styles[configuration], lw=2, label=label)
        if others := len(curves) - len(colors):
            found[0].plot([], [], color=OTHERS, lw=1, label=f"{others} others")
        figure.legend(loc="outside lower left", ncols=2)
        return save(figure, folder, "curves")


def _draw_mean(
    axes: Axes, runs: Sequence[Curve], name: str, color: str | None, style: LineStyle
) -> None:
    """Draw the mean of a column with its band; without a colour, a thin grey line."""
    mean = mean_curve(runs, name)
    if mean is None:
        return
    width = 1.6 if color else 0.8
    axes.plot(mean.steps, mean.mean, color=color or OTHERS, ls=style, lw=width)
    if color and mean.std is not None:
        low, high = mean.mean - mean.std, mean.mean + mean.std
        axes.fill_between(mean.steps, low, high, color=color, alpha=0.12, lw=0)


def _ordered(results: Results) -> list[Configuration]:
    """The configurations, sorted by their mean validation figure, best first."""
    metric = results.default_validation
    sign = -1 if higher_is_better(metric) else 1

    def rank(configuration: Configuration) -> float:
        figures = [f for job in configuration.jobs if (f := job.figure(metric)) is not None]
        return sign * float(np.mean(figures)) if figures else np.inf

    return sorted(results.configurations, key=rank)


def colors_of(results: Results, chosen: Sequence[str]) -> dict[str, str]:
    """A colour for each chosen configuration; ordered by value if the only factor is numeric."""
    (levels, *others) = results.factors.values() or [[]]
    try:
        numbers = {c.name: float(next(iter(c.values.values()))) for c in results.configurations}
    except (ValueError, StopIteration):
        others = [levels]
    if others:
        return dict(zip(chosen, palette(len(chosen)), strict=True))
    ascending = sorted(chosen, key=lambda name: numbers[name])
    return dict(zip(ascending, ordered(len(ascending)), strict=True))


def _columns(job: JobResult) -> dict[str, np.ndarray]:
    return {name: np.array(column) for name, column in job.curve().items()}
