"""``mean/`` of a sweep: a TensorBoard run per configuration, the mean over its seeds.

A sweep of 4 optimizers, 3 regularisers and 5 seeds gives 12 curves with bands instead of 60 curves,
and 12 rows of HParams whose columns are the factors of the sweep.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exprun.record.files import folder_name
from exprun.record.mean_curves import Curve, MeanCurve, mean_curve
from exprun.record.tensorboard import (
    Band,
    BufferedEventFile,
    Value,
    best_tag,
    tag_of,
    write_buffered,
)

FOLDER = "mean"

OPEN = 200
"""Maximum number of open files."""

TITLES = {"val": "validation", "train": "training"}
"""Names of the parts of the data in charts."""


@dataclass(frozen=True)
class MeanRun:
    """A configuration: its name, the levels of its factors, the curves of its completed jobs, and
    each figure of ``result.json`` from all jobs that have it."""

    name: str
    levels: Mapping[str, Value]
    curves: Sequence[Curve]
    metrics: Mapping[str, Sequence[float]]


def write_mean_runs(sweep: Path, runs: Sequence[MeanRun], step: str = "epoch") -> Path:
    """Write ``sweep/mean/`` with a folder for each run, replacing an existing one; returns its
    path. The curves' bands are one standard deviation to either side. Raises OSError.
    """
    folder = sweep / FOLDER
    names = [folder_name(run.name.split(" ")) for run in runs]
    if folder.is_dir():
        for old in set(folder.iterdir()) - {folder / name for name in names}:
            shutil.rmtree(old)
    columns = dict.fromkeys(
        name
        for run in runs
        for curve in run.curves
        for name in curve
        if name not in (step, "epoch", "iteration")
    )
    measured = {name.partition("_")[2] for name in columns if name.startswith("val_")}
    figures = dict.fromkeys(name for run in runs for name in run.metrics)
    shown = [
        name
        for part in ("test_", "val_")
        for name in figures
        if name.startswith(part) and name.removeprefix(part) in measured
    ] or [name for name in figures if not name.startswith("train_")]
    shown.sort(key=lambda name: name.endswith("_loss"))  # metrics first
    levels = {
        name: list(dict.fromkeys(run.levels[name] for run in runs)) for name in runs[0].levels
    }
    waiting: list[BufferedEventFile] = []
    for name, run in zip(names, runs, strict=True):
        (folder / name).mkdir(parents=True, exist_ok=True)
        waiting.append(_events(folder / name, run, levels, list(columns), shown, step))
        if len(waiting) == OPEN or run is runs[-1]:
            write_buffered(waiting)
            waiting = []
    return folder


def _events(
    folder: Path,
    run: MeanRun,
    levels: Mapping[str, Sequence[Value]],
    columns: Sequence[str],
    figures: Sequence[str],
    step: str,
) -> BufferedEventFile:
    """The event file of a configuration: mean curves with bands, and figures at the last step."""
    file = BufferedEventFile(folder)
    file.charts({_title(name): [_band(name)] for name in columns})
    table: dict[str, str] = {}
    for figure in figures:
        mean, std = _tags(figure)
        table |= {mean: f"{figure} mean", std: f"{figure} sd"}
    file.hparams_columns(levels, table)
    file.hparams_start(run.levels)
    points: dict[int, dict[str, float]] = {}
    for name in columns:
        curve = mean_curve(run.curves, name, step)
        if curve is not None:
            for at, values in _points(name, curve):
                points.setdefault(at, {}).update(values)
    for at, values in sorted(points.items()):
        file.scalars(values, at)
    final: dict[str, float] = {}
    for figure in figures:
        measured = run.metrics.get(figure, ())
        mean, std = _tags(figure)
        if measured:
            final[mean] = statistics.fmean(measured)
        if len(measured) > 1:
            final[std] = statistics.stdev(measured)
    file.scalars(final, max(points, default=0))
    file.hparams_end(bool(final))
    return file


def _tags(figure: str) -> tuple[str, str]:
    """The tags of a figure's mean and standard deviation: ``test/loss_mean``, ``test/loss_sd``."""
    tag = best_tag(figure) if figure.startswith("val_") else tag_of(figure)
    return f"{tag}_mean", f"{tag}_sd"


def _title(column: str) -> str:
    """The title of a column: ``validation accuracy`` for ``val_accuracy``."""
    part, _, metric = column.partition("_")
    return f"{TITLES[part]} {metric}" if metric and part in TITLES else column


def _band(column: str) -> Band:
    tag = tag_of(column)
    return Band(tag, f"spread/{tag}_lower", f"spread/{tag}_upper")


def _points(column: str, curve: MeanCurve) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield each step with the mean and the edges of its band, by tag; the band of a single run has
    zero width."""
    band = _band(column)
    stds = np.zeros_like(curve.mean) if curve.std is None else curve.std
    for step, mean, std in zip(curve.steps, curve.mean.tolist(), stds.tolist(), strict=True):
        yield int(step), {band.value: mean, band.lower: mean - std, band.upper: mean + std}
