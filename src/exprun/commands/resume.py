"""``exprun resume``: go on with a run or a sweep, exactly where it stopped.

What is read is the folder: the composed config and the newest checkpoint that is whole. Finished
results are never computed again.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from exprun.commands import Parser
from exprun.common.constants import FINISHED
from exprun.common.errors import UsageError
from exprun.common.signals import exit_code
from exprun.display.summary import summary
from exprun.doctor.remarks import remarks
from exprun.record.files import held
from exprun.record.result import read_result
from exprun.run import run
from exprun.run_folder import stored, stored_job
from exprun.sweeps import ledger, worker_pool
from exprun.sweeps.conclude import conclude
from exprun.sweeps.dispatcher import run_jobs
from exprun.sweeps.launcher import LauncherSettings


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
    said = [] if "published" in stored(folder).config else remarks(folder)
    summary(result, os.path.relpath(folder), remarks=said)
    return exit_code(result)


def resume_sweep(folder: Path, *, trust: bool) -> int:
    """Run what is missing of a sweep: jobs that have no result that is whole, or were interrupted,
    or failed. Returns the exit code."""
    with ledger.read_from(folder):
        asked = ledger.read(folder)
        ledger.adopt(folder, asked)
        folders = {job["number"]: folder / job["folder"] for job in asked["jobs"]}
        launcher = LauncherSettings.of(asked)
        progress = ledger.Progress(asked["jobs"])
    for job_folder in folders.values():
        if not job_folder.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{folder / 'sweep.json'}: {job_folder} lies outside of the sweep")
    missing = [number for number, path in folders.items() if finished_result(path) is None]
    progress.done = len(folders) - len(missing)
    if missing:
        worker_pool.prepare()  # they import torch while the jobs are looked at
    configs, jobs = ledger.Configs(folder), {}
    for number in missing:
        configs.unpack(number, folders[number])
        jobs[number] = stored_job(folders[number], trust=trust, in_sweep=True)
        with ledger.read_from(folder):
            ledger.check_data(folder, asked, number, jobs[number].config)
    _, code = run_jobs(folder, jobs, " ".join(asked["overrides"]), progress, launcher)
    code = conclude(folder, code, trust=trust)
    if not missing:
        print("nothing was left to be done")
    return code


def finished_result(folder: Path) -> dict[str, Any] | None:
    """The content of ``result.json`` if that run has come to its end, else None; so too if it is
    damaged, which is said."""
    try:
        result = read_result(folder)
    except UsageError as error:
        print(f"exprun: {error}", file=sys.stderr)
        return None
    return result if result and result["status"] in FINISHED else None
