"""The run that a command takes if it is given the folder of a sweep: the best job."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TextIO

from exprun.common.constants import COMPLETED, DONE, EARLY_STOPPED
from exprun.common.errors import UsageError
from exprun.common.named_files import expanded
from exprun.sweeps import ledger
from exprun.sweeps.search.chosen import chosen_overrides


def run_of(folder: Path, file: TextIO | None = None) -> Path:
    """The folder itself, or the best job's if it is that of a sweep, which is said in ``file``, by
    default on standard error. Raises UsageError if no job ended well."""
    folder = expanded(folder)
    if not (folder / "sweep.json").is_file():
        return folder
    job, without = best_job(folder)
    file = file or sys.stderr
    print(f"the best job of the sweep: {os.path.relpath(job)}", file=file)
    if without:
        resume = shlex.join(["exprun", "resume", os.path.relpath(folder)])
        print(f"jobs without a result, not looked at: {without} ({resume} trains them)", file=file)
    return job


def best_job(folder: Path) -> tuple[Path, int]:
    """The folder of a sweep's best job, and the number of jobs without a result. In a search it is
    a job of the configuration that was chosen by the mean over seeds. Raises UsageError if no job
    ended well."""
    rows = ledger.ranked(folder)
    if chosen := chosen_overrides(folder):
        rows.sort(key=lambda row: not set(chosen) <= set(row["overrides"].split(" ")))
    if not rows or rows[0]["status"] not in (COMPLETED, EARLY_STOPPED):
        raise UsageError(f"{folder}: no job of the sweep ended well; expected the folder of one")
    job = folder / str(rows[0]["folder"])
    if not job.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{folder / 'sweep.json'}: {job} lies outside of the sweep")
    return job, sum(row["status"] not in DONE for row in rows)
