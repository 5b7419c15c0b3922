"""``hydra/launcher=dask`` with jobs that kill their Dask workers, and a network that is cut."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.command import EXPRUN, run_command
from tests.sweeps.processes import jobs_of, needs_proc, wait_until

pytest.importorskip("distributed")

pytestmark = pytest.mark.long

KILLER = '''
import os, signal
from pathlib import Path
import torch

STEPS = 0


def parent(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


class Killer(torch.optim.SGD):
    """Kills the Dask worker at the fifth step in a process, ``times`` times."""

    def __init__(self, params, times, lr):
        super().__init__(params, lr=lr)
        self.times = times

    def step(self, closure=None):
        global STEPS
        STEPS += 1
        marks = Path("marks") / str(self.times)
        if STEPS == 5 and self.times > len(list(marks.glob("*"))):
            marks.mkdir(parents=True, exist_ok=True)
            (marks / str(os.getpid())).touch()
            process = os.getpid()
            while b"--jobs" not in Path(f"/proc/{process}/cmdline").read_bytes().split(b"\\0"):
                process = parent(process)
            os.kill(parent(process), signal.SIGKILL)
            signal.pause()
        return super().step(closure)
'''
"""An optimizer that waits after the murder until it is ended itself."""

SLOW = """
import time
import torch


class Slow(torch.optim.SGD):
    def __init__(self, params, pause, lr):
        super().__init__(params, lr=lr)
        self.pause = pause

    def step(self, closure=None):
        time.sleep(self.pause)
        return super().step(closure)
"""
"""Gradient descent with ``pause`` seconds before each step."""

JOBS = [
    "data=iris",
    "model.hidden=[16,8]",
    "stopping=none",
    "trainer.max_epochs=60",
    "checkpoint.every=2",
]


@needs_proc
def test_jobs_that_kill_their_workers(tmp_path: Path) -> None:
    """One twice, which then goes on to its end, and one always, which is given up."""
    own_optimizer(tmp_path, "killer", KILLER, "times: 0")
    words = ["--config-dir", "conf", "-m", "optimizer=killer", *JOBS]
    dask = ["hydra/launcher=dask", "hydra.launcher.workers=2", "hydra.launcher.jobs_per_task=1"]
    done = run_command(tmp_path, *words, *dask, "optimizer.times=0,2,99", "hydra.sweep.dir=sweep")
    assert done.returncode == 1, done.stdout + done.stderr
    killed = [len(list((tmp_path / "marks" / times).iterdir())) for times in ("2", "99")]
    assert killed == [2, 5]
    assert "exprun: jobs 2: 5 workers were lost with them" in done.stderr
    assert "Traceback" not in done.stderr
    innocent, guilty, given_up = jobs_of(tmp_path / "sweep")
    assert [innocent["status"], guilty["status"]] == ["completed"] * 2
    assert given_up["status"] == "interrupted"
    assert_same_training(tmp_path / "sweep", guilty, innocent)


SUBNET = "10.219.19"
"""Addresses of the two ends of a cable, .1 here and .2 in a network namespace."""

can_cut = pytest.mark.skipif(
    os.name != "posix" or not shutil.which("ip") or os.geteuid() != 0,
    reason="needs ip, of iproute2, and root rights",
)

SCHEDULER = f"""
import asyncio
from distributed import Scheduler
async def main():
    async with Scheduler(host="{SUBNET}.1", port=0, dashboard_address=None) as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()
asyncio.run(main())
"""


class Cable:
    """The only connection of a network namespace."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cut(self) -> None:
        ip("link", "set", self.name, "down")

    def mend(self) -> None:
        ip("link", "set", self.name, "up")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextmanager
def namespace() -> Iterator[Cable]:
    """A network namespace ``exprun`` that has nothing but a cable."""
    ip("netns", "add", "exprun")
    try:
        ip("link", "add", "exprun0", "type", "veth", "peer", "name", "exprun1", "netns", "exprun")
        ip("addr", "add", f"{SUBNET}.1/24", "dev", "exprun0")
        ip("link", "set", "exprun0", "up")
        ip("-n", "exprun", "addr", "add", f"{SUBNET}.2/24", "dev", "exprun1")
        ip("-n", "exprun", "link", "set", "exprun1", "up")
        ip("-n", "exprun", "link", "set", "lo", "up")
        yield Cable("exprun0")
    finally:
        ip("netns", "delete", "exprun")


@contextmanager
def scheduler(folder: Path) -> Iterator[str]:
    """The address of a scheduler at this end of the cable."""
    with (
        (folder / "scheduler.txt").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-c", SCHEDULER], stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@contextmanager
def workers(folder: Path, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """Two workers in the namespace, at the other end."""
    words = ["ip", "netns", "exec", "exprun", sys.executable, "-m", "distributed.cli.dask_worker"]
    words += ["--nworkers", "2", "--nthreads", "1", "--no-dashboard", address]
    with (
        (folder / "workers.txt").open("a") as log,
        subprocess.Popen(words, stdout=log, stderr=log, cwd=folder) as process,
    ):
        yield process
        process.terminate()


@needs_proc
@can_cut
@pytest.mark.parametrize("seconds", [10, 45])
def test_a_network_that_is_cut_for_a_while(tmp_path: Path, seconds: int) -> None:
    """For less than the half minute after which Dask gives up a connection, one job ends while it
    is cut, another goes on after it. For longer, workers end, or all of them; then the sweep goes
    on with new ones."""
    own_optimizer(tmp_path, "slow", SLOW, "pause: 0")
    words = ["--config-dir", "conf", "-m", "optimizer=slow", *JOBS, "optimizer.pause=0,0.05,0.4"]
    sweep, pipe = tmp_path / "sweep", subprocess.PIPE
    with (
        namespace() as cable,
        scheduler(tmp_path) as address,
        workers(tmp_path, address) as first,
        ExitStack() as stack,
    ):
        dask = ["hydra/launcher=dask", f"hydra.launcher.scheduler={address}"]
        asked = [*EXPRUN, *words, *dask, "hydra.launcher.jobs_per_task=1", "hydra.sweep.dir=sweep"]
        with subprocess.Popen(asked, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as process:
            slowest = "*0.4/checkpoints/previous.pt"
            wait_until(lambda: any(sweep.glob(slowest)) or process.poll() is not None, 180)
            assert process.poll() is None
            cable.cut()
            time.sleep(seconds)
            cable.mend()
            wait_until(lambda: process.poll() is not None or first.poll() is not None, 400)
            lost = first.poll() is not None
            if lost:
                stack.enter_context(workers(tmp_path, address))
            out, err = process.communicate(timeout=400)
    assert process.returncode == 0, out + err
    assert not lost or seconds > 30
    assert lost or "the Dask cluster has no workers" not in err
    jobs = jobs_of(sweep)
    assert [job["status"] for job in jobs] == ["completed"] * 3
    for job in jobs[1:]:
        assert_same_training(sweep, job, jobs[0])


def own_optimizer(folder: Path, name: str, code: str, key: str) -> None:
    """An option of the user's own, in ``conf/`` and ``<name>.py`` of a folder."""
    option = folder / "conf" / "optimizer" / f"{name}.yaml"
    option.parent.mkdir(parents=True)
    option.write_text(f"# of one's own\n_target_: {name}.{name.title()}\nlr: 0.01\n{key}\n")
    (folder / f"{name}.py").write_text(code)


def assert_same_training(sweep: Path, job: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    for name in ("metrics.csv", "model.safetensors"):
        paths = [sweep / one["folder"] / name for one in (job, other)]
        assert paths[0].read_bytes() == paths[1].read_bytes()
