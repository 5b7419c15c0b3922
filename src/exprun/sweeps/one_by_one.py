"""Trains the jobs of a sweep one after the other, in this process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exprun.common.constants import INTERRUPTED
from exprun.common.signals import Interrupted, exit_code, importing
from exprun.display.summary import job_line
from exprun.job import Job
from exprun.sweeps.ledger import Configs, Progress


def run_one_by_one(
    folder: Path, jobs: Mapping[int, Job], progress: Progress
) -> tuple[dict[int, dict[str, Any]], int | None]:
    """Run the ``jobs`` of the sweep in ``folder``, by their numbers; returns their results, and the
    exit code if a signal has ended it."""
    results: dict[int, dict[str, Any]] = {}
    if not jobs:
        return results, None
    try:
        with importing():
            from exprun.run import run
    except Interrupted as interrupt:
        return results, interrupt.exit_code
    configs = Configs(folder)
    for number, job in jobs.items():
        configs.unpack(number, job.folder)
        job.shared = progress.shared
        results[number] = run(job)
        done, title = progress.note(results[number])
        job_line(number, done, title, results[number])
        if results[number]["status"] == INTERRUPTED:
            return results, exit_code(results[number])
    return results, None
