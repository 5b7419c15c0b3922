"""Sweeps that are interrupted or killed: everything is saved, nothing is left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.command import EXPRUN, run_command
from tests.sweeps.processes import (
    LONG,
    STACKED,
    WORKERS,
    alive,
    assert_same_jobs,
    children,
    jobs_of,
    needs_proc,
    states_of,
    wait_until,
    workers_of,
)


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The sweep while it trains; whatever is left of it at the end is killed."""
    words = [*EXPRUN, *STACKED, *WORKERS, *LONG, "hydra.sweep.dir=sweep"]
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


def assert_resumed(folder: Path, whole: Path) -> None:
    """Resume; it ends as if nothing had happened, and what was finished stays as it is."""
    sweep = folder / "sweep"
    finished = {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sweep.rglob("result.json")
        if json.loads(path.read_text())["status"] == "completed"
    }
    done = run_command(folder, "resume", "sweep")
    assert done.returncode == 0, done.stdout + done.stderr
    for path, before in finished.items():
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert states_of(sweep) == ["completed"] * 8
    assert_same_jobs(sweep, whole, resumed=True)
    again = run_command(folder, "resume", "sweep")  # nothing is left to be done
    assert again.returncode == 0, again.stderr
    assert "8 completed" in again.stdout


@pytest.mark.parametrize("words", [[], [*STACKED, *WORKERS, "hydra.sweep.dir=run"]])
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
        (["hydra/launcher=stacked"], "hydra/launcher=stacked: is for sweeps; expected -m"),
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
    done = run_command(tmp_path, *words)
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
            refused = run_command(tmp_path, "resume", folder)
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
    words = [*EXPRUN, *STACKED, *WORKERS, *LONG, "hydra.sweep.dir=sweep"]
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
    done = run_command(tmp_path, "resume", "sweep")
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

    words = [*STACKED, *WORKERS, *LONG, "hydra.sweep.dir=sweep"]
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


def test_the_parent_needs_no_torch(tmp_path: Path) -> None:
    """So it does not wait for it either: it is composing while the workers import it."""
    words = [*STACKED, "data=iris", "trainer.max_epochs=2", "seed=1,2", "hydra.sweep.dir=sweep"]
    python = EXPRUN[0], "-c", SCRIPT
    done = subprocess.run(
        [*python, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "0 False", done.stdout + done.stderr
    assert states_of(tmp_path / "sweep") == ["completed"] * 2


@needs_proc
def test_a_sweep_that_is_moved_while_it_runs(whole: Path, tmp_path: Path) -> None:
    """It ends with a line, and nothing comes back where it was."""
    with running(tmp_path) as process:
        (tmp_path / "sweep").rename(tmp_path / "moved")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2, out + err
    assert "Traceback" not in out + err
    assert "exprun: sweep: was moved or deleted; expected " in err
    assert not (tmp_path / "sweep").exists()
    assert run_command(tmp_path, "resume", "moved").returncode == 0
    assert_same_jobs(tmp_path / "moved", whole, resumed=True)


@needs_proc
def test_a_job_whose_folder_is_deleted_while_it_runs(whole: Path, tmp_path: Path) -> None:
    """It is trained again, and the others go on."""
    sweep = tmp_path / "sweep"
    with running(tmp_path) as process:
        next(sweep.rglob("previous.pt")).parents[1].rename(tmp_path / "deleted")
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert "Traceback" not in out + err
    assert_same_jobs(sweep, whole, resumed=True)
