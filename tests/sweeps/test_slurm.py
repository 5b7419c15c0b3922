"""``hydra/launcher=slurm``, with a real SLURM of one node that is started here (Debian's slurmctld,
slurmd and slurm-client; no root rights needed)."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from exprun.cli import main
from exprun.sweeps import job_numbers, slurm
from tests.command import run_command
from tests.sweeps.processes import assert_same_jobs, jobs_of, states_of, wait_until
from tests.sweeps.test_ledger import SMALL

CONTROLLER = shutil.which("slurmctld") or shutil.which("slurmctld-wlm")
NODE = shutil.which("slurmd") or shutil.which("slurmd-wlm")
needs_slurm = pytest.mark.skipif(
    not (CONTROLLER and NODE and shutil.which("sbatch")), reason="SLURM is not installed"
)
LONG = [
    "data=iris",
    "model.hidden=[16,8]",
    "stopping=none",
    "trainer.max_epochs=150",
    "checkpoint.every=2",
    "seed=range(4)",
]
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/none
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
PluginDir={plugins}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cluster of this machine alone."""
    assert CONTROLLER
    assert NODE
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    root = Path(CONTROLLER).resolve().parents[1]
    (plugins,) = root.glob("lib/*/slurm-wlm")
    config = folder / "slurm.conf"
    config.write_text(
        CONFIG.format(
            host=socket.gethostname(),
            user=getpass.getuser(),
            plugins=plugins,
            folder=folder,
            ports=free_ports(2),
        )
    )
    step = Path(NODE).resolve().with_name("slurmstepd-wlm")
    commands = [CONTROLLER, "-D"], [NODE, "-D", *(["-d", str(step)] if step.exists() else [])]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SLURM_CONF", str(config))
        quiet = subprocess.DEVNULL
        daemons = [subprocess.Popen(words, stdout=quiet, stderr=quiet) for words in commands]
        try:
            wait_until(lambda: "idle" in said("sinfo", "--noheader", "--format=%T"))
            yield
        finally:
            said("scancel", "--user", getpass.getuser())
            for daemon in reversed(daemons):
                daemon.terminate()
                daemon.wait(60)


def said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def tasks(array: str) -> dict[str, str]:
    """The states of an array's tasks, by their numbers: R, PD, …"""
    lines = said("squeue", "--noheader", "--array", f"--jobs={array}", "--format=%K %t").split("\n")
    return dict(line.split() for line in lines if line)  # type: ignore[misc]


def array_of(sweep: Path) -> str:
    (script,) = (sweep / "slurm").glob("*.sh")
    return script.stem


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep without SLURM, which nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    assert run_command(folder, "-m", *LONG, "hydra.sweep.dir=sweep").returncode == 0
    return folder / "sweep"


@pytest.mark.long
@needs_slurm
@pytest.mark.usefixtures("cluster")
def test_told_to_save_requeued_killed_and_resumed(whole: Path, tmp_path: Path) -> None:
    words = ["-m", "hydra/launcher=slurm", *LONG, "hydra.sweep.dir=sweep"]
    words += ["hydra.launcher.jobs_per_task=2", "hydra.launcher.array_parallelism=1"]
    words += ["hydra.launcher.time=10"]
    done = run_command(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    sweep = tmp_path / "sweep"
    array = array_of(sweep)
    assert f"4, submitted to SLURM as {array}\n" in done.stdout
    assert "exprun watch sweep\n" in done.stdout
    assert not (sweep / "lease.json").exists()

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

    said("scontrol", "update", f"JobId={array}_0", "StartTime=now")  # else after two minutes
    wait_until(lambda: not tasks(array))
    assert states_of(sweep)[:2] == ["completed"] * 2
    assert states_of(sweep)[2] is None
    resumed = run_command(tmp_path, "resume", "sweep")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert_same_jobs(sweep, whole, resumed=True)


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
