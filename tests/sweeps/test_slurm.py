"""``hydra/launcher=slurm``, with a real SLURM of one node that is started here (Debian's slurmctld,
slurmd and slurm-client; no root rights needed)."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from exprun.cli import main
from exprun.sweeps import job_numbers, slurm
from tests.command import run_command
from tests.sweeps.processes import assert_same_jobs, jobs_of, states_of, wait_until
from tests.sweeps.slurm_cluster import INSTALLED, array_of, said, slurm_cluster, tasks
from tests.sweeps.test_ledger import SMALL

needs_slurm = pytest.mark.skipif(not INSTALLED, reason="SLURM is not installed")
LONG = [
    "data=iris",
    "model.hidden=[16,8]",
    "stopping=none",
    "trainer.max_epochs=150",
    "checkpoint.every=2",
    "seed=range(4)",
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with slurm_cluster():
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep without SLURM, which nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    assert run_command(folder, "-m", *LONG, "hydra.sweep.dir=sweep").returncode == 0
    return folder / "sweep"


def submitted(folder: Path, *settings: str) -> tuple[Path, str]:
    """The folder of a sweep that was given to SLURM, two jobs a task, and the name of its array."""
    own = [f"hydra.launcher.{word}" for word in ("jobs_per_task=2", *settings)]
    words = ["-m", "hydra/launcher=slurm", *LONG, *own, "hydra.sweep.dir=sweep"]
    done = run_command(folder, *words)
    assert done.returncode == 0, done.stderr
    sweep = folder / "sweep"
    array = array_of(sweep)
    assert f"4, submitted to SLURM as {array}\n" in done.stdout
    assert "exprun watch sweep\n" in done.stdout
    assert not (sweep / "lease.json").exists()
    return sweep, array


@pytest.mark.long
@needs_slurm
@pytest.mark.usefixtures("cluster")
def test_told_to_save_requeued_killed_and_resumed(whole: Path, tmp_path: Path) -> None:
    sweep, array = submitted(tmp_path, "array_parallelism=1", "time=10")

    wait_until(lambda: any(sweep.rglob("previous.pt")))
    assert tasks(array) == {"0": "R", "1": "PD"}
    said("scancel", "--signal=USR2", "--batch", f"{array}_0")  # as SLURM does before the limit
    wait_until(lambda: tasks(array).get("0") == "PD")
    first = [job for job in jobs_of(sweep)[:2] if job["status"] == "interrupted"]
    assert first
    assert all(job["reason"].endswith("by SIGUSR2") for job in first)

    second = sweep / jobs_of(sweep)[2]["folder"]
    wait_until((second / "checkpoints" / "previous.pt").exists)
    task = json.loads((second / "lease.json").read_text())["process"]
    os.kill(task, signal.SIGKILL)  # which SLURM takes for a failure: it is not queued again
    wait_until(lambda: "1" not in tasks(array))

    _start_again(array)
    wait_until(lambda: not tasks(array))
    assert states_of(sweep)[:2] == ["completed"] * 2
    assert states_of(sweep)[2] is None
    resumed = run_command(tmp_path, "resume", "sweep")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert_same_jobs(sweep, whole, resumed=True)


@pytest.mark.long
@needs_slurm
@pytest.mark.usefixtures("cluster")
def test_preempted_tasks_are_queued_again_and_go_on(whole: Path, tmp_path: Path) -> None:
    sweep, array = submitted(tmp_path, "partition=test")
    wait_until(lambda: len({path.parents[1] for path in sweep.rglob("previous.pt")}) > 1)
    assert tasks(array) == {"0": "R", "1": "R"}
    urgent = ["--partition=urgent", "--exclusive", "--output=/dev/null"]
    said("sbatch", *urgent, "--wrap=true")
    wait_until(lambda: tasks(array) == {"0": "PD", "1": "PD"})
    reasons = [job["reason"] for job in jobs_of(sweep) if job["status"] == "interrupted"]
    assert len(reasons) == 2
    assert all(reason.endswith("by SIGTERM") for reason in reasons)
    _start_again(array)
    wait_until(lambda: not tasks(array))
    assert_same_jobs(sweep, whole, resumed=True)


@pytest.mark.long
@needs_slurm
@pytest.mark.usefixtures("cluster")
def test_at_its_time_limit_a_task_saves_is_queued_again_and_goes_on(tmp_path: Path) -> None:
    """Two minutes, at which SLURM's own signal comes up to a minute and a half early."""
    words = ["data=iris", "trainer.engine=plain", "stopping=none", "checkpoint.every=10"]
    own = ["-m", "hydra/launcher=slurm", "hydra.launcher.time=3", "trainer.max_epochs=10000000"]
    done = run_command(tmp_path, *own, *words, "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    sweep = tmp_path / "sweep"
    (job,) = jobs_of(sweep)
    folder, array = sweep / job["folder"], array_of(sweep)
    said("scontrol", "update", f"JobId={array}", "TimeLimit=2")
    wait_until((folder / "checkpoints" / "last.pt").exists)
    wait_until(lambda: tasks(array) == {"0": "PD"}, 120)
    (job,) = jobs_of(sweep)
    assert job["status"] == "interrupted"
    assert job["reason"].endswith("by SIGUSR2")
    epochs = _epochs(folder)

    _start_again(array)
    wait_until(lambda: _epochs(folder) > epochs + 20)
    said("scancel", "--signal=TERM", "--batch", f"{array}_0")
    wait_until(lambda: not tasks(array))
    assert states_of(sweep) == ["interrupted"]
    whole = [*words, f"trainer.max_epochs={_epochs(folder)}", "hydra.run.dir=whole"]
    assert run_command(tmp_path, *whole).returncode == 0
    assert (folder / "metrics.csv").read_bytes() == (tmp_path / "whole/metrics.csv").read_bytes()


def _epochs(folder: Path) -> int:
    """The number of epochs in a job's curve."""
    return (folder / "metrics.csv").read_text().count("\n") - 1


def _start_again(array: str) -> None:
    """Start tasks that were queued again at once, not after the two minutes that SLURM waits."""
    for task in tasks(array):
        said("scontrol", "update", f"JobId={array}_{task}", "StartTime=now")
    wait_until(lambda: "PD" not in tasks(array).values())


@pytest.mark.long
@needs_slurm
@pytest.mark.usefixtures("cluster")
def test_it_waits_and_concludes(tmp_path: Path) -> None:
    words = ["-m", "hydra/launcher=slurm", "hydra.launcher.wait=true", *SMALL, "seed=0,1"]
    done = run_command(tmp_path, *words, "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    assert "2/2 [" in done.stdout
    assert "2 completed" in done.stdout
    assert (tmp_path / "sweep" / "leaderboard.csv").exists()
    asked = [*words, "hydra.launcher.partition=none", "sweep.into=sweep", "seed=2"]
    refused = run_command(tmp_path, *asked)
    assert refused.returncode == 2
    assert "nvalid partition" in refused.stderr
    assert "sweep.into=sweep" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_without_sbatch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["-m", "hydra/launcher=slurm", *SMALL, "seed=0,1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("exprun: hydra/launcher=slurm: there is no sbatch here; expected")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "word",
    [
        *("time=2", "time=1:x", "time=0:30", "cpus_per_task=0", "mem=4X", "wait=1", "partition=3"),
        *("jobs_per_task=0", "array_parallelism=auto", "sbatch=[account]", "sbatch=--account=a"),
    ],
)
def test_wrong_options_are_named_before_anything_is_written(
    word: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    key, _, value = word.partition("=")
    given = f"hydra.launcher.{key}='{value}'" if "=" in value else f"hydra.launcher.{word}"
    assert main(["-m", "hydra/launcher=slurm", given, *SMALL, "seed=0,1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"exprun: hydra.launcher.{key}=")
    assert "expected " in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("90", 5400),
        ("5:30", 330),
        ("1:30:05", 5405),
        ("2-12", 216000),
        ("1-0:30", 88200),
        ("1-1:1:1", 90061),
        ("x", None),
        ("1:2:3:4", None),
        ("-3", None),
    ],
)
def test_times_as_sbatch_reads_them(limit: str, expected: int | None) -> None:
    assert slurm.seconds(limit) == expected


def test_shares_of_the_jobs() -> None:
    assert job_numbers.shares([0, 1, 2, 5, 7, 8], 4) == ["0-2,5", "7-8"]
    assert job_numbers.shares(list(range(40)), None) == ["0-31", "32-39"]
    assert job_numbers.shares([], None) == []
