"""Losses are torch's, as mean and as sum over the batch."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional as F

from exprun.common.errors import UsageError
from exprun.data.task import Task
from exprun.techniques import losses

THREE = Task(("class",), ("a", "b", "c"))
TWO = Task(("class",), ("no", "yes"))
NUMBERS = Task(("height", "weight"))
REDUCTIONS = pytest.mark.parametrize("reduction", ["mean", "sum"])


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


OUTPUTS = random(7, 3)
IDS = torch.tensor([0, 1, 2, 2, 1, 0, 2])


@REDUCTIONS
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_torchs(reduction, smoothing):
    loss = losses.CrossEntropy(THREE, reduction)
    loss.label_smoothing = smoothing
    expected = nn.CrossEntropyLoss(reduction=reduction, label_smoothing=smoothing)(OUTPUTS, IDS)
    torch.testing.assert_close(loss(OUTPUTS, loss.encode(IDS)), expected)


@REDUCTIONS
@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        (losses.SquaredError, nn.MSELoss),
        (losses.AbsoluteError, nn.L1Loss),
        (partial(losses.Huber, delta=1.0), nn.HuberLoss),
        (partial(losses.Huber, delta=0.3), partial(nn.HuberLoss, delta=0.3)),
    ],
)
@pytest.mark.parametrize("task", [NUMBERS, THREE], ids=["numbers", "one-hot classes"])
def test_elementwise_losses_are_torchs_averaged_over_the_outputs(ours, torchs, task, reduction):
    loss = ours(task, reduction)
    outputs = random(7, task.width)
    targets = IDS if task.classes else 2 * random(7, 2) + 1
    encoded = F.one_hot(IDS, 3).float() if task.classes else targets
    rows = 7 if reduction == "sum" else 1
    torch.testing.assert_close(
        loss(outputs, loss.encode(targets)), rows * torchs()(outputs, encoded)
    )


@REDUCTIONS
def test_poisson_is_torchs_averaged_over_the_outputs(reduction):
    loss = losses.Poisson(NUMBERS, reduction)
    outputs, counts = random(7, 2), torch.arange(14.0).view(7, 2)
    rows = 7 if reduction == "sum" else 1
    torch.testing.assert_close(
        loss(outputs, loss.encode(counts)), rows * nn.PoissonNLLLoss()(outputs, counts)
    )


def test_poisson_refuses_classes():
    with pytest.raises(UsageError, match="loss=poisson: expected counts"):
        losses.Poisson(THREE)


@REDUCTIONS
def test_bce_sums_over_the_outputs_as_nielsen_does(reduction):
    """-Σⱼ [yⱼ ln aⱼ + (1 - yⱼ) ln(1 - aⱼ)] with a = σ(z), y one-hot."""
    loss = losses.BinaryCrossEntropy(THREE, reduction)
    a, y = OUTPUTS.sigmoid(), F.one_hot(IDS, 3)
    rows = -(y * a.log() + (1 - y) * (1 - a).log()).sum(1)
    torch.testing.assert_close(
        loss(OUTPUTS, loss.encode(IDS)), rows.mean() if reduction == "mean" else rows.sum()
    )


@REDUCTIONS
def test_bce_of_two_classes_is_torchs_with_one_output(reduction):
    loss = losses.BinaryCrossEntropy(TWO, reduction)
    outputs, ids = random(6, 1), torch.tensor([0, 1, 1, 0, 1, 0])
    assert loss.outputs == 1
    expected = nn.BCEWithLogitsLoss(reduction=reduction)(outputs[:, 0], ids.float())
    torch.testing.assert_close(loss(outputs, loss.encode(ids)), expected)


def test_bce_of_two_classes_is_the_cross_entropy_of_logits_zero_and_z():
    z, ids = random(6, 1), torch.tensor([0, 1, 1, 0, 1, 0])
    one, two = losses.BinaryCrossEntropy(TWO), losses.CrossEntropy(TWO)
    torch.testing.assert_close(
        one(z, one.encode(ids)), two(torch.cat([torch.zeros_like(z), z], 1), two.encode(ids))
    )


@pytest.mark.parametrize("smoothing", [0.1, 0.4])
def test_label_smoothing_of_bce_softens_the_one_hot_targets(smoothing):
    loss = losses.BinaryCrossEntropy(THREE)
    loss.label_smoothing = smoothing
    soft = F.one_hot(IDS, 3) * (1 - smoothing) + smoothing / 3
    expected = F.binary_cross_entropy_with_logits(OUTPUTS, soft, reduction="sum") / 7
    torch.testing.assert_close(loss(OUTPUTS, loss.encode(IDS)), expected)


@REDUCTIONS
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    ("cls", "task", "outputs", "ids"),
    [
        (losses.CrossEntropy, THREE, OUTPUTS, IDS),
        (losses.BinaryCrossEntropy, THREE, OUTPUTS, IDS),
        (losses.BinaryCrossEntropy, TWO, random(7, 1), IDS.clamp(max=1)),
    ],
)
def test_class_weights_multiply_the_rows(cls, task, outputs, ids, smoothing, reduction):
    weights = [0.5, 3.0, 1.25][: task.width]
    loss = cls(task, reduction, class_weight=weights)
    loss.label_smoothing = smoothing
    rows = loss.rows(outputs, loss.encode(ids), smoothing) * torch.tensor(weights)[ids]
    expected = rows.mean() if reduction == "mean" else rows.sum()
    torch.testing.assert_close(loss(outputs, loss.encode(ids)), expected)


def test_weighted_sums_are_torchs():
    weights = [0.5, 3.0, 1.25]
    loss = losses.CrossEntropy(THREE, "sum", class_weight=weights)
    expected = F.cross_entropy(OUTPUTS, IDS, weight=torch.tensor(weights), reduction="sum")
    torch.testing.assert_close(loss(OUTPUTS, IDS), expected)


def test_balanced_class_weights_are_sklearns():
    y = torch.tensor([0] * 7 + [1] * 2 + [2] * 41)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y.numpy())
    assert losses.balanced(y, 3) == pytest.approx(expected.tolist())


def test_as_many_class_weights_as_classes():
    expected = r"loss.class_weight has 2 values for 3 classes; expected .* in the order a, b, c"
    with pytest.raises(UsageError, match=expected):
        losses.auto(THREE, class_weight=[1, 2])


def test_reported_losses_leave_class_weights_out():
    loss = losses.CrossEntropy(THREE, class_weight=[1, 10, 100])
    torch.testing.assert_close(
        loss.rows(OUTPUTS, IDS), F.cross_entropy(OUTPUTS, IDS, reduction="none")
    )


def test_reported_losses_leave_label_smoothing_out():
    loss = losses.CrossEntropy(THREE)
    loss.label_smoothing = 0.3
    expected = F.cross_entropy(OUTPUTS, IDS, reduction="sum")
    torch.testing.assert_close(loss.rows(OUTPUTS, IDS).sum(), expected)
    assert loss(OUTPUTS, IDS).item() != pytest.approx(expected.item() / 7)


@pytest.mark.parametrize(
    ("cls", "task", "outputs", "encoded"),
    [
        (losses.CrossEntropy, THREE, 3, [2, 0]),
        (losses.CrossEntropy, TWO, 2, [1, 0]),
        (losses.BinaryCrossEntropy, THREE, 3, [[0, 0, 1], [1, 0, 0]]),
        (losses.BinaryCrossEntropy, TWO, 1, [[1], [0]]),
        (losses.SquaredError, TWO, 2, [[0, 1], [1, 0]]),
        (losses.SquaredError, NUMBERS, 2, [[1.5, 2.5], [-1, 0]]),
    ],
)
def test_outputs_and_encoded_targets(cls, task, outputs, encoded):
    loss = cls(task)
    ids = torch.tensor([task.width - 1, 0])
    given = ids if task.classes else torch.tensor(encoded)
    assert loss.outputs == outputs
    assert loss.encode(given).tolist() == encoded


@pytest.mark.parametrize(
    ("task", "cls"), [(THREE, losses.CrossEntropy), (NUMBERS, losses.SquaredError)]
)
def test_auto_goes_by_the_task(task, cls):
    assert type(losses.auto(task)) is cls
    assert losses.auto(task, "sum").reduction == "sum"


@pytest.mark.parametrize("cls", [losses.CrossEntropy, losses.BinaryCrossEntropy])
def test_losses_of_classes_refuse_regression(cls):
    with pytest.raises(
        UsageError, match=r"needs classes.*expected loss=mse, mae, huber or poisson"
    ):
        cls(NUMBERS)


@pytest.mark.parametrize("kind", [losses.CrossEntropy, losses.BinaryCrossEntropy])
def test_the_weighted_loss_is_that_of_scikit_learn_times_the_mean_weight(kind):
    """scikit-learn divides by the sum of the weights, ours by the number of rows."""
    outputs, y = random(9, 1), torch.tensor([0, 1, 0, 0, 1, 0, 0, 0, 1])
    if kind is losses.CrossEntropy:
        outputs = torch.cat([torch.zeros(9, 1), outputs], 1)
    loss = kind(TWO, class_weight=[0.5, 4.0])
    p = torch.sigmoid(outputs[:, -1]).double().numpy()
    weights = np.where(y.numpy() == 1, 4.0, 0.5)
    expected = log_loss(y, p, sample_weight=weights) * weights.mean()
    assert loss.weighted(outputs, y).item() == pytest.approx(expected, rel=1e-6)
    assert loss.reported(outputs, y).item() == pytest.approx(log_loss(y, p), rel=1e-6)
    assert loss(outputs, loss.encode(y)).item() == pytest.approx(expected, rel=1e-6)
