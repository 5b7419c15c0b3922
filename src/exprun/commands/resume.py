"""``exprun resume``: go on with a run or a sweep, exactly where it stopped.

What is read is the folder: the composed config and the newest checkpoint that is whole. Finished
results are never computed again.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from exprun.commands import Parser
from exprun.common.constants import FINISHED, INTERRUPTED
from exprun.common.errors import UsageError
from exprun.common.signals import exit_code
from exprun.config.compose import compose_job
from exprun.display.summary import job_line, summary
from exprun.doctor.remarks import remarks
from exprun.job import Job
from exprun.record.files import held
from exprun.run import run
from exprun.run_folder import stored, stored_job
from exprun.sweeps import ledger, worker_pool
from exprun.sweeps.conclude import conclude
from exprun.sweeps.dispatcher import run_stacked
from exprun.sweeps.ledger import STACKED


def main(words: list[str]) -> int:
    parser = Parser("resume", "Go on with a run or a sweep, exactly where it stopped.")
    parser.add_argument("folder", type=Path, metavar="RUN_OR_SWEEP")
    parser.add_argument(
        "--trust", action="store_true", help="let its config name code of somebody's own"
    )
    arguments = parser.parse_args(words)
    folder, trust = arguments.folder, arguments.trust
    with ExitStack() as holding:
        holding.enter_context(held(folder))
        sweep_folder = Path(os.path.relpath(folder.resolve().parent))
        threads = None
        if (sweep_folder / "sweep.json").is_file():
            holding.enter_context(held(sweep_folder))
            threads = ledger.threads(sweep_folder)
        if (folder / "sweep.json").is_file():
            return resume_sweep(folder, trust=trust)
        return resume_run(folder, trust=trust, threads=threads)


def resume_run(folder: Path, *, trust: bool, threads: int | None = None) -> int:
    """Go on with a run, unless it has come to its end, with as many CPU ``threads`` as its sweep
    has given it. Returns the exit code."""
    result = finished_result(folder)
    if result:
        print(f"{folder} is {result['status'].replace('_', ' ')}: nothing is left to be done")
    else:
        job = stored_job(folder, trust=trust)
        job.threads = threads
        result = run(job)
    found = stored(folder)
    said = [] if "published" in found.config else remarks(folder, found.config, found.options)
    summary(result, os.path.relpath(folder), remarks=said)
    return exit_code(result)


def resume_sweep(folder: Path, *, trust: bool) -> int:
    """Run what is missing of a sweep: jobs that are pending, were interrupted, or failed. Returns
    the exit code."""
    with ledger.read_from(folder):
        asked = ledger.read(folder)
        missing = {job["number"]: job for job in asked["jobs"] if job["status"] not in FINISHED}
        folders = {number: folder / job["folder"] for number, job in missing.items()}
        launcher = asked["launcher"]
    if missing and launcher == STACKED:
        worker_pool.prepare()  # they import torch while the jobs are looked at
    jobs = {}
    for number, job_folder in folders.items():
        if not job_folder.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{folder / 'sweep.json'}: {job_folder} lies outside of the sweep")
        result = finished_result(job_folder)
        if result:  # it ended, and the sweep's books did not hear of it
            ledger.note(folder, number, job_folder, result)
            continue
        if not (job_folder / ".hydra" / "overrides.yaml").is_file():
            compose_job(job_folder, missing[number]["overrides"], asked["config_dir"])
        jobs[number] = stored_job(job_folder, trust=trust, in_sweep=True)
    run_all = run_stacked if launcher == STACKED else run_one_by_one
    _, code = run_all(folder, jobs, " ".join(asked["overrides"]))
    code = conclude(folder, code, trust=trust)
    if not missing:
        print("nothing was left to be done")
    return code


def run_one_by_one(
    folder: Path, jobs: dict[int, Job], title: str
) -> tuple[dict[int, dict[str, Any]], int | None]:
    """Run the jobs of a sweep in their order; returns the results by their numbers, and the exit
    code if a signal has ended it."""
    results = {}
    for number, job in jobs.items():
        results[number] = run(job)
        progress = ledger.note(folder, number, job.folder, results[number])
        job_line(number, f"{progress.done}/{progress.total}", progress.title, results[number])
        if results[number]["status"] == INTERRUPTED:
            return results, exit_code(results[number])
    return results, None


def finished_result(folder: Path) -> dict[str, Any] | None:
    """The content of ``result.json`` if that run has come to its end, else None."""
    path = folder / "result.json"
    if not path.is_file():
        return None
    try:
        result: dict[str, Any] = json.loads(path.read_text())
    except ValueError:
        raise UsageError(f"{path}: is damaged; delete it to go on from the checkpoint") from None
    return result if result["status"] in FINISHED else None
