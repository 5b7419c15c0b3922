"""``data.weight``: weights of rows in loss and metrics, as scikit-learn's ``sample_weight``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_poisson_deviance,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

from exprun.common.errors import UsageError
from exprun.data import tabular
from exprun.data.prepare import Data, Part, prepare
from exprun.data.preprocess import Preprocessing
from exprun.data.scaling import Scaling
from exprun.data.task import Task
from exprun.diagnostics.measure import observe
from exprun.engine.native.network import LOSS_CODES
from exprun.fit.loop import fit
from exprun.techniques import losses
from exprun.training import metrics
from tests.conftest import training

RNG = np.random.default_rng(0)
WEIGHTS = torch.from_numpy(RNG.choice([0.0, 0.5, 1.0, 7.0], 80).astype(np.float32))


def preprocessing(task: Task) -> Preprocessing:
    scaling = Scaling((), ()) if task.classes else Scaling.identity(task.width)
    return Preprocessing.identity(("a",), task, scaling)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_metrics_of_classes_are_sklearns(classes, ordered):
    task = Task(("y",), tuple("abcd"[:classes]), ordered=ordered)
    y = torch.from_numpy(RNG.integers(0, classes, 80))
    outputs = torch.from_numpy(RNG.normal(size=(80, classes)).round(1))
    found = metrics.full(outputs, y, preprocessing(task), "softmax", WEIGHTS)
    shares, ids = outputs.softmax(1).numpy(), outputs.argmax(1).numpy()
    labels, weight = y.numpy(), {"sample_weight": np.asarray(WEIGHTS)}
    scores = shares[:, 1] if classes == 2 else shares
    expected = {
        "accuracy": accuracy_score(labels, ids, **weight),
        "balanced_accuracy": balanced_accuracy_score(labels, ids, **weight),
        "macro_f1": f1_score(labels, ids, average="macro", **weight),
        "roc_auc": roc_auc_score(labels, scores, multi_class="ovr", **weight),
        "log_loss": log_loss(labels, shares, **weight),
    }
    if ordered:
        expected["mean_rank_error"] = mean_absolute_error(labels, ids, **weight)
        expected["quadratic_kappa"] = cohen_kappa_score(labels, ids, weights="quadratic", **weight)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("activation", ["identity", "exp"])
def test_metrics_of_numbers_are_sklearns(activation):
    y = RNG.poisson(5, (80, 2)).astype(float)
    outputs = np.log(RNG.uniform(1, 9, (80, 2)))
    predicted = np.exp(outputs) if activation == "exp" else outputs
    found = metrics.full(
        torch.from_numpy(outputs),
        torch.from_numpy(y),
        preprocessing(Task(("a", "b"))),
        activation,
        WEIGHTS,
    )
    weight: dict[str, Any] = {"sample_weight": WEIGHTS.double().numpy()}
    for name, function in [
        ("rmse", root_mean_squared_error),
        ("mae", mean_absolute_error),
        ("r2", r2_score),
    ]:
        assert found[name] == pytest.approx(function(y, predicted, **weight))
        assert found[f"{name}_b"] == pytest.approx(function(y[:, 1], predicted[:, 1], **weight))
    if activation == "exp":
        each = [mean_poisson_deviance(y[:, k], predicted[:, k], **weight) for k in range(2)]
        assert found["poisson_deviance"] == pytest.approx(np.mean(each))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("kind", LOSS_CODES, ids=lambda kind: kind.__name__)
def test_a_row_of_weight_two_is_two_rows_and_one_of_weight_zero_none(kind, reduction):
    task = Task(("y",)) if kind is losses.Poisson else Task(("y",), ("a", "b", "c"))
    loss = kind(task, reduction)
    y = torch.tensor([[3.0], [0.0], [5.0]]) if kind is losses.Poisson else torch.tensor([2, 0, 1])
    outputs = torch.randn(3, loss.outputs, generator=torch.Generator().manual_seed(0))
    twice = [0, 0, 1]
    expected = loss(outputs[twice], loss.encode(y[twice]))
    reported = loss.reported(outputs[twice], y[twice])
    weight = torch.tensor([2.0, 1.0, 0.0])
    assert loss.reported(outputs, y, weight).item() == pytest.approx(reported.item())
    loss.rows_weighted = True
    torch.testing.assert_close(loss(outputs, loss.encode_weighted(y, weight)), expected)
    batches = loss.encode_weighted(y, weight).expand(2, -1, -1)
    torch.testing.assert_close(loss(outputs.expand(2, -1, -1), batches), expected.expand(2))


def weighted(data: Data) -> Data:
    def part(of: Part) -> Part:
        return replace(of, weight=torch.linspace(0, 2, len(of)))

    return replace(data, train=part(data.train), val=part(data.val), test=part(data.test))


@pytest.mark.parametrize("kind", [losses.CrossEntropy, losses.BinaryCrossEntropy])
@pytest.mark.parametrize("class_weight", [None, [1.0, 2.0, 0.5]])
def test_every_engine_trains_with_the_weights(iris, kind, class_weight):
    def loss(task: Task) -> losses.Loss:
        return kind(task, class_weight=class_weight)

    def trained(engine: str, data: Data) -> Any:
        t = training(data, loss=loss, max_epochs=3, engine=engine)
        assert fit(t).engine.startswith(
            {"plain": "ordinary", "replay": "replayed"}.get(engine, engine)
        )
        return t

    plain = trained("plain", weighted(iris))
    for engine in ("replay", "native"):
        other = trained(engine, weighted(iris))
        for a, b in zip(plain.model.parameters(), other.model.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert other.history[-1] == pytest.approx(plain.history[-1], rel=1e-4)
    without = trained("plain", iris)
    assert without.history[-1]["val_loss"] != pytest.approx(plain.history[-1]["val_loss"], rel=1e-4)


def test_diagnostics_of_a_weighted_training_know_its_weights_and_rows_without(iris):
    t = training(weighted(iris))
    for part in (t.data.train, iris.train):
        assert len(observe(t.model, t.loss, part)) == 3


def file(folder: Path, weights: list[Any], name: str = "data.csv") -> str:
    rows = {"x": RNG.normal(size=len(weights)), "y": ["a", "b"] * (len(weights) // 2), "w": weights}
    pd.DataFrame(rows).to_csv(folder / name, index=False)
    return str(folder / name)


def test_weights_are_no_feature_and_have_mean_one_over_the_training_rows(tmp_path):
    weights = [3.0, 0.0, 1.0, 2.0] * 10
    path = file(tmp_path, weights)
    test = file(tmp_path, [5, 1, 1, 1], "test.csv")
    data = prepare(tabular.csv(path, "y", weight="w", test_path=test))
    assert data.preprocessing.features == ("x",)
    assert data.train.weight is not None
    assert data.test.weight is not None
    assert data.train.weight.mean().item() == pytest.approx(1)
    ratio = data.test.weight / data.test.weight[1]
    assert ratio.tolist() == pytest.approx([5, 1, 1, 1])
    assert prepare(tabular.csv(path, "y")).train.weight is None


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1, -2] * 10, "row 3: the weight 'w' is -2; expected a number of at least 0"),
        ([1, None] * 10, "row 3: the weight 'w' is missing"),
        ([0] * 20, "the weight 'w' is 0 in every row"),
        (["x", 1] * 10, "row 2, column 'w'"),
    ],
)
def test_weights_that_are_none(tmp_path, weights, said):
    with pytest.raises(UsageError) as error:
        tabular.csv(file(tmp_path, weights), "y", weight="w")
    assert said in str(error.value)


def test_a_part_without_any_weight_is_told(tmp_path):
    path = file(tmp_path, [1] * 20)
    test = file(tmp_path, [0, 1], "test.csv")
    table = tabular.csv(path, "y", weight="w", test_path=test)
    assert table.weights is not None
    table.weights[-1] = 0
    with pytest.raises(UsageError, match="all rows of a part have weight 0"):
        prepare(table)
