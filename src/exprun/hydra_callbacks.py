"""Callbacks of Hydra's runs and sweeps: check the config before anything is written, create and
lock folders, maintain a sweep's ledger, print results, and set the exit code.

Nothing here imports torch by itself.
"""

from __future__ import annotations

import copy
import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from exprun.common.constants import DONE, FAILED, FINISHED, INTERRUPTED
from exprun.common.errors import UsageError
from exprun.common.override_value import override_value
from exprun.common.signals import exit_code, interruptible, raise_if_interrupted
from exprun.config.compose import Composer, enter, overrides_of, resolve, take_sweep
from exprun.config.job_configs import JobConfig, JobConfigs
from exprun.config.options import check_names
from exprun.config.parts import check_parts
from exprun.config.schema import NotGiven, check, check_values, plain, spelled
from exprun.config.sweep_overrides import as_given
from exprun.job import Job
from exprun.record.files import claim_folder
from exprun.record.identity import identity
from exprun.record.lease import held
from exprun.sweeps import ledger
from exprun.sweeps.chosen_launcher import chosen_launcher, is_basic, replace_basic
from exprun.sweeps.published import check_published, judge
from exprun.sweeps.read_results import check_sweep
from exprun.sweeps.requested_jobs import (
    Asked,
    check_data,
    is_grid,
    job_words,
    requested_jobs,
    variants_of,
)
from exprun.sweeps.search.requested import requested_search
from exprun.sweeps.search.search import Search

T = TypeVar("T")


class Escape(BaseException):
    """Carries an exception past Hydra, which catches every Exception of a callback; the original
    one is ``__cause__``."""


def surfacing(hook: Callable[..., T]) -> Callable[..., T]:
    """Decorator of callbacks that raises their exceptions as Escape, to reach the command line."""

    @functools.wraps(hook)
    def wrapped(*arguments: Any, **keywords: Any) -> T:
        try:
            return hook(*arguments, **keywords)
        except NotGiven as error:
            raise Escape from UsageError(f"{error}{_columns(error)}")
        except Exception as error:
            raise Escape from error

    return wrapped


def _columns(error: NotGiven) -> str:
    """The columns of the data file, if the target is not given."""
    if error.key != "data.target" or OmegaConf.is_missing(error.node, "path"):
        return ""
    from exprun.data.open_file import columns_listed  # importing pyarrow is slow

    return columns_listed(str(error.node.get("path")), error.node.get("header", True))


class Hooks(Callback):
    """Hydra's callbacks, registered in ``hydra.callbacks``.

    ``jobs`` maps job numbers to the jobs of a sweep that the launcher has to run. Their configs are
    resolved when they are added, so later changes of YAML files and the environment have no effect.
    ``numbers`` are the job numbers in the order in which Hydra's sweeper requests jobs; equal jobs
    have the same number.
    """

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.numbers: list[int] = []
        self.progress = ledger.Progress([])
        self.begun = False  # whether the sweep's jobs have been recorded
        self.locks = ExitStack()  # lock of the run's or sweep's folder

    @surfacing
    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        _check_hydra(config)
        enter(config, Path(config.hydra.run.dir))
        check(config)
        check_parts(config, overrides_of(config.hydra))
        _published(config, {})
        if (into := take_sweep(config)) is not None:
            raise UsageError(f"sweep.into={into}: is for sweeps; expected -m")
        raise_if_interrupted()
        self.made = _claim(config, "run")
        self.locks.enter_context(held(Path(config.hydra.run.dir)))
        enter(config, Path(config.hydra.run.dir))
        resolve(config)

    @surfacing
    def on_run_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        self.locks.close()
        if job_return.status != JobStatus.COMPLETED:
            return  # Hydra raises what is in its way; 1.4 calls this even if nothing has begun
        result = job_return.return_value
        folder = Path(config.hydra.runtime.output_dir)
        if isinstance(result, BaseException):
            shutil.rmtree(folder / ".hydra")
            for made in self.made:
                made.rmdir()
            raise result
        from exprun.display.summary import summary
        from exprun.doctor.remarks import remarks
        from exprun.run_folder import stored_as
        from exprun.sweeps.published_table import comparison

        preset = "published" in config  # may show a bad training on purpose
        said = [] if preset else remarks(folder, stored_as(config))
        summary(result, os.path.relpath(folder), remarks=said)
        if preset and result["status"] != INTERRUPTED:
            asked = overrides_of(config.hydra)
            comparison(judge(folder, plain(config.published), [(None, folder)], asked))
        raise SystemExit(exit_code(result))

    @surfacing
    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        _check_hydra(config)
        self.search = search = requested_search(config)
        self.launcher = chosen_launcher(config, grid=is_grid(config))
        jobs = [] if search else requested_jobs(config)
        published = _published(config, variants_of(config))
        raise_if_interrupted()
        with interruptible():
            self.composer = Composer(GlobalHydra.instance().config_loader(), config)
            check_values(OmegaConf.masked_copy(config, "sweep"))
            into = take_sweep(config)
            several = [w for w in overrides_of(config.hydra) if w.startswith("sweep.into=")]
            if into is None and several:
                raise UsageError(f"{several[0]}: expected one folder")
            if into is None:
                if search:
                    first = search.first_jobs(self.composer.without_conditional)
                    jobs = [(None, words) for words in first]
                self._create_sweep(config, jobs, published, search)
            elif published is not None:
                raise UsageError(f"sweep.into={into}: a preset with published figures is complete")
            else:
                self._extend_sweep(config, jobs, into, search)
        if is_basic(config):
            self.composer.master = copy.deepcopy(config)  # a search composes more jobs
            replace_basic(config)
        self.begun = True

    def _create_sweep(
        self,
        config: DictConfig,
        jobs: Sequence[Asked],
        published: Mapping[str, Any] | None,
        search: Search | None,
    ) -> None:
        """Create the sweep's folder and record its jobs; removes the folder if that fails."""
        made = _claim(config, "sweep")
        folder = Path(config.hydra.sweep.dir)
        self.configs = JobConfigs(self.composer, folder)
        asked = as_given(overrides_of(config.hydra))
        content = ledger.new(asked, _config_dir(config), self.launcher, published)
        if search:
            content["search"] = search.stored.as_written()
        try:
            self.locks.enter_context(held(folder))
            self._add(config, content, jobs, asked)
            if search:
                search.check_metric(self.jobs[0])
        except BaseException:
            self.locks.close()
            for path in folder.iterdir():  # the folder was new or empty
                path.unlink()
            for path in made:
                with suppress(OSError):  # another run may have created a folder in it
                    path.rmdir()
            raise

    def _extend_sweep(
        self, config: DictConfig, jobs: Sequence[Asked], into: str, search: Search | None
    ) -> None:
        """Add jobs to the existing sweep in the folder ``into``, or go on with the search there."""
        folder = Path(into)
        check_sweep(folder, f"sweep.into={into}")
        if any(word.startswith("hydra.sweep.dir=") for word in overrides_of(config.hydra, "hydra")):
            raise UsageError(f"sweep.into={into}: names the folder; expected no hydra.sweep.dir")
        _set_folder(config, "hydra.sweep.dir", folder)
        self.configs = JobConfigs(self.composer, folder)
        with ExitStack() as locks:
            locks.enter_context(held(folder))
            with ledger.read_from(folder):
                content = ledger.read(folder)
                ledger.adopt(folder, content)
                states = [ledger.state_of(folder / job["folder"]) for job in content["jobs"]]
                content |= {"config_dir": _config_dir(config) or content["config_dir"]}
            if search:
                search.check_same(folder, content)
                content["search"]["settings"]["more"] = search.settings.more
                for job, state in zip(content["jobs"], states, strict=True):
                    if state["status"] == FAILED:  # to be tried again
                        (folder / job["folder"] / "result.json").unlink()
            check_data(folder, content, jobs, states)
            content |= self.launcher.as_written()
            asked = as_given(job_words(overrides_of(config.hydra)))
            self._add(config, content, jobs, None if search else asked)
            self.locks = locks.pop_all()
        self.progress.done += sum(state["status"] in DONE for state in states)

    def add_jobs(self, config: DictConfig, overrides: Sequence[Sequence[str]]) -> None:
        """Add the jobs that an adaptive sweeper requests during the sweep."""
        content = ledger.read(Path(config.hydra.sweep.dir))
        self._add(config, content, [(None, job_words(words)) for words in overrides])

    def _add(
        self,
        config: DictConfig,
        content: dict[str, Any],
        jobs: Sequence[Asked],
        asked: Sequence[str] | None = None,
    ) -> None:
        """Resolve ``jobs`` and record them in the ledger; ``content`` is ``sweep.json`` so far."""
        folder = Path(config.hydra.sweep.dir)
        ledger.add(folder, content, self._plan(config, content, jobs), asked)
        done = self.progress.done if self.begun else 0
        self.progress = ledger.Progress(content["jobs"], done)

    def _plan(
        self, config: DictConfig, content: Mapping[str, Any], jobs: Sequence[Asked]
    ) -> Iterator[ledger.Planned]:
        """Compose, check and resolve jobs. Yields those that are new in the sweep, to be recorded,
        and adds unfinished ones to ``self.jobs``, to be run. Raises UsageError."""
        from exprun.sweeps import worker_pool

        folder = Path(config.hydra.sweep.dir)
        before = list(content["jobs"])
        numbers = {(job["variant"], job.get("identity")): job["number"] for job in before}
        elsewhere = ledger.finished_elsewhere(folder, before)
        kept = self.composer.without_conditional([words for _, words in jobs])
        words = [*(job["overrides"] for job in before), *kept]
        shared = ledger.shared_words(list(map(list, dict.fromkeys(map(tuple, words)))))
        shared -= ledger.varying_words(content)
        for (variant, _), overrides in zip(jobs, kept, strict=True):
            number = len(numbers)
            own = [word for word in overrides if word not in shared]
            made = self.configs.config(overrides, number, ledger.job_name(number, own, len(words)))
            if "published" in made.config and not content["published"]:
                raise UsageError(
                    "a preset with published figures is a sweep by itself; expected "
                    "exprun experiment=… with one of them"
                )
            if not (self.numbers or self.launcher.elsewhere):
                worker_pool.prepare()  # workers import torch meanwhile
            job_folder = folder / made.subdir
            within = os.path.relpath(job_folder, folder)
            if within == ".":
                raise UsageError(
                    f"hydra.sweep.subdir: job {number} would have the sweep's own folder; expected "
                    "'${hydra.job.num}' in it"
                )
            same = identity(made.config)
            known = numbers.setdefault((variant, same), number)
            self.numbers.append(known)
            if known == number:
                if same in elsewhere:
                    within = elsewhere[same]
                else:
                    self.jobs[number] = _job(made, job_folder)
                yield ledger.Planned(variant, made.overrides, within, made.files, same)
            elif known < len(before) and known not in self.jobs:
                job_folder = folder / before[known]["folder"]
                if ledger.state_of(job_folder)["status"] not in FINISHED:
                    self.jobs[known] = _job(made, job_folder, resumed=True)
            raise_if_interrupted()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Context that gives the sweep's folder back after an exception, as Hydra does not."""
        try:
            yield
        except BaseException:
            self.locks.close()
            raise

    @surfacing
    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        from exprun.sweeps.conclude import conclude

        self.locks.close()
        if not self.begun or sys.exception():  # Hydra 1.4 calls this after an exception too
            return
        raise SystemExit(conclude(Path(config.hydra.sweep.dir)))


def _job(made: JobConfig, folder: Path, *, resumed: bool = False) -> Job:
    """The job with this config, to be run in ``folder`` as a part of a sweep."""
    return Job(made.config, folder, made.overrides, made.choices, in_sweep=True, resumed=resumed)


def _check_hydra(config: DictConfig) -> None:
    """Raise UsageError for settings of Hydra with which a run's folder would be incomplete or
    shared."""
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
    if not (is_grid(config) or numbered):
        raise UsageError(
            f"hydra.sweep.subdir={subdir}: two jobs might share a folder; expected "
            "'${hydra.job.num}' in it"
        )
    for_sweeps = ("hydra/launcher=", "hydra/sweeper=", "space=")
    words = [*overrides_of(config.hydra, "hydra"), *overrides_of(config.hydra)]
    given = [word for word in words if word.startswith(for_sweeps)]
    if config.hydra.mode != RunMode.MULTIRUN and given:
        raise UsageError(f"{given[0]}: is for sweeps; expected -m")


def _claim(config: DictConfig, kind: Literal["run", "sweep"]) -> list[Path]:
    """Create the folder that ``hydra.run.dir`` or ``hydra.sweep.dir`` names, with a numbered name
    if it exists; one that the user has named must be new or empty (else UsageError).

    Returns the created folders, the innermost first.
    """
    key = f"hydra.{kind}.dir"
    wanted = Path(config.hydra[kind].dir)
    try:
        return _make(config, key, wanted)
    except OSError as error:
        raise UsageError(f"{key}={wanted}: cannot be made: {error.strerror}") from error


def _make(config: DictConfig, key: str, wanted: Path) -> list[Path]:
    """``_claim`` without the handling of errors; raises OSError from the file system."""
    missing = [folder for folder in (wanted, *wanted.parents) if not folder.exists()]
    if any(word.startswith(f"{key}=") for word in overrides_of(config.hydra, "hydra")):
        if wanted.exists() and not (wanted.is_dir() and not any(wanted.iterdir())):
            raise UsageError(f"{key}={wanted}: is there already; expected a new or an empty folder")
        wanted.mkdir(parents=True, exist_ok=True)
        return missing
    folder = claim_folder(wanted)
    _set_folder(config, key, folder)
    return [folder, *(parent for parent in missing if parent != wanted)]


def _set_folder(config: DictConfig, key: str, folder: Path) -> None:
    """Set the folder in Hydra's config."""
    with read_write(config.hydra), open_dict(config.hydra):
        OmegaConf.update(config, key, str(folder))
        config.hydra.overrides.hydra.append(f"{key}={override_value(folder)}")


def _config_dir(config: DictConfig) -> str | None:
    """The folder of the user's own options, ``--config-dir``; None without it."""
    sources = config.hydra.runtime.config_sources
    return next((str(s.path) for s in sources if s.provider == "command-line"), None)


def _published(config: DictConfig, variants: Mapping[str, Any]) -> dict[str, Any] | None:
    """The ``published`` node as plain data, or None; raises UsageError if it is invalid."""
    if "published" not in config:
        return None
    check_values(OmegaConf.masked_copy(config, "published"))
    check_published(config.published, variants)
    for key in config.published.get("needs", []):
        if OmegaConf.select(config, key) is None:
            raise UsageError(f"{key} is not given, and the published figures need it: add {key}=…")
    return plain(config.published)
