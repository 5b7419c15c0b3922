"""Metrics are scikit-learn's, in the target's own unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_poisson_deviance,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

from exprun.data.preprocess import Preprocessing
from exprun.data.scaling import Scaling
from exprun.data.task import Task
from exprun.training import metrics
from exprun.training.prediction import class_ids, probabilities

LEVELS = Task(("level",), ("low", "mid", "high", "top"), ordered=True)


def preprocessing(task: Task, target: Scaling) -> Preprocessing:
    return Preprocessing.identity(("a",), task, target)


def evaluated(*arguments: Any) -> dict[str, float]:
    return {name: value.item() for name, value in metrics.evaluate(*arguments).items()}


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_accuracy_is_sklearns(classes):
    random = torch.Generator().manual_seed(classes)
    outputs = torch.randn(97, classes, generator=random)
    y = torch.randint(classes, (97,), generator=random)
    task = Task(("class",), tuple(map(str, range(classes))))
    measured = evaluated(outputs, y, preprocessing(task, Scaling.identity(0)))
    assert measured == {"accuracy": pytest.approx(accuracy_score(y, outputs.argmax(1)))}


def test_accuracy_of_one_output_for_two_classes():
    outputs, y = torch.tensor([[0.1], [-3.0], [2.0], [-0.1]]), torch.tensor([1, 0, 0, 1])
    two = preprocessing(Task(("class",), ("no", "yes")), Scaling.identity(0))
    assert evaluated(outputs, y, two) == {
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
    measured = evaluated(
        torch.from_numpy(scaling.apply(predicted)),
        torch.from_numpy(scaling.apply(y)),
        preprocessing(task, scaling),
    )
    assert measured == {
        "rmse": pytest.approx(root_mean_squared_error(y, predicted), rel=1e-6),
        "mae": pytest.approx(mean_absolute_error(y, predicted), rel=1e-6),
        "r2": pytest.approx(r2_score(y, predicted), rel=1e-6),
    }


@pytest.mark.parametrize("targets", [1, 3])
def test_figures_of_counts_are_sklearns_for_the_exponentials_of_the_outputs(targets):
    rng = np.random.default_rng(targets)
    mean = rng.uniform(0.1, 30, (60, targets))
    y = rng.poisson(mean).astype(float)
    assert (y == 0).any()
    predicted = mean * rng.uniform(0.5, 2, mean.shape)
    task = Task(tuple("abc"[:targets]))
    measured = evaluated(
        torch.from_numpy(np.log(predicted)),
        torch.from_numpy(y),
        preprocessing(task, Scaling.identity(targets)),
        "exp",
    )
    deviances = [mean_poisson_deviance(y[:, k], predicted[:, k]) for k in range(targets)]
    assert measured == {
        "rmse": pytest.approx(root_mean_squared_error(y, predicted)),
        "mae": pytest.approx(mean_absolute_error(y, predicted)),
        "r2": pytest.approx(r2_score(y, predicted)),
        "poisson_deviance": pytest.approx(np.mean(deviances)),
    }
    assert list(measured) == metrics.names(task, "exp")[1:]


@pytest.mark.parametrize("error", [0.0, 0.5])
@pytest.mark.parametrize("constant", [0.0, 0.1, 7.3])
def test_r2_of_a_constant_target_is_sklearns(constant, error):
    y = np.full((9, 1), constant, dtype=np.float32)
    predicted = y + np.float32(error) * np.linspace(-1, 1, 9, dtype=np.float32)[:, None]
    measured = evaluated(
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
    measured = evaluated(torch.from_numpy(predicted), torch.from_numpy(y), task)
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
    measured = evaluated(torch.rand(2, task.width), y, preprocessing(task, scaling))
    assert ["loss", *measured] == names


# ------------------------------------------------------------------------------ at the end


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_all_figures_of_classes_are_sklearns(classes, activation, ties):
    random = torch.Generator().manual_seed(classes)
    outputs = torch.randn(150, classes, generator=random)
    outputs = outputs.round() if ties else outputs
    y = torch.randint(classes, (150,), generator=random)
    y[y == 0] = torch.where(torch.rand(int((y == 0).sum()), generator=random) < 0.6, 1, 0)
    task = Task(("class",), tuple(map(str, range(classes))))
    measured = metrics.full(outputs, y, preprocessing(task, Scaling.identity(0)), activation)
    shares, predicted = probabilities(outputs, activation).numpy(), outputs.argmax(1)
    scores = shares[:, 1] if classes == 2 else shares
    assert shares.sum(1) == pytest.approx(1)
    assert measured == {
        "accuracy": pytest.approx(accuracy_score(y, predicted)),
        "balanced_accuracy": pytest.approx(balanced_accuracy_score(y, predicted)),
        "macro_f1": pytest.approx(f1_score(y, predicted, average="macro")),
        "roc_auc": pytest.approx(roc_auc_score(y, scores, multi_class="ovr")),
        "log_loss": pytest.approx(log_loss(y, shares)),
    }
    matrix = metrics.confusion(outputs, y, task)
    assert matrix.tolist() == confusion_matrix(y, predicted).tolist()


def test_all_figures_of_one_output_for_two_classes_are_sklearns():
    random = torch.Generator().manual_seed(0)
    outputs = 30 * torch.randn(80, 1, generator=random)  # some probabilities are 0 and 1 exactly
    y = (outputs[:, 0] + 20 * torch.randn(80, generator=random) > 10).long()
    task = Task(("class",), ("no", "yes"))
    measured = metrics.full(outputs, y, preprocessing(task, Scaling.identity(0)), "sigmoid")
    p = outputs[:, 0].double().sigmoid()
    assert measured["roc_auc"] == pytest.approx(roc_auc_score(y, p))
    assert measured["macro_f1"] == pytest.approx(f1_score(y, p > 0.5, average="macro"))
    both = torch.stack([1 - p, p], 1)
    assert measured["log_loss"] == pytest.approx(log_loss(y, both), rel=1e-4)


def test_a_class_that_no_row_has_counts_for_nothing():
    """Two right of three, by hand; class c is neither there nor predicted, d is predicted once."""
    outputs = torch.eye(4)[[0, 1, 3]]
    y = torch.tensor([0, 1, 1])
    task = Task(("class",), tuple("abcd"))
    measured = metrics.full(outputs, y, preprocessing(task, Scaling.identity(0)), "identity")
    assert measured["balanced_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert measured["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert measured["roc_auc"] == pytest.approx((1 + 0.75) / 2)


def test_without_two_classes_there_is_no_roc_auc():
    task = Task(("class",), ("a", "b"))
    measured = metrics.full(
        torch.randn(5, 2),
        torch.zeros(5, dtype=torch.long),
        preprocessing(task, Scaling((), ())),
        "softmax",
    )
    assert "roc_auc" not in measured


def test_several_targets_have_figures_of_their_own():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(40, 2)) * [3, 500]
    predicted = y + rng.normal(size=y.shape) * [1, 90]
    scaling = Scaling.standardize(y)
    measured = metrics.full(
        torch.from_numpy(scaling.apply(predicted)),
        torch.from_numpy(scaling.apply(y)),
        preprocessing(Task(("height", "weight")), scaling),
        "identity",
    )
    for k, name in enumerate(("height", "weight")):
        columns = y[:, k], predicted[:, k]
        assert measured[f"rmse_{name}"] == pytest.approx(root_mean_squared_error(*columns))
        assert measured[f"mae_{name}"] == pytest.approx(mean_absolute_error(*columns))
        assert measured[f"r2_{name}"] == pytest.approx(r2_score(*columns))
    assert measured["rmse"] == pytest.approx(root_mean_squared_error(y, predicted))


@pytest.mark.parametrize(
    ("activation", "outputs", "expected"),
    [
        ("sigmoid", [[0.0]], [0.5, 0.5]),
        ("sigmoid", [[-1.0986123]], [0.75, 0.25]),
        ("sigmoid", [[0.0, 0.0, -1e9]], [0.5, 0.5, 0]),
        ("sigmoid", [[-1e9, -1e9, -1e9]], [1 / 3] * 3),
        ("identity", [[0.9, 0.3, -0.2]], [0.75, 0.25, 0]),
        ("identity", [[-0.1, -0.2]], [0.5, 0.5]),
        ("softmax", [[0.0, 1.0986123]], [0.25, 0.75]),
    ],
)
def test_probabilities_on_paper(activation, outputs, expected):
    shares = probabilities(torch.tensor(outputs), activation)
    assert shares[0].tolist() == pytest.approx(expected)


def test_the_class_of_a_row_is_that_of_the_highest_output():
    assert class_ids(torch.tensor([[0.2, -1, 3], [-3, -1, -2]])).tolist() == [2, 1]
    assert class_ids(torch.tensor([[0.2], [-0.2], [0.0]])).tolist() == [1, 0, 0]


def test_a_thousand_classes_have_sklearns_figures_without_a_table_of_a_million_cells():
    """Few rows of each class, and equal scores."""
    rng = np.random.default_rng(0)
    y = np.concatenate([np.arange(1000), rng.integers(0, 1000, 500)])
    logits = rng.integers(0, 4, size=(1500, 1000)) + 3.0 * (np.arange(1000) == y[:, None])
    task = Task(("class",), tuple(map(str, range(1000))))
    outputs = torch.from_numpy(logits)
    measured = metrics.full(
        outputs, torch.from_numpy(y), preprocessing(task, Scaling.identity(0)), "softmax"
    )
    shares = probabilities(outputs, "softmax").numpy()
    expected = [roc_auc_score(y == k, shares[:, k]) for k in range(1000)]
    assert measured["roc_auc"] == pytest.approx(np.mean(expected), rel=1e-12)
    predicted = class_ids(outputs).numpy()
    assert measured["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, predicted))
    assert measured["macro_f1"] == pytest.approx(f1_score(y, predicted, average="macro"))


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_figures_of_ordered_classes_are_sklearns_for_their_ranks(classes):
    """Also for a part that lacks classes."""
    rng = np.random.default_rng(classes)
    y, predicted = rng.integers(0, classes, 50), rng.integers(0, 4, 50)
    outputs = torch.nn.functional.one_hot(torch.from_numpy(predicted), 4).float()
    measured = metrics.full(
        outputs, torch.from_numpy(y), preprocessing(LEVELS, Scaling.identity(0)), "softmax"
    )
    assert measured["mean_rank_error"] == pytest.approx(mean_absolute_error(y, predicted))
    kappa = cohen_kappa_score(y, predicted, weights="quadratic", labels=range(4))
    assert measured["quadratic_kappa"] == pytest.approx(kappa)
    assert set(metrics.OF_ORDERED_CLASSES) <= measured.keys()


def test_quadratic_kappa_is_missing_if_one_class_is_true_and_predicted_throughout():
    outputs, y = torch.tensor([[0.0, 1, 0, 0]]).expand(5, 4), torch.ones(5, dtype=torch.int64)
    measured = metrics.full(outputs, y, preprocessing(LEVELS, Scaling.identity(0)), "softmax")
    assert measured["mean_rank_error"] == 0
    assert "quadratic_kappa" not in measured
