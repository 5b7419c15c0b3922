"""The figures that are compared, by block; repetitions of two levels in one block are paired."""

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
"""Keys that change the test rows and so make figures incomparable."""

AT_LEAST_0 = ("accuracy", "macro_f1", "roc_auc")
"""Name endings of metrics to be maximised whose range is 0 to 1."""

R2 = "r2"
"""Name ending of R², which is 0 for a model that always predicts the mean."""

Block = tuple[str, ...]


class Figures:
    """Figures by block: of the ``metric`` that is compared, and of the ``validation`` metric that
    selects configurations.

    A block is a seed together with a split. If there are several splits and more seed-split
    combinations than splits (``crossed``), a block is a split and the figures of its seeds are
    averaged, because the splits are then the repetitions.
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
        """n_test/n_train of random splits, the term by which the variance of a mean over them
        exceeds that of independent figures (Nadeau & Bengio 2003); 0 for one split or if the
        numbers of rows are not known."""
        if len(self.splits) < 2 or not self.rows:
            return 0.0
        return self.rows.get("test", 0) / self.rows["train"]

    def differ_in(self, a: Mapping[str, str], b: Mapping[str, str]) -> str | None:
        """The first data key in which two levels with these values differ, or None."""
        return next((key for key in self.data if a.get(key) != b.get(key)), None)

    def of(self, jobs: Sequence[JobResult], metric: str) -> dict[Block, float]:
        """The figure of each block, the mean over its jobs; diverged runs count as ``worst``."""
        found: dict[Block, list[float]] = {}
        for job in jobs:
            value = job.figure(metric)
            if value is None and job.counts and not job.ended_well:
                value = self.worst[metric]
            if value is not None:
                found.setdefault(self.block(job), []).append(value)
        return {block: fmean(values) for block, values in found.items()}

    def block(self, job: JobResult) -> Block:
        """The block that the job belongs to."""
        return job.block[1:] if self.crossed else job.block

    def batches(self, jobs: Sequence[JobResult]) -> dict[Block, int]:
        """The newest batch of each block's jobs."""
        found: dict[Block, int] = {}
        for job in jobs:
            block = self.block(job)
            found[block] = max(found.get(block, 0), job.batch)
        return found


def _worst(jobs: Sequence[JobResult], metric: str) -> float | None:
    """The figure that a diverged run counts as: 0 for metrics of AT_LEAST_0, else the worst figure
    of all jobs, and for R² at most 0; None if there are no figures."""
    if metric.endswith(AT_LEAST_0):
        return 0.0
    figures = [f for job in jobs if (f := job.figure(metric)) is not None]
    if metric.endswith(R2) and figures:
        figures.append(0.0)
    return (min if higher_is_better(metric) else max)(figures, default=None)


def cost(value: float, metric: str) -> float:
    """The figure, signed so that lower is better."""
    return -value if higher_is_better(metric) else value
