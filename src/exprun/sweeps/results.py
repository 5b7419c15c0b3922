"""The results of one or several sweeps, which ``read_results`` reads from their folders.

``Results`` has:

``factors``
    the varying keys in the order requested, each with its values in order of first appearance:
    ``{"optimizer": ["sgd", "adam"], "reg": ["none", "l2"]}``. The keys of repetitions
    (``REPETITION``) are not factors. A sweep of ``hydra.sweeper.variants`` has the factor
    ``variant``.
``repetition``
    the keys of ``REPETITION`` that vary, which distinguish the blocks.
``jobs``
    a ``JobResult`` for each job, in the order requested. ``values`` has the values of its factors
    (keys that are not in the job's overrides are missing), ``block`` those of all keys of
    ``REPETITION``; jobs with equal blocks are paired. ``metrics`` are the figures of
    ``result.json``, None where there is no value; ``job.curve()`` reads ``metrics.csv``.
``configurations``
    groups of jobs that differ only in their block, as ``Configuration``: ``name`` has the values
    that vary within the sweep (``"optimizer=adam reg=l2"``), ``overrides`` all overrides except
    those of the block.
``batches``
    the requests for jobs, in order of time; ``job.batch`` is an index into them.
``shared``
    the overrides that all jobs have.
``stopped``
    the jobs that a search has stopped, which are not among ``jobs``.

Accuracies are counts of rows divided by their number; figures are rounded so that equal counts give
equal numbers. Nothing here imports torch.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from exprun.common.constants import COMPLETED, DIVERGED, EARLY_STOPPED
from exprun.common.errors import UsageError, choices, nearest
from exprun.sweeps.ranking import COMPARABLE, ranking

FOLD = "data.fold"

REPETITION = ("seed", "data.split_seed", FOLD)
"""Keys in which repetitions of one configuration differ."""

VARIANT = "variant"
"""The factor of a sweep over named groups of overrides (``hydra.sweeper.variants``)."""

CURVES = ("metrics.csv", "trajectory.csv")
"""Files with a row for each epoch, or each iteration of a test function."""

MEASURES = ("seconds", "epochs", "parameters")
"""Figures of a run in addition to its metrics."""


@dataclass(frozen=True)
class Batch:
    """One request for jobs: its overrides and its time ``asked``, in ISO 8601 with the time zone;
    None in folders of exprun 0.1, which did not record it."""

    sweep: Path
    asked: str | None
    overrides: list[str]


@dataclass(frozen=True)
class JobResult:
    """One job; see the module docstring."""

    sweep: Path
    folder: Path
    number: int
    batch: int
    overrides: dict[str, str]
    variant: str | None
    block: tuple[str, ...]
    status: str
    reason: str
    metrics: dict[str, float | None]
    rows: dict[str, int] = field(default_factory=dict)
    monitor: str | None = None
    values: dict[str, str] = field(default_factory=dict)

    @property
    def ended_well(self) -> bool:
        """Whether the run was completed or stopped early, and so has figures."""
        return self.status in (COMPLETED, EARLY_STOPPED)

    @property
    def counts(self) -> bool:
        """Whether the job counts as a result: it ended well or diverged."""
        return self.ended_well or self.status == DIVERGED

    def figure(self, metric: str) -> float | None:
        """The figure of a run that ended well, rounded to 12 digits so that equal counts of rows
        give equal numbers; else None."""
        value = self.metrics.get(metric) if self.ended_well else None
        return None if value is None else float(f"{value:.12g}")

    def curve(self) -> dict[str, list[float]]:
        """The columns, by name, of ``metrics.csv`` or of a test function's ``trajectory.csv``;
        empty cells are NaN. Empty if there is no such file."""
        return read_curve(self.folder)


@dataclass(frozen=True)
class Configuration:
    """Jobs that differ only in their blocks."""

    name: str
    values: dict[str, str]
    overrides: list[str]
    jobs: list[JobResult]

    def figures(self, metric: str) -> dict[tuple[str, ...], float]:
        """The figures of the jobs that ended well, by block."""
        found = {job.block: job.figure(metric) for job in self.jobs}
        return {block: value for block, value in found.items() if value is not None}


@dataclass(frozen=True)
class Results:
    """The results of sweeps; see the module docstring."""

    sweeps: list[Path]
    batches: list[Batch]
    factors: dict[str, list[str]]
    repetition: tuple[str, ...]
    shared: list[str]
    jobs: list[JobResult]
    configurations: list[Configuration]
    stopped: list[JobResult] = field(default_factory=list)

    @cached_property
    def metrics(self) -> list[str]:
        """The names of all figures, in order of first appearance."""
        return list(dict.fromkeys(name for job in self.jobs for name in job.metrics))

    @property
    def figures(self) -> list[str]:
        """The metrics without MEASURES, which diverged runs have too."""
        return [name for name in self.metrics if name not in MEASURES]

    @cached_property
    def ranking(self) -> list[str]:
        """The names of the figures that a leaderboard is sorted by, the most important first."""
        return ranking(
            [
                {
                    "status": job.status,
                    "monitor": job.monitor,
                    "overrides": [f"{key}={value}" for key, value in job.overrides.items()],
                }
                for job in self.jobs
            ]
        )

    @property
    def default_metric(self) -> str:
        """The metric that is compared by default: the test figure of the metric that configurations
        are ranked by, if the config selects it or weights classes (the balanced accuracy for runs
        without a weighted loss); else the test accuracy, R² or loss, or the value of a test
        function. Raises UsageError if no job has a figure."""
        own = self.ranking[0] not in COMPARABLE
        chosen = [f"test_{self.ranking[0].removeprefix('val_')}", "test_balanced_accuracy"]
        wanted = (*chosen * own, "test_accuracy", "test_r2", "test_loss", *self.ranking)
        known = self.figures
        if not known:
            names = ", ".join(str(sweep) for sweep in self.sweeps)
            raise UsageError(f"{names}: no job has a figure: there is nothing to compare")
        return next((name for name in wanted if name in known), known[0])

    @property
    def default_validation(self) -> str:
        """The metric that selects configurations: the first of ``ranking`` that any job has, else
        ``default_metric``."""
        known = self.figures
        return next((name for name in self.ranking if name in known), self.default_metric)

    def check_metric(self, name: str) -> str:
        """Return the name; raises UsageError if no job has such a figure."""
        if name not in self.metrics:
            shown = [m for m in self.metrics if m.startswith(("test_", "val_"))] or self.metrics
            raise UsageError(
                f"--metric {name}: no such figure{nearest(name, self.metrics)} "
                f"(expected {choices(shown)})"
            )
        return name

    def check_factor(self, key: str, option: str = "--by") -> str:
        """Return the key; raises UsageError if it is not a factor."""
        if key not in self.factors:
            if key in REPETITION:
                what = "makes repetitions, which are not compared"
            elif len({job.overrides.get(key) for job in (*self.jobs, *self.stopped)}) > 1:
                what = "has one value in all jobs that the search trained to the end"
            else:
                what = "does not vary in this sweep"
            known = list(self.factors)
            expected = choices(known) if known else "none: nothing but repetitions varies here"
            raise UsageError(f"{option} {key}: {what}{nearest(key, known)} (expected {expected})")
        return key


def read_curve(folder: Path) -> dict[str, list[float]]:
    """See ``JobResult.curve``."""
    paths = [folder / name for name in CURVES if (folder / name).is_file()]
    if not paths:
        return {}
    with paths[0].open(newline="") as file:
        names, *rows = list(csv.reader(file)) or [[]]
    rows = [row for row in rows if len(row) == len(names)]  # the last may be incomplete
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return {
        name: [float(cell) if cell else math.nan for cell in column]
        for name, column in zip(names, columns, strict=True)
    }


def name_of(values: Mapping[str, str]) -> str:
    """The name of a configuration or level with these values of the factors."""
    words = (v if k == VARIANT else f"{k}={v}" for k, v in values.items())
    return " ".join(words) or "all jobs"
