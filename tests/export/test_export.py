"""Exported models say what ``predict`` says, on random and on edge rows."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from exprun.common.constants import ACTIVATIONS
from exprun.common.errors import UsageError
from exprun.data import tabular
from exprun.data.columns import Categorical
from exprun.data.encoding import Supervision
from exprun.data.files import read_columns
from exprun.data.frame import Frame, Words
from exprun.data.prepare import prepare
from exprun.data.preprocess import Preprocessing
from exprun.data.read_options import MISSING
from exprun.data.scaling import Quantiles, Scaling
from exprun.data.task import Task
from exprun.export.graph import onnx_model
from exprun.export.inputs import UNSEEN, Columns, Disagreement, difference, trial
from exprun.export.program import torch_program
from exprun.export.verified import FORMATS
from exprun.techniques.networks import MLP
from exprun.training.prediction import Model
from tests.record.test_model import NORMS, network

ROWS = 120
TASKS = {
    "two classes": (Task(("y",), ("no", "yes")), 2, "softmax"),
    "one sigmoid": (Task(("y",), ("-1", "1")), 1, "sigmoid"),
    "classes": (Task(("y",), ("01", "1", "a, b", "größe")), 4, "softmax"),
    "sigmoids": (Task(("y",), ("a", "b", "c")), 3, "sigmoid"),
    "squared error of classes": (Task(("y",), ("a", "b", "c")), 3, "identity"),
    "numbers": (Task(("y",)), 1, "identity"),
    "counts": (Task(("y",)), 1, "exp"),
    "several numbers": (Task(("y", "z")), 2, "identity"),
}
SCALINGS = ["standardize", "min_max", "unit", "quantile", "none"]


def mixed() -> Frame:
    """Five columns of three shapes of numbers, one with ties, and two of words; with gaps."""
    random = np.random.default_rng(0)
    ties = random.integers(0, 5, ROWS) * 1.0
    numbers = [random.normal(1.6e9, 3e4, ROWS), ties, random.exponential(size=ROWS)]
    block = np.stack(numbers, axis=1)
    block[random.random(block.shape) < 0.1] = np.nan
    colour = Words(random.integers(-1, 3, ROWS).astype(np.int32), ("red", "größe", "a, b"))
    town = Words(random.integers(0, 2, ROWS).astype(np.int32), ("x", "y"))
    names = ("time", "colour", "ties", "town", "waiting")
    return Frame(names, block, {"colour": colour, "town": town})


def only(kind: str) -> Frame:
    frame = mixed()
    if kind == "words":
        return Frame(("town", "colour"), np.empty((ROWS, 0)), frame.categorical)
    return Frame(("time", "ties", "waiting"), frame.numbers)


FRAMES = {"mixed": mixed(), "numbers": only("numbers"), "words": only("words")}
HOW: list[dict[str, Any]] = [
    {"scaling": "standardize"},
    {"scaling": "min_max", "impute_numeric": "most_frequent"},
    {"scaling": "quantile", "impute_categorical": "most_frequent"},
    {"scaling": "none", "unseen": "error"},
    {"encoding": "target"},
    {"encoding": "frequency", "impute_categorical": "most_frequent"},
]


def made(task: str, frame: str, how: dict[str, Any], **options: Any) -> Model:
    kind, outputs, activation = TASKS[task]
    target = Scaling((), ()) if kind.classes else Scaling((250.0, -3.0), (40.0, 0.01))
    target = Scaling(target.mean[:outputs], target.std[:outputs]) if target.mean else target
    chosen = FRAMES[frame]
    rows = np.arange(ROWS)
    y = rows % len(kind.classes) if kind.classes else np.stack([rows] * outputs, axis=1)
    learned = Supervision.draw(kind, y, None, torch.Generator())
    preprocessing = Preprocessing.fit(chosen, rows, kind, target, supervision=learned, **how)
    return Model(
        network(inputs=preprocessing.width, outputs=outputs, **options), preprocessing, activation
    )


@pytest.mark.parametrize("position", ["pre", "post"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_onnx_of_every_activation_and_norm(activation: str, norm: str, position: Any) -> None:
    """Tasks, columns and preprocessing take turns."""
    turn = sorted(ACTIVATIONS).index(activation) + 3 * list(NORMS).index(norm)
    task = list(TASKS)[turn % len(TASKS)]
    how = {"scaling": SCALINGS[turn % 3]}  # numbers that are not scaled are too large here
    frame = list(FRAMES)[turn % 3]
    options = {"activation": activation, "norm": NORMS[norm], "norm_position": position}
    FORMATS["onnx"](made(task, frame, how, **options))


@pytest.mark.parametrize("how", HOW, ids=lambda how: "-".join(how.values()))
@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("task", TASKS)
def test_onnx_of_every_task_and_preprocessing(task: str, frame: str, how: dict[str, Any]) -> None:
    FORMATS["onnx"](made(task, frame, how))


@pytest.mark.parametrize("how", HOW, ids=lambda how: "-".join(how.values()))
def test_torch_programs_of_every_preprocessing(how: dict[str, Any]) -> None:
    turn = HOW.index(how)
    for task in list(TASKS)[turn::4]:
        frame = "mixed" if "encoding" in how else list(FRAMES)[turn % 3]
        norm = NORMS[["none", "batch", "layer"][turn % 3]]
        _, apart = FORMATS["torch"](made(task, frame, how, norm=norm))
        assert apart < 1e-6


@pytest.mark.parametrize("how", HOW, ids=lambda how: "-".join(how.values()))
@pytest.mark.parametrize("task", TASKS)
def test_safetensors_say_the_same_to_the_last_bit(task: str, how: dict[str, Any]) -> None:
    _, apart = FORMATS["safetensors"](made(task, "mixed", how))
    assert apart == 0


@pytest.mark.parametrize("how", HOW[:3], ids=lambda how: "-".join(how.values()))
def test_the_inputs_inside_are_those_of_apply(how: dict[str, Any]) -> None:
    """A network that hands its inputs on shows them."""
    frame = FRAMES["mixed"]
    width = Preprocessing.fit(frame, np.arange(ROWS), Task(("y",)), Scaling((), ()), **how).width
    task = Task(tuple(f"y{k}" for k in range(width)))
    preprocessing = Preprocessing.fit(frame, np.arange(ROWS), task, Scaling.identity(width), **how)
    through = MLP(width, width, hidden=[]).eval()
    through.output.weight.data, through.output.bias.data = torch.eye(width), torch.zeros(width)
    model = Model(through, preprocessing, "identity")
    tried = trial(preprocessing)
    expected = preprocessing.apply(tried)
    columns = Columns.of(preprocessing)
    session = onnxruntime.InferenceSession(onnx_model(model), providers=["CPUExecutionProvider"])
    inputs = {"numbers": columns.numbers(tried), "words": columns.words(tried)}
    (values,) = session.run(None, inputs)
    assert np.abs(values - expected).max() < 2e-6
    program = torch.export.load(io.BytesIO(torch_program(model))).module()
    (again,) = program(
        torch.from_numpy(columns.numbers(tried)), torch.from_numpy(columns.codes(tried))
    )
    assert np.array_equal(again.numpy(), expected)


def test_rows_to_try_hold_every_edge() -> None:
    preprocessing = made("classes", "mixed", {"scaling": "quantile"}).preprocessing
    frame = trial(preprocessing)
    for column in preprocessing.columns:
        if isinstance(column, Categorical):
            levels = {level for level in column.levels if level is not None}
            assert set(frame[column.name]) == {*levels, UNSEEN, None}
        else:
            values = frame[column.name]
            assert np.isnan(values).any()
            assert isinstance(column.scaling, Quantiles)
            known = column.scaling.values
            assert np.isin(known, values).mean() > 0.5
            assert np.nanmin(values) < known[0]
            assert np.nanmax(values) > known[-1]


def test_the_trial_notices_what_is_wrong() -> None:
    model = made("classes", "mixed", {"scaling": "standardize"})
    frame = trial(model.preprocessing)
    answers = model.predict(frame)
    assert answers.labels is not None
    place = {label: k for k, label in enumerate(answers.task.classes)}
    ids = np.array([place[label] for label in answers.labels])
    assert difference(model, frame, ids, answers.values) == 0
    with pytest.raises(Disagreement, match=r"its answers differ by 0\.01"):
        difference(model, frame, ids, answers.values + np.float32(0.01))
    with pytest.raises(Disagreement, match="its answers differ by nan"):
        difference(model, frame, ids, answers.values * np.nan)
    with pytest.raises(Disagreement, match="it takes rows for other classes"):
        difference(model, frame, ids[::-1], answers.values)


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_any_number_of_rows(rows: int) -> None:
    model = made("two classes", "numbers", {"scaling": "quantile"})
    frame = Frame(FRAMES["numbers"].names, FRAMES["numbers"].numbers[:rows])
    numbers = Columns.of(model.preprocessing).numbers(frame)
    expected = model.predict(frame)
    session = onnxruntime.InferenceSession(onnx_model(model), providers=["CPUExecutionProvider"])
    labels, shares = session.run(["label", "probabilities"], {"numbers": numbers})
    assert expected.labels is not None
    assert labels.tolist() == expected.labels.tolist()
    assert shares == pytest.approx(expected.values, abs=1e-6)
    program = torch.export.load(io.BytesIO(torch_program(model))).module()
    assert program(torch.from_numpy(numbers))[1].numpy() == pytest.approx(expected.values)


def test_files_say_what_goes_in_and_comes_out(tmp_path: Path) -> None:
    model = made("classes", "mixed", {"scaling": "standardize"})
    said = {
        "numbers": ["time", "ties", "waiting"],
        "seconds": {},
        "words": {"colour": ["a, b", "größe", "red", None], "town": ["x", "y"]},
        "gaps": ["", *MISSING, "None", "nan", "<NA>"],
        "blanks": "words are compared as they are: strip blanks around them before",
        "targets": ["y"],
        "classes": ["01", "1", "a, b", "größe"],
    }
    proto = onnx.load_from_string(onnx_model(model))
    assert json.loads(proto.metadata_props[0].value) == said
    extra = {"exprun.json": ""}
    torch.export.load(io.BytesIO(torch_program(model)), extra_files=extra)
    assert json.loads(extra["exprun.json"]) == said


def test_equal_models_are_equal_onnx_files() -> None:
    model = made("classes", "mixed", {"scaling": "quantile"})
    assert onnx_model(model) == onnx_model(model)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_what_is_to_be_installed_is_said(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "exprun.export.graph", raising=False)
    with pytest.raises(UsageError) as caught:
        FORMATS["onnx"](made("numbers", "numbers", {"scaling": "none"}))
    assert str(caught.value) == (
        f"export: --format onnx needs {package}; expected pip install onnx onnxruntime"
    )


def test_a_graph_takes_the_words_for_a_gap_and_other_spellings_as_predict_does(
    tmp_path: Path,
) -> None:
    """Also what None and NaN become in an array of text."""
    town = ["Bonn", "", "Rom", "None"] * 15
    code = ["1", "2", "?", "3"] * 15
    rows = "\n".join(
        ",".join((t, c, "yn"[k % 2])) for k, (t, c) in enumerate(zip(town, code, strict=True))
    )
    path = tmp_path / "train.csv"
    path.write_text(f"town,code,y\n{rows}\n")
    table = tabular.csv(str(path), "y", categorical=["code"])
    fitted = prepare(table).preprocessing
    torch.manual_seed(0)
    model = Model(MLP(fitted.width, 2, hidden=[5]), fitted, "softmax")
    session = onnxruntime.InferenceSession(onnx_model(model))
    words = [
        [w, c] for w in ("NA", "nan", "None", "", "Rom", "Paris") for c in ("1.0", "2", "?", "NaN")
    ]
    new = tmp_path / "new.csv"
    new.write_text("town,code\n" + "\n".join(map(",".join, words)) + "\n")
    expected = model.predict(read_columns(new, fitted))
    _, shares = session.run(None, {"words": np.array(words, dtype=object)})
    np.testing.assert_allclose(shares, expected.values, atol=1e-6)
    given = np.array([[None, 1.0], [float("nan"), 2.0]], dtype=object)
    _, shares = session.run(None, {"words": given.astype(str)})
    as_read = [words.index(["None", "1.0"]), words.index(["NA", "2"])]
    np.testing.assert_allclose(shares, expected.values[as_read], atol=1e-6)


@pytest.mark.parametrize("scaling", ["standardize", "quantile"])
def test_numbers_that_stand_for_a_gap_are_gaps_in_an_exported_model(
    scaling: str, tmp_path: Path
) -> None:
    rows = [f"{value},{value * 7 % 5},{'yn'[value % 2]}" for value in range(40)]
    (tmp_path / "train.csv").write_text("\n".join(["a,b,y", "-999,1,y", *rows]) + "\n")
    missing = ["-999", "1e3"]
    table = tabular.csv(str(tmp_path / "train.csv"), "y", missing=missing)
    fitted = prepare(table, scaling=scaling).preprocessing
    torch.manual_seed(0)
    model = Model(MLP(fitted.width, 2, hidden=[5]), fitted, "softmax")
    numbers = [[-999.0, 3.0], [4.0, 1000.0], [5.0, -999.5]]
    new = tmp_path / "new.csv"
    new.write_text("a,b\n" + "".join(f"{a},{b}\n" for a, b in numbers))
    expected = model.predict(read_columns(new, fitted)).values
    _, shares = onnxruntime.InferenceSession(onnx_model(model)).run(
        None, {"numbers": np.array(numbers)}
    )
    np.testing.assert_allclose(shares, expected, atol=1e-6)
    program = torch.export.load(io.BytesIO(torch_program(model))).module()
    _, shares = program(torch.tensor(numbers, dtype=torch.float64))
    np.testing.assert_allclose(shares.detach(), expected, atol=1e-6)
