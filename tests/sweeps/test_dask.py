"""``hydra/launcher=dask``, with clusters of processes on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exprun.cli import main
from tests.command import EXPRUN, run_command
from tests.sweeps.processes import (
    alive,
    assert_same_jobs,
    children,
    jobs_of,
    needs_proc,
    stat_of,
    states_of,
    wait_until,
)
from tests.sweeps.test_ledger import SMALL

pytest.importorskip("distributed")

pytestmark = pytest.mark.long
LONG = [
    "data=iris",
    "model.hidden=[16,8]",
    "stopping=none",
    "trainer.max_epochs=120",
    "checkpoint.every=2",
    "seed=range(3)",
]
DASK = ["-m", "hydra/launcher=dask"]
CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """The address of a scheduler with two workers, which come again when they are killed."""
    script = folder / "cluster.py"
    script.write_text(CLUSTER)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def at_work(folder: Path) -> int:
    """The process that trains the job in ``folder``; 0 if none does."""
    try:
        pid: int = json.loads((folder / "lease.json").read_text())["process"]
    except (OSError, ValueError):
        return 0
    return pid if alive(pid) else 0


@needs_proc
def test_workers_that_are_killed(tmp_path: Path) -> None:
    """Twice with the same job, which goes on from its checkpoints."""
    assert run_command(tmp_path, "-m", *LONG, "hydra.sweep.dir=whole").returncode == 0
    sweep = tmp_path / "sweep"
    with cluster(tmp_path) as address:
        words = [*EXPRUN, *DASK, f"hydra.launcher.scheduler={address}", *LONG]
        words += ["hydra.launcher.jobs_per_task=1", "hydra.sweep.dir=sweep"]
        pipe = subprocess.PIPE
        with subprocess.Popen(words, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as process:
            wait_until(lambda: any(sweep.rglob("previous.pt")) or process.poll() is not None, 180)
            job = next(sweep.rglob("previous.pt")).parents[1]
            killed = set[int]()
            for _ in range(2):
                wait_until(
                    lambda: at_work(job) not in (0, *killed) or process.poll() is not None, 180
                )
                assert process.poll() is None
                pid = at_work(job)
                killed.add(pid)
                os.kill(int(stat_of(pid)[1]), signal.SIGKILL)  # the worker that has started it
            out, err = process.communicate(timeout=300)
        assert process.returncode == 0, out + err
        assert not any(alive(pid) for pid in killed)
    assert_same_jobs(sweep, tmp_path / "whole", resumed=True)


@needs_proc
def test_ctrl_c_saves_and_leaves_no_process_behind(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    words = [*EXPRUN, *DASK, *LONG, "hydra.sweep.dir=sweep"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as process:
        wait_until(lambda: any(sweep.rglob("previous.pt")) or process.poll() is not None, 180)
        processes = {pid for child in children(process.pid) for pid in {child, *children(child)}}
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    assert "Traceback" not in out + err
    # those that do not train end with the parent, but not before it
    wait_until(lambda: not any(alive(pid) for pid in processes), seconds=15)
    assert "interrupted" in states_of(sweep)
    assert not list(sweep.rglob("lease.json"))
    done = run_command(tmp_path, "resume", "sweep")
    assert done.returncode == 0, done.stderr
    assert states_of(sweep) == ["completed"] * 3


def test_a_scheduler_that_is_not_there(tmp_path: Path) -> None:
    words = [*DASK, "hydra.launcher.scheduler=tcp://127.0.0.1:1", *SMALL, "seed=0,1"]
    done = run_command(tmp_path, *words, "hydra.sweep.dir=sweep")
    assert done.returncode == 2
    assert done.stderr.startswith("exprun: hydra.launcher.scheduler=tcp://127.0.0.1:1: ")
    assert done.stderr.count("\n") == 1
    assert [job["status"] for job in jobs_of(tmp_path / "sweep")] == [None, None]


@pytest.mark.parametrize("word", ["scheduler=node1", "workers=0", "jobs_per_task=x"])
def test_wrong_options(
    word: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*DASK, f"hydra.launcher.{word}", *SMALL, "seed=0,1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"exprun: hydra.launcher.{word}: expected ")
    assert not list(tmp_path.iterdir())
