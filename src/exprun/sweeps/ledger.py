"""The files of a sweep: ``sweep.json``, the requested jobs; ``configs.jsonl``, the resolved config
of every job; and ``leaderboard.csv``, the jobs ranked by their validation figures.

The state of a job is stored only in ``result.json`` in its folder: a job that ends writes no file
of the sweep, and a job whose folder was deleted can be run again.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from exprun import __version__
from exprun.common.constants import FAILED, FINISHED, INTERRUPTED
from exprun.common.errors import UsageError
from exprun.record.files import folder_name, write_atomic, write_json
from exprun.record.identity import identity
from exprun.record.lease import holder
from exprun.record.result import read_result
from exprun.sweeps.launcher import LauncherSettings
from exprun.sweeps.ranking import cost, ended_well, ranking

PENDING = "pending"
"""The status of a job that has no result."""

LAST_COLUMNS = ("seconds", "folder", "reason")
"""Columns of a leaderboard that follow the metrics."""


@dataclass(frozen=True)
class Planned:
    """A requested job: its variant, if any, its overrides, its folder relative to the sweep's, the
    texts of its ``.hydra/`` by file name, and its ``record.identity``."""

    variant: str | None
    overrides: Sequence[str]
    folder: str
    files: Mapping[str, str]
    identity: str


def new(
    asked: Sequence[str],
    config_dir: str | None,
    launcher: LauncherSettings,
    published: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of ``sweep.json`` without jobs: the overrides, the folder of the user's options,
    the launcher, and the published figures to compare the results with."""
    return {
        "overrides": list(asked),
        "batches": [],
        "config_dir": config_dir,
        **launcher.as_written(),
        "published": published,
        "jobs": [],
    }


def add(
    folder: Path,
    content: dict[str, Any],
    jobs: Iterable[Planned],
    asked: Sequence[str] | None = None,
) -> None:
    """Record requested ``jobs`` before any of them runs, with consecutive numbers. The configs are
    written first, then ``sweep.json``; configs of jobs that are not in ``sweep.json`` are ignored.
    Raises UsageError if two jobs have the same folder.

    A batch records the overrides ``asked`` in one request, its time and the number of its first
    job, because the tests of a comparison depend on whether jobs were added after a look at earlier
    results. Without ``asked`` the jobs belong to the newest batch; a request that adds no jobs to
    existing ones makes no batch.
    """
    first = len(content["jobs"])
    known: dict[str, int] = {job["folder"]: job["number"] for job in content["jobs"]}
    with Configs(folder).writing(first) as write:
        for number, job in enumerate(jobs, first):
            if job.folder in known:
                raise UsageError(
                    f"hydra.sweep.subdir: jobs {known[job.folder]} and {number} would share the "
                    f"folder {job.folder}; expected '${{hydra.job.num}}' in it"
                )
            known[job.folder] = number
            write(job.files)
            content["jobs"].append(
                {
                    "number": number,
                    "variant": job.variant,
                    "overrides": list(job.overrides),
                    "folder": job.folder,
                    "identity": job.identity,
                }
            )
    if asked is not None and (len(known) > first or not first):
        batch = {"asked": now(), "overrides": list(asked), "first": first, "version": __version__}
        content["batches"].append(batch)
    write_json(folder / "sweep.json", content)


class Configs:
    """``configs.jsonl`` of a sweep: line i has the texts of job i's ``.hydra/``, with the resolved
    config, as they were when the job was requested."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "configs.jsonl"

    @cached_property
    def starts(self) -> list[int]:
        """Byte offset of each line, and of the end of the last."""
        starts = [0]
        if self.path.is_file():
            with self.path.open("rb") as file:
                for line in file:
                    starts.append(starts[-1] + len(line))
        return starts

    @contextmanager
    def writing(self, first: int) -> Iterator[Callable[[Mapping[str, str]], None]]:
        """Context with a function that writes the lines of the jobs from number ``first`` on, one
        a call; at the end they are on the disk. Raises UsageError if earlier jobs have no lines."""
        file: BinaryIO | None = None

        def write(files: Mapping[str, str]) -> None:
            nonlocal file
            file = file or stack.enter_context(self._from(first))
            line = json.dumps(files, ensure_ascii=False).encode() + b"\n"
            file.write(line)
            self.starts.append(self.starts[-1] + len(line))

        with ExitStack() as stack:
            yield write
            if file:
                file.flush()
                os.fsync(file.fileno())

    def _from(self, number: int) -> BinaryIO:
        """The file, to be written from the line of job ``number`` on; later lines, which a killed
        process left, are removed."""
        if number >= len(self.starts):
            raise UsageError(
                f"{self.path}: has {len(self.starts) - 1} of the sweep's {number} jobs, so none "
                "can be added; expected another folder for them"
            )
        file = self.path.open("r+b" if self.path.exists() else "w+b")
        del self.starts[number + 1 :]
        file.seek(self.starts[number])
        file.truncate()
        return file

    def files(self, number: int) -> dict[str, str]:
        """The texts of a job's ``.hydra/`` by file name; raises UsageError if unreadable."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.starts[number])
                files: dict[str, str] = json.loads(file.readline())
        except (OSError, IndexError, ValueError) as error:
            raise UsageError(f"{self.path}: job {number} cannot be read: {error}") from None
        return files

    def unpack(self, number: int, folder: Path) -> None:
        """Write the ``.hydra/`` of a job into its folder, unless it is there."""
        from exprun.config.hydra_files import write_hydra_files  # importing Hydra is slow

        if (files := self.missing(number, folder)) is not None:
            write_hydra_files(folder, files)

    def missing(self, number: int, folder: Path) -> dict[str, str] | None:
        """The texts of a job's ``.hydra/`` if its folder lacks them, else None."""
        last = folder / ".hydra" / "overrides.yaml"
        return None if last.is_file() else self.files(number)


def shared_words(jobs: Sequence[Sequence[str]]) -> set[str]:
    """The overrides that all jobs have in common; empty for a single job, so that its title keeps
    its overrides."""
    return set(jobs[0]).intersection(*jobs[1:]) if len(jobs) > 1 else set()


def varying_words(content: Mapping[str, Any]) -> set[str]:
    """The overrides that are to distinguish jobs although all jobs so far may have them: those of
    repetitions of a search, which asks for the later ones when it needs them."""
    repetitions = content.get("search", {}).get("repetitions", [])
    return {word for own in repetitions for word in own} if len(repetitions) > 1 else set()


def job_name(number: int, words: Iterable[str], jobs: int) -> str:
    """The name of a job's folder in a sweep of ``jobs`` jobs: its number, padded so that names sort
    by number, also after jobs are added, and the ``words`` that distinguish it."""
    width = max(3, len(str(jobs - 1)))
    return f"{number:0{width}}_{folder_name([*words])}"


def finished_elsewhere(folder: Path, jobs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Folders within the sweep's that belong to none of its ``jobs`` but contain the result of a
    finished job (moved there, or a single run's), relative to the sweep's folder, by identity."""
    own = {str(job["folder"]) for job in jobs}
    found: dict[str, str] = {}
    others = [path for path in folder.iterdir() if path.is_dir() and path.name not in own]
    for path in sorted(file.parent for other in others for file in other.rglob("result.json")):
        within, result = path.relative_to(folder).as_posix(), state_of(path)
        if within not in own and result["status"] in FINISHED and "identity" in result:
            found.setdefault(result["identity"], within)
    return found


def adopt(folder: Path, content: dict[str, Any]) -> None:
    """Assign to jobs without a folder those of their results elsewhere (``finished_elsewhere``);
    ``content`` is that of ``sweep.json``, which is written if it changes."""
    missing = [job for job in content["jobs"] if not (folder / job["folder"]).is_dir()]
    elsewhere = finished_elsewhere(folder, content["jobs"]) if missing else {}
    found = [job for job in missing if job.get("identity") in elsewhere]
    for job in found:
        job["folder"] = elsewhere[job["identity"]]
    if found:
        write_json(folder / "sweep.json", content)


LEADERBOARD = "leaderboard.csv"
"""The file of the jobs ranked by validation figures, written when none is missing any more."""

NAMES_DATA = ("data=", "data.path=", "data.test_path=", "problem.path=", "experiment=")
"""What an override begins with that names data files."""


def check_data(
    folder: Path, content: Mapping[str, Any], number: int, config: Mapping[str, Any]
) -> None:
    """Raise UsageError if the data files named by the resolved ``config`` of a job have changed
    since the job was requested, and a job with the same files has finished: the sweep would then
    mix two data sets. Files that no job could be trained on may be replaced."""
    job = content["jobs"][number]
    versions = [b.get("version") for b in content.get("batches", ()) if b["first"] <= number]
    if not versions or versions[-1] is None:  # written by an exprun without this entry
        return
    if identity(config, versions[-1]) == job["identity"]:
        return
    words = data_words(job["overrides"])
    alike = [other for other in content["jobs"] if data_words(other["overrides"]) == words]
    if any(state_of(folder / other["folder"])["status"] in FINISHED for other in alike):
        raise UsageError(
            f"{folder}: data.path={config['data'].get('path')}: the data of job {number} are not "
            "those that the sweep was asked for with; expected the same content, or another sweep"
        )


def data_words(overrides: Iterable[str]) -> list[str]:
    """Those of a job's overrides that name its data files."""
    return [word for word in overrides if word.lstrip("+").startswith(NAMES_DATA)]


class Progress:
    """Counts the jobs of a sweep that have ended, and titles each by its distinguishing
    overrides."""

    def __init__(self, jobs: Sequence[Mapping[str, Any]], done: int = 0) -> None:
        """``jobs`` are those of ``sweep.json``; ``done`` of them had already ended."""
        self.done, self.total = done, len(jobs)
        self.shared = shared_words([job["overrides"] for job in jobs])

    def note(self, result: Mapping[str, Any]) -> tuple[str, str]:
        """Count a job that has stopped, unless it was interrupted; returns the count, like
        ``3/24``, and the job's title."""
        self.done += result["status"] != INTERRUPTED
        title = " ".join(word for word in result["overrides"] if word not in self.shared)
        return f"{self.done}/{self.total}", title or "defaults"


def now() -> str:
    """The current local time in ISO 8601 with milliseconds and time zone, for a sweep's files."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def read(folder: Path) -> dict[str, Any]:
    """The content of ``sweep.json``."""
    data: dict[str, Any] = json.loads((folder / "sweep.json").read_text())
    return data


def check_there(folder: Path) -> None:
    """Raise UsageError if the folder of a sweep that is at work was moved or deleted."""
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: was moved or deleted; expected it to stay where it is until all jobs have "
            "ended (exprun resume goes on with a moved one)"
        )


@contextmanager
def read_from(folder: Path) -> Iterator[None]:
    """Context that turns errors of damaged content of ``sweep.json`` into a UsageError."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder / 'sweep.json'}: is damaged: {error!r}") from None


def threads(folder: Path) -> int | None:
    """The number of CPU threads of each job of the sweep; None if the job's config decides. Raises
    UsageError if ``sweep.json`` is damaged."""
    with read_from(folder):
        return LauncherSettings.of(read(folder)).threads


def state_of(folder: Path) -> dict[str, Any]:
    """The content of ``result.json`` in the job's ``folder``; if it is missing or damaged, only the
    ``status`` PENDING, a ``reason`` and empty ``metrics``."""
    try:
        result = read_result(folder)
    except UsageError as error:
        return {"status": PENDING, "reason": str(error), "metrics": {}}
    return result or {"status": PENDING, "reason": "", "metrics": {}}


def has_ended(folder: Path) -> bool:
    """Whether the job in ``folder`` is finished or failed, and no process holds it for a retry."""
    return state_of(folder)["status"] in (*FINISHED, FAILED) and holder(folder) is None


def leaderboard(folder: Path) -> list[dict[str, Any]]:
    """Write ``leaderboard.csv`` and return its rows (see ``ranked``)."""
    rows = ranked(folder)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    columns.sort(key=lambda column: column in LAST_COLUMNS)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(folder / LEADERBOARD, text.getvalue().encode())
    return rows


def ranked(folder: Path) -> list[dict[str, Any]]:
    """A row for each job, best first, then the jobs that did not end well. The first metrics are
    those that the jobs are ranked by (``sweeps.ranking``)."""
    rows = []
    with read_from(folder):
        jobs = [(job, folder / str(job["folder"])) for job in read(folder)["jobs"]]
    results = [state_of(job_folder) for _, job_folder in jobs]
    for (job, _), result in zip(jobs, results, strict=True):
        rows.append(
            {
                "number": job["number"],
                "overrides": " ".join(job["overrides"]),
                "status": result["status"],
                "best_epoch": result.get("best_epoch"),
                **result["metrics"],
                "seconds": result.get("seconds"),
                "folder": job["folder"],
                "reason": result["reason"],
            }
        )
    names = ranking(results)
    rows.sort(key=lambda row: (not ended_well(row), cost(row, names)))
    first = ("number", "overrides", "status", "best_epoch", *names)
    return [{key: row[key] for key in (*first, *row) if key in row} for row in rows]
