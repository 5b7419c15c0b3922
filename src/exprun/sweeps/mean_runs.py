"""Writes the TensorBoard runs of mean curves, ``mean/`` in the folder of a sweep."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from exprun.record.mean_runs import MeanRun, write_mean_runs
from exprun.record.tensorboard import Value
from exprun.sweeps.names import DEFAULT, short_names
from exprun.sweeps.results import Configuration, Results


def write_mean(folder: Path, results: Results) -> None:
    """Write ``folder/mean/``, a TensorBoard run for each configuration with a job that has ended;
    nothing if there is none. Diverged jobs are left out of the curves, because their curves end
    early, unless all jobs of the configuration diverged."""
    names = short_names(results)
    runs, step = [], "epoch"
    for configuration in results.configurations:
        ended = [job for job in configuration.jobs if job.counts]
        if not ended:
            continue
        found = [(job, curve) for job in ended if (curve := job.curve())]
        curves = [curve for job, curve in found if job.ended_well] or [c for _, c in found]
        step = "iteration" if curves and "epoch" not in curves[0] else step
        runs.append(
            MeanRun(
                names[configuration.name],
                {key: _level(configuration, key) for key in results.factors},
                [{name: np.array(column) for name, column in curve.items()} for curve in curves],
                {name: list(configuration.figures(name).values()) for name in results.metrics},
            )
        )
    if runs:
        write_mean_runs(folder, runs, step)


def _level(configuration: Configuration, key: str) -> Value:
    """The level of a factor as a finite number if possible, so that TensorBoard draws a numeric
    axis, else as text."""
    text = configuration.values.get(key, DEFAULT)
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
