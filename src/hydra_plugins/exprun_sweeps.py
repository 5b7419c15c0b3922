"""exprun's plugins for Hydra, which imports every module of this package at each start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from exprun.config.hydra_internals import basic_sweeper
from exprun.config.sweep_overrides import expand_variants
from exprun.hydra_callbacks import Hooks, surfacing


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


class StackedLauncher(Launcher):
    """Trains a sweep's jobs in stacks, many at once (see ``exprun.sweeps.dispatcher``).

    It keeps exprun's own books; ``hydra.callbacks`` of somebody's own hear of the sweep, and of no
    single job.
    """

    def __init__(self, size: int | str, workers: int | str) -> None:
        """``size`` jobs at once in each of ``workers`` processes; ``auto`` chooses."""
        self.size, self.workers = (None if n == "auto" else int(n) for n in (size, workers))

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra before ``launch``."""
        self.loader: ConfigLoader = hydra_context.config_loader
        self.config = config
        callbacks = hydra_context.callbacks.callbacks
        self.hooks = next(callback for callback in callbacks if isinstance(callback, Hooks))

    @surfacing
    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs; raises SystemExit if a signal asked for the end."""
        from exprun.config.compose import sweep_configs, write_hydra_files
        from exprun.config.schema import plain
        from exprun.job import Job
        from exprun.sweeps.conclude import conclude
        from exprun.sweeps.dispatcher import run_stacked

        folder = Path(self.config.hydra.sweep.dir)
        jobs: dict[int, Job] = {}
        composed = self.hooks.composed[initial_job_idx:][: len(job_overrides)]
        configs = composed or list(sweep_configs(self.loader, self.config, job_overrides))
        for number, config in enumerate(configs, initial_job_idx):
            with open_dict(config):
                config.hydra.job.id = str(number)
                config.hydra.job.num = number
                job_folder = folder / config.hydra.sweep.subdir
                config.hydra.runtime.output_dir = str(job_folder.absolute())
            choices = dict(config.hydra.runtime.choices)
            overrides = list(config.hydra.overrides.task)
            jobs[number] = Job(plain(config), job_folder, overrides, choices, in_sweep=True)

        def write(number: int) -> None:
            write_hydra_files(jobs[number].folder, configs[number - initial_job_idx])

        title = " ".join(self.config.hydra.overrides.task)
        results, code = run_stacked(
            folder, jobs, title, write, size=self.size, workers=self.workers
        )
        if code is not None:
            raise SystemExit(conclude(folder, code))
        return [
            JobReturn(jobs[number].overrides, status=JobStatus.COMPLETED, _return_value=result)
            for number, result in results.items()  # not of jobs that nobody was left for
        ]
