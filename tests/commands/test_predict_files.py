"""``exprun predict`` and ``evaluate``: kept columns, sweeps, files and times of all kinds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from exprun.cli import main

ROWS = 60
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "id": [f"{k:03d}" for k in range(ROWS)],
        "number": range(1000, 1000 + ROWS),
        "x": RNG.normal(size=ROWS),
        "town": RNG.choice(["Bonn", "Köln"], ROWS),
        "y": RNG.choice(["no", "yes"], ROWS),
    }
)
FAST = ["trainer.max_epochs=2", "model.hidden=[4]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, a sweep, and their file."""
    folder = tmp_path_factory.mktemp("keep")
    FRAME.to_csv(folder / "d.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["data=csv", "data.path=d.csv", "data.target=y", "data.drop=[id,number]", *FAST]
        assert main([*words, "hydra.run.dir=run"]) == 0
        assert main(["-m", *words, "optimizer.lr=1e-6,0.05", "hydra.sweep.dir=sweep"]) == 0
    return folder


@pytest.fixture(autouse=True)
def _inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_kept_columns_come_first_and_as_they_are_written(suffix: str) -> None:
    """Dropped ones, features of numbers and of words."""
    kept = ["number", "id", "town"]
    words = [word for name in kept for word in ("--keep", name)]
    assert main(["predict", "run", "d.csv", *words, "-o", f"out.{suffix}"]) == 0
    found = pd.read_csv("out.csv", dtype={"id": str}) if suffix == "csv" else None
    found = pd.read_parquet("out.parquet") if found is None else found
    assert list(found) == [*kept, "y", "probability_no", "probability_yes"]
    pd.testing.assert_frame_equal(found[kept], FRAME[kept], check_dtype=False)
    assert found["number"].dtype == "int64"


def test_gaps_of_a_kept_column_are_blank(capsys) -> None:
    FRAME.assign(number=[None, *range(1, ROWS)]).to_csv("gap.csv", index=False)
    assert main(["predict", "run", "gap.csv", "--keep", "number"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(",")
    assert [line.partition(",")[0] for line in lines[2:5]] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "idd",
            "d.csv: there is no column 'idd'; did you mean id? (columns: id, number, x, town, y)",
        ),
        ("y", "--keep y: the answer has a column of that name"),
    ],
)
def test_a_column_that_cannot_be_kept(capsys, name: str, said: str) -> None:
    assert main(["predict", "run", "d.csv", "--keep", name, "-o", "no.csv"]) == 2
    assert said in capsys.readouterr().err
    assert not Path("no.csv").exists()


def test_a_sweep_is_its_best_job(capsys) -> None:
    jobs = {
        path: json.loads((path / "result.json").read_text()) for path in Path("sweep").glob("0*")
    }
    best = min(jobs, key=lambda path: jobs[path]["metrics"]["val_loss"])
    capsys.readouterr()
    for command in (["predict"], ["evaluate", "--json"]):
        name, *options = command
        assert main([name, "sweep", "d.csv", *options]) == 0
        of_sweep = capsys.readouterr()
        assert of_sweep.err == f"the best job of the sweep: {best}\n"
        assert main([name, str(best), "d.csv", *options]) == 0
        assert capsys.readouterr().out == of_sweep.out


def test_columns_that_can_be_no_features_are_told_together(capsys) -> None:
    FRAME.assign(name=FRAME["id"] + "x", code=FRAME["id"] + "y").to_csv("names.csv", index=False)
    assert main(["data=csv", "data.path=names.csv", "data.target=y"]) == 2
    said = capsys.readouterr().err
    each = "'name' (60 different words in 60 rows), 'code' (60 different words in 60 rows)"
    assert f"names.csv: 2 columns can be no features as they are: {each}" in said
    assert "data.drop=[name,code]" in said


def test_the_columns_of_the_file_are_told_if_the_target_is_not_given(capsys) -> None:
    for mode in ([], ["-m"]):
        assert main([*mode, "data=csv", "data.path=d.csv"]) == 2
        assert "add data.target=… (columns: id, number, x, town, y)" in capsys.readouterr().err


# ------------------------------------------------------------------------------- other files


def test_the_four_arrays_of_keras_are_an_official_split(capsys) -> None:
    x, y = RNG.integers(0, 255, (50, 4, 3)).astype(np.uint8), RNG.integers(0, 3, (50, 1))
    arrays = {"x_train": x[:40], "y_train": y[:40], "x_test": x[40:], "y_test": y[40:]}
    np.savez("keras.npz", **arrays)
    words = ["data=npz", "data.path=keras.npz", "data.target=y", "data.scaling=unit", *FAST]
    assert main([*words, "hydra.run.dir=keras"]) == 0
    result = json.loads(Path("keras/result.json").read_text())
    assert result["rows"]["test"] == 10
    capsys.readouterr()
    assert main(["evaluate", "keras", "keras.npz", "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["rows"] == 10
    assert evaluated["metrics"]["accuracy"] == result["metrics"]["test_accuracy"]


@pytest.mark.parametrize("zoned", [True, False])
def test_times_without_a_zone_beside_instants_are_told(capsys, zoned: bool) -> None:
    times = pd.date_range("2026-01-01", periods=ROWS, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    with_zone = FRAME[["x", "y"]].assign(time=times + "+02:00")
    without = FRAME[["x", "y"]].assign(time=times)
    train, new = (with_zone, without) if zoned else (without, with_zone)
    train.to_csv("train.csv", index=False)
    new.to_csv("new.csv", index=False)
    run = f"zoned_{zoned}"
    words = ["data=csv", "data.path=train.csv", "data.target=y", *FAST]
    assert main([*words, f"hydra.run.dir={run}"]) == 0
    capsys.readouterr()
    where = "new.csv" if zoned else "training"
    for command in ("predict", "evaluate"):
        assert main([command, run, "new.csv"]) == 0
        said = f"new.csv: column 'time': times without a zone in {where} are taken as UTC\n"
        assert capsys.readouterr().err.endswith(said)
        assert main([command, run, "train.csv"]) == 0
        assert capsys.readouterr().err == ""


def test_rows_are_evaluated_with_their_weights(capsys, folder: Path) -> None:
    """As the test part of the training is; a file without them says so, a bad one is refused."""
    weights = np.arange(ROWS) % 3
    FRAME.assign(w=weights).to_csv("w.csv", index=False)
    words = ["data=csv", "data.path=w.csv", "data.test_path=w.csv", "data.target=y"]
    words += ["data.drop=[id,number]", "data.weight=w", *FAST, "hydra.run.dir=weighted"]
    assert main(words) == 0
    measured = json.loads((folder / "weighted/result.json").read_text())["metrics"]
    capsys.readouterr()
    assert main(["evaluate", "weighted", "w.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert found["accuracy"] == measured["test_accuracy"]
    assert found["log_loss"] == pytest.approx(measured["test_loss"])
    assert main(["evaluate", "weighted", "d.csv", "--json"]) == 0
    said = capsys.readouterr()
    assert "exprun: d.csv: has no column 'w' of weights, so all rows count alike" in said.err
    assert json.loads(said.out)["metrics"]["log_loss"] != pytest.approx(found["log_loss"])
    FRAME.assign(w=-1).to_csv("bad.csv", index=False)
    assert main(["evaluate", "weighted", "bad.csv"]) == 2
    assert "bad.csv: row 2: the weight 'w' is -1" in capsys.readouterr().err
