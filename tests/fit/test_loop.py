"""The training loop against loops written by hand, and from the same seed."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import Tensor, nn
from torch.nn import functional as F

from exprun.common.constants import COMPLETED
from exprun.common.streams import stream
from exprun.fit.learning_curve import Curve
from exprun.fit.loop import fit
from exprun.techniques import losses
from exprun.techniques.schedules import FactorScheduler, exponential
from exprun.training.callbacks import Callback
from exprun.training.training import Training
from tests.fit.epoch_log import CHANGES, STILL, fitted, same

# ------------------------------------------------------------------------------ by hand


@pytest.mark.parametrize("batch_size", [1, 16, None])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_fit_is_a_loop_written_by_hand(iris, make_training, batch_size, reduction):
    training = make_training(
        iris,
        loss=partial(losses.CrossEntropy, reduction=reduction),
        batch_size=batch_size,
        engine="plain",
    )
    twin = copy.deepcopy(training.model)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    order = stream(0, "order")
    x, y = iris.train.x, iris.train.y
    for _ in range(4):
        for rows in torch.randperm(len(x), generator=order).split(batch_size or len(x)):
            optimizer.zero_grad()
            # classes first, as the outputs lie: torch adds up in another order otherwise
            loss = F.cross_entropy(twin(x[rows]).T[None], y[rows][None], reduction="sum")
            (loss / len(rows) if reduction == "mean" else loss).backward()
            optimizer.step()

    assert fit(training).status == COMPLETED
    assert same(training.model.state_dict(), twin.state_dict())
    assert training.iteration == 4 * math.ceil(len(x) / (batch_size or len(x)))


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.Adam, lr=0.01),
        partial(torch.optim.LBFGS, max_iter=4, line_search_fn="strong_wolfe"),
    ],
    ids=["adam", "lbfgs"],
)
def test_regression_is_a_loop_written_by_hand(line, make_training, optimizer):
    training = make_training(line, optimizer=optimizer, batch_size=None, activation="tanh")
    twin = copy.deepcopy(training.model)
    by_hand = optimizer(twin.parameters())
    order = stream(0, "order")
    for _ in range(4):
        rows = torch.randperm(96, generator=order)

        def closure(rows: Tensor = rows) -> Tensor:
            by_hand.zero_grad()
            loss = F.mse_loss(twin(line.train.x[rows]), line.train.y[rows])
            loss.backward()
            return loss

        by_hand.step(closure)
    fit(training)
    for w, expected in zip(training.model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(w, expected, rtol=1e-3, atol=1e-4)


def test_curves_are_sklearns_figures_of_the_weights_after_each_epoch(iris, make_training):
    training, log = fitted(make_training(iris))
    model = copy.deepcopy(training.model).eval()
    for row, state in zip(log.rows, log.states, strict=True):
        model.load_state_dict(state["model"])
        for name, part in [("train", iris.train), ("val", iris.val)]:
            share = model(part.x).detach().double().softmax(1)
            assert row[f"{name}_loss"] == pytest.approx(log_loss(part.y, share), rel=1e-5)
            accuracy = accuracy_score(part.y, share.argmax(1))
            assert row[f"{name}_accuracy"] == pytest.approx(accuracy)
    assert [row["epoch"] for row in log.rows] == [1, 2, 3, 4]
    assert [row["iteration"] for row in log.rows] == [7, 14, 21, 28]
    assert log.iterations == list(range(1, 29))


def test_the_curve_uses_running_averages_and_no_dropout(iris, make_training):
    training, _ = fitted(make_training(iris, norm=nn.BatchNorm1d, dropout=[0.5, 0.5]))
    before = copy.deepcopy(training.state_dict())
    curve = Curve(training, replayed=False)
    assert curve.row() == curve.row()
    assert same(training.state_dict(), before)


def test_without_validation_rows_there_are_no_validation_figures(line, make_training):
    training, log = fitted(make_training(line))
    names = {"epoch", "iteration", "lr", "train_loss", "train_rmse", "train_mae", "train_r2"}
    assert log.rows[0].keys() == names
    assert same(training.kept, training.model.state_dict())
    assert training.kept_row == log.rows[-1]


# ------------------------------------------------------------------------------ batching


@pytest.mark.parametrize(("batch_size", "iterations"), [(None, 1), (96, 1), (1, 96), (50, 2)])
def test_iterations_of_an_epoch(line, make_training, batch_size, iterations):
    training, log = fitted(
        make_training(line, optimizer=STILL, batch_size=batch_size, max_epochs=2)
    )
    assert training.iterations_per_epoch == iterations
    assert training.iteration == len(log.batches) == 2 * iterations


@pytest.mark.parametrize("batch_size", [None, 1, 16, 50])
def test_every_epoch_sees_every_row_once_in_a_new_order(line, make_training, batch_size):
    _, log = fitted(make_training(line, optimizer=STILL, batch_size=batch_size, max_epochs=2))
    seen = torch.cat(log.batches).split(96)
    for epoch in seen:
        assert torch.equal(epoch.sort(0).values, line.train.x.sort(0).values)
    assert not torch.equal(*seen)


@pytest.mark.parametrize("batch_size", [16, 32, None])
def test_sum_with_lr_by_batch_size_is_mean_with_lr(line, make_training, batch_size):
    rows = batch_size or 96
    mean = make_training(line, batch_size=batch_size)
    total = make_training(
        line,
        batch_size=batch_size,
        loss=partial(losses.SquaredError, reduction="sum"),
        optimizer=partial(torch.optim.SGD, lr=0.1 / rows),
    )
    for training in (mean, total):
        fit(training)
    for w, expected in zip(total.model.parameters(), mean.model.parameters(), strict=True):
        torch.testing.assert_close(w, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [5, 19, 95])
def test_a_left_over_row_is_left_out_with_batch_norm(line, make_training, batch_size):
    """96 rows leave one over; every other batch is whole."""
    training, log = fitted(make_training(line, norm=nn.BatchNorm1d, batch_size=batch_size))
    whole = 95 // batch_size
    assert [len(x) for x in log.batches] == [batch_size] * (4 * whole)
    assert [row["iteration"] for row in log.rows] == [whole * e for e in (1, 2, 3, 4)]
    assert training.epoch == 4


@pytest.mark.parametrize("interval", ["epoch", "iteration"])
@pytest.mark.parametrize("warmup_epochs", [0, 2])
def test_a_left_over_row_with_batch_norm_leaves_the_schedule_in_time(
    line, make_training, interval, warmup_epochs
):
    """Halved every epoch; with batches of 95 an epoch is one iteration."""
    scheduler = partial(
        FactorScheduler,
        factor=partial(exponential, gamma=0.5),
        interval=interval,
        warmup_epochs=warmup_epochs,
    )
    _, log = fitted(make_training(line, norm=nn.BatchNorm1d, batch_size=95, scheduler=scheduler))
    climb = [0.5, 1, 1, 1] if warmup_epochs else [1] * 4
    expected = [0.1 * factor * 0.5**t for t, factor in enumerate(climb)]
    assert [row["lr"] for row in log.rows] == pytest.approx(expected)


@pytest.mark.parametrize("change", [{}, *CHANGES.values()], ids=["none", *CHANGES])
def test_same_seed_same_bits(iris, make_training, change):
    first, curves = fitted(make_training(iris, **change))
    torch.rand(1000)  # what others draw from torch's own generator does not matter
    second, again = fitted(make_training(iris, **change))
    assert curves.rows == again.rows
    assert same(first.state_dict(), second.state_dict())


def test_another_seed_is_another_training(iris, make_training):
    _, first = fitted(make_training(iris, seed=0))
    _, second = fitted(make_training(iris, seed=1))
    assert first.rows != second.rows
    assert not torch.equal(first.batches[0], second.batches[0])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_changing_one_technique_leaves_initial_weights_and_batch_order(iris, make_training, change):
    plain, changed = make_training(iris), make_training(iris, **change)
    weights = dict(changed.model.named_parameters())
    for name, w in plain.model.named_parameters():
        assert torch.equal(w, weights[name])
    _, expected = fitted(plain)
    _, log = fitted(changed)
    assert same(log.batches, expected.batches)
    assert log.rows != expected.rows


def test_dropout_masks_are_the_same_for_all_evaluations_of_an_lbfgs_iteration(line, make_training):
    """Else the line search would compare losses of different networks."""
    lbfgs = partial(torch.optim.LBFGS, max_iter=3, line_search_fn="strong_wolfe")
    training = make_training(
        line, optimizer=lbfgs, dropout=[0.5, 0.0], batch_size=None, max_epochs=2
    )
    masks: list[Tensor] = []
    training.model.hidden[0].dropout.register_forward_hook(
        lambda layer, inputs, out: (
            masks.append((out == 0) & (inputs[0] != 0)) if layer.training else None
        )
    )
    epochs = []

    class Ends(Callback):
        def on_epoch(self, training: Training, row: dict[str, float]) -> None:
            epochs.append(len(masks))

    fit(training, [Ends()])
    first, second = masks[: epochs[0]], masks[epochs[0] :]
    assert len(first) > 1
    active = [mask.any() for mask in masks]
    assert all(active)
    assert (first[0] & first[1]).sum() > 0.9 * first[0].sum()
    assert (first[0] & second[0]).sum() < 0.9 * first[0].sum()
