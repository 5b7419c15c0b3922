"""exprun's plugins for Hydra, which imports every module of this package at each start."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from exprun.config.hydra_internals import basic_sweeper
from exprun.config.sweep_overrides import expand_variants
from exprun.hydra_callbacks import Hooks, surfacing
from exprun.job import Job

Results = tuple[dict[int, dict[str, Any]], int | None]


class Sweeper(basic_sweeper()):  # type: ignore[misc]
    """Hydra's basic sweeper, which composes no job just to see whether it can be composed, and runs
    every combination for each of some variants: overrides that belong together."""

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None = None,
        variants: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(max_batch_size, params)
        self.variants = variants

    def split_arguments(
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        words = [str(override.input_line) for override in overrides]
        jobs = [job for _, job in expand_variants(self.variants, words)]
        return list(self.split_overrides_to_chunks(jobs, max_batch_size))

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Every job has been composed and checked already by ``exprun.hydra_callbacks``."""


class _Launcher(Launcher):
    """Runs the jobs of a sweep as they were when they were asked for (``exprun.hydra_callbacks``).

    ``hydra.callbacks`` of somebody's own hear of the sweep, and of no single job.
    """

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra before ``launch``."""
        self.config = config
        callbacks = hydra_context.callbacks.callbacks
        self.hooks = next(callback for callback in callbacks if isinstance(callback, Hooks))

    @surfacing
    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs; raises SystemExit if a signal asked for the end."""
        from exprun.sweeps.conclude import conclude

        folder = Path(self.config.hydra.sweep.dir)
        if initial_job_idx not in self.hooks.jobs:
            self.hooks.add_jobs(self.config, initial_job_idx, job_overrides)
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        jobs = {number: self.hooks.jobs.pop(number) for number in numbers}
        results, code = self._run(folder, jobs)
        if code is not None:
            raise SystemExit(conclude(folder, code))
        return [
            JobReturn(jobs[number].overrides, status=JobStatus.COMPLETED, _return_value=result)
            for number, result in results.items()  # not of jobs that nobody was left for
        ]

    @abstractmethod
    def _run(self, folder: Path, jobs: dict[int, Job]) -> Results:
        """The results by the jobs' numbers, and the exit code if a signal ended the sweep."""


class BasicLauncher(_Launcher):
    """Trains a sweep's jobs one after the other, in this process."""

    def _run(self, folder: Path, jobs: dict[int, Job]) -> Results:
        from exprun.sweeps.one_by_one import run_one_by_one

        return run_one_by_one(folder, jobs, self.hooks.progress)


class StackedLauncher(_Launcher):
    """Trains a sweep's jobs in stacks, many at once (see ``exprun.sweeps.dispatcher``)."""

    def __init__(self, size: int | str, workers: int | str) -> None:
        """``size`` jobs at once in each of ``workers`` processes; ``auto`` chooses."""
        self.size, self.workers = (None if n == "auto" else int(n) for n in (size, workers))

    def _run(self, folder: Path, jobs: dict[int, Job]) -> Results:
        from exprun.config.compose import overrides_of
        from exprun.sweeps.dispatcher import run_stacked

        title = " ".join(overrides_of(self.config.hydra))
        return run_stacked(
            folder, jobs, title, self.hooks.progress, size=self.size, workers=self.workers
        )
