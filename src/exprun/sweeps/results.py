"""The results of one or several sweeps; ``read_results`` makes them from their folders.

``Results`` has:

``factors``
    what varies, by its key and in the order asked for, each with its values in the order met:
    ``{"optimizer": ["sgd", "adam"], "reg": ["none", "l2"]}``. A key that makes repetitions
    (``REPETITION``) is none. A sweep of ``hydra.sweeper.variants`` has the factor ``variant``.
``repetition``
    the keys of ``REPETITION`` that vary: what the blocks are made of.
``jobs``
    a ``JobResult`` for each job, in the order asked for. ``values`` has the values of its factors
    (a key that was not given to the job is missing), ``block`` those of all keys of
    ``REPETITION``: equal blocks are pairs. ``metrics`` are the figures of ``result.json``,
    ``None`` where there are none; ``curve(job)`` reads ``metrics.csv``.
``configurations``
    the jobs that differ in their block alone, as ``Configuration``: ``name`` says what
    differs within the sweep (``"optimizer=adam reg=l2"``), ``overrides`` is all that was asked of
    them but the block.
``batches``
    what was asked for together, and when, in order of time; ``job.batch`` is an index into it.
``shared``
    the overrides that all jobs have.

Figures of accuracy are counts of rows, and two that stand for the same count are equal here.
Nothing here imports torch.
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

REPETITION = ("seed", "data.split_seed", "data.fold")
"""Keys in which the repetitions of one configuration differ."""

SPLITS = ("data.split_seed", "data.fold")
"""Those that change which rows are tested."""

VARIANT = "variant"
"""The factor of a sweep whose overrides belong together (``hydra.sweeper.variants``)."""

CURVES = ("metrics.csv", "trajectory.csv")
"""Tables with a row for each epoch, or each iteration of a test function."""

MEASURES = ("seconds", "epochs", "parameters")
"""Figures of a run beside its metrics."""


@dataclass(frozen=True)
class Batch:
    """What was asked for at one time: ``asked`` in ISO 8601 with the time zone, None in the
    folders of exprun 0.1, which did not write it down."""

    sweep: Path
    asked: str | None
    overrides: list[str]


@dataclass(frozen=True)
class JobResult:
    """One job; see the head of this module."""

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
        """Whether it has figures."""
        return self.status in (COMPLETED, EARLY_STOPPED)

    @property
    def counts(self) -> bool:
        """Whether it is a result, as a divergence is."""
        return self.ended_well or self.status == DIVERGED

    def figure(self, metric: str) -> float | None:
        """The figure of a run that ended well, rounded to 12 digits: what stands for one count of
        rows is one number then."""
        value = self.metrics.get(metric) if self.ended_well else None
        return None if value is None else float(f"{value:.12g}")

    def curve(self) -> dict[str, list[float]]:
        """The columns of ``metrics.csv``, or of a test function's ``trajectory.csv``; an empty cell
        is NaN. Empty if there is no such file."""
        paths = [self.folder / name for name in CURVES if (self.folder / name).is_file()]
        if not paths:
            return {}
        with paths[0].open(newline="") as file:
            names, *rows = list(csv.reader(file)) or [[]]
        rows = [row for row in rows if len(row) == len(names)]  # a run may be writing its last
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return {
            name: [float(cell) if cell else math.nan for cell in column]
            for name, column in zip(names, columns, strict=True)
        }


@dataclass(frozen=True)
class Configuration:
    """Jobs that differ in nothing but their blocks."""

    name: str
    values: dict[str, str]
    overrides: list[str]
    jobs: list[JobResult]

    def figures(self, metric: str) -> dict[tuple[str, ...], float]:
        """The figures of the jobs that ended well, by their blocks."""
        found = {job.block: job.figure(metric) for job in self.jobs}
        return {block: value for block, value in found.items() if value is not None}


@dataclass(frozen=True)
class Results:
    """The results of sweeps; see the head of this module."""

    sweeps: list[Path]
    batches: list[Batch]
    factors: dict[str, list[str]]
    repetition: tuple[str, ...]
    shared: list[str]
    jobs: list[JobResult]
    configurations: list[Configuration]

    @cached_property
    def metrics(self) -> list[str]:
        """The names of all figures, in the order met."""
        return list(dict.fromkeys(name for job in self.jobs for name in job.metrics))

    @property
    def figures(self) -> list[str]:
        """The metrics but for MEASURES, which a run that diverged has too."""
        return [name for name in self.metrics if name not in MEASURES]

    @cached_property
    def ranking(self) -> list[str]:
        """The figures that a leaderboard is ordered by."""
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
        """What a verdict is about if nobody says: on the test part the figure that configurations
        are ranked by, if somebody chose it or classes are weighted (the balanced accuracy of runs
        without a weighted loss); else the accuracy, R² or loss, or the value of a test function.
        Raises UsageError if no job has any figure."""
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
        """What configurations are chosen by: the first of the figures that a leaderboard is ordered
        by, of those that are there."""
        known = self.figures
        return next((name for name in self.ranking if name in known), self.default_metric)

    def check_metric(self, name: str) -> str:
        """The name; raises UsageError if no job has such a figure."""
        if name not in self.metrics:
            shown = [m for m in self.metrics if m.startswith(("test_", "val_"))] or self.metrics
            raise UsageError(
                f"--metric {name}: no such figure{nearest(name, self.metrics)} "
                f"(expected {choices(shown)})"
            )
        return name

    def check_factor(self, key: str, option: str = "--by") -> str:
        """The key; raises UsageError if it does not vary."""
        if key not in self.factors:
            if key in REPETITION:
                what = "makes repetitions, which are not compared"
            else:
                what = "does not vary in this sweep"
            known = list(self.factors)
            expected = choices(known) if known else "none: nothing but repetitions varies here"
            raise UsageError(f"{option} {key}: {what}{nearest(key, known)} (expected {expected})")
        return key


def name_of(values: Mapping[str, str]) -> str:
    """The name of a configuration, or a level, with these values of the factors."""
    words = (v if k == VARIANT else f"{k}={v}" for k, v in values.items())
    return " ".join(words) or "all jobs"
