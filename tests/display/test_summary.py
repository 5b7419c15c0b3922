"""The summary of a run and of a sweep, and the lines of jobs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from exprun.display.summary import job_line, summary, sweep_summary
from tests.display.terminals import METRICS, RESULT, printed

DIVERGED: dict[str, Any] = {
    "status": "diverged",
    "reason": "diverged in epoch 3, iteration 112: the gradient of layer hidden 2 is not finite",
    "epochs": 2,
    "best_epoch": None,
    "metrics": {},
    "seconds": 0.26,
}


def test_summary_of_a_run() -> None:
    folder = "outputs/runs/" + "a" * 90
    assert printed(summary, RESULT, folder, width=60).splitlines() == [
        "",
        "test    loss 0.1100   accuracy 0.9722",
        "val     loss 0.1043   accuracy 0.9700   (epoch 24)",
        "ended   early stopped: val_loss has not improved for 10",
        "        epochs (0:02:05)",
        f"run     {folder}",
        f"curves  tensorboard --logdir {folder}",
    ]


def test_summary_of_a_run_without_result() -> None:
    lines = printed(summary, DIVERGED, "/data/my runs/1", width=200).splitlines()
    assert lines == [
        "",
        "test    not evaluated, for the run diverged",
        f"ended   {DIVERGED['reason']} (0.3 s)",
        "run     /data/my runs/1",
        "curves  tensorboard --logdir '/data/my runs/1'",
    ]
    untested = RESULT | {"metrics": {"train_loss": 0.1}}
    assert "test    no rows set aside\nended" in printed(summary, untested, "../x/1")
    assert printed(summary, untested, "../x/1").endswith("--logdir ../x/1\n")


def test_a_job_line_shows_the_figure_that_the_best_epoch_is_chosen_by() -> None:
    metrics = RESULT["metrics"] | {"val_loss": 0.25, "val_weighted_loss": 0.5}
    for monitor, shown in (("val_weighted_loss", "val_weighted_loss 0.5000"), (None, "val_loss")):
        result = RESULT | {"metrics": metrics, "monitor": monitor}
        said = printed(job_line, 0, "1/2", "reg=l2", result, width=100)
        assert f"  {shown}" in said
        assert ("val_loss" in said) == (monitor is None)


def test_job_line() -> None:
    text = printed(job_line, 2, "3/24", "reg=[l2] seed=1", RESULT, width=100)
    assert text.startswith(" 3/24 [2] reg=[l2] seed=1    ")
    assert text.endswith("  val_accuracy 0.9700  val_loss 0.1043  epoch 24  0:02:05\n")
    assert len(text) == 101
    text = printed(job_line, 0, "1/1", "x", DIVERGED, width=100)
    assert re.fullmatch(r"1/1 \[0\] x +" + re.escape(DIVERGED["reason"]) + r"\n", text)


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("result", [RESULT, DIVERGED])
def test_job_lines_take_one_line_on_a_terminal(width: int, result: dict[str, Any]) -> None:
    title = " ".join(f"optimizer.{i}={i}" for i in range(20)) + " seed=77"
    text = printed(job_line, 3, "4/24", title, result, width=width)
    assert text.count("\n") == 1
    assert len(text) <= width + 1
    assert "=77  " in text


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_value_that_varies_is_the_last_to_be_cut(width: int) -> None:
    title = "optimizer.lr=0.003 model.hidden=[64,64] reg=none"
    text = printed(job_line, 3, "4/24", f"{title} seed=2", RESULT, width=width)
    assert len(text) <= width + 1
    assert ("optimizer.lr=0.003" in text) == (width > 100)
    assert "lr=0.003" in text
    assert "hidden=[64,64] reg=none seed=2" in text
    assert "test_" not in text, "it is looked at for what was chosen"
    assert ("epoch" in text) == (width > 80)
    assert ("0:02:05" in text) == (width > 100)
    assert "val_accuracy 0.9700" in text


def test_job_lines_are_complete_in_a_file() -> None:
    title = "optimizer=adam " * 10
    text = printed(job_line, 3, "4/24", title, DIVERGED, force_terminal=False)
    assert text == f" 4/24 [3] {title}  {DIVERGED['reason']}\n"


@pytest.mark.parametrize("width", [40, 80])
def test_sweep_summary(width: int) -> None:
    rows: list[dict[str, Any]] = [
        {"number": i, "overrides": f"reg=[l2,dropout] seed={i}", "status": "completed", **METRICS}
        for i in range(12)
    ]
    failed = {"status": "failed", "reason": "no such\n  file"}
    rows += [DIVERGED | {"number": 12, "overrides": "optimizer.lr=1e9"}]
    rows += [failed | {"number": 13 + i, "overrides": "data=csv"} for i in range(11)]
    rows[-11:] = rows[:-12:-1]  # a leaderboard has them in the order of their figures
    text = printed(sweep_summary, rows, "outputs/sweeps/today", width=width)
    assert all(len(li) <= width for li in text.splitlines() if not li.endswith("/today"))
    words = " ".join(text.split())
    assert "jobs 24: 12 completed, 1 diverged, 11 failed" in words
    assert "[12] optimizer.lr=1e9 diverged in epoch 3" in words
    assert "[13] data=csv failed: no such file" in words
    assert words.endswith(
        "and 2 more, see leaderboard.csv sweep outputs/sweeps/today "
        "curves tensorboard --logdir outputs/sweeps/today go on exprun resume outputs/sweeps/today"
    )


def test_what_all_jobs_of_a_sweep_have_in_common_is_said_once() -> None:
    rows = [
        RESULT | METRICS | {"number": i, "overrides": f"x=1 seed={i} y=[a,b]"} for i in range(3)
    ]
    text = printed(sweep_summary, rows, "outputs/sweeps/today")
    assert "\nall     x=1 y=[a,b]\njobs    3: 3 completed\n" in text


def test_an_interrupted_sweep_does_not_list_the_jobs_that_never_began() -> None:
    pending = {"status": "pending", "reason": "", "overrides": "x=2", "number": 1}
    interrupted = {"status": "interrupted", "reason": "interrupted in epoch 2", "overrides": "x=1"}
    rows = [interrupted | {"number": 0}, pending]
    assert printed(sweep_summary, rows, "outputs/sweeps/today").splitlines() == [
        "",
        "jobs    2: 1 interrupted, 1 pending",
        "        [0] x=1  interrupted in epoch 2",
        "sweep   outputs/sweeps/today",
        "curves  tensorboard --logdir outputs/sweeps/today",
        "go on   exprun resume outputs/sweeps/today",
    ]


def test_a_sweep_names_the_means_over_its_seeds(tmp_path: Path) -> None:
    rows = [RESULT | METRICS | {"number": 0, "overrides": "seed=0"}]
    assert f"curves  tensorboard --logdir {tmp_path}\n" in printed(
        sweep_summary, rows, str(tmp_path)
    )
    (tmp_path / "mean").mkdir()
    assert f"curves  tensorboard --logdir {tmp_path}/mean\n" in printed(
        sweep_summary, rows, str(tmp_path)
    )


def test_a_sweep_without_jobs() -> None:
    text = printed(sweep_summary, [], "outputs/sweeps/today")
    assert text.startswith("\njobs    0\nsweep   outputs")
