"""``exprun resume``: what was killed ends as if nothing had happened, to the last bit."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from exprun.record import checkpoint
from tests.command import EXPRUN, run_command

RUN = [
    "data=iris",
    "model.hidden=[16,8]",
    "reg=dropout",
    "norm=batch",
    "scheduler=cosine",
    "stopping=none",
    "trainer.max_epochs=200",
    "checkpoint.every=5",
    "hydra.run.dir=run",
]


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.002)


def started_and_ended_by(folder: Path, ending: signal.Signals, words: list[str]) -> int:
    """Run until there are two checkpoints, send the signal; returns the exit code."""
    with subprocess.Popen(
        [*EXPRUN, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_until(lambda: any(folder.rglob("previous.pt")), process)
        process.send_signal(ending)
        process.communicate(timeout=60)
    return process.returncode


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert run_command(folder, *RUN).returncode == 0
    return folder / "run"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same run, killed in the middle, with both checkpoints."""
    while True:
        folder = tmp_path_factory.mktemp("killed")
        assert started_and_ended_by(folder, signal.SIGKILL, RUN) == -signal.SIGKILL
        if (folder / "run" / "checkpoints" / "last.pt").exists():  # else killed between renames
            return folder / "run"


def assert_same(run: Path, whole: Path) -> None:
    for name in ("metrics.csv", "model.safetensors", "preprocess.json"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    states = [
        checkpoint.checksum(checkpoint.load(f / "checkpoints" / "last.pt")) for f in (run, whole)
    ]
    assert states[0] == states[1]
    results = [json.loads((folder / "result.json").read_text()) for folder in (run, whole)]
    for key in ("status", "epochs", "best_epoch", "metrics"):
        assert results[0][key] == results[1][key]
    assert len(list(run.glob("events.out.tfevents.*"))) == 1
    curves = [points(folder) for folder in (run, whole)]
    assert curves[0] == curves[1]


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder), {"scalars": 0}).Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def test_nobody_goes_on_with_a_run_that_is_running(whole: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*EXPRUN, *RUN], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_until(lambda: any(tmp_path.rglob("last.pt")), process)
        process.send_signal(signal.SIGSTOP)  # it takes its time
        refused = run_command(tmp_path, "resume", "run")
        process.kill()
    assert refused.returncode == 2
    who = f"({socket.gethostname()}, process {process.pid})"
    assert refused.stderr == f"exprun: run: another process is at work there {who}\n"
    done = run_command(tmp_path / "run", "resume", ".")
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "run", whole)


def test_a_killed_run_ends_as_if_nothing_had_happened(
    whole: Path, killed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "moved elsewhere"
    shutil.copytree(killed, run)
    assert not (run / "result.json").exists()
    done = run_command(tmp_path, "resume", str(run))
    assert done.returncode == 0, done.stderr
    assert_same(run, whole)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    again = run_command(tmp_path, "resume", str(run))
    assert again.returncode == 0
    assert "nothing is left to be done" in again.stdout
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def inside_of_a_tensor(path: Path) -> int:
    """The offset of a byte in the middle of the largest tensor of a file of ``torch.save``. (There
    is padding between tensors, which holds nothing.)"""
    with zipfile.ZipFile(path) as archive:
        tensors = [entry for entry in archive.infolist() if "/data/" in entry.filename]
        largest = max(tensors, key=lambda entry: entry.file_size)
        names = path.read_bytes()[largest.header_offset + 26 :][:4]
    head = 30 + int.from_bytes(names[:2], "little") + int.from_bytes(names[2:], "little")
    return largest.header_offset + head + largest.file_size // 2


@pytest.mark.parametrize("damage", ["flipped bit", "truncated", "empty", "missing"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_used(
    damage: str, whole: Path, killed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(killed, run)
    last = run / "checkpoints" / "last.pt"
    content = bytearray(last.read_bytes())
    if damage == "missing":
        last.unlink()
    elif damage == "flipped bit":
        content[inside_of_a_tensor(last)] ^= 1
        last.write_bytes(content)
    else:
        last.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    done = run_command(tmp_path, "resume", "run")
    assert done.returncode == 0, done.stderr
    assert ("last.pt" in done.stderr) == (damage != "missing")
    assert_same(run, whole)


def test_without_a_checkpoint_it_begins_again(whole: Path, killed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(killed, run)
    shutil.rmtree(run / "checkpoints")
    assert run_command(tmp_path, "resume", "run").returncode == 0
    assert_same(run, whole)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2, signal.SIGINT])
def test_signals_save_first(ending: signal.Signals, whole: Path, tmp_path: Path) -> None:
    assert started_and_ended_by(tmp_path, ending, RUN) == 128 + ending
    run = tmp_path / "run"
    result = json.loads((run / "result.json").read_text())
    assert result["status"] == "interrupted"
    assert result["reason"].endswith(f"by {ending.name}")
    assert checkpoint.load(run / "checkpoints" / "last.pt")["epoch"] == result["epochs"]
    assert run_command(tmp_path, "resume", "run").returncode == 0
    assert_same(run, whole)


def test_a_sweep_runs_only_what_is_missing(tmp_path: Path) -> None:
    words = [*RUN[:-2], "checkpoint.every=1", "hydra.sweep.dir=sweep", "-m", "seed=range(4)"]
    words[words.index("trainer.max_epochs=200")] = "trainer.max_epochs=60"
    sweep = tmp_path / "sweep"
    with subprocess.Popen([*EXPRUN, *words], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        wait_until(lambda: any(sweep.glob("000_*/result.json")), process)
        process.kill()
        process.communicate(timeout=60)
    (first,) = sweep.glob("000_*/result.json")
    before = first.read_bytes(), first.stat().st_mtime_ns
    done = run_command(tmp_path, "resume", "sweep")
    assert done.returncode == 0, done.stderr
    assert (first.read_bytes(), first.stat().st_mtime_ns) == before
    jobs = json.loads((sweep / "sweep.json").read_text())["jobs"]
    results = [json.loads((sweep / job["folder"] / "result.json").read_text()) for job in jobs]
    assert [result["status"] for result in results] == ["completed"] * 4
    solo = [word for word in words if word not in ("-m", "seed=range(4)", "hydra.sweep.dir=sweep")]
    for job in (1, 3):  # one was killed, maybe at its end, and one never began
        assert run_command(tmp_path, *solo, f"seed={job}", f"hydra.run.dir={job}").returncode == 0
        assert_same(sweep / jobs[job]["folder"], tmp_path / str(job))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"launcher": "basic", "jobs": [{"number": 0, "folder": "../x", "overrides": []}]}',
            "lies outside of the sweep",
        ),
        ('{"jobs": [{', "sweep.json: is damaged"),
        ("[]", "sweep.json: is damaged"),
    ],
)
def test_a_sweep_folder_is_data(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.json").write_text(content)
    done = run_command(tmp_path, "resume", "sweep")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_folder_that_names_other_code_is_refused(killed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(killed, run)
    config = run / ".hydra" / "config.yaml"
    text = config.read_text()
    for path in ("os.system", "exprun.techniques.losses.F.threshold", "torch.hub.load", "own.Loss"):
        config.write_text(text.replace("exprun.techniques.losses.auto", path))
        assert path in config.read_text()
        done = run_command(tmp_path, "resume", "run")
        assert done.returncode == 2
        assert f"run: loss._target_={path} is code of somebody's own" in done.stderr
        assert done.stderr.count("\n") == 1
    (tmp_path / "own.py").write_text("from exprun.techniques.losses import CrossEntropy as Loss\n")
    assert run_command(tmp_path, "resume", "run", "--trust").returncode == 0


def test_other_data_are_refused(tmp_path: Path) -> None:
    rows = [f"{x},{x * x % 7},{x % 2}" for x in range(100)]
    (tmp_path / "own.csv").write_text("\n".join(["a,b,label", *rows]))
    words = [*RUN, "data=csv", "data.path=own.csv", "data.target=label"]
    words.remove("data=iris")
    started_and_ended_by(tmp_path, signal.SIGTERM, words)
    (tmp_path / "own.csv").write_text("\n".join(["a,b,label", *reversed(rows)]))
    done = run_command(tmp_path, "resume", "run")
    assert done.returncode == 2
    assert "the data are not those that it was trained on" in done.stderr


def test_a_sweep_is_not_finished_with_other_data(tmp_path: Path) -> None:
    """Not even jobs that had not begun: the sweep would compare two data sets."""
    rows = [f"{x},{x * x % 7},{x % 2}" for x in range(100)]
    (tmp_path / "own.csv").write_text("\n".join(["a,b,label", *rows]))
    words = ["-m", "data=csv", "data.path=own.csv", "data.target=label", "seed=range(2)"]
    words += ["trainer.max_epochs=1", "hydra.sweep.dir=sweep"]
    assert run_command(tmp_path, *words).returncode == 0
    shutil.rmtree(tmp_path / "sweep" / "001_seed=1")
    (tmp_path / "own.csv").write_text("\n".join(["a,b,label", *rows[:-10]]))
    done = run_command(tmp_path, "resume", "sweep")
    assert done.returncode == 2
    assert "the data of job 1 are not those that the sweep was asked for with" in done.stderr
    assert done.stderr.count("\n") == 1
    (tmp_path / "own.csv").write_text("\n".join(["a,b,label", *rows]))
    assert run_command(tmp_path, "resume", "sweep").returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "resume: the following arguments are required: RUN_OR_SWEEP; expected exprun resume"),
        (["nowhere"], "nowhere: there is no such folder"),
        (["."], ".: is empty: its run was stopped before it began"),
        ([".."], "..: is no folder of a run or a sweep"),
        (["a", "b"], "resume: unrecognized arguments: b; expected exprun resume"),
        (["nowhere", "--jobs", "3"], "nowhere: there is no such folder"),
        (["--turst", "a"], "unrecognized arguments: --turst; did you mean --trust?"),
    ],
)
def test_mistakes_get_one_line(words: list[str], message: str, tmp_path: Path) -> None:
    done = run_command(tmp_path, "resume", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
