"""What exprun does around Hydra's runs: check before anything is written, claim folders, keep a
sweep's books, and turn how it ended into an exit code.

Nothing here imports torch by itself.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, TypeVar

from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from exprun.common.constants import CTRL_C, INTERRUPTED
from exprun.common.errors import UsageError, nearest
from exprun.common.signals import exit_code, heed
from exprun.config.compose import sweep_configs
from exprun.config.hydra_internals import BASIC_SWEEPER
from exprun.config.parts import check_parts
from exprun.config.schema import check, check_values, plain, spelled
from exprun.config.sweep_overrides import expand_variants
from exprun.record.files import claim_folder, held
from exprun.sweeps import ledger
from exprun.sweeps.published import check_published, judge

T = TypeVar("T")


class Escape(BaseException):
    """Carries an exception past Hydra's callbacks; ``__cause__`` is what happened."""


def surfacing(hook: Callable[..., T]) -> Callable[..., T]:
    """Let what Hydra calls, and what that raises, through to the command line."""

    @functools.wraps(hook)
    def wrapped(*arguments: Any, **keywords: Any) -> T:
        try:
            return hook(*arguments, **keywords)
        except Exception as error:
            raise Escape from error

    return wrapped


class Hooks(Callback):
    """Hydra calls these; ``hydra.callbacks`` names this class.

    ``composed`` are the configs of a stacked sweep's jobs, if they are known beforehand, for the
    launcher.
    """

    def __init__(self) -> None:
        self.composed: list[DictConfig] = []
        self.holding = ExitStack()  # the folder of the run or the sweep

    @surfacing
    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        _check_hydra(config)
        check(config)
        check_parts(config, config.hydra.overrides.task)
        _published(config, {})
        heed()
        self.made = _claim(config, "run")
        self.holding.enter_context(held(Path(config.hydra.run.dir)))

    @surfacing
    def on_run_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        self.holding.close()
        result = job_return.return_value
        folder = Path(config.hydra.runtime.output_dir)
        if isinstance(result, BaseException):
            shutil.rmtree(folder / str(config.hydra.output_subdir))
            for made in self.made:
                made.rmdir()
            raise result
        from exprun.display.summary import summary
        from exprun.doctor.remarks import remarks
        from exprun.sweeps.published_table import comparison

        preset = "published" in config  # whose ills are what it shows
        options = config.hydra.runtime.choices
        said = [] if preset else remarks(folder, config, options)
        summary(result, os.path.relpath(folder), remarks=said)
        if preset and result["status"] != INTERRUPTED:
            asked = config.hydra.overrides.task
            comparison(judge(folder, plain(config.published), [(None, folder)], asked))
        raise SystemExit(exit_code(result))

    @surfacing
    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        from exprun.sweeps import worker_pool

        _check_hydra(config)
        jobs = _jobs(config)
        published = _published(config, _variants(config))
        words = [overrides for _, overrides in jobs]
        stacks = _stacks(config)
        configs = sweep_configs(GlobalHydra.instance().config_loader(), config, words)
        for job, overrides in zip(configs, words, strict=True):
            check(job)
            check_parts(job, overrides)
            if "published" in job and published is None:
                raise UsageError(
                    "a preset with published figures is a sweep by itself; expected "
                    "exprun experiment=… with one of them"
                )
            if stacks:
                self.composed.append(job)
                worker_pool.prepare()  # they import torch while the other jobs are looked at
        heed()
        _claim(config, "sweep")
        self.holding.enter_context(held(Path(config.hydra.sweep.dir)))
        for job in self.composed:
            _move(job, config)
        sources = config.hydra.runtime.config_sources
        own = next((s.path for s in sources if s.provider == "command-line"), None)
        launcher = ledger.STACKED if stacks else ledger.BASIC
        folder = Path(config.hydra.sweep.dir)
        ledger.begin(folder, config.hydra.overrides.task, jobs, own, launcher, published)

    @surfacing
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        if config.hydra.mode != RunMode.MULTIRUN:
            return
        from exprun.display.summary import job_line
        from exprun.sweeps.conclude import conclude

        result = job_return.return_value
        folder, number = Path(config.hydra.sweep.dir), config.hydra.job.num
        if isinstance(result, KeyboardInterrupt):
            raise SystemExit(conclude(folder, CTRL_C))
        progress = ledger.note(folder, number, Path(config.hydra.runtime.output_dir), result)
        job_line(number, f"{progress.done}/{progress.total}", progress.title, result)
        if result["status"] == INTERRUPTED:
            raise SystemExit(conclude(folder, exit_code(result)))

    @surfacing
    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        from exprun.sweeps.conclude import conclude

        self.holding.close()
        raise SystemExit(conclude(Path(config.hydra.sweep.dir)))


def _check_hydra(config: DictConfig) -> None:
    """Raise UsageError for settings of Hydra's that would break what a run's folder promises."""
    if config.hydra.job.chdir:
        raise UsageError("hydra.job.chdir=true: paths are read from where you are; expected false")
    subdir = OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"]  # type: ignore
    if not any(word in str(subdir) for word in ("hydra.job.num", "hydra.job.id")):
        raise UsageError(
            f"hydra.sweep.subdir={subdir}: two jobs would share a folder; expected "
            "'${hydra.job.num}' in it"
        )

    if not _stacks(config):
        return
    if config.hydra.mode != RunMode.MULTIRUN:
        raise UsageError("hydra/launcher=stacked is for sweeps; expected -m")
    for name, value in config.hydra.launcher.items():
        if name == "_target_":
            continue
        key = f"hydra.launcher.{name}"
        if name not in LAUNCHER_KEYS:
            raise UsageError(f"{key}: no such key{nearest(str(name), LAUNCHER_KEYS)}")
        if value != "auto" and not (type(value) is int and value >= 1):
            raise UsageError(f"{key}={value}: expected auto or an integer >= 1")


LAUNCHER_KEYS = ("size", "workers")
"""What can be said of stacks."""


def _stacks(config: DictConfig) -> bool:
    """Whether the sweep's jobs are to be stacked."""
    return str(config.hydra.launcher._target_).endswith(".StackedLauncher")


def _claim(config: DictConfig, kind: Literal["run", "sweep"]) -> list[Path]:
    """Make the folder that ``hydra.run.dir`` or ``hydra.sweep.dir`` names, or, if that is taken,
    one beside it; one that the user named must be new or empty (UsageError).

    Returns the folders that were not there before, the innermost first.
    """
    key = f"hydra.{kind}.dir"
    wanted = Path(config.hydra[kind].dir)
    try:
        return _make(config, key, wanted)
    except OSError as error:
        raise UsageError(f"{key}={wanted}: cannot be made: {error.strerror}") from error


def _make(config: DictConfig, key: str, wanted: Path) -> list[Path]:
    """What ``_claim`` does; raises OSError if the disk does not let it."""
    missing = [folder for folder in (wanted, *wanted.parents) if not folder.exists()]
    if any(word.startswith(f"{key}=") for word in config.hydra.overrides.hydra):
        if wanted.exists() and not (wanted.is_dir() and not any(wanted.iterdir())):
            raise UsageError(f"{key}={wanted}: is there already; expected a new or an empty folder")
        wanted.mkdir(parents=True, exist_ok=True)
        return missing
    folder = claim_folder(wanted)
    with read_write(config), open_dict(config):
        OmegaConf.update(config, key, str(folder))
        # a sweep's jobs are composed anew from these overrides
        config.hydra.overrides.hydra.append(f"{key}='{folder}'")
    return [folder, *(parent for parent in missing if parent != wanted)]


def _move(job: DictConfig, config: DictConfig) -> None:
    """Tell the config of a sweep's job which folder the sweep has got."""
    with read_write(job), open_dict(job):
        job.hydra.sweep.dir = config.hydra.sweep.dir
        job.hydra.overrides.hydra = config.hydra.overrides.hydra


GRID_SWEEPERS = (
    "hydra_plugins.exprun_sweeps.Sweeper",
    BASIC_SWEEPER,
)
"""Sweepers that run every combination of the values, so that all jobs are known beforehand."""


def _jobs(config: DictConfig) -> list[tuple[str | None, list[str]]]:
    """The name of its variant and the overrides of every job; none if the sweeper decides as it
    goes."""
    if config.hydra.sweeper._target_ not in GRID_SWEEPERS:
        return []
    words = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    overrides = [*words, *config.hydra.overrides.task]
    jobs = expand_variants(_variants(config), overrides)
    if not jobs:
        raise UsageError("the sweep asks for no job: one of its lists of values is empty")
    return jobs


def _variants(config: DictConfig) -> Mapping[str, Mapping[str, Any]]:
    """``hydra.sweeper.variants``; raises UsageError if that is not overrides by names."""
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


def _published(config: DictConfig, variants: Mapping[str, Any]) -> dict[str, Any] | None:
    """The ``published`` node as plain data, if there is one; raises UsageError for what is wrong
    with it."""
    if "published" not in config:
        return None
    check_values(OmegaConf.masked_copy(config, "published"))
    check_published(config.published, variants)
    for key in config.published.get("needs", []):
        if OmegaConf.select(config, key) is None:
            raise UsageError(f"{key} is not given, and the published figures need it: add {key}=…")
    return plain(config.published)
