"""Learning rates and optimizers of a recorded iteration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exprun.engine.tape import Rate, Unrecordable, record
from exprun.techniques.optimizers import Adamax, Momentum, NAdam, RAdam
from tests.engine.recorded import Tensors, batch, same

# ------------------------------------------------------------------------------ learning rates


def moved(step: Callable[[Tensor, Tensor, float], Any], rates: Sequence[float]) -> list[Tensor]:
    """Weights after each step by hand, with a learning rate each."""
    w, history = torch.ones(4), []
    for number, lr in enumerate(rates):
        step(w, batch(number)[0], lr)
        history.append(w.clone())
    return history


def moved_by_a_program(
    step: Callable[[Tensor, Tensor, float], Any], rates: Sequence[float]
) -> list[Tensor]:
    """The same, of which the first step is recorded and the others are replayed."""
    w, history, program = torch.ones(4), [], None
    for number, lr in enumerate(rates):
        x, y = batch(number)
        if program is None:
            program = record(lambda x=x, lr=lr: step(w, x, lr), x, y, [Rate(lr, [w])])
        else:
            program.run(x[None], y[None], [[lr]])
        history.append(w.clone())
    return history


MOVES = {
    "keyword": lambda w, x, lr: w.add_(x[0], alpha=lr),
    "negative keyword": lambda w, x, lr: w.add_(x[0], alpha=-lr),
    "subtracted": lambda w, x, lr: w.sub_(x[0], alpha=lr),
    "value": lambda w, x, lr: w.addcdiv_(x[0], x[1].abs() + 1, value=-lr),
    "in a list": lambda w, x, lr: torch._foreach_add_([w], [x[0]], alpha=-lr),
    "in a list, value": lambda w, x, lr: torch._foreach_addcmul_([w], [x[0]], [x[1]], value=-lr),
    "positional": lambda w, x, lr: torch.ops.aten._foreach_addcmul_.Scalar(
        [w], [x[0]], [x[1]], -lr
    ),
    "twice": lambda w, x, lr: w.add_(x[0], alpha=-lr).add_(x[1], alpha=lr),
    "fused": lambda w, x, lr: torch._fused_sgd_(
        [w],
        [x[0]],
        [],
        weight_decay=0.0,
        momentum=0.0,
        lr=lr,
        dampening=0.0,
        nesterov=False,
        maximize=False,
        is_first_step=False,
    ),
}


RATES = [0.1, 0.1, 0.05, 1.0, 0.0, 1e-30, 0.3]


@pytest.mark.parametrize("step", MOVES.values(), ids=MOVES)
def test_each_iteration_has_its_own_learning_rate(step) -> None:
    assert same(moved_by_a_program(step, RATES), moved(step, RATES))


@pytest.mark.parametrize("first", [0.0, 1.0, 0.5, 1e-30])
@pytest.mark.parametrize("name", [name for name in MOVES if name != "positional"])
def test_the_first_learning_rate_may_be_any(name: str, first: float) -> None:
    rates = [first, 0.1, first, 0.2]
    assert same(moved_by_a_program(MOVES[name], rates), moved(MOVES[name], rates))


def test_a_learning_rate_of_1_that_is_not_told_is_noticed() -> None:
    """alpha=1 is the default, which an operation may leave out."""
    with pytest.raises(Unrecordable, match="a learning rate of 1"):
        moved_by_a_program(lambda w, x, lr: w.sub_(x[0], alpha=1).sub_(x[1], alpha=lr), [1.0, 0.1])


MISSING = {
    "not at all": lambda w, x, lr: w.sub_(x[0]),
    "multiplied before": lambda w, x, lr: w.sub_(x[0] * lr),
    "another number": lambda w, x, lr: w.sub_(x[0], alpha=lr / 2),
    "nobody moves": lambda w, x, lr: x + w,
}


@pytest.mark.parametrize("step", MISSING.values(), ids=MISSING)
def test_a_learning_rate_that_is_nowhere_is_noticed(step) -> None:
    with pytest.raises(Unrecordable, match="learning rate"):
        moved_by_a_program(step, [0.1, 0.2])


def test_a_learning_rate_that_is_in_other_numbers_too_is_noticed() -> None:
    """Decoupled weight decay, the way of torch's AdamW."""

    def step(w: Tensor, x: Tensor, lr: float) -> None:
        w.mul_(1 - lr * 0.1).sub_(x[0], alpha=lr)

    try:
        found = moved_by_a_program(step, RATES)
    except Unrecordable:
        return
    assert same(found, moved(step, RATES))


def test_an_iteration_that_does_nothing() -> None:
    x, y = batch(0)
    record(lambda: None, x, y, []).run(x[None], y[None], [[]])


def test_constants_indexed_by_constants() -> None:
    w = Tensors()
    places = torch.arange(2)
    x, y = batch(0)

    def work() -> None:
        w.total.copy_(w.a[:, places].sum(1))
        w.a.add_(1)

    program = record(work, x, y, [])
    before = w.a.clone()
    program.run(x[None], y[None], [[]])
    assert torch.equal(w.total, before[:, places].sum(1))


def test_each_group_has_its_own_learning_rate() -> None:
    def weights() -> list[Tensor]:
        return [torch.ones(4), torch.ones(4), torch.ones(4, 4)]

    def step(w: list[Tensor], x: Tensor, first: float, second: float) -> None:
        torch._foreach_add_(w[:2], [x[0], x[1]], alpha=-first)
        w[2].add_(x.t() @ x, alpha=-second)

    rates = [(0.1, 0.1), (0.1, 0.2), (0.3, 0.1), (0.0, 0.5)]
    expected, w = weights(), weights()
    (x, y), (first, second) = batch(0), rates[0]
    program = record(
        lambda: step(w, x, first, second), x, y, [Rate(first, w[:2]), Rate(second, w[2:])]
    )
    for number, lrs in enumerate(rates):
        step(expected, batch(number)[0], *lrs)
        if number:
            xb, yb = batch(number)
            program.run(xb[None], yb[None], [list(lrs)])
    assert same(w, expected)


def test_one_parameter_without_its_learning_rate_is_enough() -> None:
    w = [torch.ones(4), torch.ones(4)]
    x, y = batch(0)

    def step() -> None:
        w[0].sub_(x[0], alpha=0.1)
        w[1].sub_(x[1] * 0.1)

    with pytest.raises(Unrecordable, match="learning rate"):
        record(step, x, y, [Rate(0.1, w)])


# ------------------------------------------------------------------------------ optimizers

OPTIMIZERS = {
    "sgd": lambda w: torch.optim.SGD(w, lr=0.1),
    "sgd, weight decay": lambda w: torch.optim.SGD(w, lr=0.1, weight_decay=0.1, momentum=0.5),
    "sgd, maximize": lambda w: torch.optim.SGD(w, lr=0.1, maximize=True),
    "sgd, fused": lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9, nesterov=True, fused=True),
    "adam, fused": lambda w: torch.optim.Adam(w, lr=0.1, amsgrad=True, fused=True),
    "adamw, fused": lambda w: torch.optim.AdamW(w, lr=0.1, fused=True),
    "adagrad, fused": lambda w: torch.optim.Adagrad(w, lr=0.1, lr_decay=0.1, fused=True),
    "rmsprop": lambda w: torch.optim.RMSprop(w, lr=0.1, centered=True, momentum=0.5),
    "rmsprop, foreach": lambda w: torch.optim.RMSprop(w, lr=0.1, foreach=True, weight_decay=0.1),
    "adadelta": lambda w: torch.optim.Adadelta(w, lr=1.0, weight_decay=0.1),
    "momentum": lambda w: Momentum(w, lr=0.1, weight_decay=0.1),
    "adamax": lambda w: Adamax(w, lr=0.1),
    "nadam": lambda w: NAdam(w, lr=0.1, weight_decay=0.1, decoupled_weight_decay=True),
    "radam": lambda w: RAdam(w, lr=0.1, weight_decay=0.1),
}


OTHERS = {
    "adam": lambda w: torch.optim.Adam(w, lr=0.1),
    "adam, foreach": lambda w: torch.optim.Adam(w, lr=0.1, foreach=True),
    "adamw": lambda w: torch.optim.AdamW(w, lr=0.1),
    "nadam": lambda w: torch.optim.NAdam(w, lr=0.1),
    "rprop": lambda w: torch.optim.Rprop(w, lr=0.1),
    "asgd": lambda w: torch.optim.ASGD(w, lr=0.1),
    "adafactor": lambda w: torch.optim.Adafactor(w, lr=0.1),
}


def network(make: Callable[[Any], torch.optim.Optimizer]) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.SiLU(), nn.Linear(5, 4))
    return model, make(model.parameters())


def step_of(model: nn.Module, optimizer: Any, x: Tensor, y: Tensor) -> None:
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), parameters)
    for w, gradient in zip(parameters, gradients, strict=True):
        w.grad = gradient
    optimizer.step()
    optimizer.zero_grad()


def everything(model: nn.Module, optimizer: Any) -> list[Tensor]:
    state = optimizer.state_dict()["state"]
    values = [value for entry in state.values() for value in entry.values()]
    return [*model.state_dict().values(), *(v for v in values if isinstance(v, Tensor))]


def programs_steps(make: Callable[[Any], torch.optim.Optimizer], together: int) -> list[Tensor]:
    model, optimizer = network(make)
    step_of(model, optimizer, *batch(0))
    x, y = batch(1)
    group = optimizer.param_groups[0]
    rates = [Rate(group["lr"], group["params"])]
    program = record(lambda: step_of(model, optimizer, x, y), x, y, rates)
    for first in range(2, 12, together):
        numbers = range(first, first + together)
        xs, ys = zip(*map(batch, numbers), strict=True)
        program.run(
            torch.stack(xs), torch.stack(ys), [[group["lr"] / number] for number in numbers]
        )
    return everything(model, optimizer)


def ordinary_steps(make: Callable[[Any], torch.optim.Optimizer]) -> list[Tensor]:
    model, optimizer = network(make)
    lr = optimizer.param_groups[0]["lr"]
    for number in range(12):
        optimizer.param_groups[0]["lr"] = lr / max(1, number)
        step_of(model, optimizer, *batch(number))
    return everything(model, optimizer)


@pytest.mark.parametrize("together", [1, 5], ids=["one by one", "together"])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_are_recorded(make, together: int) -> None:
    assert same(programs_steps(make, together), ordinary_steps(make))


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_optimizers_whose_steps_differ_are_noticed(make) -> None:
    """At once, or by the second recording, which is another program."""
    model, optimizer = network(make)
    step_of(model, optimizer, *batch(0))
    group = optimizer.param_groups[0]
    sources = []
    try:
        for number in (1, 2):
            x, y = batch(number)
            rates = [Rate(group["lr"], group["params"])]
            program = record(lambda x=x, y=y: step_of(model, optimizer, x, y), x, y, rates)
            sources.append(program.source)
    except Unrecordable:
        return
    assert sources[0] != sources[1]
