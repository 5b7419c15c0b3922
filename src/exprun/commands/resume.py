"""``exprun resume``: continue a run or a sweep exactly where it stopped.

It reads only the folder: the composed config and the newest intact checkpoint. Finished results are
never computed again.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from exprun.commands import Parser, at_least
from exprun.common.constants import DONE, FINISHED, HELD
from exprun.common.errors import UsageError
from exprun.common.override_value import override_value
from exprun.common.signals import exit_code
from exprun.display.summary import summary
from exprun.record.lease import HeldError, clear_stale, held, holder
from exprun.record.result import read_result
from exprun.run_folder import stored, stored_job
from exprun.sweeps import job_numbers, ledger, worker_pool
from exprun.sweeps.conclude import conclude
from exprun.sweeps.dispatcher import run_jobs
from exprun.sweeps.launcher import LauncherSettings
from exprun.sweeps.search.decisions import Stored

TARGET = "_target_"

HARMLESS = re.compile(
    r"(?!\+{0,2}hydra)\+{0,2}[\w.@/]+=.*"
    r"|hydra/sweeper=search|hydra/launcher=(?:stacked|local|basic)"
    r"|hydra\.(?:sweeper|launcher)\.\w+=.*",
    re.DOTALL,
)
"""Overrides that select nothing but exprun's own options and set values; without TARGET they name
no code."""


def main(words: list[str]) -> int | list[str]:
    """Continue a run or a sweep; returns the exit code, or, for a search, whose next jobs have to
    be composed, the command line that goes on with it."""
    parser = Parser("resume", "Go on with a run or a sweep, exactly where it stopped.")
    parser.add_argument("folder", type=Path, metavar="RUN_OR_SWEEP")
    parser.add_argument(
        "--jobs", metavar="3,5-9", help="of a sweep, these jobs alone; others may run elsewhere"
    )
    parser.add_argument(
        "--more",
        metavar="N",
        type=at_least(1),
        help="of a search, train the N best configurations that it stopped to the end",
    )
    parser.add_argument(
        "--trust", action="store_true", help="let its config name code of somebody's own"
    )
    arguments = parser.parse_args(words)
    folder, trust = arguments.folder, arguments.trust
    if (folder / "sweep.json").is_file():
        if arguments.jobs is not None:
            return resume_jobs(folder, arguments.jobs, trust=trust)
        with ledger.read_from(folder):
            content = ledger.read(folder)
        if "search" in content:
            return search_again(folder, content, arguments.more, trust=trust)
        if arguments.more is not None:
            raise UsageError(f"--more {arguments.more}: {folder} is a sweep, but not of a search")
        with held(folder):
            return resume_sweep(folder, trust=trust)
    if arguments.more is not None and folder.is_dir():
        raise UsageError(f"--more {arguments.more}: {folder} is no folder of a search")
    stored(folder)  # raises UsageError before anything is written
    if arguments.jobs is not None:
        raise UsageError(f"--jobs {arguments.jobs}: {folder} is no sweep's folder, but a run's")
    sweep_folder = Path(os.path.relpath(folder.resolve().parent))
    in_sweep = (sweep_folder / "sweep.json").is_file()
    with held(folder):
        threads = ledger.threads(sweep_folder) if in_sweep else None
        return resume_run(folder, trust=trust, threads=threads)


def search_again(
    folder: Path, content: Mapping[str, Any], more: int | None, *, trust: bool
) -> list[str]:
    """The command line that goes on with a search; ``more`` of the configurations that it stopped,
    in addition to those of earlier calls, are trained to the end.

    Raises UsageError if, without ``trust``, the overrides in ``sweep.json`` could make Hydra run
    code or read options that are not exprun's.
    """
    with ledger.read_from(folder):
        search = Stored.of(content)
        words = [str(word) for word in (*content["overrides"], *search.overrides)]
        own = ["--config-dir", str(content["config_dir"])] if content["config_dir"] else []
        count = int(search.settings.more) + (more or 0)
    unknown = [*own, *(word for word in words if not HARMLESS.fullmatch(word) or TARGET in word)]
    if unknown and not trust:
        raise UsageError(
            f"{folder / 'sweep.json'}: {unknown[0]} may name code of somebody's own; expected "
            "--trust if you know it"
        )
    trusted = ["hydra.sweeper.trust=true"] if trust else []
    into = f"sweep.into={override_value(folder)}"
    return [*own, "-m", *words, f"hydra.sweeper.more={count}", *trusted, into]


def resume_run(folder: Path, *, trust: bool, threads: int | None = None) -> int:
    """Continue a run unless it has finished, with the number of CPU ``threads`` that its sweep
    assigned. Returns the exit code."""
    from exprun.doctor.remarks import remarks  # imports torch

    result = finished_result(folder)
    if result:
        print(f"{folder} is {result['status'].replace('_', ' ')}: nothing is left to be done")
    else:
        from exprun.run import run

        job = stored_job(folder, trust=trust)
        job.threads = threads
        result = run(job)
    ended = stored(folder)
    said = [] if "published" in ended.config else remarks(folder, ended)
    summary(result, os.path.relpath(folder), remarks=said)
    return exit_code(result)


def resume_sweep(folder: Path, *, trust: bool) -> int:
    """Run the jobs of a sweep that have no intact result, were interrupted or failed. Returns the
    exit code."""
    with ledger.read_from(folder):
        asked = ledger.read(folder)
        ledger.adopt(folder, asked)
    launcher = _launcher(folder, asked).whole()
    missing, code = _run(folder, asked, launcher, _folders(folder, asked), trust=trust)
    code = conclude(folder, code, trust=trust)
    if not missing:
        print("nothing was left to be done")
    return code


def resume_jobs(folder: Path, words: str, *, trust: bool) -> int:
    """Run the unfinished ones of some jobs of a sweep (``3,5-9``), while other processes may run
    the others; the process that finds all jobs ended writes the files of the sweep.

    Returns the exit code: 0 if all chosen jobs have a result, HELD if the only ones without are
    being run by another process, else 1, or the code of a signal that ended it.
    """
    with ledger.read_from(folder):
        asked = ledger.read(folder)
    folders = _folders(folder, asked)
    numbers = job_numbers.parse(words, folders)
    chosen = {number: folders[number] for number in numbers}
    missing, code = _run(folder, asked, _launcher(folder, asked), chosen, trust=trust)
    if code is not None:
        return code
    ended = all(ledger.has_ended(path) for path in folders.values())
    # a process may have been killed after its last job and before it wrote the files of the sweep
    if ended and (missing or not (folder / ledger.LEADERBOARD).exists()):
        with suppress(HeldError), held(folder):
            conclude(folder, trust=trust)
    elif not missing:
        print("nothing was left to be done")
    left = [path for path in chosen.values() if ledger.state_of(path)["status"] not in DONE]
    at_work = [path for path in left if holder(path)]
    return int(bool(left)) if len(at_work) < len(left) or not left else HELD


def _folders(folder: Path, asked: dict[str, Any]) -> dict[int, Path]:
    """The folders of a sweep's jobs by their numbers; raises UsageError if one lies outside the
    sweep."""
    with ledger.read_from(folder):
        folders = {int(job["number"]): folder / job["folder"] for job in asked["jobs"]}
    for job_folder in folders.values():
        if not job_folder.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{folder / 'sweep.json'}: {job_folder} lies outside of the sweep")
    return folders


def _launcher(folder: Path, asked: dict[str, Any]) -> LauncherSettings:
    with ledger.read_from(folder):
        return LauncherSettings.of(asked)


def _run(
    folder: Path,
    asked: dict[str, Any],
    launcher: LauncherSettings,
    folders: dict[int, Path],
    *,
    trust: bool,
) -> tuple[list[int], int | None]:
    """Run the jobs that have not finished; returns their numbers, and the exit code if a signal
    ended the run, else None."""
    with ledger.read_from(folder):
        progress = ledger.Progress(asked["jobs"])
    missing = []
    for number, path in folders.items():
        if finished_result(path) is None:
            missing.append(number)
        else:  # its process may have been killed before it released the folder
            clear_stale(path)
    progress.done, progress.total = len(folders) - len(missing), len(folders)
    if missing:
        worker_pool.prepare()  # workers import torch meanwhile
    configs, jobs = ledger.Configs(folder), {}
    for number in missing:
        path = folders[number]
        files = configs.missing(number, path)
        jobs[number] = stored_job(path, trust=trust, in_sweep=True, files=files)
        with ledger.read_from(folder):
            ledger.check_data(folder, asked, number, jobs[number].config)
    _, code = run_jobs(folder, jobs, " ".join(asked["overrides"]), progress, launcher)
    return missing, code


def finished_result(folder: Path) -> dict[str, Any] | None:
    """The content of ``result.json`` if the run has finished, else None; a damaged file is reported
    on stderr and counts as unfinished."""
    try:
        result = read_result(folder)
    except UsageError as error:
        print(f"exprun: {error}", file=sys.stderr)
        return None
    return result if result and result["status"] in FINISHED else None
