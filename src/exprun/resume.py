"""``exprun resume``: go on with a run or a sweep, exactly where it stopped.

What is read is the folder: the composed config and the newest checkpoint that is whole. Finished
results are never computed again.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from exprun import sweep
from exprun.config.paths import conf_dir
from exprun.config.schema import check, without_hydra
from exprun.display import job_line, summary
from exprun.errors import UsageError
from exprun.interrupt import exit_code
from exprun.job import run
from exprun.record import checkpoint
from exprun.trust import check_targets
from exprun.vocabulary import FINISHED, INTERRUPTED

USAGE = "exprun resume RUN_OR_SWEEP [--trust]"


def main(words: list[str]) -> int:
    """``words`` follow ``resume`` on the command line; returns the exit code."""
    trust = "--trust" in words
    paths = [Path(word) for word in words if word != "--trust"]
    if len(paths) != 1 or str(paths[0]).startswith("-"):
        raise UsageError(f"resume takes one folder; expected {USAGE}")
    (folder,) = paths
    if (folder / "sweep.json").is_file():
        return resume_sweep(folder, trust=trust)
    if not (folder / ".hydra" / "config.yaml").is_file():
        what = "is no folder of a run or a sweep" if folder.is_dir() else "there is no such folder"
        raise UsageError(f"{folder}: {what}; expected one like outputs/runs/…")
    result = finished_result(folder)
    if result:
        print(f"{folder} is {result['status'].replace('_', ' ')}: nothing is left to be done")
    else:
        result = resume_run(folder, trust=trust)
    summary(result, os.path.relpath(folder))
    return exit_code(result)


def resume_run(folder: Path, *, trust: bool, in_sweep: bool = False) -> dict[str, Any]:
    """Go on with a run, or begin it again if it has no checkpoint; returns its result.

    Raises UsageError if the folder's config or data are not what they were.
    """
    config, overrides, hydra = (
        load_yaml(folder / ".hydra" / f"{name}.yaml") for name in ("config", "overrides", "hydra")
    )
    assert isinstance(config, DictConfig)
    check(config)
    if not trust:
        check_targets(config, str(folder))
    state, problems = checkpoint.newest(folder)
    for problem in problems:
        print(f"exprun: {problem}; going on from the one before", file=sys.stderr)
    return run(
        config,
        folder,
        [str(word) for word in overrides],
        hydra.hydra.runtime.choices,
        in_sweep=in_sweep,
        state=state,
    )


def resume_sweep(folder: Path, *, trust: bool) -> int:
    """Run what is missing of a sweep: jobs that are pending, were interrupted, or failed. Returns
    the exit code."""
    try:
        asked = sweep.read(folder)
        folders = [folder / job["folder"] for job in asked["jobs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder / 'sweep.json'}: is damaged: {error!r}") from None
    for job, job_folder in zip(asked["jobs"], folders, strict=True):
        if job["status"] in FINISHED:
            continue
        if not job_folder.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{folder / 'sweep.json'}: {job_folder} lies outside of the sweep")
        if not (job_folder / ".hydra" / "overrides.yaml").is_file():
            prepare_job(job_folder, job["overrides"], asked["config_dir"])
        result = finished_result(job_folder) or resume_run(job_folder, trust=trust, in_sweep=True)
        progress = sweep.note(folder, job["number"], job_folder, result)
        job_line(job["number"], f"{progress.done}/{progress.total}", progress.title, result)
        if result["status"] == INTERRUPTED:
            return sweep.conclude(folder, exit_code(result))
    return sweep.conclude(folder)


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
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    for name, content in {
        "config": without_hydra(config),
        "hydra": OmegaConf.masked_copy(config, ["hydra"]),
        "overrides": OmegaConf.create(overrides),
    }.items():
        OmegaConf.save(content, folder / ".hydra" / f"{name}.yaml")
