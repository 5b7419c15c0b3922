"""The real command, run as a user runs it."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from exprun.cli import main
from exprun.common.threads import SPINS
from exprun.config.paths import conf_dir
from exprun.record import checkpoint
from tests.command import EXPRUN, Run, run_interpreter


def only_run(folder: Path) -> Path:
    """The folder of the only run there is."""
    (found,) = (folder / "outputs" / "runs").iterdir()
    return found


def result_of(folder: Path) -> dict[str, object]:
    data: dict[str, object] = json.loads((folder / "result.json").read_text())
    return data


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_run_leaves_all_its_files(exprun: Run, tmp_path: Path) -> None:
    done = exprun("optimizer=adam", "reg=dropout", "trainer.max_epochs=3")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    folder = only_run(tmp_path)
    assert folder.name.endswith("_optimizer=adam,reg=dropout,trainer.max_epochs=3")
    assert str(folder.relative_to(tmp_path)) in done.stdout
    assert f"tensorboard --logdir {folder.relative_to(tmp_path)}\n" in done.stdout

    rows = rows_of(folder / "metrics.csv")
    columns = "epoch iteration lr train_loss val_loss train_accuracy val_accuracy"
    assert list(rows[0]) == columns.split()
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]

    result = result_of(folder)
    contract = "status reason epochs best_epoch metrics parameters seconds samples_per_second seed"
    assert {*contract.split(), "device", "versions", "git", "overrides"} <= set(result)
    assert result["status"] == "completed"
    assert result["epochs"] == 3
    assert result["seed"] == 0
    assert result["overrides"] == ["optimizer=adam", "reg=dropout", "trainer.max_epochs=3"]
    best = min(rows, key=lambda row: float(row["val_loss"]))
    metrics = result["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["val_loss"] == float(best["val_loss"])
    assert result["best_epoch"] == int(best["epoch"])
    assert {"test_loss", "test_accuracy"} <= set(metrics)

    preprocess = json.loads((folder / "preprocess.json").read_text())
    assert len(preprocess["columns"]) == 64
    assert preprocess["task"]["classes"] == list("0123456789")
    with safe_open(folder / "model.safetensors", "pt") as model:
        assert model.get_tensor("hidden.0.linear.weight").shape == (256, 64)
        assert json.loads(model.metadata()["exprun"])["architecture"]["activation"] == "relu"
    state = checkpoint.load(folder / "checkpoints" / "last.pt")
    assert state["epoch"] == 3
    torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    assert {path.name for path in (folder / ".hydra").iterdir()} >= {
        "config.yaml",
        "overrides.yaml",
    }
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    assert not list(folder.rglob("*.tmp"))


def test_same_seed_same_bits_and_never_the_same_folder(tmp_path: Path) -> None:
    words = [*EXPRUN, "trainer.max_epochs=2", "reg=dropout", "seed=7", "data=iris"]
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL))
    folders = list((tmp_path / "outputs" / "runs").iterdir())
    assert len(folders) == 3
    for name in ("metrics.csv", "model.safetensors"):
        assert len({(folder / name).read_bytes() for folder in folders}) == 1


def test_regression_reports_in_the_targets_unit(exprun: Run, tmp_path: Path) -> None:
    assert exprun("data=diabetes", "trainer.max_epochs=3").returncode == 0
    metrics = result_of(only_run(tmp_path))["metrics"]
    assert isinstance(metrics, dict)
    assert {"test_rmse", "test_mae", "test_r2", "val_rmse"} <= set(metrics)
    assert 30 < metrics["test_rmse"] < 150  # the target's standard deviation is 77


def test_csv_of_ones_own(exprun: Run, tmp_path: Path) -> None:
    rows = [f"{x},{x * x % 7},{'big' if x > 50 else 'small'}" for x in range(100)]
    (tmp_path / "own data.csv").write_text("\n".join(["x,z,size", *rows]))
    done = exprun("data=csv", "data.path='own data.csv'", "data.target=size")
    assert done.returncode == 0, done.stderr
    preprocess = json.loads((only_run(tmp_path) / "preprocess.json").read_text())
    assert preprocess["task"]["classes"] == ["big", "small"]
    assert [column["name"] for column in preprocess["columns"]] == ["x", "z"]


def test_divergence_is_named_and_is_a_result(exprun: Run, tmp_path: Path) -> None:
    done = exprun("optimizer=sgd", "optimizer.lr=1e30")
    assert done.returncode == 1
    result = result_of(only_run(tmp_path))
    assert result["status"] == "diverged"
    assert "epoch 1, iteration 2: the outputs of hidden layer" in str(result["reason"])
    assert str(result["reason"]) in done.stdout


def test_ctrl_c_ends_cleanly(tmp_path: Path) -> None:
    words = [
        *EXPRUN,
        "batching=stochastic",
        "stopping=none",
        "trainer.max_epochs=10000",
        "data=iris",
    ]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.glob("outputs/runs/*/metrics.csv")):
        assert time.monotonic() < deadline
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert not err
    assert b"interrupted" in out
    folder = only_run(tmp_path)
    result = result_of(folder)
    assert result["status"] == "interrupted"
    assert result["epochs"] == checkpoint.load(folder / "checkpoints" / "last.pt")["epoch"]
    rows = rows_of(folder / "metrics.csv")
    assert len(rows) == result["epochs"]
    assert "test_loss" not in str(result["metrics"])


STARTING = """
import os, signal, sys

class Sends:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT_IMPORT"]:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))

sys.meta_path.insert(0, Sends())
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2, signal.SIGINT])
@pytest.mark.parametrize("words", [[], ["-m", "seed=0,1"], ["resume", "run"]], ids=" ".join)
def test_a_signal_while_torch_is_imported(
    words: list[str], ending: signal.Signals, exprun: Run, tmp_path: Path
) -> None:
    """Each gives its own exit code; what has not begun leaves nothing but what can be resumed. Of a
    sweep the workers import it."""
    (tmp_path / "sitecustomize.py").write_text(STARTING)
    name = "exprun.commands.resume" if "resume" in words else "exprun.run"
    name = "exprun.sweeps.dispatcher" if "-m" in words else name
    sent = {"AT_IMPORT": name, "SIGNAL": str(int(ending)), "PYTHONPATH": str(tmp_path)}
    done = exprun(*words, **sent)
    assert done.returncode == 128 + ending, done.stderr
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.rglob("result.json"))
    assert not (tmp_path / "outputs" / "runs").exists()


def test_a_signal_while_a_sweep_is_composed(exprun: Run, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(STARTING)
    sent = {"AT_IMPORT": "exprun.sweeps.worker_pool", "SIGNAL": "2", "PYTHONPATH": str(tmp_path)}
    done = exprun("-m", "seed=0,1", **sent)
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert done.stderr == "exprun: interrupted\n"
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("config.yaml", ["--config-dir", "own"]),
        ("optimizer/sgd.yaml", ["hydra.searchpath=[file://own]", "-m", "seed=1,2"]),
    ],
)
def test_a_name_that_exprun_has_itself_is_not_read_and_said(
    name: str, words: list[str], exprun: Run, tmp_path: Path
) -> None:
    """A copy does no harm."""
    own = tmp_path / "own" / name
    own.parent.mkdir(parents=True)
    own.write_text("lr: 3\n")
    done = exprun(*words, "data=iris", "trainer.max_epochs=1")
    assert done.returncode == 2
    assert f"own/{name}: is not read, for exprun has a {name}" in done.stderr
    own.write_bytes((conf_dir() / name).read_bytes())
    done = exprun(*words, "data=iris", "trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr


def test_a_run_goes_on_without_its_reader(tmp_path: Path) -> None:
    words = ["data=iris", "trainer.max_epochs=200", "stopping=none"]
    with subprocess.Popen([*EXPRUN, *words], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 0
    assert result_of(only_run(tmp_path))["status"] == "completed"


def test_a_sweep_goes_on_past_jobs_that_diverge_or_fail(exprun: Run, tmp_path: Path) -> None:
    done = exprun(
        "-m",
        "optimizer=sgd,lbfgs",
        "reg=none,[l2,dropout],weight_decay",
        "optimizer.lr=0.1,1e30",
        "trainer.max_epochs=1",
        "data=iris",
    )
    assert done.returncode == 1
    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    jobs = json.loads((folder / "sweep.json").read_text())["jobs"]
    assert len(jobs) == 12
    states = {
        tuple(job["overrides"][:3]): result_of(folder / job["folder"])["status"] for job in jobs
    }
    assert states["optimizer=sgd", "reg=[l2,dropout]", "optimizer.lr=0.1"] == "completed"
    assert states["optimizer=sgd", "reg=none", "optimizer.lr=1e+30"] == "diverged"
    assert states["optimizer=lbfgs", "reg=weight_decay", "optimizer.lr=0.1"] == "failed"
    for job in jobs:
        assert job["folder"].startswith(f"{job['number']:03d}_optimizer=")
    board = rows_of(folder / "leaderboard.csv")
    assert len(board) == 12
    assert board[0]["status"] == "completed"
    assert board[-1]["status"] in ("failed", "diverged")
    assert "torch.optim.LBFGS has no weight_decay" in done.stdout


def test_a_sweep_without_other_rows_is_ranked_by_its_training_figures(
    exprun: Run, tmp_path: Path
) -> None:
    words = "data.val_fraction=0", "data.test_fraction=0", "stopping=none", "trainer.max_epochs=3"
    done = exprun("-m", "optimizer.lr=1e-9,0.1", *words, "data=iris", "optimizer=sgd")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    board = rows_of(folder / "leaderboard.csv")
    assert [row["number"] for row in board] == ["1", "0"]
    assert float(board[0]["train_loss"]) < float(board[1]["train_loss"])
    rows = [line for line in done.stdout.splitlines() if line.startswith("optimizer.lr=")]
    assert rows[0].startswith("optimizer.lr=0.1 ")


STRIKE = """
import os, signal, sys
from exprun.cli import main
from exprun.config.hydra_internals import register_resolver
def strike():
    os.kill(os.getpid(), signal.SIGINT)
    print("going on")
    return 1
register_resolver("strike", strike)
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "words", [[], ["-m"], ["-m", "hydra/launcher=stacked"]], ids=["run", "sweep", "stacked"]
)
def test_ctrl_c_while_hydra_composes(tmp_path: Path, words: list[str]) -> None:
    """OmegaConf would take it for an error in the config, or for none."""
    (tmp_path / "strike.py").write_text(STRIKE)
    done = subprocess.run(
        [sys.executable, "strike.py", *words, "seed=${strike:}", "data=iris"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "exprun: interrupted\n")
    assert "going on" in done.stdout
    assert not (tmp_path / "outputs").exists()


def test_a_sweep_of_divergences_is_no_failure(exprun: Run) -> None:
    done = exprun("optimizer=sgd", "-m", "optimizer.lr=1e30,1e31", "data=iris")
    assert done.returncode == 0, done.stderr


def test_own_options_need_no_fork(exprun: Run, tmp_path: Path) -> None:
    own = tmp_path / "my conf"
    for group, text in {
        "optimizer/mine": "_target_: torch.optim.Rprop\nlr: 0.01\netas: [0.5, 1.2]",
        "scheduler/mine": "_target_: torch.optim.lr_scheduler.MultiStepLR\nmilestones: [1, 2]",
        "reg/mine": "mine:\n  _target_: own_module.Pull\n  centre: 0.5",
    }.items():
        path = own / f"{group}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(f"# my own\n{text}\n")
    (tmp_path / "own_module.py").write_text(
        "from exprun.techniques.regularizers import Regularizer, weights_of\n"
        "class Pull(Regularizer):\n"
        "    def __init__(self, centre): self.centre = centre\n"
        "    def penalty(self, model, rows):\n"
        "        return sum((w - self.centre).square().sum() for w in weights_of(model))\n"
    )
    words = ["--config-dir", str(own), "optimizer=mine", "scheduler=mine", "reg=[l2,mine]"]
    done = exprun(*words, "trainer.max_epochs=3", "data=iris")
    assert done.returncode == 0, done.stderr
    rows = rows_of(only_run(tmp_path) / "metrics.csv")
    assert [float(row["lr"]) for row in rows] == pytest.approx([0.01, 0.001, 0.0001])
    assert "my own" in exprun("--config-dir", str(own), "--help").stdout


@pytest.mark.parametrize("imported", ["json", "triton"])
def test_triton_has_its_garbage_collected_at_exit(imported: str, tmp_path: Path) -> None:
    """Else it prints what it calls leaks."""
    (tmp_path / "triton.py").touch()
    (tmp_path / "own.py").write_text(
        f"import atexit, gc, {imported}\n"
        "from exprun.techniques.optimizers import Momentum as Own\n"
        "atexit.register(lambda: print(gc.get_freeze_count(), 'frozen'))\n"
    )
    (tmp_path / "conf" / "optimizer").mkdir(parents=True)
    option = tmp_path / "conf" / "optimizer" / "own.yaml"
    option.write_text("# my own\n_target_: own.Own\nlr: 0.1\n")
    words = ["--config-dir", "conf", "optimizer=own", "data=iris", "trainer.max_epochs=1"]
    said = run_interpreter(tmp_path, *words).stdout.splitlines()[-1]
    assert said.endswith("frozen")
    assert (said == "0 frozen") == (imported == "triton")


@pytest.mark.parametrize("begun_by_us", [False, True])
@pytest.mark.parametrize("sweep", [[], ["-m", "seed=0,1", "hydra/launcher=stacked"]])
def test_pictures_leave_nothing_outside_of_the_output_folder(
    exprun: Run, tmp_path: Path, sweep: list[str], begun_by_us: bool
) -> None:
    elsewhere = {"HOME": tmp_path / "home", "TMPDIR": tmp_path / "tmp"}
    for folder in elsewhere.values():
        folder.mkdir()
    (tmp_path / "home" / ".cache").mkdir()
    environment = {name: str(folder) for name, folder in elsewhere.items()}
    if begun_by_us:  # by a process that has told matplotlib already
        environment["MPLCONFIGDIR"] = os.devnull
    words = [*sweep, "problem=quadratic", "problem.iterations=5", "optimizer=sgd"]
    done = exprun(*words, XDG_CACHE_HOME="", XDG_CONFIG_HOME="", **environment)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*.png"))
    assert [p.name for folder in elsewhere.values() for p in folder.rglob("*")] == [".cache"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, SPINS),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, None),
    ],
)
def test_waiting_threads_sleep_unless_the_user_has_said_something(
    given: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert main(["--version"]) == 0
    assert os.environ.get("GOMP_SPINCOUNT") == expected


def test_globs_sweep_over_options(exprun: Run, tmp_path: Path) -> None:
    assert (
        exprun("-m", "optimizer=glob(adam*)", "data=iris", "trainer.max_epochs=1").returncode == 0
    )
    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    jobs = json.loads((folder / "sweep.json").read_text())["jobs"]
    assert [job["overrides"][0] for job in jobs] == [
        f"optimizer={name}" for name in ("adam", "adamax", "adamw")
    ]


def test_output_in_any_encoding(exprun: Run) -> None:
    shown = exprun("--help", PYTHONIOENCODING="ascii")
    commands = [line.split("  ")[1] for line in shown.stdout.splitlines() if "  exprun " in line]
    assert len({*commands}) == len(commands), "each is listed once"
    assert shown.returncode == 0
    assert "optimizer" in shown.stdout


def test_a_named_folder_is_never_overwritten(exprun: Run, tmp_path: Path) -> None:
    words = ["hydra.run.dir=mine", "trainer.max_epochs=1", "data=iris"]
    assert exprun(*words).returncode == 0
    before = (tmp_path / "mine" / "result.json").read_bytes()
    done = exprun(*words)
    assert done.returncode == 2
    assert "hydra.run.dir=mine: is there already" in done.stderr
    assert (tmp_path / "mine" / "result.json").read_bytes() == before


def test_help_config_and_completion_work_without_torch(exprun: Run, without_torch: str) -> None:
    shown = exprun("--help", PYTHONPATH=without_torch)
    assert shown.returncode == 0
    for path in conf_dir().glob("*/*.yaml"):
        assert f"\n  {path.stem} " in shown.stdout
    assert "adam *" in shown.stdout

    config = exprun("--cfg", "job", "optimizer=sgd", "reg=[l1,l2]", PYTHONPATH=without_torch)
    assert config.returncode == 0
    assert "torch.optim.SGD" in config.stdout
    assert "exprun.techniques.regularizers.L1" in config.stdout

    line = "exprun optimizer=ada"
    completed = exprun(
        "-sc",
        "query=bash",
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
        PYTHONPATH=without_torch,
    )
    words = "adadelta adagrad adam adamax adamw"
    assert completed.stdout.split() == [f"optimizer={word}" for word in words.split()]


def test_unexpected_failures_keep_their_traceback(exprun: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def loss(task, reduction): return 1 / 0\n")
    done = exprun("loss._target_=broken.loss")
    assert done.returncode == 1
    folder = only_run(tmp_path)
    assert result_of(folder)["status"] == "failed"
    assert "ZeroDivisionError: division by zero" in str(result_of(folder)["reason"])
    assert 'broken.py", line 1' in (folder / "traceback.txt").read_text()
