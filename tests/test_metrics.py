"""Metrics are scikit-learn's, in the target's own unit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)

from exprun import metrics
from exprun.data.preprocess import Preprocessing
from exprun.data.scaling import Scaling
from exprun.data.task import Task


def preprocessing(task: Task, target: Scaling) -> Preprocessing:
    return Preprocessing.identity(("a",), task, target)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_accuracy_is_sklearns(classes):
    random = torch.Generator().manual_seed(classes)
    outputs = torch.randn(97, classes, generator=random)
    y = torch.randint(classes, (97,), generator=random)
    task = Task(("class",), tuple(map(str, range(classes))))
    measured = metrics.evaluate(outputs, y, preprocessing(task, Scaling.identity(0)))
    assert measured == {"accuracy": pytest.approx(accuracy_score(y, outputs.argmax(1)))}


def test_accuracy_of_one_output_for_two_classes():
    outputs, y = torch.tensor([[0.1], [-3.0], [2.0], [-0.1]]), torch.tensor([1, 0, 0, 1])
    two = preprocessing(Task(("class",), ("no", "yes")), Scaling.identity(0))
    assert metrics.evaluate(outputs, y, two) == {
        "accuracy": accuracy_score(y, outputs[:, 0].sigmoid() > 0.5)
    }


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("standardized", [True, False])
def test_regression_is_sklearns_in_the_targets_own_unit(targets, standardized):
    rng = np.random.default_rng(targets)
    y = rng.normal(size=(60, targets)) * [[70.0, 1e-3, 5e4][:targets]] + 150
    predicted = y + rng.normal(size=y.shape) * y.std(0) * 0.4
    scaling = Scaling.standardize(y[:40]) if standardized else Scaling.identity(targets)
    task = Task(tuple("abc"[:targets]))
    measured = metrics.evaluate(
        torch.from_numpy(scaling.apply(predicted)),
        torch.from_numpy(scaling.apply(y)),
        preprocessing(task, scaling),
    )
    assert measured == {
        "rmse": pytest.approx(root_mean_squared_error(y, predicted), rel=1e-6),
        "mae": pytest.approx(mean_absolute_error(y, predicted), rel=1e-6),
        "r2": pytest.approx(r2_score(y, predicted), rel=1e-6),
    }


@pytest.mark.parametrize("error", [0.0, 0.5])
@pytest.mark.parametrize("constant", [0.0, 0.1, 7.3])
def test_r2_of_a_constant_target_is_sklearns(constant, error):
    y = np.full((9, 1), constant, dtype=np.float32)
    predicted = y + np.float32(error) * np.linspace(-1, 1, 9, dtype=np.float32)[:, None]
    measured = metrics.evaluate(
        torch.from_numpy(predicted),
        torch.from_numpy(y),
        preprocessing(Task(("a",)), Scaling.identity(1)),
    )
    expected = r2_score(y.astype(float), predicted.astype(float))
    assert measured["r2"] == expected == (0.0 if error else 1.0)


def test_r2_averages_over_constant_and_other_targets_as_sklearn_does():
    rng = np.random.default_rng(0)
    y = np.column_stack([np.full(30, 2.0), rng.normal(size=30)])
    predicted = y + 0.1 * rng.normal(size=y.shape)
    task = preprocessing(Task(("a", "b")), Scaling.identity(2))
    measured = metrics.evaluate(torch.from_numpy(predicted), torch.from_numpy(y), task)
    assert measured["r2"] == pytest.approx(r2_score(y, predicted))


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (Task(("class",), ("a", "b")), ["loss", "accuracy"]),
        (Task(("height",)), ["loss", "rmse", "mae", "r2"]),
    ],
)
def test_names_are_what_is_measured(task, names):
    assert metrics.names(task) == names
    scaling = Scaling.identity(0 if task.classes else 1)
    y = torch.tensor([0, 1]) if task.classes else torch.tensor([[0.0], [1.0]])
    measured = metrics.evaluate(torch.rand(2, task.width), y, preprocessing(task, scaling))
    assert ["loss", *measured] == names
