"""What exprun does around Hydra's runs: check before anything is written, claim folders, keep a
sweep's books, and turn how it ended into an exit code.

Nothing here imports torch by itself.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from exprun.common.constants import INTERRUPTED
from exprun.common.errors import UsageError, nearest
from exprun.common.signals import exit_code, heed, interruptible
from exprun.config.compose import Composer, enter, hydra_files, overrides_of, resolve
from exprun.config.hydra_internals import BASIC_LAUNCHER, BASIC_SWEEPER
from exprun.config.options import check_names
from exprun.config.parts import check_parts
from exprun.config.schema import check, check_values, plain, spelled
from exprun.config.sweep_overrides import expand_variants
from exprun.job import Job
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

    ``jobs`` are those of a sweep by their numbers, for the launcher: fixed when they are asked for,
    whatever happens to YAML files and the environment until they begin.
    """

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.begun = False  # whether the sweep's jobs are fixed
        self.holding = ExitStack()  # the folder of the run or the sweep

    @surfacing
    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        _check_hydra(config)
        enter(config, Path(config.hydra.run.dir))
        check(config)
        check_parts(config, overrides_of(config.hydra))
        _published(config, {})
        heed()
        self.made = _claim(config, "run")
        self.holding.enter_context(held(Path(config.hydra.run.dir)))
        enter(config, Path(config.hydra.run.dir))
        resolve(config)

    @surfacing
    def on_run_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        self.holding.close()
        result = job_return.return_value
        folder = Path(config.hydra.runtime.output_dir)
        if isinstance(result, BaseException):
            shutil.rmtree(folder / ".hydra")
            for made in self.made:
                made.rmdir()
            raise result
        from exprun.display.summary import summary
        from exprun.doctor.remarks import remarks
        from exprun.sweeps.published_table import comparison

        preset = "published" in config  # whose ills are what it shows
        said = [] if preset else remarks(folder)
        summary(result, os.path.relpath(folder), remarks=said)
        if preset and result["status"] != INTERRUPTED:
            asked = overrides_of(config.hydra)
            comparison(judge(folder, plain(config.published), [(None, folder)], asked))
        raise SystemExit(exit_code(result))

    @surfacing
    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        _check_hydra(config)
        _choose_launcher(config)
        jobs = _jobs(config)
        published = _published(config, _variants(config))
        heed()
        with interruptible():
            self._begin(config, jobs, published)

    def _begin(
        self,
        config: DictConfig,
        jobs: Sequence[tuple[str | None, list[str]]],
        published: Mapping[str, Any] | None,
    ) -> None:
        """Make the sweep's folder and fix its jobs; leaves nothing behind if that fails."""
        made = _claim(config, "sweep")
        folder = Path(config.hydra.sweep.dir)
        sources = config.hydra.runtime.config_sources
        own = next((s.path for s in sources if s.provider == "command-line"), None)
        launcher = ledger.STACKED if _stacks(config) else ledger.BASIC
        try:
            self.holding.enter_context(held(folder))
            self.composer = Composer(GlobalHydra.instance().config_loader(), config)
            planned = self._plan(config, jobs, in_preset=published is not None)
            ledger.begin(folder, overrides_of(config.hydra), planned, own, launcher, published)
        except BaseException:
            self.holding.close()
            for path in folder.iterdir():  # it was new, or empty
                path.unlink()
            for path in made:
                with suppress(OSError):  # others may have begun beside it
                    path.rmdir()
            raise
        self.progress = ledger.Progress(ledger.read(folder)["jobs"])
        self.begun = True

    def add_jobs(self, config: DictConfig, first: int, overrides: Sequence[Sequence[str]]) -> None:
        """Take in jobs of a sweeper that decides as it goes."""
        folder = Path(config.hydra.sweep.dir)
        jobs = [(None, list(words)) for words in overrides]
        ledger.extend(folder, self._plan(config, jobs, first=first))
        self.progress = ledger.Progress(ledger.read(folder)["jobs"], self.progress.done)

    def _plan(
        self,
        config: DictConfig,
        jobs: Sequence[tuple[str | None, list[str]]],
        *,
        first: int = 0,
        in_preset: bool = False,
    ) -> Iterator[ledger.Planned]:
        """Compose jobs, check and resolve them. Raises UsageError."""
        from exprun.sweeps import worker_pool

        folder = Path(config.hydra.sweep.dir)
        for number, (variant, overrides) in enumerate(jobs, first):
            job = self.composer.config(overrides)
            with open_dict(job.hydra):
                job.hydra.job.id, job.hydra.job.num = str(number), number
            job_folder = folder / job.hydra.sweep.subdir
            enter(job, job_folder)
            check(job)
            check_parts(job, overrides)
            if "published" in job and not in_preset:
                raise UsageError(
                    "a preset with published figures is a sweep by itself; expected "
                    "exprun experiment=… with one of them"
                )
            if _stacks(config):
                worker_pool.prepare()  # they import torch while the other jobs are looked at
            within = os.path.relpath(job_folder, folder)
            if within == ".":
                raise UsageError(
                    f"hydra.sweep.subdir: job {number} would have the sweep's own folder; expected "
                    "'${hydra.job.num}' in it"
                )
            words, choices = overrides_of(job.hydra), dict(job.hydra.runtime.choices)
            resolved = plain(job)
            self.jobs[number] = Job(resolved, job_folder, words, choices, in_sweep=True)
            yield ledger.Planned(variant, words, within, hydra_files(job, resolved))
            heed()

    @surfacing
    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        from exprun.sweeps.conclude import conclude

        self.holding.close()
        if not self.begun:  # Hydra 1.4 calls this after a mistake, too
            return
        raise SystemExit(conclude(Path(config.hydra.sweep.dir)))


def _check_hydra(config: DictConfig) -> None:
    """Raise UsageError for settings of Hydra's that would break what a run's folder promises."""
    if config.hydra.job.chdir:
        raise UsageError("hydra.job.chdir=true: paths are read from where you are; expected false")
    for source in config.hydra.runtime.config_sources:
        if source.schema == "file" and source.provider != "main":
            check_names(Path(source.path))
    if config.hydra.job.env_set and config.hydra.mode == RunMode.MULTIRUN:
        raise UsageError(
            "hydra.job.env_set: the jobs of a sweep share one environment; expected the variables "
            "before exprun"
        )
    if config.hydra.output_subdir != ".hydra":
        raise UsageError(
            f"hydra.output_subdir={spelled(config.hydra.output_subdir)}: a run is read back, and "
            "resumed, by what .hydra/ says of it; expected .hydra"
        )
    subdir = OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"]  # type: ignore
    numbered = any(word in str(subdir) for word in ("hydra.job.num", "hydra.job.id"))
    if config.hydra.sweeper._target_ not in GRID_SWEEPERS and not numbered:
        raise UsageError(
            f"hydra.sweep.subdir={subdir}: two jobs might share a folder; expected "
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


OWN_BASIC, OWN_STACKED = (
    f"hydra_plugins.exprun_sweeps.{name}Launcher" for name in ("Basic", "Stacked")
)


def _choose_launcher(config: DictConfig) -> None:
    """Put exprun's launcher in the place of Hydra's own, which composes each job when it begins.
    Raises UsageError for others, which do so too."""
    launcher = config.hydra.launcher
    if launcher._target_ == BASIC_LAUNCHER:
        with read_write(launcher):
            launcher._target_ = OWN_BASIC
    if launcher._target_ not in (OWN_BASIC, OWN_STACKED):
        name = config.hydra.runtime.choices["hydra/launcher"]
        raise UsageError(
            f"hydra/launcher={name}: composes jobs anew when they begin; expected basic or stacked"
        )


def _stacks(config: DictConfig) -> bool:
    """Whether the sweep's jobs are to be stacked."""
    return bool(config.hydra.launcher._target_ == OWN_STACKED)


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
    if any(word.startswith(f"{key}=") for word in overrides_of(config.hydra, "hydra")):
        if wanted.exists() and not (wanted.is_dir() and not any(wanted.iterdir())):
            raise UsageError(f"{key}={wanted}: is there already; expected a new or an empty folder")
        wanted.mkdir(parents=True, exist_ok=True)
        return missing
    folder = claim_folder(wanted)
    with read_write(config.hydra), open_dict(config.hydra):
        OmegaConf.update(config, key, str(folder))
        config.hydra.overrides.hydra.append(f"{key}='{folder}'")
    return [folder, *(parent for parent in missing if parent != wanted)]


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
    overrides = [*words, *overrides_of(config.hydra)]
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
