"""By what jobs are ranked: made-up results, and the real command."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exprun.sweeps.ranking import cost, ranking
from tests.command import run_command


def result(monitor: str | None, *overrides: str, status: str = "completed") -> dict[str, Any]:
    return {"status": status, "monitor": monitor, "overrides": list(overrides)}


@pytest.mark.parametrize(
    ("results", "first"),
    [
        ([result("val_loss", "seed=1"), result("val_loss", "seed=2")], "val_loss"),
        ([result("val_macro_f1"), result("val_macro_f1", "loss=bce")], "val_macro_f1"),
        ([result("val_rmse"), result("val_rmse", "loss=mae")], "val_rmse"),
        # losses that are not the same cannot be compared
        ([result("val_loss"), result("val_loss", "loss=mse")], "val_accuracy"),
        ([result("val_loss"), result("val_loss", "experiment=quick")], "val_accuracy"),
        ([result("val_loss", "loss.delta=1"), result("val_loss", "loss.delta=2")], "val_accuracy"),
        ([result("val_loss"), result("val_accuracy")], "val_accuracy"),
        # where classes are weighted, a majority classifier is not the best
        (
            [result("val_weighted_loss", "loss.class_weight=balanced", s) for s in ("a=1", "a=2")],
            "val_weighted_loss",
        ),
        (
            [result("val_weighted_loss", f"loss.class_weight={w}") for w in ("[1,5]", "[1,9]")],
            "val_balanced_accuracy",
        ),
        (
            [result("val_weighted_loss", "loss.class_weight=balanced"), result("val_loss")],
            "val_balanced_accuracy",
        ),
        # jobs without a model have no say
        ([result("val_loss"), result(None, "loss=mse", status="failed")], "val_loss"),
        ([result(None), result(None)], "val_accuracy"),
        ([], "val_accuracy"),
    ],
)
def test_the_first_figure(results: list[dict[str, Any]], first: str) -> None:
    names = ranking(results)
    assert names[0] == first
    assert len(set(names)) == len(names)


def test_figures_are_signed_by_what_is_better() -> None:
    metrics = {"val_macro_f1": 0.9, "val_r2": 0.5, "val_loss": 0.1, "f": 3.0, "val_mae": None}
    names = ["val_macro_f1", "val_r2", "val_loss", "f", "val_mae", "val_accuracy"]
    assert cost(metrics, names) == [-0.9, -0.5, 0.1, 3.0, float("inf"), float("inf")]


def test_a_rare_class_is_found_and_ranked_first(tmp_path: Path) -> None:
    """With weighted classes the model that ignores the rare one is neither kept nor first."""
    random = np.random.default_rng(0)
    y = (random.random(1200) < 0.09).astype(int)
    x = random.normal(size=(1200, 4)) + 0.8 * y[:, None]
    lines = [",".join([*(f"{v:.3f}" for v in row), "ny"[c]]) for row, c in zip(x, y, strict=True)]
    (tmp_path / "rare.csv").write_text("\n".join(["a,b,c,d,label", *lines]) + "\n")
    words = ["data=csv", "data.path=rare.csv", "data.target=label", "trainer.max_epochs=20"]
    words += ["loss.class_weight=balanced", "optimizer.lr=1e-7,0.003", "hydra.sweep.dir=sweep"]
    done = run_command(tmp_path, "-m", "hydra/launcher=stacked", *words, timeout=300)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "sweep" / "leaderboard.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert list(rows[0])[4] == "val_weighted_loss", "the heading begins with what ranks"
    losses = [float(row["val_weighted_loss"]) for row in rows]
    assert losses == sorted(losses)
    assert float(rows[0]["test_balanced_accuracy"]) > 0.65
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["test_weighted_loss", "val_weighted_loss"] in lines, "judged by the figure that ranks"
