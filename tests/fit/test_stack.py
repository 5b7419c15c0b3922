"""A member of a stack ends as it would alone."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest

from exprun.common.constants import ACTIVATIONS
from exprun.config.paths import conf_dir
from exprun.techniques import losses
from exprun.techniques.optimizers import Momentum
from tests.engine.trainings import OPTIMIZERS, REGULARIZERS, targets
from tests.fit.stacks import Make, alike, assert_as_alone, built, each, training

pytestmark = pytest.mark.usefixtures("measured_by_replay", "stacked_on_the_cpu")

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
