"""A replayed training ends as the plain loop does, bit for bit."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exprun.common.constants import ACTIVATIONS, COMPLETED, DIVERGED, EARLY_STOPPED, INTERRUPTED
from exprun.engine import replay
from exprun.engine.replay import Replay
from exprun.engine.tape import Unrecordable
from exprun.fit.loop import fit
from exprun.techniques import losses
from exprun.techniques.optimizers import Momentum
from exprun.techniques.regularizers import Dropout, Regularizer
from exprun.techniques.schedules import FactorScheduler, TorchScheduler
from exprun.training.training import Training
from tests.conftest import built, option, same_bits, training
from tests.engine.trainings import (
    ENGINES,
    OPTIMIZERS,
    REGULARIZERS,
    TORCHS,
    OwnOptimizer,
    both,
    by_hand,
    factors,
    from_words,
    targets,
)
from tests.fit.epoch_log import EpochLog, constant_data

pytestmark = pytest.mark.usefixtures("measured_by_replay")

NORMS = [
    ["norm=none"],
    ["norm=batch"],
    ["norm=layer"],
    ["norm=batch", "norm.position=post"],
    ["norm=layer", "norm.position=post"],
]


SCHEDULERS = [
    ["scheduler=constant"],
    ["scheduler=cosine", "scheduler.epochs=3", "scheduler.interval=iteration"],
    ["scheduler=exponential", "scheduler.warmup_epochs=1.5"],
    ["scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=0.9"],
    ["scheduler=step", f"{TORCHS}.StepLR", "scheduler.step_size=1"],
    ["scheduler=step", f"{TORCHS}.StepLR", "scheduler.step_size=4", "scheduler.interval=iteration"],
    ["scheduler=one_cycle", "scheduler.epochs=3"],
]


BIT_BY_BIT = {"optimizers": OPTIMIZERS, "regularizers": REGULARIZERS}


# ------------------------------------------------------------------------------ the same bits


@pytest.mark.parametrize("reg", REGULARIZERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_regularizers_norms_and_schedules(optimizer: str, reg: str) -> None:
    """Norms and schedules take turns: each optimizer and each regularizer meets all of them."""
    turn = OPTIMIZERS.index(optimizer), REGULARIZERS.index(reg)
    norm, scheduler = NORMS[sum(turn) % 5], SCHEDULERS[(turn[0] + 3 * turn[1]) % 7]
    both(from_words(f"optimizer={optimizer}", f"reg={reg}", *norm, *scheduler))


VARIANTS = [
    ["optimizer=sgd", "optimizer.momentum=0.9"],
    ["optimizer=sgd", "optimizer.momentum=0.9", "optimizer.weight_decay=0.1"],
    ["optimizer=adam", "optimizer.amsgrad=true", "optimizer.weight_decay=0.1"],
    ["optimizer=adamw", "optimizer.amsgrad=true"],
    ["optimizer=rmsprop", "optimizer.momentum=0.9", "optimizer.centered=true"],
    ["optimizer=rmsprop", "optimizer.weight_decay=0.1"],
    ["optimizer=adagrad", "optimizer.lr_decay=0.01", "optimizer.weight_decay=0.1"],
    ["optimizer=adadelta", "optimizer.weight_decay=0.1"],
    ["optimizer=momentum", "optimizer.weight_decay=0.1"],
    ["optimizer=adamax", "optimizer.weight_decay=0.1"],
    ["optimizer=nadam", "optimizer.weight_decay=0.1", "optimizer.decoupled_weight_decay=true"],
    ["optimizer=radam", "optimizer.weight_decay=0.1", "optimizer.decoupled_weight_decay=true"],
    ["optimizer=sgd", "optimizer.lr=1.0"],
    ["optimizer=adam", "optimizer.lr=1.0"],
    ["reg=weight_decay", "reg.weight_decay.biases=true"],
    ["reg=l1", "reg.l1.biases=true", "norm=batch"],
    ["reg=dropout", "reg.dropout.p=[0.0,0.5]"],
    ["reg=dropout", "reg.dropout.p=0"],
    ["batching.batch_size=1", "trainer.max_epochs=1"],
    ["batching.batch_size=full", "trainer.max_epochs=5"],
    ["batching.batch_size=103", "norm=batch"],
    ["batching.batch_size=103"],
    ["batching.batch_size=60", "trainer.max_epochs=5", "reg=dropout"],
    ["model.hidden=[]"],
    ["model.hidden=[1]", "reg=dropout,l1,l2"],
    ["model.hidden=[7,6,5,4,3]", "norm=batch", "reg=dropout"],
    ["loss=bce", "reg=label_smoothing"],
    ["data=breast_cancer", "loss=bce", "batching.batch_size=200"],
    ["data=breast_cancer", "loss=bce", "loss.class_weight=balanced"],
    ["data=diabetes", "loss=huber", "loss.delta=0.5", "data.standardize_target=true"],
    ["data=diabetes", "loss=poisson"],
]


@pytest.mark.parametrize("words", VARIANTS, ids=" ".join)
def test_variants(words: list[str]) -> None:
    both(from_words(*words))


@pytest.mark.parametrize(
    "words",
    [
        ["norm=batch", "norm.affine=false"],
        ["norm=batch", "norm.affine=false", "norm.position=post"],
        ["norm=layer", "norm.elementwise_affine=false"],
        ["norm=layer", "norm.bias=false"],
        ["norm=batch", "norm.track_running_stats=false"],
        ["norm=batch", "norm.momentum=null"],
    ],
    ids=" ".join,
)
def test_norms_with_other_arguments_of_torchs(words: list[str]) -> None:
    both(from_words(*words), engine=None)


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations(activation: str, norm: str) -> None:
    both(from_words(f"model.activation={activation}", f"norm={norm}", "reg=dropout"))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", ["cross_entropy", "bce"])
@pytest.mark.parametrize("weights", ["null", "balanced", "[1,2.5,0.3]"])
def test_losses_of_classes(loss: str, reduction: str, weights: str) -> None:
    words = f"loss={loss}", f"loss.reduction={reduction}", "reg=label_smoothing,l2"
    both(from_words(*words, f"loss.class_weight={weights}"))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("outputs", [1, 2, 5])
@pytest.mark.parametrize("loss", [losses.SquaredError, losses.AbsoluteError, losses.Huber])
def test_losses_of_numbers(loss: Any, outputs: int, reduction: str) -> None:
    options = {"loss": partial(loss, reduction=reduction), "optimizer": partial(Momentum, lr=0.01)}
    both(by_hand(targets(outputs), activation="tanh", **options))


def test_early_stopping_and_what_is_kept() -> None:
    steep = "optimizer=sgd", "optimizer.lr=0.7"
    patient = "stopping=early", "stopping.patience=3", "trainer.max_epochs=200"
    first, second = both(from_words(*steep, *patient))
    assert first.status == EARLY_STOPPED == second.status


def test_the_global_generator_is_left_alone() -> None:
    made = built("reg=dropout")
    expected = torch.get_rng_state()
    fit(made)
    assert torch.equal(torch.get_rng_state(), expected)


def test_two_trainings_in_turns_do_not_disturb_each_other() -> None:
    """In the middle of one training another begins and ends."""
    inner: list[Training] = []
    alone = built("reg=dropout")
    fit(alone)

    def interrupted() -> bool:
        if outer.epoch == 1 and not inner:
            inner.append(built("reg=dropout"))
            fit(inner[0])
        return False

    outer = built("reg=dropout")
    fit(outer, interrupted=interrupted)
    assert same_bits(outer.state_dict(), alone.state_dict())
    assert same_bits(inner[0].state_dict(), alone.state_dict())


class OwnLayer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class OwnRegularizer(Regularizer):
    def penalty(self, model: nn.Module, rows: int) -> Tensor:
        return 0.01 * sum(w.square().sum() for w in model.parameters())  # type: ignore[return-value]


class OwnLoss(losses.CrossEntropy):
    """The tests' own."""


def momentum_cycle(optimizer: Any) -> TorchScheduler:
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=100)
    return TorchScheduler(optimizer, cycle, interval="iteration")


SGD = partial(torch.optim.SGD, lr=0.05)
ORDINARY = {
    "L-BFGS evaluates the loss several times in an iteration": {
        "optimizer": partial(torch.optim.LBFGS, max_iter=3)
    },
    "momentum changes too often": {
        "optimizer": partial(SGD, momentum=0.9),
        "scheduler": momentum_cycle,
    },
    "OwnOptimizer is code of somebody's own": {"optimizer": partial(OwnOptimizer, lr=0.1)},
    "OwnLayer is code of somebody's own": {"norm": lambda units: OwnLayer()},
    "OwnRegularizer is code of somebody's own": {
        "regularizers": [Dropout(0.1), OwnRegularizer()],
    },
    "OwnLoss is code of somebody's own": {"loss": OwnLoss},
    "torch's Adam computes numbers from the step, unless fused=true": {
        "optimizer": partial(torch.optim.Adam, lr=0.01, foreach=True)
    },
}


@pytest.mark.parametrize("reason", ORDINARY)
def test_what_is_not_replayed_runs_as_it_is_written(iris, reason: str) -> None:
    both(by_hand(iris, **ORDINARY[reason], dropout=[0.2, 0.2]), engine=f"ordinary: {reason}")


NOT_REPLAYED = {
    "adam": partial(torch.optim.Adam, lr=0.01),
    "adam, foreach": partial(torch.optim.Adam, lr=0.01, foreach=True),
    "adamw, one by one": partial(torch.optim.AdamW, lr=0.01, foreach=False),
    "nadam": partial(torch.optim.NAdam, lr=0.01),
    "radam": partial(torch.optim.RAdam, lr=0.01),
    "adamax": partial(torch.optim.Adamax, lr=0.01),
    "adagrad": partial(torch.optim.Adagrad, lr=0.01),
    "rprop": partial(torch.optim.Rprop, lr=0.01),
    "asgd": partial(torch.optim.ASGD, lr=0.01),
    "adafactor": partial(torch.optim.Adafactor, lr=0.01),
}


@pytest.mark.parametrize("norm", [None, nn.BatchNorm1d], ids=["plain", "batch norm"])
@pytest.mark.parametrize("optimizer", NOT_REPLAYED.values(), ids=NOT_REPLAYED)
def test_steps_that_are_not_the_same_every_time(iris, optimizer: Any, norm: Any) -> None:
    make = by_hand(iris, optimizer=optimizer, norm=norm, dropout=[0.2, 0.2])
    replayed, _ = both(make, engine=None)
    assert replayed.engine is not None
    assert replayed.engine.startswith("ordinary: ")


def test_a_layer_that_somebody_watches(iris) -> None:
    seen: list[int] = []

    def make(replay: bool) -> Training:
        made = training(iris, engine=ENGINES[replay])
        made.model.hidden[0].register_forward_hook(lambda layer, inputs, out: seen.append(1))
        return made

    both(make, engine="ordinary: somebody watches the layers")
    half = len(seen) // 2
    assert half * 2 == len(seen)
    assert half > 28


def test_frozen_weights_stay(iris) -> None:
    def make(replay: bool) -> Training:
        made = training(iris, engine=ENGINES[replay])
        made.model.hidden[0].linear.weight.requires_grad_(False)
        return made

    both(make, engine=None)


def test_operations_that_change_are_noticed() -> None:
    w, numbers = torch.zeros(2), iter(range(1, 10))
    replay = Replay(
        lambda x, y: w.add_(x, alpha=next(numbers)),
        lambda n: None,
        [],
        steady=True,
    )
    replay(torch.ones(1, 2), torch.ones(1, 2), 0)
    with pytest.raises(Unrecordable, match="its operations change from iteration to iteration"):
        replay(torch.ones(1, 2), torch.ones(1, 2), 1)


def test_numbers_that_python_computes_are_noticed() -> None:
    """A tensor made of a number is the same tensor in a program, whatever the number was."""
    w = torch.ones(2)
    numbers = iter(range(1, 10))
    replay = Replay(
        lambda x, y: w.add_(x * torch.tensor(float(next(numbers)))),
        lambda n: None,
        [],
        steady=True,
    )

    def run() -> None:
        for number in range(4):
            replay(torch.ones(1, 2), torch.ones(1, 2), number)

    try:
        run()
    except Unrecordable:
        return
    assert w.tolist() == [11.0, 11.0]


# ------------------------------------------------------------------------------ divergence


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("lr", [3.0, 30.0, 1e5, 1e15, 1e30])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "rmsprop", "adadelta", "nadam"])
def test_divergence_is_told_in_the_same_words(optimizer: str, lr: float, norm: str) -> None:
    words = [f"optimizer={optimizer}", f"optimizer.lr={lr}", f"norm={norm}", "loss=mse"]
    words = [*words, "data=diabetes", "trainer.max_epochs=4", "reg=l2"]
    both(from_words(*words), engine=None)


@pytest.mark.parametrize("epoch", [1, 2, 3, 5])
@pytest.mark.parametrize("within", [0, 1, 4, 6])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, Momentum])
def test_divergence_early_and_late(iris, epoch: int, within: int, optimizer: Any) -> None:
    """The learning rate explodes in a certain iteration."""
    explodes = epoch - 1 + within / 7
    options = {
        "optimizer": partial(optimizer, lr=0.01),
        "loss": losses.BinaryCrossEntropy,
        "scheduler": partial(
            FactorScheduler,
            factor=lambda t: 1.0 if t < explodes - 1e-6 else 1e38,
            interval="iteration",
        ),
    }
    outcome, _ = both(by_hand(iris, max_epochs=6, **options), engine=None)
    assert outcome.status == DIVERGED
    assert f"epoch {epoch}" in outcome.reason or within == 6


def test_some_do_diverge_and_some_do_not() -> None:
    """So that the tests above look at both."""
    states = {
        fit(built("data=diabetes", "loss=mse", "optimizer=sgd", f"optimizer.lr={lr}")).status
        for lr in (1e-5, 1e30)
    }
    assert states == {COMPLETED, DIVERGED}


def test_losses_that_are_finite_and_too_large_to_be_added_up() -> None:
    """Each is 2.25e38: so the epoch is done again, as it is written, and nothing is amiss."""
    data = constant_data([[0.0]] * 4, [[1.5e19]] * 4)
    make = by_hand(data, hidden=[3], batch_size=1, optimizer=partial(torch.optim.SGD, lr=1e-30))
    outcome, _ = both(make, engine=None)
    assert outcome.status == COMPLETED
    assert outcome.engine == "ordinary: a loss was not finite, or too large to be added up"


# ------------------------------------------------------------------------------ interrupted


@pytest.mark.parametrize("after", [1, 2, 3, 7, 8, 10, 17, 20, 21])
def test_an_interrupted_epoch_counts_as_not_begun(after: int, monkeypatch) -> None:
    monkeypatch.setattr(replay, "AT_ONCE_SECONDS", 0.0)
    words = "reg=dropout", "norm=batch", "optimizer=nadam", "scheduler=one_cycle"
    words = (*words, "scheduler.epochs=4", "trainer.max_epochs=4")
    states = {}
    ends = []
    for replays in (True, False):
        interrupted = built(*words, f"trainer.engine={ENGINES[replays]}")
        log = CountedStates()
        outcome = fit(interrupted, [log], lambda d=log: len(d.iterations) >= after)
        assert outcome.status == INTERRUPTED
        assert same_bits(interrupted.state_dict(), log.states[-1])
        states[replays] = copy.deepcopy(interrupted.state_dict())
        assert fit(interrupted).status == COMPLETED
        ends.append(interrupted.state_dict())
    whole = built(*words, "trainer.engine=plain")
    fit(whole)
    assert same_bits(states[True], states[False])
    assert same_bits(ends[0], ends[1])
    assert same_bits(ends[0], whole.state_dict())


class CountedStates(EpochLog):
    """States from before the first epoch on, without looking into the layers."""

    def on_start(self, training: Training) -> None:
        if not self.states:
            self.states.append(copy.deepcopy(training.state_dict()))


BEFORE_AND_AFTER = [(name, (True, True)) for name in OPTIMIZERS]


BEFORE_AND_AFTER += [("adamax", (True, False)), ("adamax", (False, True))]


@pytest.mark.parametrize(("optimizer", "replays"), BEFORE_AND_AFTER, ids=str)
def test_resumed_is_uninterrupted(optimizer: str, replays: tuple[bool, bool], tmp_path) -> None:
    words = f"optimizer={optimizer}", "reg=dropout,weight_decay", "norm=batch"
    words = (*words, "scheduler=plateau", "scheduler.patience=0", "trainer.max_epochs=5")
    whole = built(*words, "trainer.engine=plain")
    fit(whole)
    log = CountedStates()
    fit(built(*words, f"trainer.engine={ENGINES[replays[0]]}"), [log])
    for epoch in (1, 3):
        torch.save(log.states[epoch], tmp_path / "last.pt")
        resumed = built(*words, f"trainer.engine={ENGINES[replays[1]]}")
        resumed.load_state_dict(torch.load(tmp_path / "last.pt", weights_only=True))
        assert fit(resumed).engine == (
            "replayed" if replays[1] else "ordinary: trainer.engine=plain"
        )
        assert same_bits(resumed.state_dict(), whole.state_dict())


def test_resumed_while_the_learning_rate_is_nothing(iris) -> None:
    def make(replay: bool, epochs: int) -> Training:
        options = {"optimizer": partial(Momentum, lr=0.1), "scheduler": factors(1, 0, 0, 1)}
        return training(iris, max_epochs=epochs, engine=ENGINES[replay], **options)

    whole, begun, resumed = make(False, 5), make(True, 1), make(True, 5)
    fit(whole)
    fit(begun)
    resumed.load_state_dict(begun.state_dict())
    fit(resumed)
    assert same_bits(resumed.state_dict(), whole.state_dict())


def test_an_optimizer_of_every_file_is_here() -> None:
    assert len(OPTIMIZERS) == 11
    assert all(option("optimizer", name) for name in OPTIMIZERS)
