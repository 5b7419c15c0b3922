"""exprun's plugins for Hydra, which imports every module of this package at each start."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper as HydraSweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from exprun.common.signals import importing
from exprun.config.allowed_targets import names_own_code
from exprun.config.hydra_internals import basic_sweeper
from exprun.config.sweep_overrides import as_given, expand_variants
from exprun.hydra_callbacks import Hooks, surfacing
from exprun.job import Job
from exprun.sweeps.dask import Dask, check_distributed, run_on_dask
from exprun.sweeps.launcher import BASIC, DASK, LOCAL, SLURM, STACKED, LauncherSettings
from exprun.sweeps.slurm import Slurm, check_sbatch, submit, wait


class Sweeper(basic_sweeper()):  # type: ignore[misc]
    """Hydra's basic sweeper without its own check that jobs can be composed, and with variants
    (named groups of overrides): every combination runs once for each variant."""

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
        """Do nothing: ``exprun.hydra_callbacks`` has already composed and checked every job."""


class SearchSweeper(HydraSweeper):
    """Searches a space of configurations (``exprun.sweeps.search``)."""

    config: DictConfig

    def __init__(self, **_: Any) -> None:
        """The settings are read and checked by ``exprun.sweeps.search.settings``."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Create the launcher; Hydra calls this before ``sweep``."""
        self.config = config
        self.launcher: Any = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    @surfacing
    def sweep(self, arguments: list[str]) -> None:
        """Run the search, whose first jobs exprun's callback has recorded; raises SystemExit after
        a signal."""
        with importing():
            from exprun.sweeps.conclude import conclude
            from exprun.sweeps.search.run import SearchRun

        folder, hooks = Path(self.config.hydra.sweep.dir), self.launcher.hooks
        add = functools.partial(hooks.add_jobs, self.config)
        without_conditional = hooks.composer.without_conditional
        search = SearchRun(
            folder, hooks.search, hooks.jobs, add, without_conditional, self.launcher.settings
        )
        with hooks.at_work():
            code = search.run()
            if code is not None:
                raise SystemExit(conclude(folder, code))


class _Launcher(Launcher):
    """Runs the jobs of a sweep as they were composed when requested (``exprun.hydra_callbacks``).

    A user's ``hydra.callbacks`` are called for the sweep, but not for its single jobs.
    """

    settings: LauncherSettings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store the config and exprun's callback; Hydra calls this before ``launch``."""
        self.config = config
        callbacks = hydra_context.callbacks.callbacks
        self.hooks = next(callback for callback in callbacks if isinstance(callback, Hooks))

    @surfacing
    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs and return their results; raises SystemExit after a signal, or Interrupted
        if it arrived before any job started."""
        with importing():
            from exprun.sweeps import ledger
            from exprun.sweeps.conclude import conclude

        folder = Path(self.config.hydra.sweep.dir)
        asked = slice(initial_job_idx, initial_job_idx + len(job_overrides))
        if initial_job_idx >= len(self.hooks.numbers):
            self.hooks.add_jobs(self.config, job_overrides)
        numbers = self.hooks.numbers[asked]
        jobs = {n: self.hooks.jobs.pop(n) for n in numbers if n in self.hooks.jobs}
        with self.hooks.at_work():
            code = self.run(folder, jobs) if jobs else None
            if code is not None:
                raise SystemExit(conclude(folder, code))
        known = ledger.read(folder)["jobs"]
        results = [ledger.state_of(folder / known[number]["folder"]) for number in numbers]
        return [
            JobReturn(words, status=JobStatus.COMPLETED, _return_value=result)
            for words, result in zip(job_overrides, results, strict=True)
        ]

    def run(self, folder: Path, jobs: dict[int, Job]) -> int | None:
        """Run ``jobs``, by number, of the sweep in ``folder``; returns the exit code if a signal
        ended the sweep, else None."""
        with importing():
            from exprun.config.compose import overrides_of
            from exprun.sweeps.dispatcher import run_jobs

        title = " ".join(as_given(overrides_of(self.config.hydra)))
        return run_jobs(folder, jobs, title, self.hooks.progress, self.settings)[1]


class StackedLauncher(_Launcher):
    """Trains a sweep's jobs in parallel on all cores, or stacked on a GPU."""

    def __init__(
        self, size: int | str, workers: int | str, timeout: float | None, retries: int
    ) -> None:
        """``size`` jobs at a time in each of ``workers`` processes; with ``auto`` the dispatcher
        chooses."""
        self.settings = LauncherSettings(STACKED, _number(size), _number(workers), timeout, retries)


class LocalLauncher(_Launcher):
    """Trains each job of a sweep in its own process."""

    def __init__(self, jobs: int | str, timeout: float | None, retries: int) -> None:
        """``jobs`` at a time, at most one per core; ``auto`` is one per core."""
        name, workers = BASIC if jobs == 1 else LOCAL, _number(jobs)
        self.settings = LauncherSettings(name, None, workers, timeout, retries)


class SlurmLauncher(_Launcher):
    """Submits a sweep's jobs as a SLURM array."""

    def __init__(
        self,
        jobs_per_task: int | str,
        array_parallelism: int | None,
        partition: str | None,
        time: int | str | None,
        cpus_per_task: int,
        mem: int | str | None,
        sbatch: Sequence[str],
        wait: bool,
        timeout: float | None,
        retries: int,
    ) -> None:
        """``sbatch`` are additional options of the ``sbatch`` command."""
        check_sbatch()
        self.settings = LauncherSettings(SLURM, None, cpus_per_task, timeout, retries)
        named = {"partition": partition, "time": time, "mem": mem}
        options = [f"--{name}={value}" for name, value in named.items() if value is not None]
        per_task = _number(jobs_per_task)
        self.slurm = Slurm(per_task, array_parallelism, cpus_per_task, [*options, *sbatch])
        self.wait = wait

    def run(self, folder: Path, jobs: dict[int, Job]) -> int | None:
        """Submit the jobs and, unless it waits for them, those of later batches; raises SystemExit
        after submitting if it does not wait."""
        from exprun.display.summary import submitted

        if not self.wait:
            jobs |= self.hooks.jobs
        trust = any(names_own_code(job.config) for job in jobs.values())
        numbers = sorted(jobs)
        arrays = submit(folder, numbers, self.slurm, trust=trust)
        submitted(len(jobs), arrays, os.path.relpath(folder))
        if not self.wait:
            raise SystemExit(0)
        return wait(folder, numbers, arrays)


class DaskLauncher(_Launcher):
    """Trains a sweep's jobs on the workers of a Dask cluster, remote or local."""

    def __init__(
        self,
        scheduler: str | None,
        workers: int | str,
        jobs_per_task: int | str,
        timeout: float | None,
        retries: int,
    ) -> None:
        """Without a ``scheduler``, a local cluster of ``workers`` processes is started."""
        check_distributed()
        self.settings = LauncherSettings(DASK, None, 1, timeout, retries)
        self.dask = Dask(scheduler, _number(workers), _number(jobs_per_task))

    def run(self, folder: Path, jobs: dict[int, Job]) -> int | None:
        trust = any(names_own_code(job.config) for job in jobs.values())
        return run_on_dask(folder, sorted(jobs), self.dask, trust=trust)


def _number(word: int | str) -> int | None:
    """The number as an int; None for ``auto``."""
    return None if word == "auto" else int(word)
