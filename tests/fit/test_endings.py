"""How a training ends: stopped early, interrupted and resumed, diverged."""

from __future__ import annotations

import copy
import math
import re
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from exprun.common.constants import COMPLETED, DIVERGED, EARLY_STOPPED, INTERRUPTED
from exprun.data import bundled
from exprun.data.prepare import prepare
from exprun.fit.learning_curve import evaluate
from exprun.fit.loop import fit
from exprun.techniques import losses
from exprun.techniques.optimizers import Momentum
from exprun.techniques.schedules import FactorScheduler, TorchScheduler, cosine
from exprun.techniques.stopping import Stopping
from exprun.training.training import Training
from tests.fit.epoch_log import CHANGES, EpochLog, constant_data, fitted, same

# ------------------------------------------------------------------------------ early stopping


def test_early_stopping_keeps_the_best_epochs_weights(iris, make_training):
    """A learning rate that makes the validation loss jump about."""
    training = make_training(
        iris,
        optimizer=partial(torch.optim.SGD, lr=0.7),
        stopping=Stopping(patience=3),
        max_epochs=200,
    )
    log = EpochLog()
    outcome = fit(training, [log])
    val = [row["val_loss"] for row in log.rows]
    best = val.index(min(val))
    assert (outcome.status, training.epoch) == (EARLY_STOPPED, best + 4)
    assert outcome.reason == "val_loss has not improved for 3 epochs"
    assert training.stopping.best_epoch == training.kept_row["epoch"] == best + 1
    assert same(training.kept, log.states[best]["model"])
    assert not same(training.kept, training.model.state_dict())


# ------------------------------------------------------------------------------ interrupted


def interrupted_in_epoch_three(training: Training) -> EpochLog:
    """Epochs have 7 iterations; after 3 of the third epoch somebody presses Ctrl-C."""
    log = EpochLog()
    outcome = fit(training, [log], lambda: len(log.iterations) == 17)
    assert outcome.status == INTERRUPTED
    assert "epoch 3" in outcome.reason
    return log


def test_an_interrupted_epoch_counts_as_not_begun(iris, make_training):
    training = make_training(iris)
    log = interrupted_in_epoch_three(training)
    assert (training.epoch, training.iteration, len(log.rows)) == (2, 14, 2)
    assert training.kept_row == log.rows[-1]
    assert same(training.kept, log.states[-1]["model"])


def test_an_interrupted_training_is_at_its_last_finished_epoch(iris, make_training):
    training = make_training(iris, dropout=[0.2, 0.2], optimizer=partial(Momentum, lr=0.1))
    log = interrupted_in_epoch_three(training)
    assert same(training.state_dict(), log.states[-1])


def test_an_interrupted_training_goes_on_exactly(iris, make_training):
    whole, expected = fitted(make_training(iris))
    log = interrupted_in_epoch_three(make_training(iris))
    resumed = make_training(iris)
    resumed.load_state_dict(log.states[-1])
    _, rest = fitted(resumed)
    assert log.rows + rest.rows == expected.rows
    assert same(resumed.state_dict(), whole.state_dict())


# ------------------------------------------------------------------------------ resumed


def plateau(optimizer: torch.optim.Optimizer) -> TorchScheduler:
    twin = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.2)
    return TorchScheduler(optimizer, twin, warmup_epochs=2)


RESUMED = CHANGES | {
    "sgd": {},
    "torch's momentum": {"optimizer": partial(torch.optim.SGD, lr=0.05, momentum=0.9)},
    "rmsprop": {"optimizer": partial(torch.optim.RMSprop, lr=0.01)},
    "lbfgs": {"optimizer": partial(torch.optim.LBFGS, max_iter=4, line_search_fn="strong_wolfe")},
    "lbfgs and dropout": {
        "optimizer": partial(torch.optim.LBFGS, max_iter=3),
        "dropout": [0.2, 0.2],
    },
    "batch norm and dropout": {"norm": nn.BatchNorm1d, "dropout": [0.3, 0.1]},
    "plateau": {"scheduler": plateau},
    "warm-up": {
        "scheduler": partial(
            FactorScheduler, factor=partial(cosine, epochs=6, min_factor=0), warmup_epochs=3.5
        )
    },
}


@pytest.mark.parametrize("options", RESUMED.values(), ids=RESUMED)
@pytest.mark.parametrize("saved_after", [1, 4])
def test_a_resumed_training_ends_equal_to_the_last_bit(
    iris, make_training, options, saved_after, tmp_path
):
    def make() -> Training:
        return make_training(iris, **(options | {"max_epochs": 6, "stopping": Stopping()}))

    whole, expected = fitted(make())
    torch.save(expected.states[saved_after - 1], tmp_path / "last.pt")
    resumed = make()
    resumed.load_state_dict(torch.load(tmp_path / "last.pt", weights_only=True))
    _, rest = fitted(resumed)
    assert rest.rows == expected.rows[saved_after:]
    assert same(resumed.state_dict(), whole.state_dict())


@pytest.mark.parametrize("saved_before_the_end", [0, 1, 2])
def test_resuming_stops_where_early_stopping_did(iris, make_training, saved_before_the_end):
    def make() -> Training:
        stopping = Stopping(patience=3)
        steep = partial(torch.optim.SGD, lr=0.7)
        return make_training(
            iris, optimizer=steep, stopping=stopping, max_epochs=200, engine="plain"
        )

    whole, expected = fitted(make())
    assert whole.epoch < 200
    resumed = make()
    resumed.load_state_dict(expected.states[-1 - saved_before_the_end])
    assert fit(resumed).status == EARLY_STOPPED
    assert resumed.epoch == whole.epoch
    assert same(resumed.state_dict(), whole.state_dict())


def test_a_finished_training_has_nothing_left_to_do(iris, make_training):
    training, _ = fitted(make_training(iris))
    before = copy.deepcopy(training.state_dict())
    assert fit(training).status == COMPLETED
    assert same(training.state_dict(), before)


# ------------------------------------------------------------------------------ divergence


class ZeroTimesInfinity(losses.SquaredError):
    """Loss 0 whatever the outputs, with a gradient that is not a number: the root of 0."""

    def elements(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs * 0).sqrt()


@pytest.mark.parametrize("batch_size", [16, None])
@pytest.mark.parametrize("norm", [None, nn.BatchNorm1d], ids=["plain", "batch norm"])
@pytest.mark.parametrize(
    "optimizer", [torch.optim.SGD, Momentum, torch.optim.Adam, torch.optim.LBFGS]
)
def test_a_learning_rate_far_too_high_diverges_at_once(
    iris, make_training, batch_size, norm, optimizer
):
    training = make_training(
        iris,
        optimizer=partial(optimizer, lr=1e30),
        loss=losses.SquaredError,
        batch_size=batch_size,
        norm=norm,
    )
    outcome = fit(training)
    assert outcome.status == DIVERGED
    assert outcome.reason.startswith("diverged in epoch 1, iteration ")
    assert training.iteration <= 3
    assert re.search("(hidden|output).* not finite|finite, though the .*output", outcome.reason)


def test_divergence_on_paper(make_training):
    """w ← w - 2 lr (w - 0) = -1999 w for f = w², lr = 1000: (1999^n)² overflows at n = 6."""
    training = make_training(
        constant_data([[1.0]], [[0.0]]),
        hidden=[],
        optimizer=partial(torch.optim.SGD, lr=500.0),
        batch_size=None,
        max_epochs=50,
    )
    with torch.no_grad():
        training.model.output.weight.fill_(1.0)
        training.model.output.bias.zero_()
    outcome = fit(training)
    steps = math.ceil(math.log(torch.finfo(torch.float32).max) / 2 / math.log(1999))
    assert outcome.status == DIVERGED
    assert f"diverged in epoch {steps}, iteration {steps}" in outcome.reason
    assert re.search("the loss is not finite, though the outputs? of .*output", outcome.reason)


def test_overflow_in_the_forward_pass_names_its_first_layer(make_training):
    training = make_training(constant_data([[1.0, 1.0]] * 4, [[0.0]] * 4), batch_size=2)
    with torch.no_grad():
        training.model.hidden[1].linear.weight.fill_(3e38)
        training.model.hidden[0].linear.weight.fill_(1.0)
    outcome = fit(training)
    assert outcome.status == DIVERGED
    words = r"diverged in epoch 1, iteration 1: the outputs? of .*hidden.* 2 .*not finite"
    assert re.fullmatch(words, outcome.reason)
    assert training.epoch == 0


@pytest.mark.parametrize(
    ("batch_size", "max_epochs"), [(4, 4), (2, 4), (None, 1), (None, 4)], ids=str
)
def test_a_gradient_that_is_not_finite_names_its_iteration(make_training, batch_size, max_epochs):
    """The loss itself is 0, and the first iteration's gradient is not a number."""
    training = make_training(
        constant_data([[1.0], [2.0], [3.0], [4.0]], [[0.0]] * 4),
        loss=ZeroTimesInfinity,
        batch_size=batch_size,
        max_epochs=max_epochs,
    )
    outcome = fit(training)
    assert outcome.status == DIVERGED
    words = "diverged in epoch 1, iteration 1: the gradient of .*output.* is not finite"
    assert re.fullmatch(words, outcome.reason)


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_a_gradient_that_overflows_behind_a_saturated_activation_is_divergence(
    make_training, activation
):
    """Four rows' gradients of 3e38 are infinite together; the weight becomes minus infinity, the
    unit says 0 (sigmoid and relu of minus infinity) and the loss goes on being finite."""
    training = make_training(
        constant_data([[1e38]] * 4, [[-1e5]] * 4),
        hidden=[1],
        activation=activation,
        loss=partial(losses.SquaredError, reduction="sum"),
        optimizer=partial(torch.optim.SGD, lr=1e-5),
        batch_size=None,
    )
    with torch.no_grad():
        training.model.hidden[0].linear.weight.zero_()
        training.model.hidden[0].linear.bias.fill_(0.1)
        training.model.output.weight.fill_(1.0)
        training.model.output.bias.zero_()
    outcome = fit(training)
    assert outcome.status == DIVERGED
    words = "diverged in epoch 1, iteration 1: the gradient of .*hidden.* 1 is not finite"
    assert re.fullmatch(words, outcome.reason)


def test_divergence_keeps_the_best_weights_before_it(iris, make_training):
    """The learning rate explodes in the third epoch."""
    scheduler = partial(FactorScheduler, factor=lambda t: 1.0 if t < 2 else 1e30)
    training = make_training(iris, scheduler=scheduler, loss=losses.SquaredError)
    log = EpochLog()
    outcome = fit(training, [log])
    assert outcome.status == DIVERGED
    assert "epoch 3" in outcome.reason
    assert training.epoch == len(log.rows) == 2
    assert all(w.isfinite().all() for w in training.kept.values())
    assert same(training.kept, log.states[training.stopping.best_epoch - 1]["model"])


def test_divergence_leaves_no_epoch_of_numbers_that_are_not_finite(iris, make_training):
    steep = partial(torch.optim.SGD, lr=1e30)
    _, log = fitted(make_training(iris, optimizer=steep, loss=losses.SquaredError))
    assert all(math.isfinite(value) for row in log.rows for value in row.values())


def test_a_real_data_set_is_learnt(make_training):
    """Linear regression by gradient descent reaches the least-squares loss."""
    data = prepare(bundled.diabetes(), standardize_target=True)
    training = make_training(data, hidden=[], batch_size=None, max_epochs=3000)
    fit(training)
    x = torch.cat([data.train.x, torch.ones(len(data.train), 1)], 1).double()
    y = data.train.y.double()
    least = (x @ torch.linalg.lstsq(x, y).solution - y).square().mean().item()
    assert evaluate(training, data.train)["loss"].item() == pytest.approx(least, rel=1e-3)
