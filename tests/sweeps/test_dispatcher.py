"""``exprun -m hydra/launcher=stacked``: the files of every job are those of the usual launcher."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from exprun.common.memory import resident_memory
from exprun.sweeps.dispatcher import Dispatcher
from exprun.sweeps.launcher import LOCAL, LauncherSettings
from exprun.sweeps.ledger import Progress
from exprun.sweeps.worker_processes import Worker
from tests.command import EXPRUN, run_command, run_interpreter
from tests.sweeps.processes import (
    LONG,
    ONE_BY_ONE,
    STACKED,
    WORKERS,
    alive,
    assert_same_jobs,
    jobs_of,
    needs_proc,
    states_of,
    wait_until,
)

KINDS = [
    "data=iris",
    "model.hidden=[8,5],[6]",
    "optimizer=sgd,adam,lbfgs",
    "reg=none,[l2,dropout],weight_decay",
    "optimizer.lr=0.05,1e30",
    "norm=batch",
    "scheduler=plateau",
    "stopping.patience=2",
    "trainer.max_epochs=4",
]
"""36 jobs of several kinds: some diverge, and L-BFGS has no weight decay, which is a failure."""


# ------------------------------------------------------------------------------ the same files


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of several kinds of jobs, one after the other."""
    folder = tmp_path_factory.mktemp("kinds")
    done = run_interpreter(folder, *ONE_BY_ONE, *KINDS, "hydra.sweep.dir=sweep")
    assert done.returncode == 1, done.stderr
    return folder / "sweep"


@pytest.mark.parametrize(
    "options",
    [
        [],
        WORKERS,
        ["hydra.launcher.size=1"],
        ["hydra.launcher.size=100", "hydra.launcher.workers=1"],
    ],
    ids=" ".join,
)
def test_jobs_of_several_kinds(kinds: Path, options: list[str], tmp_path: Path) -> None:
    done = run_command(tmp_path, *STACKED, *options, *KINDS, "hydra.sweep.dir=sweep")
    assert done.returncode == 1, done.stderr
    assert not done.stderr
    assert_same_jobs(tmp_path / "sweep", kinds)
    states = states_of(tmp_path / "sweep")
    assert {"completed", "diverged", "failed"} <= set(states)
    assert "torch.optim.LBFGS has no weight_decay" in done.stdout
    engines = {
        json.loads((tmp_path / "sweep" / job["folder"] / "result.json").read_text())["engine"]
        for job in jobs_of(tmp_path / "sweep")
    }
    assert any("L-BFGS evaluates the loss several times" in str(engine) for engine in engines)
    if options == WORKERS:
        again = run_command(tmp_path, "resume", "sweep")  # the failed ones fail again
        assert again.returncode == 1
        assert states_of(tmp_path / "sweep") == states


def test_a_checkpoint_holds_one_member(tmp_path: Path) -> None:
    """Not the memory of the whole stack."""
    words = "data=iris", "model.hidden=[100,100]", "seed=range(6)", "trainer.max_epochs=2"
    one = run_command(tmp_path, *words[:2], words[3], "hydra.run.dir=run")
    many = run_command(
        tmp_path, *STACKED, *words, "hydra.launcher.workers=1", "hydra.sweep.dir=sweep"
    )
    assert one.returncode == many.returncode == 0
    usual = (tmp_path / "run" / "checkpoints" / "last.pt").stat().st_size
    for path in (tmp_path / "sweep").rglob("last.pt"):
        assert path.stat().st_size < 1.1 * usual


@pytest.mark.parametrize("checkpoints", [True, False])
def test_a_job_resumed_by_itself_has_the_threads_of_its_sweep(
    checkpoints: bool, tmp_path: Path
) -> None:
    """Alone it would take all cores, and round otherwise."""
    words = "batching=full", "norm=layer", "trainer.max_epochs=4", "checkpoint.every=1", "seed=0,1"
    assert run_command(tmp_path, *STACKED, *words, "hydra.sweep.dir=sweep").returncode == 0
    sweep, expected = tmp_path / "sweep", tmp_path / "expected"
    shutil.copytree(sweep, expected)
    job = sweep / jobs_of(sweep)[0]["folder"]
    (job / "result.json").unlink()
    if checkpoints:  # as if it had been killed while it saved the last
        (job / "checkpoints" / "last.pt").unlink()
    else:
        shutil.rmtree(job / "checkpoints")
    assert run_command(tmp_path, "resume", str(job)).returncode == 0
    whole = expected / job.name
    assert json.loads((job / "result.json").read_text())["threads"] == 1
    for name in ("metrics.csv", "model.safetensors"):
        assert (job / name).read_bytes() == (whole / name).read_bytes()


def test_a_job_that_cannot_read_its_data_stops_no_other(tmp_path: Path) -> None:
    rows = [f"{x},{x * x % 7},{x % 2}" for x in range(60)]
    (tmp_path / "good.csv").write_text("\n".join(["a,b,label", *rows]))
    (tmp_path / "bad.csv").write_text("\n".join(["a,b,other", *rows]))
    words = ["data=csv", "data.path=bad.csv,good.csv", "data.target=label", "seed=0,1"]
    words = [*words, "trainer.max_epochs=3"]
    usual = run_command(tmp_path, *ONE_BY_ONE, *words, "hydra.sweep.dir=usual")
    done = run_command(tmp_path, *STACKED, *WORKERS, *words, "hydra.sweep.dir=sweep")
    assert done.returncode == usual.returncode == 1
    assert states_of(tmp_path / "sweep") == ["failed", "failed", "completed", "completed"]
    assert "label" in jobs_of(tmp_path / "sweep")[0]["reason"]
    assert_same_jobs(tmp_path / "sweep", tmp_path / "usual")
    (tmp_path / "bad.csv").write_text((tmp_path / "good.csv").read_text())
    assert run_command(tmp_path, "resume", "sweep").returncode == 0
    assert states_of(tmp_path / "sweep") == ["completed"] * 4


def test_a_sweep_of_divergences_is_no_failure(tmp_path: Path) -> None:
    words = "optimizer=sgd", "optimizer.lr=1e30,1e31", "data=iris", "hydra.sweep.dir=sweep"
    done = run_command(tmp_path, *STACKED, *words)
    assert done.returncode == 0, done.stderr
    assert states_of(tmp_path / "sweep") == ["diverged"] * 2


def test_a_single_job_is_a_sweep_too(tmp_path: Path) -> None:
    words = "data=iris", "trainer.max_epochs=2", "hydra.sweep.dir=sweep"
    done = run_command(tmp_path, *STACKED, *words, "seed=3")
    assert done.returncode == 0, done.stderr
    assert states_of(tmp_path / "sweep") == ["completed"]


@pytest.mark.parametrize("length", [1, 100])
def test_a_temporary_folder_with_a_long_name(length: int, tmp_path: Path) -> None:
    """multiprocessing makes a socket in it, and the path of a socket may have 107 bytes."""
    temporary = tmp_path / ("t" * length)
    temporary.mkdir()
    words = "data=iris", "trainer.max_epochs=1", "hydra.sweep.dir=sweep"
    done = run_command(tmp_path, *STACKED, *words, TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert list(temporary.iterdir()) == []


def test_a_sweep_in_several_batches(tmp_path: Path) -> None:
    """The sweeper launches a few jobs at a time; their configs are composed once for all."""
    words = ["data=iris", "trainer.max_epochs=2", "optimizer.lr=0.01,0.02,0.03,0.04,0.05"]
    words = [*words, "hydra.sweeper.max_batch_size=2"]
    usual = run_command(tmp_path, *ONE_BY_ONE, *words, "hydra.sweep.dir=usual")
    done = run_command(tmp_path, *STACKED, *words, "hydra.sweep.dir=sweep")
    assert usual.returncode == done.returncode == 0, done.stderr
    assert [job["overrides"][-1] for job in jobs_of(tmp_path / "sweep")] == [
        f"optimizer.lr=0.0{i}" for i in range(1, 6)
    ]
    assert_same_jobs(tmp_path / "sweep", tmp_path / "usual")


def test_options_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "my conf" / "optimizer" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# my own\n_target_: own_module.Mine\nlr: 0.01\n")
    (tmp_path / "own_module.py").write_text("from torch.optim import SGD\nclass Mine(SGD): pass\n")
    words = ["--config-dir", "my conf", "optimizer=mine,sgd", "optimizer.lr=0.1", "seed=0,1"]
    words = [*words, "data=iris", "trainer.max_epochs=2"]
    done = run_command(tmp_path, *STACKED, *words, "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    result = json.loads(next((tmp_path / "sweep").glob("000_*/result.json")).read_text())
    assert result["engine"].startswith("ordinary: Mine is code of somebody's own")
    assert run_command(tmp_path, *ONE_BY_ONE, *words, "hydra.sweep.dir=usual").returncode == 0
    for job in jobs_of(tmp_path / "sweep"):
        runs = tmp_path / "sweep" / job["folder"], tmp_path / "usual" / job["folder"]
        metrics, expected = ((run / "metrics.csv").read_bytes() for run in runs)
        assert metrics == expected


@pytest.mark.parametrize(
    "word",
    [
        *("size=x", "workers=x", "size=-1", "workers=-2", "size=1.5", "timeout=0", "timeout=x"),
        *("retries=-1", "retries=null", "retries=true"),
    ],
)
def test_wrong_sizes_are_named_before_anything_is_written(word: str, tmp_path: Path) -> None:
    words = [*STACKED, f"hydra.launcher.{word}", "seed=1,2", "data=iris", "trainer.max_epochs=1"]
    done = run_command(tmp_path, *words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"exprun: hydra.launcher.{word}: expected ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_what_the_panel_leaves_when_nobody_looks(tmp_path: Path) -> None:
    """A line a job, and the end."""
    words = "data=iris", "seed=range(3)", "trainer.max_epochs=2", "hydra.sweep.dir=sweep"
    done = run_command(tmp_path, *STACKED, *words)
    lines = done.stdout.splitlines()
    assert sorted(line[:3] for line in lines[:3]) == ["1/3", "2/3", "3/3"]
    assert "3 completed" in done.stdout
    assert "\x1b" not in done.stdout


# ------------------------------------------------------------------------------ jobs that go wrong

POISON = """
import os, signal, sys, time
from pathlib import Path
from torch.optim import SGD

class Poison(SGD):
    def __init__(self, params, lr, how):
        super().__init__(params, lr=lr)
        if how == "raise":
            raise RuntimeError("on purpose")
        if how == "exit":
            sys.exit(3)
        if how == "vanish":
            os._exit(0)
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "memory":
            raise MemoryError("no room")
        if how == "once" and not Path("once").exists():
            Path("once").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        while how == "hang":
            Path(f"hangs_{os.getpid()}").touch()
            time.sleep(0.1)
"""


REASONS = {
    "raise": "RuntimeError: on purpose",
    "exit": "its process ended with code 3",
    "vanish": "its process ended with code 0",
    "kill": "its process was killed by SIGKILL, as the system does when memory is short",
    "memory": "MemoryError: no room",
    "hang": "it took longer than hydra.launcher.timeout=10 seconds",
}


@pytest.fixture
def poison(tmp_path: Path) -> list[str]:
    option = tmp_path / "conf" / "optimizer" / "poison.yaml"
    option.parent.mkdir(parents=True)
    option.write_text("# poison\n_target_: poison.Poison\nlr: 0.01\nhow: none\n")
    (tmp_path / "poison.py").write_text(POISON)
    words = "--config-dir", "conf", "-m", "optimizer=poison", "data=iris", "model.hidden=[4]"
    return [*words, "trainer.max_epochs=2", "trainer.engine=plain", "hydra.sweep.dir=sweep"]


@pytest.mark.parametrize("launcher", ["stacked", "local"])
def test_whatever_becomes_of_a_job_the_others_go_on(
    launcher: str, poison: list[str], tmp_path: Path
) -> None:
    hows = ["healthy", *REASONS, "well"]
    words = [f"hydra/launcher={launcher}", "hydra.launcher.timeout=10"]
    done = run_command(tmp_path, *poison, *words, f"optimizer.how={','.join(hows)}")
    assert done.returncode == 1, done.stderr
    jobs = jobs_of(tmp_path / "sweep")
    expected = ["completed", *["failed"] * len(REASONS), "completed"]
    assert [job["status"] for job in jobs] == expected
    assert [job["reason"] for job in jobs[1:-1]] == list(REASONS.values())


@pytest.mark.parametrize("launcher", ["stacked", "local"])
def test_a_job_is_tried_again(launcher: str, poison: list[str], tmp_path: Path) -> None:
    words = [f"hydra/launcher={launcher}", "hydra.launcher.retries=1"]
    done = run_command(tmp_path, *poison, *words, "optimizer.how=once,raise")
    assert done.returncode == 1, done.stderr
    assert (tmp_path / "once").exists()
    assert states_of(tmp_path / "sweep") == ["completed", "failed"]


@needs_proc
def test_a_job_that_hangs_is_no_orphan(poison: list[str], tmp_path: Path) -> None:
    """Neither if the sweep is killed, nor after Ctrl-C."""
    words = [*EXPRUN, *poison, "hydra/launcher=local", "optimizer.how=hang"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: any(tmp_path.glob("hangs_*")))
        (pid,) = [int(path.name.removeprefix("hangs_")) for path in tmp_path.glob("hangs_*")]
        assert alive(pid)
        process.kill()
    wait_until(lambda: not alive(pid), seconds=15)


def test_each_job_in_a_process_of_its_own(whole: Path, tmp_path: Path) -> None:
    done = run_command(tmp_path, "-m", "hydra/launcher=local", *LONG, "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    assert_same_jobs(tmp_path / "sweep", whole)


def test_a_process_more_is_started_only_if_there_is_memory_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the limit of a container; there always is for the first."""
    monkeypatch.setattr("exprun.common.memory.CGROUP", tmp_path)
    (tmp_path / "memory.current").write_text(f"{2**30}\n")
    settings = LauncherSettings(LOCAL)
    dispatcher = Dispatcher(tmp_path, {}, Progress([]), settings)

    def is_room(free: float) -> bool:
        (tmp_path / "memory.max").write_text(f"{2**30 + int(free)}\n")
        return dispatcher._is_room()

    assert is_room(0)
    here, _ = multiprocessing.Pipe()
    process = multiprocessing.Process()
    monkeypatch.setattr(process, "_popen", SimpleNamespace(pid=os.getpid()))
    dispatcher.workers[here] = Worker(process, here, alone=True)
    size = resident_memory(os.getpid())
    dispatcher.memory = size + 2**30  # the largest so far; this one may still grow by 1 GiB
    assert not is_room(size + 2 * 2**30 - 2**26)
    assert is_room(size + 2 * 2**30 + 2**26)
