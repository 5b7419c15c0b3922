"""The training loop: against loops written by hand, from the same seed, resumed, and diverging."""

from __future__ import annotations

import copy
import math
import re
from functools import partial

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch import Tensor, nn
from torch.nn import functional as F

from exprun.common.constants import COMPLETED, DIVERGED, EARLY_STOPPED, INTERRUPTED
from exprun.common.streams import stream
from exprun.data import bundled
from exprun.data.prepare import Data, Part, prepare
from exprun.data.preprocess import Preprocessing
from exprun.data.scaling import Scaling
from exprun.data.task import Task
from exprun.fit.learning_curve import Curve, evaluate
from exprun.fit.loop import fit
from exprun.techniques import losses
from exprun.techniques.optimizers import Momentum
from exprun.techniques.schedules import FactorScheduler, TorchScheduler, cosine, exponential
from exprun.techniques.stopping import Stopping
from exprun.training.callbacks import Callback
from exprun.training.training import Training

STILL = partial(torch.optim.SGD, lr=0.0)


class Diary(Callback):
    """Writes down the curves, every finished epoch's whole state, and every batch's inputs."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.states: list[dict] = []
        self.batches: list[Tensor] = []
        self.iterations: list[int] = []

    def on_start(self, training: Training) -> None:
        training.model.register_forward_pre_hook(self._see)

    def _see(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if model.training:
            self.batches.append(inputs[0].clone())

    def on_iteration(self, training: Training, iteration: int) -> None:
        self.iterations.append(iteration)

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        self.rows.append(row)
        self.states.append(copy.deepcopy(training.state_dict()))


def fitted(training: Training) -> tuple[Training, Diary]:
    diary = Diary()
    fit(training, [diary])
    return training, diary


def same(a: object, b: object) -> bool:
    """Equal to the last bit, through dicts, lists and tensors."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def constant_data(x: list[list[float]], y: list[list[float]]) -> Data:
    """These rows and numbers to train on, as they are."""
    part, none = Part(torch.tensor(x), torch.tensor(y)), Part(torch.empty(0), torch.empty(0))
    width = len(x[0])
    names = tuple(f"x{i}" for i in range(width))
    preprocessing = Preprocessing.identity(names, Task(("y",)), Scaling.identity(1))
    return Data("constant", part, none, none, preprocessing)


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
    training, diary = fitted(make_training(iris))
    model = copy.deepcopy(training.model).eval()
    for row, state in zip(diary.rows, diary.states, strict=True):
        model.load_state_dict(state["model"])
        for name, part in [("train", iris.train), ("val", iris.val)]:
            share = model(part.x).detach().double().softmax(1)
            assert row[f"{name}_loss"] == pytest.approx(log_loss(part.y, share), rel=1e-5)
            accuracy = accuracy_score(part.y, share.argmax(1))
            assert row[f"{name}_accuracy"] == pytest.approx(accuracy)
    assert [row["epoch"] for row in diary.rows] == [1, 2, 3, 4]
    assert [row["iteration"] for row in diary.rows] == [7, 14, 21, 28]
    assert diary.iterations == list(range(1, 29))


def test_the_curve_uses_running_averages_and_no_dropout(iris, make_training):
    training, _ = fitted(make_training(iris, norm=nn.BatchNorm1d, dropout=[0.5, 0.5]))
    before = copy.deepcopy(training.state_dict())
    curve = Curve(training, replayed=False)
    assert curve.row() == curve.row()
    assert same(training.state_dict(), before)


def test_without_validation_rows_there_are_no_validation_figures(line, make_training):
    training, diary = fitted(make_training(line))
    names = {"epoch", "iteration", "lr", "train_loss", "train_rmse", "train_mae", "train_r2"}
    assert diary.rows[0].keys() == names
    assert same(training.kept, training.model.state_dict())
    assert training.kept_row == diary.rows[-1]


# ------------------------------------------------------------------------------ batching


@pytest.mark.parametrize(("batch_size", "iterations"), [(None, 1), (96, 1), (1, 96), (50, 2)])
def test_iterations_of_an_epoch(line, make_training, batch_size, iterations):
    training, diary = fitted(
        make_training(line, optimizer=STILL, batch_size=batch_size, max_epochs=2)
    )
    assert training.iterations_per_epoch == iterations
    assert training.iteration == len(diary.batches) == 2 * iterations


@pytest.mark.parametrize("batch_size", [None, 1, 16, 50])
def test_every_epoch_sees_every_row_once_in_a_new_order(line, make_training, batch_size):
    _, diary = fitted(make_training(line, optimizer=STILL, batch_size=batch_size, max_epochs=2))
    seen = torch.cat(diary.batches).split(96)
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
    training, diary = fitted(make_training(line, norm=nn.BatchNorm1d, batch_size=batch_size))
    whole = 95 // batch_size
    assert [len(x) for x in diary.batches] == [batch_size] * (4 * whole)
    assert [row["iteration"] for row in diary.rows] == [whole * e for e in (1, 2, 3, 4)]
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
    _, diary = fitted(make_training(line, norm=nn.BatchNorm1d, batch_size=95, scheduler=scheduler))
    climb = [0.5, 1, 1, 1] if warmup_epochs else [1] * 4
    expected = [0.1 * factor * 0.5**t for t, factor in enumerate(climb)]
    assert [row["lr"] for row in diary.rows] == pytest.approx(expected)


# ------------------------------------------------------------------------------ streams

CHANGES = {
    "dropout": {"dropout": [0.5, 0.5]},
    "momentum": {"optimizer": partial(Momentum, lr=0.1)},
    "adam": {"optimizer": partial(torch.optim.Adam, lr=0.01)},
    "batch norm": {"norm": nn.BatchNorm1d},
    "schedule": {"scheduler": partial(FactorScheduler, factor=partial(exponential, gamma=0.5))},
    "loss": {"loss": losses.BinaryCrossEntropy},
}


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
    _, diary = fitted(changed)
    assert same(diary.batches, expected.batches)
    assert diary.rows != expected.rows


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


# ------------------------------------------------------------------------------ early stopping


def test_early_stopping_keeps_the_best_epochs_weights(iris, make_training):
    """A learning rate that makes the validation loss jump about."""
    training = make_training(
        iris,
        optimizer=partial(torch.optim.SGD, lr=0.7),
        stopping=Stopping(patience=3),
        max_epochs=200,
    )
    diary = Diary()
    outcome = fit(training, [diary])
    val = [row["val_loss"] for row in diary.rows]
    best = val.index(min(val))
    assert (outcome.status, training.epoch) == (EARLY_STOPPED, best + 4)
    assert outcome.reason == "val_loss has not improved for 3 epochs"
    assert training.stopping.best_epoch == training.kept_row["epoch"] == best + 1
    assert same(training.kept, diary.states[best]["model"])
    assert not same(training.kept, training.model.state_dict())


# ------------------------------------------------------------------------------ interrupted


def interrupted_in_epoch_three(training: Training) -> Diary:
    """Epochs have 7 iterations; after 3 of the third epoch somebody presses Ctrl-C."""
    diary = Diary()
    outcome = fit(training, [diary], lambda: len(diary.iterations) == 17)
    assert outcome.status == INTERRUPTED
    assert "epoch 3" in outcome.reason
    return diary


def test_an_interrupted_epoch_counts_as_not_begun(iris, make_training):
    training = make_training(iris)
    diary = interrupted_in_epoch_three(training)
    assert (training.epoch, training.iteration, len(diary.rows)) == (2, 14, 2)
    assert training.kept_row == diary.rows[-1]
    assert same(training.kept, diary.states[-1]["model"])


def test_an_interrupted_training_is_at_its_last_finished_epoch(iris, make_training):
    training = make_training(iris, dropout=[0.2, 0.2], optimizer=partial(Momentum, lr=0.1))
    diary = interrupted_in_epoch_three(training)
    assert same(training.state_dict(), diary.states[-1])


def test_an_interrupted_training_goes_on_exactly(iris, make_training):
    whole, expected = fitted(make_training(iris))
    diary = interrupted_in_epoch_three(make_training(iris))
    resumed = make_training(iris)
    resumed.load_state_dict(diary.states[-1])
    _, rest = fitted(resumed)
    assert diary.rows + rest.rows == expected.rows
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
    diary = Diary()
    outcome = fit(training, [diary])
    assert outcome.status == DIVERGED
    assert "epoch 3" in outcome.reason
    assert training.epoch == len(diary.rows) == 2
    assert all(w.isfinite().all() for w in training.kept.values())
    assert same(training.kept, diary.states[training.stopping.best_epoch - 1]["model"])


def test_divergence_leaves_no_epoch_of_numbers_that_are_not_finite(iris, make_training):
    steep = partial(torch.optim.SGD, lr=1e30)
    _, diary = fitted(make_training(iris, optimizer=steep, loss=losses.SquaredError))
    assert all(math.isfinite(value) for row in diary.rows for value in row.values())


def test_a_real_data_set_is_learnt(make_training):
    """Linear regression by gradient descent reaches the least-squares loss."""
    data = prepare(bundled.diabetes(), standardize_target=True)
    training = make_training(data, hidden=[], batch_size=None, max_epochs=3000)
    fit(training)
    x = torch.cat([data.train.x, torch.ones(len(data.train), 1)], 1).double()
    y = data.train.y.double()
    least = (x @ torch.linalg.lstsq(x, y).solution - y).square().mean().item()
    assert evaluate(training, data.train)["loss"].item() == pytest.approx(least, rel=1e-3)
