"""The jobs that a sweep's command line requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from exprun.common.constants import FINISHED
from exprun.common.errors import UsageError
from exprun.config.compose import overrides_of
from exprun.config.hydra_internals import BASIC_SWEEPER
from exprun.config.schema import spelled
from exprun.config.sweep_overrides import expand_variants
from exprun.run_folder import stored_job
from exprun.sweeps import ledger

GRID_SWEEPERS = (
    "hydra_plugins.exprun_sweeps.Sweeper",
    BASIC_SWEEPER,
)
"""Sweepers that run every combination of values, so that all jobs are known in advance."""


Asked = tuple[str | None, list[str]]
"""A requested job: the name of its variant, or None, and its overrides."""


def is_grid(config: DictConfig) -> bool:
    """Whether the sweeper runs every combination of values, so that all jobs are known."""
    return config.hydra.sweeper._target_ in GRID_SWEEPERS


def job_words(words: Sequence[str]) -> list[str]:
    """The overrides without ``sweep.into`` and ``space``, which do not concern the job."""
    return [word for word in words if not word.startswith(("sweep.into=", "space="))]


def check_data(
    folder: Path,
    content: Mapping[str, Any],
    added: Sequence[Asked],
    states: Sequence[Mapping[str, Any]],
) -> None:
    """Raise UsageError if jobs to be ``added`` to a sweep name data files that have changed since
    one of its jobs, whose results are ``states``, finished with them."""
    wanted = [ledger.data_words(words) for _, words in added]
    configs = ledger.Configs(folder)
    for job, state in zip(content["jobs"], states, strict=True):
        words = ledger.data_words(job["overrides"])
        if words in wanted and state["status"] in FINISHED:
            wanted = [own for own in wanted if own != words]
            files = configs.files(job["number"])
            stored = stored_job(folder / job["folder"], trust=True, in_sweep=True, files=files)
            ledger.check_data(folder, content, job["number"], stored.config)


def requested_jobs(config: DictConfig) -> list[Asked]:
    """All jobs of a grid sweeper; empty for an adaptive sweeper, which requests them later."""
    if not is_grid(config):
        return []
    words = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    overrides = [*words, *overrides_of(config.hydra)]
    jobs = expand_variants(variants_of(config), job_words(overrides))
    if not jobs:
        raise UsageError("the sweep asks for no job: one of its lists of values is empty")
    return jobs


def variants_of(config: DictConfig) -> Mapping[str, Mapping[str, Any]]:
    """``hydra.sweeper.variants``: overrides by variant. Raises UsageError for anything else."""
    variants: Any = config.hydra.sweeper.get("variants") or {}
    if not isinstance(variants, DictConfig | dict):
        raise UsageError(f"hydra.sweeper.variants={spelled(variants)}: expected overrides by names")
    for name, words in variants.items():
        key = f"hydra.sweeper.variants.{name!s}"
        if not isinstance(words, DictConfig):
            raise UsageError(
                f"{key}={spelled(words)}: expected keys and values, like "
                "{optimizer: sgd, optimizer.lr: 0.1}"
            )
    return variants
