"""``exprun predict``, ``evaluate`` and ``export`` on runs that the command line made."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    log_loss,
    mean_absolute_error,
    roc_auc_score,
)

from exprun.cli import main
from tests.command import forked, run_command

CLASSES = ("-1", "01", "1", "a, b")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    done = run_command(folder, *words)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files, a run on words and numbers with gaps, and one of several numbers."""
    folder = tmp_path_factory.mktemp("shop")
    chance = random.Random(0)
    lines = []
    for _ in range(160):
        age, town = chance.randint(18, 80), chance.choice(["Bonn", "Köln", "Aachen"])
        label = CLASSES[min(3, max(0, int((age - 18) // 16 + (town == "Bonn") - 0.5)))]
        lines.append([age if chance.random() < 0.95 else "", town, chance.gauss(40, 9), label])
    with (folder / "shop.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["age", "town", "income", "class"], *lines])
    lines = [[x, 3 * x + 5000, -x / 50 + 1] for x in (chance.gauss(0, 10) for _ in range(100))]
    with (folder / "line.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["x", "large", "small"], *lines])
    fast = ["trainer.max_epochs=8", "model.hidden=[12]", "data=csv"]
    words = ["data.path=shop.csv", "data.target=class", "norm=batch", "data.scaling=quantile"]
    run(folder, *fast, *words, "loss.class_weight=balanced", "hydra.run.dir=shop")
    words = ["data.path=line.csv", "data.target=[large,small]"]
    run(folder, *fast, *words, "hydra.run.dir=line")
    return folder


@pytest.fixture(autouse=True)
def _inside(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)


def said(capsysbinary: pytest.CaptureFixture[bytes], *words: str) -> tuple[int, str, str]:
    code = main(words)
    out, err = capsysbinary.readouterr()
    return code, out.decode(), err.decode()


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# ---------------------------------------------------------------------------------- a run


def test_a_run_has_all_figures_and_a_confusion_matrix(shop: Path) -> None:
    metrics = json.loads((shop / "shop" / "result.json").read_text())["metrics"]
    for part in ("val", "test"):
        for name in ("loss", "accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss"):
            assert metrics[f"{part}_{name}"] >= 0
    lines = list(csv.reader((shop / "shop" / "confusion.csv").read_text().splitlines()))
    assert lines[0] == ["true \\ predicted", *CLASSES]
    assert [line[0] for line in lines[1:]] == list(CLASSES)
    matrix = np.array([line[1:] for line in lines[1:]], dtype=int)
    assert matrix.sum() == 24
    assert matrix.trace() / matrix.sum() == pytest.approx(metrics["test_accuracy"])
    metrics = json.loads((shop / "line" / "result.json").read_text())["metrics"]
    assert {"test_rmse_large", "test_mae_small", "val_r2_small"} <= metrics.keys()
    assert not (shop / "line" / "confusion.csv").exists()


# ------------------------------------------------------------------------------- predict


def test_answers_stand_in_the_order_of_the_rows(capsysbinary) -> None:
    code, out, err = said(capsysbinary, "predict", "shop", "shop.csv")
    answers = rows_of(out)
    assert (code, err) == (0, "")
    assert len(answers) == 160
    assert list(answers[0]) == ["class", *(f"probability_{label}" for label in CLASSES)]
    for answer in answers:
        shares = [float(answer[f"probability_{label}"]) for label in CLASSES]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert answer["class"] == CLASSES[int(np.argmax(shares))]
    lines = Path("shop.csv").read_text().splitlines()
    turned = [lines[0], *lines[:0:-1]]
    Path("turned.csv").write_text("\n".join(turned) + "\n")
    _, again, _ = said(capsysbinary, "predict", "shop", "turned.csv")
    first, last = rows_of(again)[0], answers[-1]
    for name, word in last.items():
        if name == "class":
            assert first[name] == word
        else:
            assert float(first[name]) == pytest.approx(float(word), abs=1e-5)


def test_files_that_match_are_answered_again_and_again(capsysbinary) -> None:
    frame = pd.read_csv("shop.csv")
    for k in range(2):
        frame.iloc[k::2].to_parquet(f"answers-{k}.parquet")
    for _ in range(2):
        assert said(capsysbinary, "predict", "shop", "answers-?.parquet", "-o", "a.csv")[0] == 0
    assert len(rows_of(Path("a.csv").read_text())) == len(frame)


def test_answers_in_files_are_those_that_are_printed(capsysbinary) -> None:
    _, out, _ = said(capsysbinary, "predict", "shop", "shop.csv")
    assert said(capsysbinary, "predict", "shop", "shop.csv", "-o", "out.csv") == (
        0,
        "out.csv: 160 rows, 5 columns\n",
        "",
    )
    assert Path("out.csv").read_text() == out
    code, _, _ = said(capsysbinary, "predict", "shop", "shop.csv", "-o", "out.parquet")
    assert code == 0
    table = pq.read_table("out.parquet").to_pylist()
    assert [row["class"] for row in table] == [row["class"] for row in rows_of(out)]
    assert table[0]["probability_01"] == np.float32(rows_of(out)[0]["probability_01"])


def test_numbers_come_in_the_targets_unit(capsysbinary) -> None:
    _, out, _ = said(capsysbinary, "predict", "line", "line.csv")
    answers = rows_of(out)
    assert list(answers[0]) == ["large", "small"]
    assert 4900 < float(answers[0]["large"]) < 5100
    assert '"' not in out


def test_unseen_words_are_counted_in_one_line(capsysbinary) -> None:
    Path("new.csv").write_text("town,age,income,more\nRom,30,1,x\nBonn,,2,y\nParis,40,,z\n")
    code, out, err = said(capsysbinary, "predict", "shop", "new.csv")
    assert code == 0
    assert len(rows_of(out)) == 3
    assert err == ("exprun: new.csv: categories that training has not seen: town in 2 of 3 rows\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shop", "missing.csv"], "missing.csv: no such file"),
        (["shop", "renamed.csv"], "renamed.csv: column 'age' is missing; did you mean Age?"),
        (["shop", "semi.csv"], "column 'age' is missing, and 2 more; the columns seem to be sep"),
        (["shop", "text.csv"], "text.csv: row 3, column 'age': 'old' is not a number"),
        (["shop.csv", "shop"], "shop is a folder; expected exprun predict shop shop.csv"),
        (["model.onnx", "shop.csv"], "model.onnx: is for other programs; expected the folder of"),
        (["nowhere", "shop.csv"], "nowhere: there is no such folder; expected one like outputs"),
        (["shop", "shop.csv", "-o", "out.xlsx"], "-o out.xlsx: expected a name that ends in .csv"),
        (["shop", "shop.csv", "-o", "a/b.csv"], "-o a/b.csv: there is no folder a; expected a fi"),
        (["shop", "shop.csv", "-o", "./shop.csv"], "-o shop.csv: is the file that is read; expec"),
        (["shop", "p*.parquet", "-o", "p2.parquet"], "-o p2.parquet: is the file that is read; ex"),
        (["shop", "shop.csv", "-o", "folder.csv"], "-o folder.csv: is a folder; expected a file"),
        (["shop"], "predict: the following arguments are required: FILE; expected exprun predict"),
        (["shop", "shop.csv", "--outptu", "x.csv"], "did you mean --output?"),
    ],
)
def test_mistakes_get_one_line(words: list[str], message: str, capsysbinary) -> None:
    Path("renamed.csv").write_text("Age,town,income\n30,Bonn,1\n")
    Path("text.csv").write_text("age,town,income\n30,Bonn,1\nold,Bonn,1\n")
    Path("folder.csv").mkdir(exist_ok=True)
    Path("model.onnx").touch()
    Path("p2.parquet").touch()
    Path("semi.csv").write_text("age;town;income\n30;Bonn;1\n")
    before = sorted(Path().iterdir())
    code, out, err = said(capsysbinary, "predict", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(Path().iterdir()) == before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a folder that nobody can write into")
@pytest.mark.parametrize(
    "words",
    [
        ["predict", "shop", "shop.csv", "-o", "/proc/a.csv"],
        ["export", "shop", "--format", "safetensors", "-o", "/proc/a.safetensors"],
        ["plot", "shop", "-o", "/proc/a"],
    ],
    ids=lambda words: words[0],
)
def test_a_file_that_cannot_be_written_is_named(words: list[str], capsysbinary) -> None:
    code, _, err = said(capsysbinary, *words)
    assert code == 1
    assert err.startswith("exprun: /proc/")
    assert err.endswith(": No such file or directory\n")


def test_standard_input_is_read_and_named(shop: Path) -> None:
    def piped(text: str) -> subprocess.CompletedProcess[str]:
        words = [*forked(), "predict", "shop", "-"]
        return subprocess.run(words, input=text, capture_output=True, text=True, check=False)

    done = piped("age,town,income\n30,Bonn,1\n")
    assert done.returncode == 0, done.stderr
    assert len(rows_of(done.stdout)) == 1
    assert piped("age,income\n30,1\n").stderr.startswith("exprun: standard input: column 'town'")


def test_predict_does_not_import_what_only_training_needs() -> None:
    code = (
        "import sys; from exprun.cli import main; main(['predict', 'shop', 'shop.csv']); "
        "slow = {'sklearn', 'tensorboard', 'hydra', 'rich', 'onnx', 'torch._dynamo'}; "
        "print(sorted(slow & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


# ------------------------------------------------------------------------------ evaluate


def test_figures_are_sklearns(capsysbinary) -> None:
    _, out, _ = said(capsysbinary, "predict", "shop", "shop.csv")
    answers, rows = rows_of(out), rows_of(Path("shop.csv").read_text())
    true, predicted = ([row["class"] for row in table] for table in (rows, answers))
    shares = [[float(row[f"probability_{label}"]) for label in CLASSES] for row in answers]
    code, out, err = said(capsysbinary, "evaluate", "shop", "shop.csv", "--json")
    assert (code, err) == (0, "")
    said_json = json.loads(out)
    assert said_json["rows"] == 160
    assert said_json["classes"] == list(CLASSES)
    assert said_json["confusion"] == confusion_matrix(true, predicted, labels=CLASSES).tolist()
    metrics = said_json["metrics"]
    assert metrics["accuracy"] == accuracy_score(true, predicted)
    ids = [CLASSES.index(label) for label in true]
    whole = (np.array(shares).T / np.sum(shares, axis=1)).T
    assert metrics["log_loss"] == pytest.approx(log_loss(ids, whole), rel=1e-4)
    expected = roc_auc_score(ids, whole, multi_class="ovr")
    assert metrics["roc_auc"] == pytest.approx(expected, rel=1e-4)


def test_the_matrix_is_printed_as_a_table(capsysbinary) -> None:
    code, out, _ = said(capsysbinary, "evaluate", "shop", "shop.csv")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "shop.csv: 160 rows, 4 classes"
    assert lines[2].startswith("accuracy ")
    head = next(k for k, line in enumerate(lines) if line.startswith("true \\ predicted"))
    assert lines[head].split() == ["true", "\\", "predicted", "-1", "01", "1", "a,", "b", "recall"]
    assert lines[head + 5].startswith("precision")


def test_several_numbers_are_evaluated_in_their_units(capsysbinary) -> None:
    _, out, _ = said(capsysbinary, "predict", "line", "line.csv")
    answers, rows = rows_of(out), rows_of(Path("line.csv").read_text())
    code, out, _ = said(capsysbinary, "evaluate", "line", "line.csv", "--json")
    assert code == 0
    metrics = json.loads(out)["metrics"]
    for name in ("large", "small"):
        columns = [[float(row[name]) for row in table] for table in (rows, answers)]
        assert metrics[f"mae_{name}"] == pytest.approx(mean_absolute_error(*columns), rel=1e-5)
    assert metrics["mae"] == pytest.approx((metrics["mae_large"] + metrics["mae_small"]) / 2)
    _, out, _ = said(capsysbinary, "evaluate", "line", "line.csv")
    assert "2 targets" in out.splitlines()[0]
    assert "predicted" not in out


def test_a_file_without_the_target_or_with_another_label(capsysbinary) -> None:
    Path("bare.csv").write_text("age,town,income\n30,Bonn,1\n")
    code, _, err = said(capsysbinary, "evaluate", "shop", "bare.csv")
    assert (code, err) == (2, "exprun: bare.csv: column 'class' is missing\n")
    Path("other.csv").write_text("age,town,income,class\n30,Bonn,1,2\n")
    code, _, err = said(capsysbinary, "evaluate", "shop", "other.csv")
    assert code == 2
    assert err.startswith("exprun: other.csv: ")
    assert "'2'" in err


# -------------------------------------------------------------------------------- export


def test_a_moved_run_is_exported_and_runs_elsewhere(tmp_path: Path, capsysbinary) -> None:
    """Only the model and its preprocessing are there, as on another machine."""
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("model.safetensors", "preprocess.json"):
        shutil.copy(Path("shop") / name, moved)
    code, out, _ = said(capsysbinary, "export", str(moved), "--format", "onnx")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith(f"{moved}/exported/model.onnx: ")
    assert lines[2:] == [
        "numbers (rows, 2) float64, NaN for a gap: age, income",
        "words   (rows, 1) string, empty for a gap: town",
        "answers label (rows,) string, probabilities (rows, 4) float32: -1, 01, 1, a, b",
    ]
    session = onnxruntime.InferenceSession(moved / "exported" / "model.onnx")
    rows = rows_of(Path("shop.csv").read_text())
    numbers = [[float(row[name] or "nan") for name in ("age", "income")] for row in rows]
    words = np.array([[row["town"]] for row in rows], dtype=object)
    labels, _ = session.run(None, {"numbers": np.array(numbers), "words": words})
    _, out, _ = said(capsysbinary, "predict", str(moved), "shop.csv")
    assert labels.tolist() == [row["class"] for row in rows_of(out)]


def test_a_single_file_predicts(capsysbinary) -> None:
    code, out, _ = said(
        capsysbinary, "export", "shop", "--format=safetensors", "-o", "m.safetensors"
    )
    assert code == 0
    assert out.startswith("m.safetensors: ")
    _, expected, _ = said(capsysbinary, "predict", "shop", "shop.csv")
    assert said(capsysbinary, "predict", "m.safetensors", "shop.csv") == (0, expected, "")


def test_a_torch_program_is_written(capsysbinary) -> None:
    code, out, _ = said(capsysbinary, "export", "line", "--format", "torch")
    assert code == 0
    assert out.splitlines()[2:] == [
        "numbers (rows, 1) float64, NaN for a gap: x",
        "answers values (rows, 2) float64: large, small",
    ]
    assert Path("line/exported/model.pt2").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shop"], "export: the following arguments are required: --format; expected exprun"),
        (
            ["shop", "--format", "pickle"],
            "--format pickle: expected safetensors, torch, onnx or optuna",
        ),
        (
            ["shop", "--format", "onnx", "-o", "m.pt2"],
            "-o m.pt2: expected a name that ends in .onn",
        ),
        (["nowhere", "--format", "onnx"], "nowhere: there is no such folder"),
    ],
)
def test_mistakes_in_what_is_to_be_exported(words: list[str], message: str, capsysbinary) -> None:
    code, out, err = said(capsysbinary, "export", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
