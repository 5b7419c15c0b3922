"""A sweep's own files: ``sweep.json``, what was asked and the state of every job, and
``leaderboard.csv``, the jobs in the order of their validation figures.

Both are read off the jobs' folders, so they can be made again at any time.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exprun.common.errors import UsageError
from exprun.common.threads import OF_A_WORKER
from exprun.record.files import folder_name, write_atomic, write_json
from exprun.sweeps.ranking import cost, ended_well, ranking

PENDING = "pending"

BASIC, STACKED = "basic", "stacked"
"""How a sweep's jobs are run: one after the other, or many at once."""

LAST_COLUMNS = ("seconds", "folder", "reason")
"""Columns of a leaderboard that stand behind all metrics."""


@dataclass(frozen=True)
class Progress:
    """How many jobs of a sweep are done, and what tells the latest of them from the others."""

    done: int
    total: int
    title: str


def begin(
    folder: Path,
    asked: Sequence[str],
    jobs: Sequence[tuple[str | None, Sequence[str]]],
    config_dir: str | None,
    launcher: str,
    published: Mapping[str, Any] | None = None,
) -> None:
    """Write down what was asked, before anything runs: the overrides and those of each job with the
    name of its variant, the folder of the user's own options, the launcher, and what the results
    are to be compared with."""
    content = {
        "overrides": list(asked),
        "config_dir": config_dir,
        "launcher": launcher,
        "published": published,
        "jobs": [_job(number, job, name) for number, (name, job) in enumerate(jobs)],
    }
    write_json(folder / "sweep.json", content)


def read(folder: Path) -> dict[str, Any]:
    """The content of ``sweep.json``."""
    data: dict[str, Any] = json.loads((folder / "sweep.json").read_text())
    return data


@contextmanager
def read_from(folder: Path) -> Iterator[None]:
    """What does not fit inside is the fault of ``sweep.json``: UsageError."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder / 'sweep.json'}: is damaged: {error!r}") from None


def threads(folder: Path) -> int | None:
    """How many CPU threads each job of the sweep computes with; None if that is the job's choice.
    Raises UsageError if ``sweep.json`` is damaged."""
    with read_from(folder):
        return OF_A_WORKER if read(folder)["launcher"] == STACKED else None


def note(folder: Path, number: int, job_folder: Path, result: dict[str, Any]) -> Progress:
    """Take down that a job has ended."""
    (progress,) = note_all(folder, {number: (job_folder, result)})
    return progress


def note_all(folder: Path, ended: Mapping[int, tuple[Path, dict[str, Any]]]) -> list[Progress]:
    """Take down that jobs have ended: by their numbers, each one's folder and result.

    A sweeper that decides as it goes has jobs that were not planned: they are added.
    """
    data = read(folder)
    jobs = data["jobs"]
    before = sum(job["status"] != PENDING for job in jobs)
    for number, (job_folder, result) in ended.items():
        while len(jobs) <= number:
            jobs.append(_job(len(jobs), result["overrides"]))
        before -= jobs[number]["status"] != PENDING
        jobs[number] |= {
            "folder": os.path.relpath(job_folder, folder),
            "status": result["status"],
            "reason": result["reason"],
        }
    write_json(folder / "sweep.json", data)
    shared = set(jobs[0]["overrides"]).intersection(*(job["overrides"] for job in jobs))
    return [
        Progress(
            done=before + i,
            total=len(jobs),
            title=" ".join(w for w in result["overrides"] if w not in shared or len(jobs) == 1)
            or "defaults",
        )
        for i, (_, result) in enumerate(ended.values(), 1)
    ]


def _job(number: int, overrides: Sequence[str], variant: str | None = None) -> dict[str, Any]:
    return {
        "number": number,
        "variant": variant,
        "overrides": list(overrides),
        "folder": f"{number}_{folder_name(overrides)}",
        "status": PENDING,
        "reason": "",
    }


def leaderboard(folder: Path) -> list[dict[str, Any]]:
    """Write ``leaderboard.csv`` and return its rows (see ``ranked``)."""
    rows = ranked(folder)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    columns.sort(key=lambda column: column in LAST_COLUMNS)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(folder / "leaderboard.csv", text.getvalue().encode())
    return rows


def ranked(folder: Path) -> list[dict[str, Any]]:
    """A row for each job: the best first, then the jobs that did not end well. The first metric is
    the one that they are ranked by (``sweeps.ranking``)."""
    rows = []
    results = []
    for job in read(folder)["jobs"]:
        path = folder / str(job["folder"]) / "result.json"
        result = json.loads(path.read_text()) if path.is_file() else {"metrics": {}}
        results.append(result | {"status": job["status"], "overrides": job["overrides"]})
        rows.append(
            {
                "number": job["number"],
                "overrides": " ".join(job["overrides"]),
                "status": job["status"],
                "best_epoch": result.get("best_epoch"),
                **result["metrics"],
                "seconds": result.get("seconds"),
                "folder": job["folder"],
                "reason": job["reason"],
            }
        )
    names = ranking(results)
    rows.sort(key=lambda row: (not ended_well(row), cost(row, names)))
    first = ("number", "overrides", "status", "best_epoch", *names)
    return [{key: row[key] for key in (*first, *row) if key in row} for row in rows]
