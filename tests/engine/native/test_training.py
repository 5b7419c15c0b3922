"""Trainings by the native engine, against the plain loop and against themselves."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exprun.common.constants import ACTIVATIONS, COMPLETED, DIVERGED, INTERRUPTED
from exprun.common.errors import UsageError
from exprun.data import bundled
from exprun.data.prepare import Data, prepare
from exprun.data.task import Task
from exprun.engine.native import library
from exprun.engine.native import training as native_training
from exprun.engine.native.network import obstacle
from exprun.engine.native.training import NativeTraining
from exprun.fit.learning_curve import Curve
from exprun.fit.loop import batches, fit, iterate, new_order
from exprun.techniques import losses
from exprun.techniques.optimizers import Momentum, NAdam, RAdam
from exprun.techniques.schedules import TorchScheduler
from exprun.training.callbacks import Callback, Outcome
from exprun.training.training import Training
from tests.conftest import built, same_bits, training
from tests.engine.native import needs_native
from tests.engine.trainings import HYPERPARAMETERS, OPTIMIZERS, REGULARIZERS, sets

pytestmark = needs_native

NORMS = [
    [],
    ["norm=batch"],
    ["norm=batch", "norm.position=post"],
    ["norm=layer"],
    ["norm=layer", "norm.position=post"],
]
LOSSES = ["cross_entropy", "bce", "mse", "mae", "huber"]


def tensors(t: Training) -> dict[str, list[Tensor]]:
    """All that a training changes, where it lies: the weights, and each kind of state."""
    found: dict[str, list[Tensor]] = defaultdict(list)
    for w in t.model.parameters():
        found["weights"].append(w)
        for name, state in t.optimizer.state[w].items():
            found[name].append(state)
    for name, buffer in t.model.named_buffers():
        found[name.rpartition(".")[2]].append(buffer)
    found["averages"] = t.averaging.sums if t.averaging else []
    return found


def determined(t: Training) -> list[Tensor]:
    """Of each weight the numbers whose step is determined. An adaptive optimizer makes a step of
    full length where the gradient is little more than rounding too, as of a bias before a batch
    normalisation, which takes it away again."""
    gradients = [w.grad.abs() for w in t.model.parameters() if w.grad is not None]
    largest = torch.stack([g.max() for g in gradients]).max()
    enough = 1e-3 * largest if type(t.optimizer) not in (torch.optim.SGD, Momentum) else 0.0
    return [g >= enough for g in gradients]


def distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """Of all b from all a, relative to their norm."""
    first, second = (torch.cat([w.detach().double().flatten() for w in x]) for x in (a, b))
    return float((first - second).norm() / first.norm().clamp_min(1e-30))


def step_by_step(make: Callable[[], Training], epochs: int, bound: float = 1e-6) -> None:
    """Every iteration from equal states, by the plain loop and by the engine: the weights after it
    differ by ``bound`` at most, relative to their norm, and all else that changes by twenty times
    as much, since gradients are sums of what almost cancels, and some states squares of them."""
    plain, other = make(), make()
    assert obstacle(other) is None
    native = NativeTraining(other)
    for _ in range(epochs):
        plain.set_mode(True)
        order, done = new_order(plain), 0
        for xs, ys in batches(plain, order):
            for x, y in zip(xs, ys, strict=True):
                native.at_once = 1
                assert native(order, done) == 1
                iterate(plain, x, y, plain.iteration + done)
                done += 1
                expected, found = tensors(plain), tensors(other)
                assert expected.keys() == found.keys()
                counted = determined(plain)
                for name in expected:
                    pair = [of[name] for of in (expected, found)]
                    if len(pair[0]) == len(counted) and pair[0][0].shape == counted[0].shape:
                        pair = [
                            [w[those] for w, those in zip(of, counted, strict=True)] for of in pair
                        ]
                    if name == "running_mean":  # which may be 0: relative to the deviation then
                        pair = [[*pair[i], *expected["running_var"]] for i in (0, 1)]
                    far = distance(*pair) if pair[0] else 0.0
                    assert far <= bound * (1 if name == "weights" else 20), (name, done, far)
                with torch.no_grad():
                    for name, those in found.items():
                        for tensor, value in zip(those, expected[name], strict=True):
                            tensor.copy_(value)
        for t in (plain, other):
            t.iteration += done
            t.epoch += 1


# ------------------------------------------------------------------------------ the plain loop


@pytest.mark.parametrize("reg", REGULARIZERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_regularizers_norms_losses_and_activations(optimizer: str, reg: str) -> None:
    """Each optimizer with each regularizer; norms, losses and activations take turns."""
    turn = OPTIMIZERS.index(optimizer) * len(REGULARIZERS) + REGULARIZERS.index(reg)
    loss = "cross_entropy" if "smoothing" in reg else LOSSES[turn % 5]
    words = [f"optimizer={optimizer}", f"reg={reg}", *NORMS[turn % 5], f"loss={loss}"]
    words.append(f"model.activation={sorted(ACTIVATIONS)[turn % 16]}")
    step_by_step(partial(built, *words), epochs=2)


VARIANTS = [
    ["optimizer=sgd", "optimizer.momentum=0.9", "optimizer.weight_decay=0.1"],
    ["optimizer=adam", "optimizer.amsgrad=true", "optimizer.weight_decay=0.1"],
    ["optimizer=adamw", "optimizer.amsgrad=true"],
    ["optimizer=rmsprop", "optimizer.momentum=0.9", "optimizer.centered=true"],
    ["optimizer=adagrad", "optimizer.lr_decay=0.01", "optimizer.weight_decay=0.1"],
    ["optimizer=nadam", "optimizer.weight_decay=0.1", "optimizer.decoupled_weight_decay=true"],
    ["optimizer=radam", "optimizer.weight_decay=0.1", "optimizer.decoupled_weight_decay=true"],
    ["reg=weight_decay", "reg.weight_decay.biases=true"],
    ["reg=l1", "reg.l1.biases=true", "norm=layer"],
    ["reg=dropout", "reg.dropout.p=[0.0,0.5]"],
    ["batching.batch_size=1", "trainer.max_epochs=1"],
    ["batching.batch_size=full"],
    ["batching.batch_size=103", "norm=batch"],
    ["model.hidden=[]"],
    ["model.hidden=[1]", "reg=dropout,l1,l2"],
    ["model.hidden=[7,6,5,4,3]", "norm=layer"],
    ["loss=bce", "reg=label_smoothing"],
    ["loss=cross_entropy", "loss.reduction=sum", "optimizer=sgd", "optimizer.lr=0.001"],
    ["data=breast_cancer", "loss=bce", "batching.batch_size=200"],
    ["data=breast_cancer", "loss=bce", "loss.class_weight=balanced"],
    ["data=breast_cancer", "loss=cross_entropy", "loss.class_weight=[0.5,2]"],
    ["data=diabetes", "loss=huber", "loss.delta=0.5", "data.standardize_target=true"],
    ["data=diabetes", "loss=mae", "data.standardize_target=true"],
    ["data=diabetes", "loss=poisson", "optimizer=sgd", "optimizer.lr=0.0001"],
    ["data=digits", "model.hidden=[100,100]", "averaging=ema"],
    ["scheduler=one_cycle", "scheduler.epochs=2"],
    ["scheduler=cosine", "scheduler.epochs=2", "scheduler.interval=iteration"],
]


@pytest.mark.parametrize("words", VARIANTS, ids=" ".join)
def test_variants(words: list[str]) -> None:
    step_by_step(partial(built, *words), epochs=2)


def cycle(optimizer: torch.optim.Optimizer) -> TorchScheduler:
    """Moves the momentum as well as the learning rate, in every iteration."""
    made = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=30)
    return TorchScheduler(optimizer, made, interval="iteration")


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.SGD, lr=0.1, momentum=0.9, dampening=0.3),
        partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
        partial(torch.optim.Adam, lr=0.01, fused=True),
        partial(NAdam, lr=0.01),
        partial(RAdam, lr=0.01),
        partial(Momentum, lr=0.01),
    ],
    ids=lambda optimizer: optimizer.func.__name__,
)
def test_schedulers_of_the_momentum(iris, optimizer: Any) -> None:
    step_by_step(partial(training, iris, optimizer=optimizer, scheduler=cycle), epochs=3)


@pytest.mark.parametrize("at", [{"epoch": 3}, {"iteration": 25}], ids=["epoch", "iteration"])
@pytest.mark.parametrize("what", HYPERPARAMETERS)
def test_hyperparameters_that_change_on_the_way(iris, what: str, at: dict[str, int]) -> None:
    """Numbers are read again; what the engine was made for ends it, and another one goes on."""
    optimizer, value = HYPERPARAMETERS[what]
    (interval, time), name = next(iter(at.items())), what.split()[1]
    native, plain = (
        training(
            iris,
            optimizer=partial(optimizer, lr=0.01),
            scheduler=sets(name, {time: value}, interval),
            max_epochs=5,
            engine=engine,
        )
        for engine in ("auto", "plain")
    )
    engine = fit(native).engine
    fit(plain)
    for a, b in zip(native.history, plain.history, strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)
    built_in = what in ("sgd momentum turned on", "sgd momentum turned off", "sgd nesterov")
    assert (engine == "native") == (not built_in and what != "sgd maximize")


def test_a_state_that_is_replaced_on_the_way(iris) -> None:
    class Replaces(Callback):
        def on_epoch(self, training: Training, row: dict[str, float]) -> None:
            if training.epoch == 2:
                training.optimizer.load_state_dict(copy.deepcopy(training.optimizer.state_dict()))
                for state in training.optimizer.state.values():
                    state["momentum_buffer"].mul_(3.0)

    sgd = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
    native, plain = (training(iris, optimizer=sgd, engine=e) for e in ("auto", "plain"))
    engine = str(fit(native, [Replaces()]).engine)
    fit(plain, [Replaces()])
    assert engine.endswith("not native: the state of the optimizer changed on the way")
    for a, b in zip(native.history, plain.history, strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("data", "optimizer", "bound"),
    [
        *(("iris", name, 1e-5) for name in OPTIMIZERS),
        *(("digits", name, 1e-5) for name in ("sgd", "momentum", "adagrad", "adamax")),
    ],
)
def test_after_twenty_epochs(data: str, optimizer: str, bound: float) -> None:
    """Without norms and with a smooth activation no rounding is ever made large."""
    words = f"data={data}", f"optimizer={optimizer}", "model.activation=tanh"
    made = built(*words, "trainer.max_epochs=20"), built(*words, "trainer.max_epochs=20")
    made[1].engine = "plain"
    assert [fit(t).engine for t in made] == ["native", "ordinary: trainer.engine=plain"]
    assert distance(*(list(t.model.parameters()) for t in reversed(made))) < bound
    for a, b in zip(made[0].history, made[1].history, strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("norm", [None, nn.BatchNorm1d, nn.LayerNorm])
def test_gradients_are_autograds_in_double_precision(iris, activation: str, norm: Any) -> None:
    """A step of gradient descent with learning rate 1 moves the weights by the gradient."""
    t = training(
        iris,
        activation=activation,
        norm=norm,
        batch_size=None,
        optimizer=partial(torch.optim.SGD, lr=1.0),
    )
    twin = copy.deepcopy(t.model).double()
    loss = t.loss(twin(iris.train.x.double()), t.targets)
    gradients = torch.autograd.grad(loss, list(twin.parameters()))
    before = [w.detach().double().clone() for w in t.model.parameters()]
    NativeTraining(t)(torch.arange(len(iris.train)), 0)
    total = torch.cat([g.flatten() for g in gradients]).norm()
    for w, old, gradient in zip(t.model.parameters(), before, gradients, strict=True):
        moved = old - w.detach().double()
        assert float((moved - gradient).norm()) < 1e-6 * float(old.norm() + total)


def test_an_iteration_on_paper() -> None:
    """x = (1, 2), w = (3, -1), b = 0.5: z = 1.5, of (z - t)² with t = 1 the gradient is 1."""
    layer = library.Layer(inputs=2, units=1)
    w, b = torch.tensor([3.0, -1.0]), torch.tensor([0.5])
    for kind, tensor in (("weight", w), ("bias", b)):
        parameter = library.Parameter(w=tensor.data_ptr(), count=len(tensor), rows=1)
        setattr(layer, kind, parameter)
    layers = (library.Layer * 1)(layer)
    net = library.Network(layers=layers, depth=1, batch=1, loss=2, groups=1, threads=1)
    x, t, order = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0]]), torch.tensor([0])
    rows = library.Rows(x=x.data_ptr(), targets=t.data_ptr(), rows=1)
    kernels = library.load()
    workspace = kernels.native_open(net, 0)
    hyper = (library.Hyper * 1)(library.Hyper(lr=0.25))
    assert kernels.native_train(workspace, rows, order.data_ptr(), 1, 1, 0, hyper, 1) == 1
    kernels.native_close(workspace)
    assert w.tolist() == [2.75, -1.5]
    assert b.tolist() == [0.25]


# ------------------------------------------------------------------------------ the curve


@pytest.mark.parametrize(
    "words",
    [
        ["data=iris"],
        ["data=digits", "norm=batch"],
        ["data=breast_cancer", "loss=bce"],
        ["data=iris", "loss=bce", "reg=label_smoothing,dropout"],
        ["data=iris", "loss=mse", "norm=layer"],
        ["data=diabetes"],
        ["data=diabetes", "loss=huber", "data.standardize_target=true"],
        ["data=iris", "loss=cross_entropy", "loss.class_weight=balanced"],
    ],
    ids=" ".join,
)
def test_figures_are_those_of_the_curve(words: list[str]) -> None:
    t = built(*words)
    native = NativeTraining(t)
    for _ in range(3):
        row = Curve(t, replayed=False, native=native).row()
        assert row == pytest.approx(Curve(t, replayed=False).row(), rel=2e-6)
        order, done = new_order(t), 0
        while done < t.iterations_per_epoch:
            done += native(order, done)
        t.iteration += done


def test_several_targets() -> None:
    table = bundled.diabetes()
    y = np.random.default_rng(0).normal(size=(len(table.y), 3)) * [1, 10, 0] + 5
    table = replace(table, y=y, task=Task(("a", "b", "c")))
    t = training(prepare(table, val_fraction=0.2, test_fraction=0.1))
    native = Curve(t, replayed=False, native=NativeTraining(t)).row()
    assert native == pytest.approx(Curve(t, replayed=False).row(), rel=2e-6)


# ------------------------------------------------------------------------------ the same bits


WORDS = ["reg=dropout,l2", "norm=batch", "optimizer=nadam", "scheduler=one_cycle"]
WORDS += ["scheduler.epochs=4", "trainer.max_epochs=4", "averaging=ema"]


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is asked whether to stop after every iteration."""
    monkeypatch.setattr(native_training, "AT_ONCE_SECONDS", 0.0)


class Noted(Callback):
    """The states after all epochs."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []
        self.iterations: list[int] = []

    def on_start(self, training: Training) -> None:
        self.states.append(copy.deepcopy(training.state_dict()))

    def on_iteration(self, training: Training, iteration: int) -> None:
        self.iterations.append(iteration)

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        self.states.append(copy.deepcopy(training.state_dict()))


def fitted(t: Training, *rest: Any) -> tuple[Noted, Outcome]:
    noted = Noted()
    outcome = fit(t, [noted], *rest)
    assert outcome.engine == "native"
    return noted, outcome


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resumed_is_uninterrupted(optimizer: str, tmp_path) -> None:
    words = f"optimizer={optimizer}", "reg=dropout,weight_decay", "norm=batch", "averaging=ema"
    words = (*words, "scheduler=plateau", "scheduler.patience=0", "trainer.max_epochs=4")
    whole = built(*words)
    noted, _ = fitted(whole)
    for epoch in (1, 3):
        torch.save(noted.states[epoch], tmp_path / "last.pt")
        resumed = built(*words)
        resumed.load_state_dict(torch.load(tmp_path / "last.pt", weights_only=True))
        fitted(resumed)
        assert same_bits(resumed.state_dict(), whole.state_dict())


@pytest.mark.parametrize("after", [1, 3, 7, 8, 12])
def test_an_interrupted_epoch_counts_as_not_begun(after: int, one_by_one: None) -> None:
    whole, interrupted = built(*WORDS), built(*WORDS)
    fitted(whole)
    noted = Noted()
    outcome = fit(interrupted, [noted], lambda: len(noted.iterations) >= after)
    assert outcome.status == INTERRUPTED
    assert same_bits(interrupted.state_dict(), noted.states[-1])
    assert fit(interrupted).status == COMPLETED
    assert same_bits(interrupted.state_dict(), whole.state_dict())


def test_how_many_iterations_are_done_at_once_does_not_matter(one_by_one: None) -> None:
    one, many = built(*WORDS), built(*WORDS)
    noted, _ = fitted(one)
    assert noted.iterations == list(range(1, one.iteration + 1))
    native_training.AT_ONCE_SECONDS = 1.0
    fitted(many)
    assert same_bits(one.state_dict(), many.state_dict())


@pytest.mark.parametrize("norm", [[], ["norm=batch"], ["norm=layer"]])
def test_threads_and_instruction_sets_do_not_matter(norm: list[str]) -> None:
    words = ["data=digits", "model.hidden=[50,37]", "reg=dropout,max_norm", "optimizer=adam", *norm]
    ends = []
    for target in range(len(library.targets())):
        for threads in (1, 2, 5):
            t = built(*words)
            native = NativeTraining(t, target=target, threads=threads)
            for _ in range(2):
                order, done = new_order(t), 0
                while done < t.iterations_per_epoch:
                    done += native(order, done)
                t.iteration += done
            ends.append(copy.deepcopy(t.state_dict()))
    assert all(same_bits(end, ends[0]) for end in ends[1:])


# ------------------------------------------------------------------------------ divergence


def test_divergence_names_iteration_and_layer(iris) -> None:
    """That the plain loop names the same says that nothing was updated after the loss."""
    made = [
        training(iris, optimizer=partial(torch.optim.SGD, lr=1e18), engine=engine)
        for engine in ("native", "plain")
    ]
    outcomes = [fit(t) for t in made]
    assert [o.status for o in outcomes] == [DIVERGED, DIVERGED]
    assert outcomes[0].reason == outcomes[1].reason
    assert made[0].iteration == made[1].iteration == 0


def test_a_weight_that_is_not_finite_ends_the_epoch(iris) -> None:
    t = training(iris, batch_size=None, optimizer=partial(torch.optim.SGD, lr=math.inf))
    assert fit(t).status == DIVERGED
    assert not t.history


# ------------------------------------------------------------------------------ what it leaves


def own_norm(units: int) -> nn.Module:
    class Mine(nn.BatchNorm1d):
        pass

    return Mine(units)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"norm": own_norm}, "it does not know Mine"),
        ({"norm": partial(nn.BatchNorm1d, track_running_stats=False)}, "running statistics"),
        ({"optimizer": torch.optim.LBFGS}, "L-BFGS"),
        ({"optimizer": partial(torch.optim.SGD, lr=0.1, maximize=True)}, "maximise"),
        ({"optimizer": partial(torch.optim.Rprop, lr=0.1)}, "it does not know Rprop"),
        ({"engine": "replay"}, "another engine was chosen"),
    ],
)
def test_what_it_cannot_do_has_a_reason(iris, options: dict[str, Any], reason: str) -> None:
    found = obstacle(training(iris, **options))
    assert found is not None
    assert reason in found


def test_the_reason_is_in_the_outcome(iris) -> None:
    outcome = fit(training(iris, optimizer=partial(torch.optim.RMSprop, maximize=True)))
    assert outcome.engine == "replayed; not native: it does not maximise"


def test_an_engine_that_was_demanded_and_cannot() -> None:
    with pytest.raises(UsageError, match=r"trainer.engine=native: L-BFGS .*; expected auto"):
        built("optimizer=lbfgs", "trainer.engine=native")
    assert fit(built("optimizer=adam", "trainer.engine=native")).engine == "native"


def test_a_loss_of_ones_own_is_left_to_the_others(iris: Data) -> None:
    class Mine(losses.CrossEntropy):
        pass

    assert fit(training(iris, loss=Mine)).engine == (
        "ordinary: Mine is code of somebody's own; not native: it does not know Mine"
    )
