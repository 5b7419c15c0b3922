"""``exprun -m hydra/launcher=stacked``: the files of every job are those of the usual launcher."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from exprun.common.memory import resident_memory
from exprun.record import checkpoint
from exprun.sweeps.dispatcher import Dispatcher, Worker
from exprun.sweeps.launcher import LOCAL, LauncherSettings
from exprun.sweeps.ledger import Progress
from tests.commands.test_resume import EXPRUN, exprun, points

STACKED = ["-m", "hydra/launcher=stacked"]
ONE_BY_ONE = ["-m", "hydra/launcher=basic"]
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
LONG = [
    "data=iris",
    "model.hidden=[16,8]",
    "reg=dropout",
    "scheduler=cosine",
    "stopping=none",
    "trainer.max_epochs=150",
    "checkpoint.every=5",
    "optimizer.lr=0.001,0.01",
    "seed=range(4)",
]
OFFICE = ["hydra.launcher.size=3", "hydra.launcher.workers=2"]


def jobs_of(sweep: Path) -> list[dict[str, Any]]:
    """The jobs that were asked for, and what each one's folder says of it."""
    jobs: list[dict[str, Any]] = json.loads((sweep / "sweep.json").read_text())["jobs"]
    for job in jobs:
        path = sweep / job["folder"] / "result.json"
        result = json.loads(path.read_text()) if path.exists() else {}
        job |= {name: result.get(name) for name in ("status", "reason")}
    return jobs


def names_in(folder: Path) -> set[str]:
    """The files of a folder, without what is left of checkpoints before the last; those of
    TensorBoard have the time in their names."""
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    files = [path for path in files if path.name != "previous.pt" and path.suffix != ".tmp"]
    return {str(path).partition(".tfevents.")[0] for path in files}


def result_of(folder: Path) -> dict[str, Any]:
    """The content of result.json without what it took and who did it."""
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return {
        key: value
        for key, value in result.items()
        if key not in ("seconds", "samples_per_second", "engine")
    }


def hydra_of(folder: Path) -> Any:
    """``.hydra/hydra.yaml`` without the launcher and the paths."""
    content: Any = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "hydra.yaml"))
    hydra = content["hydra"]
    del hydra["launcher"], hydra["sweep"]["dir"]
    del hydra["runtime"]["output_dir"], hydra["runtime"]["cwd"]
    del hydra["runtime"]["choices"]["hydra/launcher"], hydra["overrides"]["hydra"]
    return content


def texts(folder: Path) -> dict[str, list[Any]]:
    """The texts and the hyperparameters in TensorBoard's files."""
    events = EventAccumulator(str(folder), {"tensors": 0}).Reload()
    tags = events.Tags()["tensors"]
    found: dict[str, list[Any]] = {
        tag: [event.tensor_proto.string_val for event in events.Tensors(tag)] for tag in tags
    }
    metadata = events.summary_metadata
    found["metadata"] = sorted((tag, str(m.plugin_data.plugin_name)) for tag, m in metadata.items())
    return found


def assert_same_jobs(sweep: Path, expected: Path, resumed: bool = False) -> None:
    """Every file of every job; events of a resumed one hold the curves."""
    jobs, others = jobs_of(sweep), jobs_of(expected)
    assert jobs == others
    for job in jobs:
        run, whole = sweep / job["folder"], expected / job["folder"]
        assert names_in(run) == names_in(whole)
        for name in ("metrics.csv", "model.safetensors", "preprocess.json", "traceback.txt"):
            if (whole / name).exists():
                assert (run / name).read_bytes() == (whole / name).read_bytes(), run / name
        for name in ("config", "overrides"):
            path = Path(".hydra") / f"{name}.yaml"
            assert (run / path).read_bytes() == (whole / path).read_bytes(), run / path
        assert resumed or hydra_of(run) == hydra_of(whole)
        assert result_of(run) == result_of(whole)
        assert len(list(run.glob("events.*"))) == len(list(whole.glob("events.*")))
        if any(run.glob("events.*")):
            assert points(run) == points(whole)
            assert resumed or texts(run) == texts(whole)
        last = Path("checkpoints") / "last.pt"
        if (whole / last).exists():
            sums = [checkpoint.checksum(checkpoint.load(folder / last)) for folder in (run, whole)]
            assert sums[0] == sums[1]
    boards = [leaderboard_of(folder) for folder in (sweep, expected)]
    assert boards[0] == boards[1]


def leaderboard_of(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def states_of(sweep: Path) -> list[str | None]:
    return [job["status"] for job in jobs_of(sweep)]


# ------------------------------------------------------------------------------ the same files


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of several kinds of jobs, one after the other."""
    folder = tmp_path_factory.mktemp("kinds")
    done = exprun(folder, *ONE_BY_ONE, *KINDS, "hydra.sweep.dir=sweep")
    assert done.returncode == 1, done.stderr
    return folder / "sweep"


@pytest.mark.parametrize(
    "office",
    [
        [],
        OFFICE,
        ["hydra.launcher.size=1"],
        ["hydra.launcher.size=100", "hydra.launcher.workers=1"],
    ],
    ids=" ".join,
)
def test_jobs_of_several_kinds(kinds: Path, office: list[str], tmp_path: Path) -> None:
    done = exprun(tmp_path, *STACKED, *office, *KINDS, "hydra.sweep.dir=sweep")
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
    if office == OFFICE:
        again = exprun(tmp_path, "resume", "sweep")  # the failed ones fail again
        assert again.returncode == 1
        assert states_of(tmp_path / "sweep") == states


def test_a_checkpoint_holds_one_member(tmp_path: Path) -> None:
    """Not the memory of the whole stack."""
    words = "data=iris", "model.hidden=[100,100]", "seed=range(6)", "trainer.max_epochs=2"
    one = exprun(tmp_path, *words[:2], words[3], "hydra.run.dir=run")
    many = exprun(tmp_path, *STACKED, *words, "hydra.launcher.workers=1", "hydra.sweep.dir=sweep")
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
    assert exprun(tmp_path, *STACKED, *words, "hydra.sweep.dir=sweep").returncode == 0
    sweep, expected = tmp_path / "sweep", tmp_path / "expected"
    shutil.copytree(sweep, expected)
    job = sweep / jobs_of(sweep)[0]["folder"]
    (job / "result.json").unlink()
    if checkpoints:  # as if it had been killed while it saved the last
        (job / "checkpoints" / "last.pt").unlink()
    else:
        shutil.rmtree(job / "checkpoints")
    assert exprun(tmp_path, "resume", str(job)).returncode == 0
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
    usual = exprun(tmp_path, *ONE_BY_ONE, *words, "hydra.sweep.dir=usual")
    done = exprun(tmp_path, *STACKED, *OFFICE, *words, "hydra.sweep.dir=sweep")
    assert done.returncode == usual.returncode == 1
    assert states_of(tmp_path / "sweep") == ["failed", "failed", "completed", "completed"]
    assert "label" in jobs_of(tmp_path / "sweep")[0]["reason"]
    assert_same_jobs(tmp_path / "sweep", tmp_path / "usual")
    (tmp_path / "bad.csv").write_text((tmp_path / "good.csv").read_text())
    assert exprun(tmp_path, "resume", "sweep").returncode == 0
    assert states_of(tmp_path / "sweep") == ["completed"] * 4


def test_a_sweep_of_divergences_is_no_failure(tmp_path: Path) -> None:
    words = "optimizer=sgd", "optimizer.lr=1e30,1e31", "data=iris", "hydra.sweep.dir=sweep"
    done = exprun(tmp_path, *STACKED, *words)
    assert done.returncode == 0, done.stderr
    assert states_of(tmp_path / "sweep") == ["diverged"] * 2


def test_a_single_job_is_a_sweep_too(tmp_path: Path) -> None:
    words = "data=iris", "trainer.max_epochs=2", "hydra.sweep.dir=sweep"
    done = exprun(tmp_path, *STACKED, *words, "seed=3")
    assert done.returncode == 0, done.stderr
    assert states_of(tmp_path / "sweep") == ["completed"]


@pytest.mark.parametrize("length", [1, 100])
def test_a_temporary_folder_with_a_long_name(length: int, tmp_path: Path) -> None:
    """multiprocessing makes a socket in it, and the path of a socket may have 107 bytes."""
    temporary = tmp_path / ("t" * length)
    temporary.mkdir()
    words = "data=iris", "trainer.max_epochs=1", "hydra.sweep.dir=sweep"
    done = exprun(tmp_path, *STACKED, *words, TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert list(temporary.iterdir()) == []


def test_a_sweep_in_several_batches(tmp_path: Path) -> None:
    """The sweeper launches a few jobs at a time; their configs are composed once for all."""
    words = ["data=iris", "trainer.max_epochs=2", "optimizer.lr=0.01,0.02,0.03,0.04,0.05"]
    words = [*words, "hydra.sweeper.max_batch_size=2"]
    usual = exprun(tmp_path, *ONE_BY_ONE, *words, "hydra.sweep.dir=usual")
    done = exprun(tmp_path, *STACKED, *words, "hydra.sweep.dir=sweep")
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
    done = exprun(tmp_path, *STACKED, *words, "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    result = json.loads(next((tmp_path / "sweep").glob("000_*/result.json")).read_text())
    assert result["engine"].startswith("ordinary: Mine is code of somebody's own")
    assert exprun(tmp_path, *ONE_BY_ONE, *words, "hydra.sweep.dir=usual").returncode == 0
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
    done = exprun(tmp_path, *words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"exprun: hydra.launcher.{word}: expected ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_what_the_panel_leaves_when_nobody_looks(tmp_path: Path) -> None:
    """A line a job, and the end."""
    words = "data=iris", "seed=range(3)", "trainer.max_epochs=2", "hydra.sweep.dir=sweep"
    done = exprun(tmp_path, *STACKED, *words)
    lines = done.stdout.splitlines()
    assert sorted(line[:3] for line in lines[:3]) == ["1/3", "2/3", "3/3"]
    assert "3 completed" in done.stdout
    assert "\x1b" not in done.stdout


# ------------------------------------------------------------------------------ interrupted


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nothing interrupted, its jobs one after the other."""
    folder = tmp_path_factory.mktemp("whole")
    done = exprun(folder, *ONE_BY_ONE, *LONG, "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    return folder / "sweep"


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The sweep while it trains; whatever is left of it at the end is killed."""
    words = [*EXPRUN, *STACKED, *OFFICE, *LONG, "hydra.sweep.dir=sweep"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
        workers, others = set[int](), set[int]()
        try:
            wait_until(lambda: any(folder.rglob("previous.pt")) or process.poll() is not None)
            workers = workers_of(process.pid)
            others = children(process.pid)
            assert process.poll() is None
            assert len(workers) == 2
            yield process
        finally:
            for pid in [process.pid, *workers, *others]:
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat behind the name: state, parent, …; none if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def children(parent: int) -> set[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return {pid for pid in pids if stat_of(pid)[1:2] == [str(parent)] and alive(pid)}


@contextmanager
def on_terminal(
    terminal: int, folder: Path, *words: str, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The command with that terminal, which is its own from now on."""
    with subprocess.Popen(
        [*EXPRUN, *words],
        cwd=folder,
        env={**os.environ, "TERM": "xterm", **environment},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        yield process


def workers_of(office: int) -> set[int]:
    """The children of its server."""
    return {pid for child in children(office) for pid in children(child)}


def alive(pid: int) -> bool:
    return bool(stat_of(pid)) and stat_of(pid)[0] != "Z"


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")


def assert_resumed(folder: Path, whole: Path) -> None:
    """Resume; it ends as if nothing had happened, and what was finished stays as it is."""
    sweep = folder / "sweep"
    finished = {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sweep.rglob("result.json")
        if json.loads(path.read_text())["status"] == "completed"
    }
    done = exprun(folder, "resume", "sweep")
    assert done.returncode == 0, done.stdout + done.stderr
    for path, before in finished.items():
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert states_of(sweep) == ["completed"] * 8
    assert_same_jobs(sweep, whole, resumed=True)
    again = exprun(folder, "resume", "sweep")  # nothing is left to be done
    assert again.returncode == 0, again.stderr
    assert "8 completed" in again.stdout


@pytest.mark.parametrize("words", [[], [*STACKED, *OFFICE, "hydra.sweep.dir=run"]])
def test_a_terminal_that_is_closed_interrupts(words: list[str], tmp_path: Path) -> None:
    """What is said to it meanwhile is lost, and nothing else."""
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    single = ["hydra.run.dir=run", "seed=1", "optimizer.lr=0.01"] if not words else []
    long = [word for word in LONG if not (single and word.startswith(("seed", "optimizer")))]
    endless = [*(w for w in long if "max_epochs" not in w), "trainer.max_epochs=100000"]
    with on_terminal(theirs, tmp_path, *words, *endless, *single) as process:

        def saved() -> bool:
            with suppress(BlockingIOError):
                os.read(ours, 65536)
            return any(tmp_path.rglob("last.pt"))

        wait_until(saved)
        os.close(ours)
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 128 + signal.SIGHUP
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert {(result["status"], result["signal"]) for result in results} == {
        ("interrupted", "SIGHUP")
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hydra/launcher=stacked"], "hydra/launcher=stacked is for sweeps; expected -m"),
        (
            [*STACKED, "hydra.launcher.sice=1"],
            "hydra.launcher.sice: no such key; did you mean size",
        ),
        (
            ["-m", "hydra/launcher=local", "+hydra.launcher.size=1"],
            "hydra.launcher.size: no such key",
        ),
    ],
)
def test_what_the_launcher_cannot_be_told(words: list[str], message: str, tmp_path: Path) -> None:
    done = exprun(tmp_path, *words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"exprun: {message}")
    assert done.stderr.count("\n") == 1


@needs_proc
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_first(ending: signal.Signals, whole: Path, tmp_path: Path) -> None:
    with running(tmp_path) as process:
        workers = workers_of(process.pid)
        process.send_signal(ending)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 128 + ending, out + err
        assert not err
        assert not any(alive(pid) for pid in workers)
    jobs = jobs_of(tmp_path / "sweep")
    assert {job["status"] for job in jobs} <= {"interrupted", None, "completed"}
    interrupted = [job for job in jobs if job["status"] == "interrupted"]
    assert interrupted
    assert all(job["reason"].endswith(f"by {ending.name}") for job in interrupted)
    assert (tmp_path / "sweep" / "leaderboard.csv").exists()
    assert_resumed(tmp_path, whole)


@needs_proc
def test_ctrl_c_reaches_all_processes_at_once(whole: Path, tmp_path: Path) -> None:
    """As the terminal sends it, to workers too; twice, for people are impatient."""
    with running(tmp_path) as process:
        everybody = [*workers_of(process.pid), *children(process.pid)]
        for pid in [*everybody, process.pid, process.pid]:
            os.kill(pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, out + err
        assert not err
    assert_resumed(tmp_path, whole)


@needs_proc
def test_nobody_goes_on_with_a_sweep_that_is_running(whole: Path, tmp_path: Path) -> None:
    with running(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)  # it takes its time
        running_job = next((tmp_path / "sweep").glob("*/lease.json")).parent
        for folder in ("sweep", str(running_job)):
            refused = exprun(tmp_path, "resume", folder)
            assert refused.returncode == 2
            assert refused.stderr.startswith(f"exprun: {folder}: another process is at work there")
        process.kill()
        process.wait()
    assert_resumed(tmp_path, whole)


@needs_proc
def test_a_worker_that_is_killed(whole: Path, tmp_path: Path) -> None:
    with running(tmp_path) as process:
        os.kill(min(workers_of(process.pid)), signal.SIGKILL)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err
    assert out.count("is run by itself: its process was killed by SIGKILL") in (1, 2, 3)
    assert_same_jobs(tmp_path / "sweep", whole, resumed=True)


@needs_proc
def test_all_workers_killed(whole: Path, tmp_path: Path) -> None:
    """Others take their places."""
    with running(tmp_path) as process:
        for pid in workers_of(process.pid):
            os.kill(pid, signal.SIGKILL)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, out + err
    assert_same_jobs(tmp_path / "sweep", whole, resumed=True)


@needs_proc
def test_killed_itself_it_leaves_no_process_behind(whole: Path, tmp_path: Path) -> None:
    with running(tmp_path) as process:
        others = workers_of(process.pid) | children(process.pid)
        process.kill()
        process.wait()
        wait_until(lambda: not any(alive(pid) for pid in others), seconds=15)
    assert_resumed(tmp_path, whole)


@needs_proc
def test_ctrl_c_while_the_workers_are_made(tmp_path: Path) -> None:
    """They import torch in a process that is nobody's concern."""
    words = [*EXPRUN, *STACKED, *OFFICE, *LONG, "hydra.sweep.dir=sweep"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        wait_until((tmp_path / "sweep" / "sweep.json").exists)
        others = children(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "Traceback" not in out + err
    wait_until(lambda: not any(alive(pid) for pid in others), seconds=15)
    assert {None} == set(states_of(tmp_path / "sweep"))
    done = exprun(tmp_path, "resume", "sweep")
    assert done.returncode == 0, done.stderr
    assert states_of(tmp_path / "sweep") == ["completed"] * 8


@needs_proc
def test_ctrl_c_while_the_panel_waits_for_the_workers(tmp_path: Path) -> None:
    """The sweep has begun, so it is concluded as one that is interrupted later."""
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    shown = b""

    def read() -> bytes:
        nonlocal shown
        with suppress(BlockingIOError, OSError):
            shown += os.read(ours, 65536)
        return shown

    words = [*STACKED, *OFFICE, *LONG, "hydra.sweep.dir=sweep"]
    with on_terminal(theirs, tmp_path, *words, COLUMNS="100", LINES="30") as process:
        wait_until(lambda: b"starting" in read())
        os.killpg(process.pid, signal.SIGINT)
        wait_until(lambda: bool(read()) and process.poll() is not None)
    assert process.returncode == 130, shown
    assert b"exprun resume sweep" in read()
    os.close(ours)
    assert {None} == set(states_of(tmp_path / "sweep"))


SCRIPT = """
import sys
from exprun.cli import main
code = main(sys.argv[1:])
print(code, "torch" in sys.modules)
"""


def test_the_office_needs_no_torch(tmp_path: Path) -> None:
    """So it does not wait for it either: it is composing while the workers import it."""
    words = [*STACKED, "data=iris", "trainer.max_epochs=2", "seed=1,2", "hydra.sweep.dir=sweep"]
    python = EXPRUN[0], "-c", SCRIPT
    done = subprocess.run(
        [*python, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "0 False", done.stdout + done.stderr
    assert states_of(tmp_path / "sweep") == ["completed"] * 2


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
    "hang": "it took longer than hydra.launcher.timeout=20 seconds",
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
    words = [f"hydra/launcher={launcher}", "hydra.launcher.timeout=20"]
    done = exprun(tmp_path, *poison, *words, f"optimizer.how={','.join(hows)}")
    assert done.returncode == 1, done.stderr
    jobs = jobs_of(tmp_path / "sweep")
    expected = ["completed", *["failed"] * len(REASONS), "completed"]
    assert [job["status"] for job in jobs] == expected
    assert [job["reason"] for job in jobs[1:-1]] == list(REASONS.values())


@pytest.mark.parametrize("launcher", ["stacked", "local"])
def test_a_job_is_tried_again(launcher: str, poison: list[str], tmp_path: Path) -> None:
    words = [f"hydra/launcher={launcher}", "hydra.launcher.retries=1"]
    done = exprun(tmp_path, *poison, *words, "optimizer.how=once,raise")
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
    done = exprun(tmp_path, "-m", "hydra/launcher=local", *LONG, "hydra.sweep.dir=sweep")
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
