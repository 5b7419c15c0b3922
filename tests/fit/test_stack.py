"""A member of a stack ends as it would alone.

Stacks are for GPUs; here they run on the CPU, in double precision, where batched products and
single ones differ by so little that nothing else can hide behind it.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from exprun.common.constants import ACTIVATIONS, COMPLETED, DIVERGED, EARLY_STOPPED, INTERRUPTED
from exprun.config.paths import conf_dir
from exprun.data.prepare import Data, Part
from exprun.engine import replay
from exprun.fit import learning_curve, stack
from exprun.fit.loop import fit
from exprun.fit.stack import Member, capacity, fit_stack, not_stackable, shape
from exprun.techniques import losses
from exprun.techniques.optimizers import Momentum
from exprun.techniques.regularizers import L1, L2
from exprun.techniques.schedules import FactorScheduler
from exprun.training.callbacks import Callback, Outcome
from exprun.training.training import Training
from tests import conftest
from tests.conftest import same_bits
from tests.engine.test_replay import OPTIMIZERS, REGULARIZERS, OwnOptimizer, sets, targets

Make = Callable[[], Training]

CLOSE = {"rtol": 1e-6, "atol": 1e-7}

on_a_cpu = partial(conftest.built, "trainer.engine=replay")


def built(*words: str) -> Training:
    return in_double(on_a_cpu(*words))


def training(data: Data, **options: Any) -> Training:
    return in_double(conftest.training(data, engine="replay", **options))


@functools.cache
def data_in_double(key: int, data: Data) -> Data:
    """The same object for the same data: members may share it."""
    parts = {
        name: Part(
            part.x.double(),
            part.y.double() if part.y.is_floating_point() else part.y,
        )
        for name, part in (("train", data.train), ("val", data.val), ("test", data.test))
    }
    return replace(data, **parts)


def in_double(t: Training) -> Training:
    t.model.double()
    for state in t.optimizer.state.values():
        state.update({name: v.double() for name, v in state.items() if v.is_floating_point()})
    if t.averaging:
        t.averaging.sums = [v.double() for v in t.averaging.sums]
    t.data = data_in_double(id(t.data), t.data)
    if t.targets.is_floating_point():
        t.targets = t.targets.double()
    return t


@pytest.fixture(autouse=True)
def measured_by_replay(monkeypatch):
    """Short as these trainings are, what is measured after their epochs is replayed, too."""
    monkeypatch.setattr(learning_curve, "PAYS", 2)


@pytest.fixture(autouse=True)
def stacked_on_the_cpu(monkeypatch):
    monkeypatch.setattr(stack, "STACKED_ON", ("cpu",))


def alike(a: object, b: object) -> bool:
    """Equal through dicts, lists and tensors, but for rounding."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.allclose(a, b, **CLOSE, equal_nan=True)
    if isinstance(a, dict):
        same = isinstance(b, dict) and a.keys() == b.keys()
        return same and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, float):
        return a == pytest.approx(b, rel=CLOSE["rtol"], abs=CLOSE["atol"], nan_ok=True)
    return a == b


class End:
    """How a member ended: its outcome, or what went wrong, and all its state at that moment."""

    def __init__(self, made: Training) -> None:
        self.training = made
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self.state: dict[str, Any] = {}

    def done(self, outcome: Outcome) -> None:
        assert self.outcome is None
        self.outcome = outcome
        self.state = copy.deepcopy(self.training.state_dict())

    def failed(self, error: Exception) -> None:
        self.error = error


def stacked(
    trainings: Sequence[Training],
    size: int | None = None,
    interrupted: Callable[[], bool] = lambda: False,
    callbacks: Callable[[int], list[Callback]] = lambda number: [],
) -> list[End]:
    ends = [End(made) for made in trainings]
    members = (
        Member(end.training, callbacks(number), end.done, end.failed)
        for number, end in enumerate(ends)
    )
    fit_stack(members, size or len(trainings), interrupted)
    return ends


def assert_as_alone(
    makes: Sequence[Make], size: int | None = None, engine: str | None = "stacked"
) -> list[End]:
    """Train all in a stack, and each alone; returns how those of the stack ended."""
    ends = stacked([make() for make in makes], size)
    for number, (end, make) in enumerate(zip(ends, makes, strict=True)):
        solo = make()
        expected = fit(solo)
        assert end.error is None
        assert end.outcome is not None
        found = (end.outcome.status, end.outcome.reason)
        assert found == (expected.status, expected.reason), number
        assert alike(end.state, solo.state_dict()), number
        assert engine is None or str(end.outcome.engine).startswith(engine)
    return ends


def each(*words: str, **differing: Sequence[Any]) -> list[Make]:
    """One for each of the values, which all differ at once; ``__`` stands for a dot."""
    columns = [
        [f"{key.replace('__', '.')}={value}" for value in values]
        for key, values in differing.items()
    ]
    return [partial(built, *words, *row) for row in zip(*columns, strict=True)]


# ------------------------------------------------------------------------------ the same bits

NORMS = ["none", "batch", "layer"]
INITS = sorted(path.stem for path in (conf_dir() / "init").glob("*.yaml"))
DIFFERING_REGULARIZERS: dict[str, dict[str, Any]] = {
    "none": {},
    "dropout": {"reg__dropout__p": [0.0, 0.1, 0.5, "[0.9,0]"]},
    "l1,l2": {"reg__l1__strength": [0, 1e-4, 0.1, 3], "reg__l2__strength": [1, 0, 0.3, 100]},
    "elastic_net": {
        "reg__elastic_net__strength": [1e-4, 0.7, 0, 0.01],
        "reg__elastic_net__l1_ratio": [0.5, 0.0, 0.3, 1.0],
    },
    "max_norm": {"reg__max_norm__max_norm": [3, 0.5, 1, 100]},
    "weight_decay": {
        "reg__weight_decay__strength": [0.1, 1e-3, 0, 0.3],
        "reg__weight_decay__biases": ["false", "true", "false", "true"],
    },
    "label_smoothing": {"reg__label_smoothing__smoothing": [0, 0.1, 0.3, 0.01]},
}
DIFFERING_REGULARIZERS[REGULARIZERS[-1]] = {
    key: values
    for name in ("dropout", "l1,l2", "elastic_net", "max_norm", "label_smoothing")
    for key, values in DIFFERING_REGULARIZERS[name].items()
}
DIFFERING_SCHEDULES = [
    {"scheduler": ["constant"] * 4},
    {
        "scheduler": ["exponential"] * 4,
        "scheduler__gamma": [0.1, 1, 0.9, 0.5],
        "scheduler__warmup_epochs": [0, 1, 2.5, 0.1],
        "scheduler__interval": ["epoch", "iteration", "epoch", "iteration"],
    },
    {"scheduler": ["plateau"] * 4, "scheduler__patience": [0, 1, 2, 0]},
    {"scheduler": ["one_cycle"] * 4, "scheduler__epochs": [3, 3, 2, 1]},
    {"scheduler": ["constant", "plateau", "exponential", "step"]},
]
DIFFERING_INITS = {
    "normal": {"init__std": [0.01, 0.1, 0.3, 1], "init__bias_std": [0, 0.1, 1, 0]},
    "uniform": {"init__high": [0.1, 0.2, 0.5, 1]},
    "constant": {"init__value": [0.05, 0.1, 0, -1]},
    "orthogonal": {"init__gain": [1, 0.5, 2, 1]},
    "xavier": {"init__distribution": ["normal", "uniform", "normal", "uniform"]},
    "he": {"init__mode": ["fan_in", "fan_out", "fan_avg", "fan_in"]},
}
RATES = {"adadelta": 1.0, "sgd": 0.05, "nesterov": 0.01, "momentum": 0.1}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_norms_regularizers_and_inits(optimizer: str, norm: str) -> None:
    """Regularizers, initial weights, schedules and the position of a norm take turns."""
    turn = OPTIMIZERS.index(optimizer) + 3 * NORMS.index(norm)
    reg = REGULARIZERS[turn % (len(REGULARIZERS) - 1)]
    lr = RATES.get(optimizer, 0.01)
    init = INITS[turn % len(INITS)]
    words = [f"optimizer={optimizer}", f"norm={norm}", f"reg={reg}", f"init={init}"]
    words += ["norm.position=post"] if norm != "none" and turn % 2 else []
    words += ["optimizer.eps=1e-3"] if optimizer == "rmsprop" else []  # else it enlarges rounding
    makes = each(
        *words,
        "batching.batch_size=32",
        optimizer__lr=[lr, lr / 10, 2 * lr, lr],
        seed=[0, 1, 2, 0],
        **DIFFERING_REGULARIZERS[reg],
        **DIFFERING_SCHEDULES[turn % 4],
        **DIFFERING_INITS.get(init, {}),
    )
    assert_as_alone(makes)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("schedule", range(5))
def test_all_regularizers_at_once_and_schedules(schedule: int, norm: str) -> None:
    makes = each(
        f"reg={REGULARIZERS[-1]}",
        f"norm={norm}",
        seed=[3, 1, 4, 1],
        optimizer__lr=[0.01, 0.1, 0.001, 0.02],
        **DIFFERING_REGULARIZERS[REGULARIZERS[-1]],
        **DIFFERING_SCHEDULES[schedule],
    )
    assert_as_alone(makes)


def test_different_optimizers_and_schedules_in_one_stack() -> None:
    """All optimizers there are; as they are, and with arguments of their own."""
    schedules = itertools.cycle([[], ["scheduler=plateau"], ["scheduler=exponential"]])
    makes: list[Make] = [
        partial(built, f"optimizer={name}", *next(schedules)) for name in OPTIMIZERS
    ]
    makes += each(optimizer=["sgd"] * 3, optimizer__momentum=[0, 0.5, 0.9])
    makes += each(optimizer=["adam"] * 2, optimizer__amsgrad=["true", "false"])
    makes += each(optimizer=["rmsprop"] * 2, optimizer__centered=["true", "false"])
    ends = assert_as_alone(makes)
    assert len({type(end.training.optimizer) for end in ends}) > 8


VARIANTS = [
    ["batching.batch_size=full", "reg=dropout", "trainer.max_epochs=6"],
    ["batching.batch_size=16", "reg=dropout", "norm=batch"],
    ["batching.batch_size=48", "reg=dropout,l2"],
    ["model.hidden=[]"],
    ["model.hidden=[]", "reg=l1,l2"],
    ["model.hidden=[1]", "reg=dropout,l1"],
    ["model.hidden=[1]", "norm=batch"],
    ["model.hidden=[2,1]", "norm=layer"],
    ["model.hidden=[3,2,1]", "model.activation=tanh"],
    ["model.hidden=[7,11,13]", "model.activation=gelu", "reg=elastic_net"],
    ["model.hidden=[64,33]", "reg=dropout", "norm=batch"],
    ["data=breast_cancer", "loss=bce", "batching.batch_size=160", "reg=l2"],
    ["data=diabetes", "batching.batch_size=32", "reg=max_norm"],
    ["data=digits", "trainer.max_epochs=1", "model.hidden=[100]", "batching.batch_size=128"],
    ["optimizer.lr=1.0"],
]


@pytest.mark.parametrize("words", VARIANTS, ids=" ".join)
def test_variants(words: list[str]) -> None:
    assert_as_alone(each(*words, seed=range(3)))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations(activation: str) -> None:
    assert_as_alone(each(f"model.activation={activation}", seed=range(3)))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", ["cross_entropy", "bce"])
@pytest.mark.parametrize("smoothing", [["0", "0", "0"], ["0", "0.1", "0.3"]], ids=["hard", "soft"])
def test_losses_of_classes(loss: str, reduction: str, smoothing: list[str]) -> None:
    words = f"loss={loss}", f"loss.reduction={reduction}", "reg=label_smoothing"
    makes = each(*words, seed=range(3), reg__label_smoothing__smoothing=smoothing)
    assert_as_alone(makes)


@pytest.mark.parametrize("loss", ["cross_entropy", "bce"])
@pytest.mark.parametrize(
    "weights",
    [["balanced"] * 3, ["[1,2.5,0.3]"] * 3, ["null", "balanced", "[1,2.5,0.3]"]],
    ids=["balanced", "alike", "different"],
)
def test_class_weights(loss: str, weights: list[str]) -> None:
    assert_as_alone(each(f"loss={loss}", seed=range(3), loss__class_weight=weights))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("outputs", [1, 2, 5])
@pytest.mark.parametrize("loss", [losses.SquaredError, losses.AbsoluteError, losses.Huber])
def test_losses_of_numbers(loss: Any, outputs: int, reduction: str) -> None:
    data = targets(outputs)
    assert_as_alone(
        [
            partial(
                training,
                data,
                seed=seed,
                activation="tanh",
                loss=partial(loss, reduction=reduction),
                optimizer=partial(Momentum, lr=0.01),
            )
            for seed in range(3)
        ]
    )


def test_other_rows_to_train_on() -> None:
    makes = each("reg=dropout", seed=[0, 1, 0, 1], data__split_seed=[0, 0, 5, 6])
    ends = assert_as_alone(makes)
    assert not alike(ends[0].state["model"], ends[2].state["model"])


def test_equal_members_stay_equal() -> None:
    ends = assert_as_alone(each(seed=[2, 2, 2]))
    assert alike(ends[0].state, ends[1].state)
    assert alike(ends[0].state, ends[2].state)


def test_a_stack_of_one() -> None:
    assert_as_alone(each("reg=dropout,l1,elastic_net", "norm=batch", seed=[0]))


@pytest.mark.parametrize("affine", ["norm=batch norm.affine=false", "norm=layer norm.bias=false"])
def test_norms_with_other_arguments_of_torchs(affine: str) -> None:
    assert_as_alone(each(*affine.split(), seed=range(3)))


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


def test_a_hyperparameter_that_one_members_scheduler_changes(iris) -> None:
    """The stack is recorded anew; the others are what they would be alone."""
    changing = [{2: 0.95}, {}, {1: 0.7, 3: 0.2}]
    makes = [
        partial(
            training,
            iris,
            seed=seed,
            optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.5),
            scheduler=sets("momentum", values),
        )
        for seed, values in enumerate(changing)
    ]
    assert_as_alone(makes, engine="stacked")


@pytest.mark.parametrize("interval", ["epoch", "iteration"])
def test_a_hyperparameter_that_changes_all_the_time(iris, interval: str) -> None:
    """Only the members whose scheduler does that go on alone."""
    changing = [{}, {time: 0.9 - 0.001 * time for time in range(100)}, {}]
    makes = [
        partial(
            training,
            iris,
            seed=seed,
            optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.5),
            scheduler=sets("momentum", values, interval),
            max_epochs=8,
        )
        for seed, values in enumerate(changing)
    ]
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
