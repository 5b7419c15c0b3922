"""``exprun resume``: go on with a run or a sweep, exactly where it stopped.

What is read is the folder: the composed config and the newest checkpoint that is whole. Finished
results are never computed again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from exprun import sweep
from exprun.commands import Parser
from exprun.config.compose import write_hydra_files
from exprun.config.paths import conf_dir
from exprun.config.schema import check
from exprun.display import job_line, summary
from exprun.errors import UsageError
from exprun.interrupt import exit_code
from exprun.job import Job
from exprun.stacked import run_stacked
from exprun.sweep import STACKED
from exprun.trust import check_targets
from exprun.vocabulary import FINISHED, INTERRUPTED


def main(words: list[str]) -> int:
    parser = Parser("resume", "Go on with a run or a sweep, exactly where it stopped.")
    parser.add_argument("folder", type=Path, metavar="RUN_OR_SWEEP")
    parser.add_argument(
        "--trust", action="store_true", help="let its config name code of somebody's own"
    )
    arguments = parser.parse_args(words)
    folder, trust = arguments.folder, arguments.trust
    if (folder / "sweep.json").is_file():
        return resume_sweep(folder, trust=trust)
    if not (folder / ".hydra" / "config.yaml").is_file():
        what = "is no folder of a run or a sweep" if folder.is_dir() else "there is no such folder"
        raise UsageError(f"{folder}: {what}; expected one like outputs/runs/…")
    result = finished_result(folder)
    if result:
        print(f"{folder} is {result['status'].replace('_', ' ')}: nothing is left to be done")
    else:
        result = interrupted_job(folder, trust=trust).run()
    summary(result, os.path.relpath(folder))
    return exit_code(result)


def interrupted_job(folder: Path, *, trust: bool, in_sweep: bool = False) -> Job:
    """The run in ``folder``, to go on from its newest checkpoint, or to begin if it has none.

    Raises UsageError if the folder's config is not what it was, or names somebody's own code.
    """
    config, overrides, hydra = (
        load_yaml(folder / ".hydra" / f"{name}.yaml") for name in ("config", "overrides", "hydra")
    )
    assert isinstance(config, DictConfig)
    check(config)
    if not trust:
        check_targets(config, str(folder))
    words = [str(word) for word in overrides]
    return Job(config, folder, words, hydra.hydra.runtime.choices, in_sweep, resumed=True)


def resume_sweep(folder: Path, *, trust: bool) -> int:
    """Run what is missing of a sweep: jobs that are pending, were interrupted, or failed. Returns
    the exit code."""
    try:
        asked = sweep.read(folder)
        missing = {job["number"]: job for job in asked["jobs"] if job["status"] not in FINISHED}
        folders = {number: folder / job["folder"] for number, job in missing.items()}
        launcher = asked["launcher"]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder / 'sweep.json'}: is damaged: {error!r}") from None
    jobs = {}
    for number, job_folder in folders.items():
        if not job_folder.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{folder / 'sweep.json'}: {job_folder} lies outside of the sweep")
        result = finished_result(job_folder)
        if result:  # it ended, and the sweep's books did not hear of it
            sweep.note(folder, number, job_folder, result)
            continue
        if not (job_folder / ".hydra" / "overrides.yaml").is_file():
            prepare_job(job_folder, missing[number]["overrides"], asked["config_dir"])
        jobs[number] = interrupted_job(job_folder, trust=trust, in_sweep=True)
    run = run_stacked if launcher == STACKED else run_one_by_one
    results = run(folder, jobs, " ".join(asked["overrides"]))
    ended = next((r for r in results.values() if r["status"] == INTERRUPTED), None)
    return sweep.conclude(folder, exit_code(ended) if ended else None, trust=trust)


def run_one_by_one(folder: Path, jobs: dict[int, Job], title: str) -> dict[int, dict[str, Any]]:
    """Run the jobs of a sweep in their order; returns the results by their numbers."""
    results = {}
    for number, job in jobs.items():
        results[number] = job.run()
        progress = sweep.note(folder, number, job.folder, results[number])
        job_line(number, f"{progress.done}/{progress.total}", progress.title, results[number])
        if results[number]["status"] == INTERRUPTED:
            break
    return results


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


def load_yaml(path: Path) -> DictConfig | ListConfig:
    """Raises UsageError if the file is missing or damaged."""
    try:
        return OmegaConf.load(path)
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path}: cannot be read, the run cannot go on: {reason}") from None


def prepare_job(folder: Path, overrides: list[str], config_dir: str | None) -> None:
    """Compose the config of a job that never began, and write it as Hydra would have."""
    search_path = [f"hydra.searchpath=['file://{config_dir}']"] if config_dir else []
    with initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="exprun"):
        config = compose("config", [*overrides, *search_path], return_hydra_config=True)
    write_hydra_files(folder, config)
