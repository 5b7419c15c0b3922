"""The learning-rate range test: what it reads off a curve, where it explodes, and that it leaves
the training as it was."""

from __future__ import annotations

import copy
import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from exprun.build import mlp
from exprun.cli import main
from exprun.common.errors import UsageError
from exprun.config.hydra_internals import VERSION_BASE
from exprun.config.paths import conf_dir
from exprun.config.schema import plain
from exprun.data.prepare import Data
from exprun.fit.loop import fit
from exprun.problems.lr_range_test import Curve, GrowingLR, LRRangeTest
from exprun.training.training import Training
from tests.conftest import built, same_bits

OPTIMIZERS = sorted(path.stem for path in (conf_dir() / "optimizer").glob("*.yaml"))


def words_for(optimizer: str) -> list[str]:
    """L-BFGS must do without its line search."""
    extra = ["optimizer.line_search_fn=null"] if optimizer == "lbfgs" else []
    return [f"optimizer={optimizer}", *extra]


def curve_of(losses: list[float], beta: float = 0.0) -> Curve:
    """A curve with the learning rates 1, 10, 100, …"""
    curve = Curve(beta)
    for i, loss in enumerate(losses):
        curve.add(10.0**i, loss)
    return curve


def test_the_average_is_the_lectures_with_bias_correction() -> None:
    curve = curve_of([20.0, 10.0, 40.0], beta=0.9)
    v1, v2 = 0.1 * 20, 0.9 * 0.1 * 20 + 0.1 * 10
    v3 = 0.9 * v2 + 0.1 * 40
    assert curve.smoothed == pytest.approx([v1 / 0.1, v2 / 0.19, v3 / 0.271])


def test_what_is_read_off_a_curve() -> None:
    curve = curve_of([5.0, 5.0, 5.0, 4.9, 3.0, 2.0, 1.9, 8.0])
    assert curve.largest_stable == 1e6
    assert curve.steepest == 1e4  # from 4.9 before it to 2.0 after it
    assert curve.suggestion == 1e5


def test_of_a_loss_that_only_grows_nothing_is_suggested() -> None:
    curve = curve_of([1.0, 2.0, 3.0])
    assert curve.suggestion is None
    assert curve.steepest is None


def test_a_loss_that_is_no_number_is_never_the_lowest() -> None:
    assert curve_of([3.0, 2.0, math.nan]).lowest == 1


def test_learning_rates_grow_exponentially_and_together() -> None:
    first, second = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    groups = [{"params": [first]}, {"params": [second], "lr": 0.2}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    growing = GrowingLR(optimizer, 1e-4, 1.0, 5)
    seen = []
    for i in range(5):
        growing.before_iteration(i, 7)
        seen.append([group["lr"] for group in optimizer.param_groups])
    assert seen == [pytest.approx([lr, 2 * lr]) for lr in (1e-4, 1e-3, 1e-2, 1e-1, 1.0)]


def stability_limit(training: Training) -> float:
    """2/λmax of the mean squared error of a linear layer with bias: its Hessian is 2/m XᵀX."""
    x = training.data.train.x.double()
    x = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    hessian = 2 / len(x) * x.T @ x
    return 2 / torch.linalg.eigvalsh(hessian)[-1].item()


def linear_regression(make: Callable[..., Training], line: Data, **options: object) -> Training:
    return make(line, hidden=[], batch_size=None, **options)


@pytest.mark.parametrize(("low", "high", "explodes"), [(0.3, 0.99, False), (1.01, 1.1, True)])
def test_linear_regression_explodes_just_above_two_over_the_curvature(
    low: float,
    high: float,
    explodes: bool,
    make_training: Callable[..., Training],
    line: Data,
) -> None:
    training = linear_regression(make_training, line)
    limit = stability_limit(training)
    test = LRRangeTest(training, low * limit, high * limit, iterations=600, beta=0.0)
    test.solve()
    assert (test.curve.exploded is not None) is explodes
    losses = torch.tensor(test.curve.losses)
    if not explodes:  # down, or where it stays within what 32 bits can tell
        assert (losses.diff() <= 1e-5 * losses[:-1]).all()


def test_the_suggestion_lies_below_the_stability_limit(
    make_training: Callable[..., Training], line: Data
) -> None:
    training = linear_regression(make_training, line)
    limit = stability_limit(training)
    test = LRRangeTest(training)
    test.solve()
    curve = test.curve
    assert curve.exploded is not None
    assert curve.exploded > limit
    assert curve.suggestion is not None
    assert limit / 100 < curve.suggestion < limit
    assert curve.steepest is not None
    assert curve.steepest < limit


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_training_stays_as_it_was_and_goes_on_with_the_same_bits(optimizer: str) -> None:
    words = [*words_for(optimizer), "norm=batch", "reg=l2,dropout,max_norm"]
    words += ["optimizer.lr=0.01"]
    tested, other = built(*words), built(*words)
    for _ in range(2):  # also in the middle of a training, with state in the optimizer
        before = copy.deepcopy(tested.state_dict())
        scheduler = tested.scheduler
        LRRangeTest(tested, iterations=30).solve()
        assert same_bits(before, tested.state_dict())
        assert tested.scheduler is scheduler
        assert all(w.grad is None for w in tested.model.parameters())
        fit(tested)
        fit(other)
        assert same_bits(tested.state_dict(), other.state_dict())
        tested.max_epochs = other.max_epochs = 5


def test_it_is_left_as_it_was_when_something_goes_wrong() -> None:
    training = built()
    before = copy.deepcopy(training.state_dict())
    asked = []

    def fails() -> bool:
        asked.append(True)
        if len(asked) > 5:
            raise ValueError("in the sixth iteration")
        return False

    with pytest.raises(ValueError, match="sixth"):
        LRRangeTest(training).solve(fails)
    assert same_bits(before, training.state_dict())


def test_several_parameter_groups_and_other_losses_and_data() -> None:
    for words in (
        ["reg=weight_decay", "optimizer=sgd"],
        ["data=diabetes", "loss=huber", "norm=layer"],
        ["loss=bce", "reg=label_smoothing", "optimizer=adamw"],
        ["data=moons", "batching=full", "loss.reduction=sum"],
    ):
        test = LRRangeTest(built(*words))
        assert test.solve().status == "completed"
        assert test.curve.suggestion is not None


def composed_training(*words: str) -> Training:
    with initialize_config_dir(str(conf_dir()), job_name="exprun", **VERSION_BASE):
        return mlp(plain(compose("config", list(words))))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_suggestion_trains_on_digits(optimizer: str) -> None:
    words = [*words_for(optimizer), "trainer.max_epochs=5"]
    test = LRRangeTest(composed_training(*words))
    test.solve()
    training = composed_training(*words, f"optimizer.lr={test.curve.suggestion}")
    assert fit(training).status == "completed"
    assert training.kept_row["val_accuracy"] >= 0.9


def test_what_cannot_be_tested_is_said() -> None:
    with pytest.raises(UsageError, match="line_search_fn=null"):
        LRRangeTest(built("optimizer=lbfgs"))
    with pytest.raises(UsageError, match=r"problem.end_lr=0.1: expected more than .*start_lr=1"):
        LRRangeTest(built(), start_lr=1, end_lr=0.1)


def test_a_loss_that_is_not_finite_from_the_start(
    make_training: Callable[..., Training], line: Data
) -> None:
    training = linear_regression(make_training, line)
    with torch.no_grad():
        training.model.output.bias.fill_(math.nan)  # type: ignore[operator, union-attr]
    test = LRRangeTest(training)
    outcome = test.solve()
    assert (outcome.status, len(test.rows())) == ("diverged", 1)


def test_the_command_writes_curve_pictures_and_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["problem=lr_range_test", "data=iris", "optimizer=sgd", "problem.iterations=60"]
    assert main(command) == 0
    (folder,) = tmp_path.glob("outputs/runs/*")
    with (folder / "lr_range.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["iteration", "lr", "loss", "smoothed_loss"]
    assert float(rows[0]["lr"]) == 1e-6
    result = json.loads((folder / "result.json").read_text())
    metrics = result["metrics"]
    lowest = min(rows, key=lambda row: float(row["smoothed_loss"]))
    assert metrics["largest_stable_lr"] == float(lowest["lr"])
    assert metrics["suggested_lr"] == pytest.approx(float(lowest["lr"]) / 10, rel=0.05)
    assert f"optimizer.lr={metrics['suggested_lr']:g}" in result["reason"]
    assert result["pictures"] == ["lr_range.png", "lr_range.svg"]
    for picture in result["pictures"]:
        assert (folder / picture).stat().st_size > 5000
    assert list(folder.glob("events.out.tfevents.*"))
