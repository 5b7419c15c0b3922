"""Regularisers against their formulas and torch's own."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from exprun.build import make_optimizer
from exprun.common.errors import UsageError
from exprun.fit.loop import fit
from exprun.techniques import losses
from exprun.techniques.networks import MLP
from exprun.techniques.regularizers import L1, L2, ElasticNet, MaxNorm, WeightDecay

SGD = {"_target_": "torch.optim.SGD", "lr": 0.1}


@pytest.fixture
def model() -> MLP:
    """5-4-4-3 with batch norm and nothing zero."""
    made = MLP(5, 3, hidden=[4, 4], norm=nn.BatchNorm1d)
    random = torch.Generator().manual_seed(2)
    for w in made.parameters():
        w.data.normal_(generator=random)
    return made


def is_weight(name: str) -> bool:
    return name.endswith(("linear.weight", "output.weight"))


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [w for name, w in model.named_parameters() if is_weight(name)]


@pytest.mark.parametrize(
    ("regularizer", "gradient"),
    [
        (L2(3.0), lambda w: 3.0 / 50 * w),
        (L1(0.2), lambda w: 0.2 * w.sign()),
        (ElasticNet(0.2, 0.75), lambda w: 0.2 * (0.75 * w.sign() + 0.25 * w)),
        (ElasticNet(0.2, 0.0), lambda w: 0.2 * w),
    ],
    ids=["l2", "l1", "elastic_net", "elastic_net=l2"],
)
def test_gradient_of_a_penalty_is_on_the_weights_alone(regularizer, gradient, model):
    regularizer.penalty(model, 50).backward()
    for name, w in model.named_parameters():
        if is_weight(name):
            torch.testing.assert_close(w.grad, gradient(w.detach()))
        else:
            assert w.grad is None or not w.grad.any()


def test_gradient_of_l1_with_biases_is_on_all_parameters(model):
    L1(0.2, biases=True).penalty(model, 50).backward()
    for w in model.parameters():
        torch.testing.assert_close(w.grad, 0.2 * w.detach().sign())


def test_penalties_on_paper(model):
    absolute = sum(w.abs().sum() for w in weights(model)).item()
    squares = sum(w.square().sum() for w in weights(model)).item()
    everything = sum(w.abs().sum() for w in model.parameters()).item()
    assert L2(3.0).penalty(model, 50).item() == pytest.approx(3.0 / (2 * 50) * squares)
    assert L1(0.2).penalty(model, 50).item() == pytest.approx(0.2 * absolute)
    assert L1(0.2, biases=True).penalty(model, 50).item() == pytest.approx(0.2 * everything)
    elastic = ElasticNet(0.2, 0.75).penalty(model, 50).item()
    assert elastic == pytest.approx(0.2 * (0.75 * absolute + 0.25 / 2 * squares))


@pytest.mark.parametrize("limit", [0.5, 1.5, 100.0])
def test_max_norm_is_torchs_renorm_of_each_units_incoming_weights(limit, model):
    before = {name: w.detach().clone() for name, w in model.named_parameters()}
    MaxNorm(limit).constrain(model)
    for name, w in model.named_parameters():
        expected = torch.renorm(before[name], 2, 0, limit) if is_weight(name) else before[name]
        torch.testing.assert_close(w.detach(), expected)
    assert all((w.norm(dim=1) <= limit * (1 + 1e-6)).all() for w in weights(model))


@pytest.mark.parametrize("biases", [False, True])
def test_weight_decay_is_the_optimizers_own(biases, model):
    optimizer = make_optimizer(SGD | {"weight_decay": 0.7}, model, [WeightDecay(0.01, biases)])
    decay = {w: g["weight_decay"] for g in optimizer.param_groups for w in g["params"]}
    for name, w in model.named_parameters():
        assert decay[w] == (0.01 if biases or is_weight(name) else 0.0)


@pytest.mark.parametrize("cls", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_weight_decay_with_biases_takes_torchs_steps(cls, iris, make_training):
    node = {"_target_": f"torch.optim.{cls.__name__}", "lr": 0.01}
    ours = make_training(iris)
    ours.optimizer = make_optimizer(node, ours.model, [WeightDecay(0.1, biases=True)])
    torchs = make_training(iris, optimizer=partial(cls, lr=0.01, weight_decay=0.1, fused=True))
    for training in (ours, torchs):
        fit(training)
    for w, expected in zip(ours.model.parameters(), torchs.model.parameters(), strict=True):
        assert torch.equal(w, expected)


def test_weight_decay_of_an_optimizer_without_it_is_refused(model):
    with pytest.raises(UsageError, match=r"reg=weight_decay.*LBFGS has no weight_decay.*reg=l2"):
        make_optimizer({"_target_": "torch.optim.LBFGS"}, model, [WeightDecay(0.1)])


@pytest.mark.parametrize("strength", [1.0, 50.0])
def test_l2_is_weight_decay_of_strength_by_m_for_gradient_descent(strength, iris, make_training):
    m = len(iris.train)
    l2 = make_training(iris, regularizers=[L2(strength)])
    decayed = make_training(iris)
    decayed.optimizer = make_optimizer(SGD, decayed.model, [WeightDecay(strength / m)])
    plain = make_training(iris)
    for training in (l2, decayed, plain):
        fit(training)
    for w, expected, free in zip(
        *(t.model.parameters() for t in (l2, decayed, plain)), strict=True
    ):
        torch.testing.assert_close(w, expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(w, free, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("optimizer", "factor"),
    [
        (partial(torch.optim.SGD, lr=0.1), 1 - 0.1 * 5.0 / 96),
        (partial(torch.optim.SGD, lr=0.5), 1 - 0.5 * 5.0 / 96),
    ],
)
def test_l2_shrinks_the_weights_as_on_the_slide(optimizer, factor, line, make_training):
    """One iteration over all m = 96 rows: w becomes (1 - lr λ/m) w - lr g."""
    options = {"optimizer": optimizer, "batch_size": None, "max_epochs": 1}
    start = make_training(line, **options).model
    plain = make_training(line, **options)
    l2 = make_training(line, regularizers=[L2(5.0)], **options)
    fit(plain)
    fit(l2)
    for w, free, before in zip(*map(weights, (l2.model, plain.model, start)), strict=True):
        torch.testing.assert_close(w, free - (1 - factor) * before)


def test_max_norm_holds_after_every_iteration(iris, make_training):
    training = make_training(iris, regularizers=[MaxNorm(0.4)])
    fit(training)
    norms = torch.cat([w.norm(dim=1) for w in weights(training.model)])
    assert norms.max().item() == pytest.approx(0.4)


def test_curves_leave_penalties_out(iris, make_training):
    """With a learning rate of 0, the loss of the curve is that of the initial weights."""
    still = partial(torch.optim.SGD, lr=0.0)
    bare = make_training(iris, optimizer=still)
    penalised = make_training(iris, optimizer=still, regularizers=[L1(1.0), L2(9.0)])
    for training in (bare, penalised):
        fit(training)
    assert penalised.kept_row == bare.kept_row


def test_label_smoothing_acts_on_training_and_not_on_the_curves(iris, make_training):
    smoothed = make_training(iris, optimizer=partial(torch.optim.SGD, lr=0.0))
    bare = make_training(iris, optimizer=partial(torch.optim.SGD, lr=0.0))
    smoothed.loss.label_smoothing = 0.5
    for training in (bare, smoothed):
        fit(training)
    assert isinstance(smoothed.loss, losses.CrossEntropy)
    assert smoothed.kept_row == bare.kept_row
    moved = make_training(iris)
    moved.loss.label_smoothing = 0.5
    plain = make_training(iris)
    for training in (moved, plain):
        fit(training)
    assert not torch.equal(moved.model.output.weight, plain.model.output.weight)
