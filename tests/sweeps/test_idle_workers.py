"""Workers that have nothing to do wait for the next jobs, those of a search's next rung."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from exprun.cli import main
from exprun.run_folder import stored_job
from exprun.sweeps import ledger
from exprun.sweeps.dispatcher import run_jobs
from exprun.sweeps.launcher import LOCAL, LauncherSettings
from exprun.sweeps.worker_processes import IdleWorkers
from tests.sweeps.processes import alive, needs_proc

WORDS = ["-m", "data=iris", "model.hidden=[4]", "trainer.max_epochs=2", "device=cpu"]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main([*WORDS, "seed=range(4)", "hydra.sweep.dir=sweep"]) == 0
    return tmp_path / "sweep"


def train(sweep: Path, settings: LauncherSettings, idle: IdleWorkers) -> list[Any]:
    """The metrics of all jobs, which are trained anew."""
    content, jobs = ledger.read(sweep), {}
    for job in content["jobs"]:
        folder = sweep / job["folder"]
        shutil.rmtree(folder)
        files = ledger.Configs(sweep).files(job["number"])
        jobs[job["number"]] = stored_job(folder, trust=False, in_sweep=True, files=files)
    progress = ledger.Progress(content["jobs"])
    results, code = run_jobs(sweep, jobs, "again", progress, settings, idle)
    assert code is None
    return [results[number]["metrics"] for number in sorted(results)]


@needs_proc
def test_they_train_again_until_they_are_ended(sweep: Path) -> None:
    expected = [ledger.state_of(path)["metrics"] for path in sorted(sweep.glob("00*"))]
    idle, settings = IdleWorkers(), LauncherSettings(workers=2)
    try:
        assert train(sweep, settings, idle) == expected
        first = {worker.pid for worker in idle.workers}
        assert first
        assert train(sweep, settings, idle) == expected
        assert first <= {worker.pid for worker in idle.workers}
        os.kill(idle.workers[0].pid, signal.SIGKILL)
        idle.workers[0].process.join()
        assert train(sweep, settings, idle) == expected
        pids = [worker.pid for worker in idle.workers]
        assert all(map(alive, pids))
    finally:
        idle.end()
    assert not idle.workers
    assert not any(map(alive, pids))


def test_a_process_of_a_single_job_is_not_kept(sweep: Path) -> None:
    idle = IdleWorkers()
    assert len(train(sweep, LauncherSettings(LOCAL, workers=2), idle)) == 4
    assert not idle.workers
