"""A replayed training is the one that runs as it is written, to the last bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR, SequentialLR

from exprun.common.constants import ACTIVATIONS, COMPLETED, DIVERGED, EARLY_STOPPED, INTERRUPTED
from exprun.config.paths import conf_dir
from exprun.data.frame import Frame
from exprun.data.prepare import prepare
from exprun.data.table import Table
from exprun.data.task import Task
from exprun.engine import replay
from exprun.engine.replay import Replay
from exprun.engine.tape import Unrecordable
from exprun.fit import learning_curve
from exprun.fit.loop import fit
from exprun.techniques import losses
from exprun.techniques.optimizers import Adamax, Momentum, NAdam, RAdam
from exprun.techniques.regularizers import Dropout, Regularizer
from exprun.techniques.schedules import FactorScheduler, TorchScheduler
from exprun.training.callbacks import Callback, Outcome
from exprun.training.training import Training
from tests.conftest import built, option, same_bits, training
from tests.fit.test_loop import Diary, constant_data

OPTIMIZERS = sorted({f.stem for f in (conf_dir() / "optimizer").glob("*.yaml")} - {"lbfgs"})
REGULARIZERS = [
    "none",
    "dropout",
    "l1,l2",
    "elastic_net",
    "max_norm",
    "weight_decay",
    "label_smoothing",
    "dropout,l1,l2,elastic_net,max_norm,label_smoothing",
]
NORMS = [
    ["norm=none"],
    ["norm=batch"],
    ["norm=layer"],
    ["norm=batch", "norm.position=post"],
    ["norm=layer", "norm.position=post"],
]
TORCHS = "scheduler._target_=torch.optim.lr_scheduler"
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

ENGINES = {True: "replay", False: "plain"}
"""What computes the iterations, by whether they are replayed."""


@pytest.fixture(autouse=True)
def measured_by_replay(monkeypatch):
    """Short as these trainings are, what is measured after their epochs is replayed, too."""
    monkeypatch.setattr(learning_curve, "PAYS", 2)


def both(make: Callable[[bool], Training], engine: str | None = "replayed") -> list[Outcome]:
    """Fit one that replays and one that does not, which must end as the same."""
    trainings = make(True), make(False)
    outcomes = [fit(t) for t in trainings]
    replayed, ordinary = trainings
    assert same_bits(replayed.state_dict(), ordinary.state_dict())
    assert [o.status for o in outcomes] == [outcomes[1].status] * 2
    assert [o.reason for o in outcomes] == [outcomes[1].reason] * 2
    assert outcomes[1].engine == "ordinary: trainer.engine=plain"
    assert engine is None or outcomes[0].engine == engine
    return outcomes


def from_words(*words: str) -> Callable[[bool], Training]:
    return lambda replay: built(*words, f"trainer.engine={ENGINES[replay]}")


def by_hand(data: Any, **options: Any) -> Callable[[bool], Training]:
    return lambda replay: training(data, **options, engine=ENGINES[replay])


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


def targets(number: int) -> Any:
    """100 rows to train on, 50 to validate on, of 3 features and some targets."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(150, 3, generator=random, dtype=torch.float64)
    y = (x @ torch.randn(3, number, generator=random, dtype=torch.float64)).tanh()
    names = tuple(f"y{i}" for i in range(number))
    table = Table("several", Frame(("a", "b", "c"), x.numpy()), y.numpy(), Task(names))
    return prepare(table, val_fraction=1 / 3, test_fraction=0)


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


# ------------------------------------------------------------------------------ learning rates


def factors(*values: float) -> Any:
    """A schedule with these factors, an epoch each, then the last one."""
    return partial(FactorScheduler, factor=lambda t: values[min(int(t), len(values) - 1)])


MOVING = {
    "sgd": torch.optim.SGD,
    "momentum": Momentum,
    "rmsprop": torch.optim.RMSprop,
    "adadelta": torch.optim.Adadelta,
    "fused adam": partial(torch.optim.Adam, fused=True),
}


@pytest.mark.parametrize(
    "schedule",
    [(1, 0), (1, 0, 1), (1, 1, 0, 0, 1), (1, 100, 1e-30, 1)],
    ids=str,
)
@pytest.mark.parametrize("optimizer", MOVING.values(), ids=MOVING)
def test_a_learning_rate_that_becomes_nothing(iris, optimizer: Any, schedule: Any) -> None:
    options = {"optimizer": partial(optimizer, lr=0.01), "scheduler": factors(*schedule)}
    both(by_hand(iris, max_epochs=6, **options), engine=None)


@pytest.mark.parametrize("schedule", [(0, 1), (0, 0, 1), (0, 1, 0, 1)], ids=str)
@pytest.mark.parametrize("batch_size", [16, None])
@pytest.mark.parametrize("optimizer", MOVING.values(), ids=MOVING)
def test_a_learning_rate_of_nothing_at_first(
    iris, optimizer: Any, batch_size: int | None, schedule: Any
) -> None:
    options = {"optimizer": partial(optimizer, lr=0.01), "scheduler": factors(*schedule)}
    both(by_hand(iris, max_epochs=6, batch_size=batch_size, **options), engine=None)


def test_a_cycle_from_a_learning_rate_of_zero() -> None:
    def make(replay: bool) -> Training:
        made = built(
            "optimizer=momentum", f"trainer.engine={ENGINES[replay]}", "trainer.max_epochs=5"
        )
        cycle = torch.optim.lr_scheduler.CyclicLR(
            made.optimizer, base_lr=0.0, max_lr=0.5, step_size_up=2, cycle_momentum=False
        )
        made.scheduler = TorchScheduler(made.optimizer, cycle)
        return made

    both(make, engine=None)


# ------------------------------------------------------------------------------ hyperparameters


class Sets(LRScheduler):
    """Somebody's own scheduler, which gives a hyperparameter another value now and then."""

    def __init__(self, optimizer: Any, name: str, values: dict[int, Any]) -> None:
        self.name, self.values = name, values
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        for group in self.optimizer.param_groups:
            group[self.name] = self.values.get(self.last_epoch, group[self.name])
        return [group["lr"] for group in self.optimizer.param_groups]


Optim = torch.optim
HYPERPARAMETERS: dict[str, tuple[Any, Any]] = {
    "sgd momentum": (partial(Optim.SGD, momentum=0.5), 0.95),
    "sgd momentum turned on": (Optim.SGD, 0.9),
    "sgd momentum turned off": (partial(Optim.SGD, momentum=0.9), 0.0),
    "sgd dampening": (partial(Optim.SGD, momentum=0.9), 0.5),
    "sgd nesterov": (partial(Optim.SGD, momentum=0.9), True),
    "sgd weight_decay": (Optim.SGD, 0.5),
    "sgd maximize": (Optim.SGD, True),
    "rmsprop momentum": (partial(Optim.RMSprop, momentum=0.5), 0.9),
    "rmsprop alpha": (Optim.RMSprop, 0.5),
    "rmsprop eps": (Optim.RMSprop, 0.1),
    "adam betas": (partial(Optim.Adam, fused=True), (0.5, 0.9)),
    "adam eps": (partial(Optim.Adam, fused=True), 0.1),
    "adam weight_decay": (partial(Optim.Adam, fused=True), 0.1),
    "adamw weight_decay": (partial(Optim.AdamW, fused=True), 0.5),
    "adagrad weight_decay": (partial(Optim.Adagrad, fused=True), 0.5),
    "adadelta rho": (Optim.Adadelta, 0.5),
    "momentum momentum": (Momentum, 0.5),
    "nadam momentum_decay": (NAdam, 0.5),
    "radam betas": (RAdam, (0.5, 0.9)),
    "adamax weight_decay": (Adamax, 0.5),
}


def sets(name: str, values: dict[int, Any], interval: str = "epoch") -> Any:
    return lambda optimizer: TorchScheduler(
        optimizer, Sets(optimizer, name, values), interval=interval
    )


@pytest.mark.parametrize("at", [{"epoch": 3}, {"iteration": 25}], ids=["epoch", "iteration"])
@pytest.mark.parametrize("what", HYPERPARAMETERS)
def test_a_hyperparameter_that_a_scheduler_changes(iris, what: str, at: dict[str, int]) -> None:
    """Once: what comes after it is recorded anew."""
    optimizer, value = HYPERPARAMETERS[what]
    (interval, time), name = next(iter(at.items())), what.split()[1]
    options = {"optimizer": partial(optimizer, lr=0.01), "max_epochs": 5}
    both(by_hand(iris, scheduler=sets(name, {time: value}, interval), **options))
    changed, unchanged = (
        training(iris, scheduler=sets(name, {time: value} if set_ else {}, interval), **options)
        for set_ in (True, False)
    )
    fit(changed)
    fit(unchanged)
    assert changed.history[2] == unchanged.history[2]  # iteration 25 is in the fourth epoch
    assert changed.history[-1]["train_loss"] != unchanged.history[-1]["train_loss"]


@pytest.mark.parametrize("interval", ["epoch", "iteration"])
@pytest.mark.parametrize("what", ["sgd momentum", "adamw weight_decay", "momentum momentum"])
def test_a_hyperparameter_that_changes_all_the_time(iris, what: str, interval: str) -> None:
    optimizer, value = HYPERPARAMETERS[what]
    name = what.split()[1]
    values = {time: value * (1 - 0.001 * time) for time in range(100)}
    options = {"optimizer": partial(optimizer, lr=0.01), "max_epochs": 8}
    make = by_hand(iris, scheduler=sets(name, values, interval), **options)
    both(make, engine=f"ordinary: {name} changes too often")


def warm_then_cycle(optimizer: Any) -> TorchScheduler:
    """Five iterations of a constant rate, then one cycle, which moves the momentum too."""
    schedulers = [
        ConstantLR(optimizer, factor=0.5, total_iters=5),
        OneCycleLR(optimizer, max_lr=0.1, total_steps=40),
    ]
    return TorchScheduler(
        optimizer, SequentialLR(optimizer, schedulers, milestones=[5]), interval="iteration"
    )


@pytest.mark.parametrize(
    "optimizer",
    [Optim.SGD, partial(Optim.SGD, momentum=0.9), Optim.RMSprop, partial(Optim.Adam, fused=True)],
    ids=["sgd", "sgd with momentum", "rmsprop", "adam"],
)
def test_torchs_cycle_behind_another_schedule(iris, optimizer: Any) -> None:
    make = by_hand(iris, optimizer=partial(optimizer, lr=0.05), scheduler=warm_then_cycle)
    both(make, engine=None)


class Restarts(LRScheduler):
    """Somebody's own scheduler, which forgets what the optimizer has gathered."""

    def get_lr(self) -> list[float]:
        if self.last_epoch == 3:
            self.optimizer.state.clear()
        return [group["lr"] for group in self.optimizer.param_groups]


@pytest.mark.parametrize("optimizer", [Momentum, partial(Optim.AdamW, fused=True)])
def test_a_state_that_a_scheduler_clears(iris, optimizer: Any) -> None:
    def scheduler(optimizer: Any) -> TorchScheduler:
        return TorchScheduler(optimizer, Restarts(optimizer))

    both(by_hand(iris, optimizer=partial(optimizer, lr=0.05), scheduler=scheduler, max_epochs=6))


def test_a_callback_that_changes_a_hyperparameter(iris) -> None:
    class Raises(Callback):
        def on_epoch(self, training: Training, row: dict[str, float]) -> None:
            training.optimizer.param_groups[0]["momentum"] = 0.1 * training.epoch

    trainings = [
        training(iris, optimizer=partial(Optim.SGD, lr=0.05), engine=engine)
        for engine in ("replay", "plain")
    ]
    engines = [fit(t, [Raises()]).engine for t in trainings]
    assert engines == ["replayed", "ordinary: trainer.engine=plain"]
    assert same_bits(trainings[0].state_dict(), trainings[1].state_dict())


def test_resumed_after_a_hyperparameter_was_changed(iris) -> None:
    def make(max_epochs: int) -> Training:
        momentum = sets("momentum", {3: 0.95, 5: 0.1})
        sgd = partial(Optim.SGD, lr=0.05, momentum=0.5)
        return training(iris, optimizer=sgd, scheduler=momentum, max_epochs=max_epochs)

    whole, begun, resumed = make(8), make(4), make(8)
    fit(whole)
    fit(begun)
    resumed.load_state_dict(copy.deepcopy(begun.state_dict()))
    fit(resumed)
    assert same_bits(resumed.state_dict(), whole.state_dict())


# ------------------------------------------------------------------------------ as it is written


class OwnOptimizer(torch.optim.SGD):
    """The tests' own."""


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
        diary = CountedStates()
        outcome = fit(interrupted, [diary], lambda d=diary: len(d.iterations) >= after)
        assert outcome.status == INTERRUPTED
        assert same_bits(interrupted.state_dict(), diary.states[-1])
        states[replays] = copy.deepcopy(interrupted.state_dict())
        assert fit(interrupted).status == COMPLETED
        ends.append(interrupted.state_dict())
    whole = built(*words, "trainer.engine=plain")
    fit(whole)
    assert same_bits(states[True], states[False])
    assert same_bits(ends[0], ends[1])
    assert same_bits(ends[0], whole.state_dict())


class CountedStates(Diary):
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
    diary = CountedStates()
    fit(built(*words, f"trainer.engine={ENGINES[replays[0]]}"), [diary])
    for epoch in (1, 3):
        torch.save(diary.states[epoch], tmp_path / "last.pt")
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
