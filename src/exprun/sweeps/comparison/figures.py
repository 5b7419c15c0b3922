"""The figures that are compared, by blocks: what repetitions of one configuration are paired by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from exprun.sweeps.ranking import higher_is_better
from exprun.sweeps.results import JobResult, Results

DATA_KEYS = (
    "data",
    "data.path",
    "data.test_path",
    "data.target",
    "data.test_fraction",
)
"""Keys that change which rows are tested, and with them what a figure means."""

AT_LEAST_0 = ("accuracy", "macro_f1", "roc_auc")
"""Metrics to be maximised whose worst value is 0."""

R2 = "r2"
"""0 is that of a model that knows nothing but the mean."""

Block = tuple[str, ...]


class Figures:
    """Figures of a ``metric`` of the test part, and of the ``validation`` that configurations are
    chosen by, by blocks.

    A block is a seed together with a split. If there are several splits with several seeds each
    (``crossed``), a block is a split, and the figures of its seeds are averaged: the splits are
    the repetitions then.
    """

    def __init__(self, results: Results, metric: str, validation: str) -> None:
        self.metric, self.validation = metric, validation
        self.data = tuple(key for key in DATA_KEYS if key in results.factors)
        self.batches_asked = [batch.asked for batch in results.batches]
        jobs = results.jobs
        self.splits = {job.block[1:] for job in jobs}
        whole = {job.block for job in jobs}
        self.crossed = len(self.splits) > 1 and len(whole) > len(self.splits)
        self.worst = {name: _worst(jobs, name) for name in {metric, validation}}
        self.rows = next((job.rows for job in jobs if job.rows.get("train")), {})

    @property
    def overlap(self) -> float:
        """n_test/n_train of random splits, by which the variance of a mean over them is larger than
        that of independent figures (Nadeau & Bengio 2003); 0 for one split."""
        if len(self.splits) < 2 or not self.rows:
            return 0.0
        return self.rows.get("test", 0) / self.rows["train"]

    def differ_in(self, a: Mapping[str, str], b: Mapping[str, str]) -> str | None:
        """The key in which two levels with these values are of different data, if there is one."""
        return next((key for key in self.data if a.get(key) != b.get(key)), None)

    def of(self, jobs: Sequence[JobResult], metric: str) -> dict[Block, float]:
        """The figure of each block; a run that diverged has the worst of all."""
        found: dict[Block, list[float]] = {}
        for job in jobs:
            value = job.figure(metric)
            if value is None and job.counts and not job.ended_well:
                value = self.worst[metric]
            if value is not None:
                found.setdefault(self.block(job), []).append(value)
        return {block: fmean(values) for block, values in found.items()}

    def block(self, job: JobResult) -> Block:
        """What the job is paired by."""
        return job.block[1:] if self.crossed else job.block

    def batches(self, jobs: Sequence[JobResult]) -> dict[Block, int]:
        """The newest batch of each block's jobs."""
        found: dict[Block, int] = {}
        for job in jobs:
            block = self.block(job)
            found[block] = max(found.get(block, 0), job.batch)
        return found


def _worst(jobs: Sequence[JobResult], metric: str) -> float | None:
    """What a run that diverged counts as: 0 of an accuracy, else the worst figure of all, and of R²
    0 at most."""
    if metric.endswith(AT_LEAST_0):
        return 0.0
    figures = [f for job in jobs if (f := job.figure(metric)) is not None]
    if metric.endswith(R2) and figures:
        figures.append(0.0)
    return (min if higher_is_better(metric) else max)(figures, default=None)


def cost(value: float, metric: str) -> float:
    """The figure, signed so that lower is better."""
    return -value if higher_is_better(metric) else value
