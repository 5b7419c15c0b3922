"""Members of a stack that come and go, diverge, are interrupted, or cannot be stacked."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from exprun.common.constants import COMPLETED, DIVERGED, EARLY_STOPPED, INTERRUPTED
from exprun.data.prepare import Data
from exprun.engine import replay
from exprun.fit.loop import fit
from exprun.fit.stack import Member, capacity, fit_stack, not_stackable, shape
from exprun.techniques import losses
from exprun.techniques.optimizers import Momentum
from exprun.techniques.regularizers import L1, L2
from exprun.techniques.schedules import FactorScheduler
from exprun.training.callbacks import Callback, Outcome
from exprun.training.training import Training
from tests.conftest import same_bits
from tests.engine.trainings import OwnOptimizer, sets
from tests.fit.stacks import (
    End,
    Make,
    alike,
    assert_as_alone,
    built,
    each,
    on_a_cpu,
    stacked,
    training,
)

pytestmark = pytest.mark.usefixtures("measured_by_replay", "stacked_on_the_cpu")

# ------------------------------------------------------------------------------ coming and going


def patient(number: int) -> Training:
    """Ones that stop in very different epochs."""
    return built(
        f"seed={number}",
        "optimizer=sgd",
        f"optimizer.lr={[0.7, 0.05, 0.9, 0.3][number % 4]}",
        "stopping=early",
        f"stopping.patience={1 + number % 3}",
        f"trainer.max_epochs={[30, 3, 12, 1][number // 2 % 4]}",
        "reg=dropout",
    )


@pytest.mark.parametrize("size", [1, 3, 100])
def test_members_that_come_and_go(size: int) -> None:
    ends = assert_as_alone([partial(patient, number) for number in range(8)], size)
    assert {end.outcome.status for end in ends if end.outcome} == {EARLY_STOPPED, COMPLETED}
    assert len({end.state["epoch"] for end in ends}) > 3


def test_on_a_cpu_nothing_is_stacked(monkeypatch) -> None:
    """Members are trained one by one, with the bits of their solo runs."""
    monkeypatch.undo()
    assert capacity(on_a_cpu(), 100) == 1
    ends = stacked([on_a_cpu(f"seed={seed}", "reg=dropout") for seed in range(3)])
    for seed, end in enumerate(ends):
        solo = on_a_cpu(f"seed={seed}", "reg=dropout")
        assert end.outcome is not None
        assert end.outcome.engine == fit(solo).engine
        assert same_bits(end.state, solo.state_dict())


def test_arrivals_are_asked_for_when_there_is_room() -> None:
    asked: list[int] = []
    ended: list[int] = []

    def arrivals() -> Iterator[Member]:
        for number in range(8):
            asked.append(len(ended))
            yield Member(patient(number), [], lambda o: ended.append(1), lambda e: None)

    fit_stack(arrivals(), 3)
    assert asked[:3] == [0, 0, 0]
    assert all(before < now + 3 for before, now in zip(range(8), asked, strict=True))
    assert len(ended) == 8


def test_nobody_arrives() -> None:
    fit_stack(iter([]), 3)


class Raising(Callback):
    """A full disk in a certain epoch."""

    def __init__(self, epoch: int, error: Exception) -> None:
        self.epoch, self.error = epoch, error

    def on_start(self, training: Training) -> None:
        if not self.epoch:
            raise self.error

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        if training.epoch == self.epoch:
            raise self.error


@pytest.mark.parametrize("error", [OSError("the disk is full"), ZeroDivisionError()], ids=repr)
@pytest.mark.parametrize("epoch", [0, 1, 2, 4])
def test_what_goes_wrong_with_one_member_is_nobody_elses_concern(
    epoch: int, error: Exception
) -> None:
    makes = each("reg=dropout", "norm=batch", "trainer.max_epochs=4", seed=range(4))
    ends = stacked(
        [make() for make in makes], callbacks=lambda n: [Raising(epoch, error)] if n == 1 else []
    )
    assert ends[1].error is error
    assert ends[1].outcome is None
    for number in (0, 2, 3):
        solo = makes[number]()
        fit(solo)
        assert ends[number].error is None
        assert alike(ends[number].state, solo.state_dict())


def test_an_error_while_the_end_is_noted_is_the_members() -> None:
    def done(outcome: Outcome) -> None:
        raise OSError("the disk is full")

    errors: list[Exception] = []
    other = End(built("seed=1"))
    members = [
        Member(built("seed=0"), [], done, errors.append),
        Member(other.training, [], other.done, other.failed),
    ]
    fit_stack(iter(members), 2)
    assert [str(error) for error in errors] == ["the disk is full"]
    assert other.outcome is not None
    assert other.outcome.status == COMPLETED


class Rows(Callback):
    """Notes the rows of the learning curve, and that it began."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_start(self, training: Training) -> None:
        self.told.append("start")

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        self.told.append(row)


def test_observers_are_told_of_every_epoch() -> None:
    callbacks = [Rows() for _ in range(8)]
    ends = stacked([patient(n) for n in range(8)], 3, callbacks=lambda n: [callbacks[n]])
    for end, callback in zip(ends, callbacks, strict=True):
        assert callback.told == ["start", *end.state["history"]]


# ------------------------------------------------------------------------------ divergence


@pytest.mark.parametrize(("optimizer", "norm"), [("sgd", "batch"), ("adam", "none")])
def test_a_member_that_diverges_harms_nobody(optimizer: str, norm: str) -> None:
    words = "data=diabetes", "loss=mse", f"optimizer={optimizer}", f"norm={norm}"
    makes = each(
        *words,
        "trainer.max_epochs=5",
        "reg=dropout",
        "data.standardize_target=true",
        optimizer__lr=[0.001, 1e250, 0.002, 1e180, 0.003, 0.3, 0.001],
        seed=range(7),
    )
    ends = assert_as_alone(makes, engine=None)
    states = [end.outcome.status for end in ends if end.outcome]
    assert states[1] == DIVERGED
    assert {states[0], states[2], states[4]} == {COMPLETED}
    assert ends[0].outcome is not None
    assert str(ends[0].outcome.engine).startswith("stacked")


@pytest.mark.parametrize("epoch", [1, 2, 4])
@pytest.mark.parametrize("within", [0, 6])
def test_divergence_early_and_late(iris, epoch: int, within: int) -> None:
    """The learning rate of one explodes in a certain iteration."""
    explodes = epoch - 1 + within / 7

    def make(number: int) -> Training:
        def factor(t: float) -> float:
            return 1e300 if number == 2 and t > explodes - 1e-6 else 1.0

        return training(
            iris,
            seed=number,
            max_epochs=5,
            loss=losses.BinaryCrossEntropy,
            optimizer=partial(Momentum, lr=0.01),
            scheduler=partial(FactorScheduler, factor=factor, interval="iteration"),
        )

    ends = assert_as_alone([partial(make, number) for number in range(4)], engine=None)
    states = [end.outcome.status for end in ends if end.outcome]
    assert states == [COMPLETED, COMPLETED, DIVERGED, COMPLETED]


def test_all_diverge() -> None:
    makes = each("loss=bce", "optimizer=sgd", optimizer__lr=[1e250, 1e251, 1e252], seed=range(3))
    ends = assert_as_alone(makes, size=2, engine=None)
    assert {end.outcome.status for end in ends if end.outcome} == {DIVERGED}


# ------------------------------------------------------------------------------ alone


def test_what_cannot_be_stacked_is_trained_alone(iris) -> None:
    def foreign(seed: int) -> Training:
        return training(iris, seed=seed, optimizer=partial(OwnOptimizer, lr=0.01))

    makes: list[Make] = [
        *each(seed=[0, 1]),
        partial(built, "optimizer=lbfgs"),
        partial(built, "reg=l1", "reg.l1.biases=true"),
        partial(built, "model.hidden=[9]"),
        partial(built, "trainer.engine=plain"),
        partial(foreign, 3),
        *each(seed=[2, 3]),
    ]
    ends = assert_as_alone(makes, engine=None)
    engines = [end.outcome.engine for end in ends if end.outcome]
    together = "stacked: up to 9 at once"
    assert engines == [
        together,
        together,
        "ordinary; not stacked: L-BFGS evaluates the loss several times in an iteration",
        "replayed; not stacked: reg.l1.biases=true is not stacked",
        "replayed; not stacked: its shapes are its own",
        "ordinary; not stacked: trainer.engine=plain",
        "ordinary; not stacked: OwnOptimizer is code of somebody's own",
        together,
        together,
    ]


def test_what_only_the_recording_finds_out(iris) -> None:
    """One whose steps cannot be recorded lets all of them go on alone."""
    optimizers = [partial(Momentum, lr=0.1), partial(torch.optim.NAdam, lr=0.01)] * 2
    makes = [
        partial(training, iris, seed=seed, optimizer=optimizer, dropout=[0.1, 0.1])
        for seed, optimizer in enumerate(optimizers)
    ]
    assert_as_alone(makes, engine=None)


def with_momenta(
    data: Data, changing: Sequence[dict[int, float]], interval: str = "epoch", **options: Any
) -> list[Make]:
    """A member for each of the momenta by time, which its scheduler sets."""
    return [
        partial(
            training,
            data,
            seed=seed,
            optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.5),
            scheduler=sets("momentum", values, interval),
            **options,
        )
        for seed, values in enumerate(changing)
    ]


def test_a_hyperparameter_that_one_members_scheduler_changes(iris) -> None:
    """The stack is recorded anew; the others are what they would be alone."""
    changing = [{2: 0.95}, {}, {1: 0.7, 3: 0.2}]
    assert_as_alone(with_momenta(iris, changing), engine="stacked")


@pytest.mark.parametrize("interval", ["epoch", "iteration"])
def test_a_hyperparameter_that_changes_all_the_time(iris, interval: str) -> None:
    """Only the members whose scheduler does that go on alone."""
    changing = [{}, {time: 0.9 - 0.001 * time for time in range(100)}, {}]
    makes = with_momenta(iris, changing, interval, max_epochs=8)
    ends = assert_as_alone(makes, engine=None)
    engines = [str(end.outcome.engine) for end in ends if end.outcome]
    stacked = ["not stacked" not in engine for engine in engines]
    assert stacked == [True, False, True]
    assert engines[1].endswith("; not stacked: momentum changes too often")


def test_why_alone(iris) -> None:
    assert not_stackable(built()) is None
    assert not_stackable(training(iris, regularizers=[L1(0.1, biases=True), L2(1.0)])) is not None
    other = built()
    other.model = nn.Sequential(nn.Linear(4, 3))
    assert not_stackable(other) == "Sequential is not exprun's MLP"


def test_shapes_tell_what_fits_together() -> None:
    usual = shape(built())
    for word in (
        "seed=1",
        "optimizer=sgd",
        "scheduler=one_cycle",
        "data.split_seed=3",
        "init=zeros",
        "stopping=early",
        "trainer.max_epochs=9",
    ):
        words = [word, "scheduler.epochs=3"] if "scheduler" in word else [word]
        assert shape(built(*words)) == usual, word
    for word in (
        "model.hidden=[8,6]",
        "model.activation=tanh",
        "norm=batch",
        "loss=bce",
        "loss.reduction=sum",
        "batching.batch_size=8",
        "reg=l1",
        "data=wine",
        "data.val_fraction=0.3",
    ):
        assert shape(built(word)) != usual, word
    smoothed = [
        shape(built("reg=label_smoothing", f"reg.label_smoothing.smoothing={s}")) for s in (0, 0.5)
    ]
    assert smoothed[0] == smoothed[1]
    assert shape(built("loss.class_weight=balanced")) == usual


def test_dropout_in_some_members_only(iris) -> None:
    """As can be made from Python, without a config."""
    makes = [partial(training, iris), partial(training, iris, dropout=[0.2, 0.2])]
    assert_as_alone(makes, engine=None)


# ------------------------------------------------------------------------------ interrupted


class Moments(Callback):
    """Keeps the state after every epoch, from before the first one on."""

    def __init__(self) -> None:
        self.states: list[Any] = []

    def on_start(self, training: Training) -> None:
        self.states.append(copy.deepcopy(training.state_dict()))

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        self.states.append(copy.deepcopy(training.state_dict()))


class After:
    """Whether it was asked so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize("after", [1, 8, 17])
def test_interrupted_members_are_at_the_start_of_the_epoch_and_go_on(
    after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each epoch has 7 iterations; they go on alone, or in a stack of another size."""
    monkeypatch.setattr(replay, "AT_ONCE_SECONDS", 0.0)
    makes = each(
        "reg=dropout",
        "norm=batch",
        "optimizer=nadam",
        "trainer.max_epochs=4",
        "scheduler=plateau",
        "scheduler.patience=0",
        seed=range(4),
        optimizer__lr=[0.1, 0.01, 0.02, 0.5],
    )
    moments = [Moments() for _ in makes]
    interrupted = stacked(
        [make() for make in makes], None, After(after), lambda number: [moments[number]]
    )
    finished, resumed = [], [make() for make in makes]
    for make, end, states, going_on in zip(makes, interrupted, moments, resumed, strict=True):
        epoch = (after - 1) // 7
        assert end.outcome is not None
        assert end.outcome.status == INTERRUPTED
        assert end.outcome.reason == f"interrupted in epoch {epoch + 1}"
        assert len(states.states) == epoch + 1
        assert alike(end.state, states.states[-1])
        alone_again = make()
        alone_again.load_state_dict(copy.deepcopy(end.state))
        fit(alone_again)
        whole = make()
        fit(whole)
        assert alike(alone_again.state_dict(), whole.state_dict())
        going_on.load_state_dict(copy.deepcopy(end.state))
        finished.append(whole)
    for end, whole in zip(stacked(resumed, 3), finished, strict=True):
        assert end.outcome is not None
        assert end.outcome.status == COMPLETED
        assert alike(end.state, whole.state_dict())


def test_members_resumed_in_different_epochs_are_one_stack() -> None:
    words = "optimizer=adam", "reg=dropout", "loss.class_weight=balanced", "trainer.max_epochs=6"
    makes = each(*words, seed=range(4))
    resumed, whole = [], []
    for epochs, make in enumerate(makes):
        begun = make()
        begun.max_epochs = epochs
        fit(begun)
        again = make()
        again.load_state_dict(copy.deepcopy(begun.state_dict()))
        resumed.append(again)
        whole.append(make())
        fit(whole[-1])
    for end, expected in zip(stacked(resumed), whole, strict=True):
        assert end.outcome is not None
        assert str(end.outcome.engine).startswith("stacked")
        assert alike(end.state, expected.state_dict())


def test_resumed_at_the_end_nothing_is_done() -> None:
    ended, running = built("seed=0"), built("seed=1")
    fit(ended)
    before = copy.deepcopy(ended.state_dict())
    ends = stacked([ended, running])
    assert alike(ends[0].state, before)
    assert [end.outcome.status for end in ends if end.outcome] == [COMPLETED] * 2


def test_interrupted_while_one_is_alone() -> None:
    """The first is alone, and the second has not begun."""
    ends = stacked([built("optimizer=lbfgs"), built()], None, After(2))
    assert [end.outcome.status for end in ends if end.outcome] == [INTERRUPTED] * 2
    assert [end.state["epoch"] for end in ends] == [0, 0]
