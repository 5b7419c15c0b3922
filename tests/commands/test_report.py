"""``exprun report`` and ``mean/`` of a real sweep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.command import EXPRUN, run_command

SWEEP = [
    *("-m", "hydra/launcher=stacked", "data=iris", "model.hidden=[8]", "trainer.max_epochs=3"),
    *("optimizer=sgd,adam", "optimizer.lr=0.01,1e30", "seed=range(3)", "hydra.sweep.dir=sweep"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A sweep of 12 jobs, of which those with a learning rate of 1e30 diverge."""
    top = tmp_path_factory.mktemp("report")
    done = run_command(top, *SWEEP)
    assert done.returncode == 0, done.stderr
    assert "\ncurves  tensorboard --logdir sweep/mean\n" in done.stdout
    return top / "sweep"


def test_the_command_writes_one_page_without_torch(folder):
    program = (
        "import sys; from exprun.cli import main; code = main(sys.argv[1:]); "
        "print(code, [name for name in ('torch', 'sklearn', 'matplotlib') if name in sys.modules])"
    )
    words = [sys.executable, "-c", program, "report", "sweep"]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        words, cwd=folder.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
    assert not done.stderr
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert set(after) - set(before) == {folder / "report.html"}
    assert before.items() <= after.items()
    text = (folder / "report.html").read_text()
    assert "6 completed" in text
    assert "6 diverged" in text
    for row in json.loads((folder / "comparison.json").read_text())["configurations"]:
        assert row["diverged"] == row["n"] or f"{row['mean']:.4f}" in text


def test_mean_has_a_run_for_each_configuration(folder):
    names = sorted(path.name for path in (folder / "mean").iterdir())
    assert names == ["adam,lr=0.01", "adam,lr=1e+30", "sgd,lr=0.01", "sgd,lr=1e+30"]
    events = EventAccumulator(str(folder / "mean" / "adam,lr=0.01")).Reload()
    jobs = []
    for path in folder.glob("*/result.json"):
        result = json.loads(path.read_text())
        if {"optimizer=adam", "optimizer.lr=0.01"} <= set(result["overrides"]):
            jobs.append(result["metrics"]["test_loss"])
    assert len(jobs) == 3
    (mean,) = events.Scalars("test/loss_mean")
    assert mean.value == pytest.approx(sum(jobs) / 3)
    assert [point.step for point in events.Scalars("loss/validation")] == [1, 2, 3]


def test_hparams_of_a_job_are_what_varies_in_the_sweep(folder):
    (job,) = (path for path in folder.iterdir() if path.name.startswith("004_"))
    events = EventAccumulator(str(job)).Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    from tensorboard.plugins.hparams import metadata

    row = metadata.parse_session_start_info_plugin_data(content).hparams
    assert set(row) == {"optimizer", "optimizer.lr", "seed"}
    assert row["optimizer"].string_value == "sgd"
    assert row["optimizer.lr"].number_value == 1e30
    assert row["seed"].number_value == 1


def test_figures_leave_nothing_outside_of_their_folder(folder, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    hidden = {"MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"}
    environment = {k: v for k, v in os.environ.items() if k not in hidden} | {"HOME": str(home)}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = ["report", "sweep", "-o", str(tmp_path / "p.html"), "--figures", str(tmp_path / "f")]
    done = subprocess.run(
        [*EXPRUN, *words],
        cwd=folder.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"home", "p.html", "f"}
    assert not list(home.rglob("*.json"))
    assert {path.suffix for path in (tmp_path / "f").iterdir()} == {".svg", ".pdf", ".csv", ".tex"}
