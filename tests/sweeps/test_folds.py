"""Sweeps over the folds of a cross-validation: ``oof.parquet`` and the figures of the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from exprun.cli import main
from exprun.data.bundled import diabetes, iris
from exprun.sweeps.read_results import read_results

FOLDS = ["data.folds=3", "data.fold=range(3)", "trainer.max_epochs=2", "model.hidden=[8]"]


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_row_is_predicted_once_for_each_configuration_and_seed(tmp_path: Path) -> None:
    words = ["data=iris", *FOLDS, "optimizer=sgd,adam", "seed=0,1", "hydra.sweep.dir=sweep"]
    assert main(["-m", *words]) == 0
    found = pd.read_parquet("sweep/oof.parquet")
    classes = iris().task.classes
    assert list(found) == [
        *("configuration", "seed", "data.fold", "row", "class", "predicted_class"),
        *(f"probability_{label}" for label in classes),
    ]
    assert len(found) == 2 * 2 * 150
    results = read_results([Path("sweep")])
    for name, seed in [("optimizer=sgd", 0), ("optimizer=sgd", 1), ("optimizer=adam", 1)]:
        rows = found[(found["configuration"] == name) & (found["seed"] == seed)]
        assert rows["row"].tolist() == list(range(150))
        assert rows["class"].tolist() == [classes[k] for k in iris().y]
        right = (rows["class"] == rows["predicted_class"]).groupby(rows["data.fold"]).mean()
        jobs = [
            j for j in results.jobs if j.values["optimizer"] in name and j.block[0] == f"{seed}"
        ]
        assert right.to_list() == pytest.approx([job.metrics["test_accuracy"] for job in jobs])
    shares = found.filter(like="probability_").to_numpy()
    assert shares.sum(axis=1) == pytest.approx(1)


def test_numbers_are_in_the_targets_own_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "data=diabetes", *FOLDS, "hydra.sweep.dir=sweep"]) == 0
    assert "sweep/oof.parquet: 442 rows predicted out of fold" in capsys.readouterr().out
    found = pd.read_parquet("sweep/oof.parquet")
    assert found["row"].tolist() == list(range(442))
    assert found["progression"].to_numpy() == pytest.approx(diabetes().y[:, 0], rel=1e-5)
    error = found["progression"] - found["predicted_progression"]
    rmse = np.sqrt((error**2).groupby(found["data.fold"]).mean())
    jobs = read_results([Path("sweep")]).jobs
    assert rmse.to_list() == pytest.approx([job.metrics["test_rmse"] for job in jobs])


def test_without_folds_there_is_no_such_file(tmp_path: Path) -> None:
    words = ["data=iris", "trainer.max_epochs=1", "model.hidden=[]", "seed=0,1"]
    assert main(["-m", *words, "hydra.sweep.dir=sweep"]) == 0
    assert not list(Path("sweep").rglob("oof.parquet"))
