"""Optimizers take the steps of their torch twins, and the lecture's answers come out exactly."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from exprun.build import make_optimizer
from exprun.techniques.optimizers import Adamax, Momentum, NAdam, RAdam

FILES = sorted((Path(__file__).parents[2] / "conf" / "optimizer").glob("*.yaml"))
ADAPTIVE = [Adamax, NAdam, RAdam]
Make = Callable[[Any], torch.optim.Optimizer]


def quadratic() -> tuple[nn.Module, Callable[[int], Tensor]]:
    """The lecture's f = 10x² + 100y² from (1, 1)."""
    model = nn.ParameterList([torch.ones(2, dtype=torch.float64)])
    return model, lambda _: (model[0].square() * torch.tensor([10.0, 100.0])).sum()


def rosenbrock() -> tuple[nn.Module, Callable[[int], Tensor]]:
    """The lecture's f = (x - 1)² + 10 (y - x²)² from (-1, 1)."""
    model = nn.ParameterList([torch.tensor([-1.0, 1.0], dtype=torch.float64)])
    return model, lambda _: (model[0][0] - 1) ** 2 + 10 * (model[0][1] - model[0][0] ** 2) ** 2


def shapes(dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Callable[[int], Tensor]]:
    """Weights of many shapes, each on its way to other targets at every step."""
    random = torch.Generator().manual_seed(2)
    sizes = [(), (1,), (5,), (3, 4), (2, 3, 4)]
    model = nn.ParameterList(torch.randn(size, generator=random, dtype=dtype) for size in sizes)
    targets = [torch.randn(13, *size, generator=random, dtype=dtype) for size in sizes]

    def loss_at(step: int) -> Tensor:
        distances = [w - t[step % 13] for w, t in zip(model, targets, strict=True)]
        return torch.stack([d.square().sum() for d in distances]).sum()

    return model, loss_at


def network(dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Callable[[int], Tensor]]:
    """A small classifier and a different batch at every step."""
    random = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)
    for w in model.parameters():
        w.data.normal_(0, 0.5, generator=random)
    x = torch.randn(10, 6, 4, generator=random, dtype=dtype)
    y = torch.randint(3, (10, 6), generator=random)
    return model, lambda step: F.cross_entropy(model(x[step % 10]), y[step % 10])


def take(optimizer: torch.optim.Optimizer, loss_at: Callable[[int], Tensor], steps: range) -> None:
    for step in steps:

        def closure(step: int = step) -> Tensor:
            optimizer.zero_grad()
            loss = loss_at(step)
            loss.backward()
            return loss

        optimizer.step(closure)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """In it torch's optimizers count and multiply in ``dtype`` (ours: at least the weights')."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def path(
    make: Make,
    problem: Callable[[], Any],
    steps: int = 20,
    lr_at: Callable[[int], float] | None = None,
) -> Tensor:
    """All weights after each step: (steps, weights)."""
    model, loss_at = problem()
    positions = []
    with default_dtype(next(model.parameters()).dtype):
        optimizer = make(model)
        for step in range(steps):
            for group in optimizer.param_groups if lr_at else []:
                group["lr"] = lr_at(step)
            take(optimizer, loss_at, range(step, step + 1))
            positions.append(nn.utils.parameters_to_vector(model.parameters()).detach().clone())
    return torch.stack(positions)


def on_all(cls: type[torch.optim.Optimizer], **arguments: Any) -> Make:
    return lambda model: cls(model.parameters(), **arguments)


@pytest.mark.parametrize("problem", [quadratic, network])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_momentum_is_torch_sgd_with_lr_times_one_minus_momentum(problem, momentum, weight_decay):
    same = {"momentum": momentum, "weight_decay": weight_decay}
    ours = path(on_all(Momentum, lr=0.01, **same), problem)
    torchs = path(on_all(torch.optim.SGD, lr=0.01 * (1 - momentum), **same), problem)
    torch.testing.assert_close(ours, torchs, rtol=1e-10, atol=1e-14)


def test_momentum_with_parameter_groups_is_torch_sgd_with_them():
    def groups(form: Callable[[float, float], float]) -> Callable[[nn.Module], list[dict]]:
        return lambda model: [
            {"params": model[0].parameters(), "lr": form(0.3, 0.5), "momentum": 0.5},
            {"params": [model[2].weight], "lr": form(0.1, 0.9), "weight_decay": 0.2},
            {"params": [model[2].bias], "lr": form(0.2, 0.9)},
        ]

    ours, torchs = groups(lambda lr, _: lr), groups(lambda lr, momentum: lr * (1 - momentum))
    torch.testing.assert_close(
        path(lambda model: Momentum(ours(model), momentum=0.9), network),
        path(lambda model: torch.optim.SGD(torchs(model), momentum=0.9), network),
        rtol=1e-10,
        atol=1e-14,
    )


def test_momentum_zero_is_plain_gradient_descent():
    ours = path(on_all(Momentum, lr=0.05, momentum=0.0), network)
    torch.testing.assert_close(
        ours, path(on_all(torch.optim.SGD, lr=0.05), network), rtol=1e-12, atol=1e-15
    )


def test_momentum_starts_from_zero_velocity():
    """First step, on paper: u = 0.1 g, w = 1 - 0.01 * 0.1 * (20, 200)."""
    first = path(on_all(Momentum, lr=0.01, momentum=0.9), quadratic, steps=1)
    torch.testing.assert_close(first, torch.tensor([[0.98, 0.8]], dtype=torch.float64))


@pytest.mark.parametrize("cls", [Momentum, *ADAPTIVE])
def test_weights_without_a_gradient_are_left_alone(cls):
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = cls([used, unused], lr=0.1, weight_decay=1.0)
    optimizer.step()
    assert not optimizer.state
    used.sum().backward()
    optimizer.step()
    assert unused.tolist() == [1, 1]
    assert unused not in optimizer.state
    assert used.tolist() != [1, 1]


@pytest.mark.parametrize("cls", [Momentum, *ADAPTIVE])
def test_a_step_returns_the_loss_of_its_closure(cls):
    w = nn.Parameter(torch.ones(2))
    assert cls([w]).step() is None
    assert cls([w]).step(lambda: 7.5) == 7.5


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        *((cls, {"lr": -0.1}) for cls in [Momentum, *ADAPTIVE]),
        *((cls, {"weight_decay": -1.0}) for cls in [Momentum, *ADAPTIVE]),
        *((Momentum, {"momentum": momentum}) for momentum in (-0.1, 1.0)),
        *((cls, {"eps": -1e-8}) for cls in ADAPTIVE),
        *((cls, {"betas": betas}) for cls in ADAPTIVE for betas in [(-0.1, 0.9), (0.9, 1.0)]),
        (NAdam, {"momentum_decay": -0.004}),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused_as_torch_refuses_them(cls, wrong):
    twin = getattr(torch.optim, cls.__name__, torch.optim.SGD)
    messages = []
    for refusing in (cls, twin) if "momentum" not in wrong else (cls,):
        with pytest.raises(ValueError, match="Invalid") as refused:
            refusing([nn.Parameter(torch.ones(1))], **wrong)
        messages.append(str(refused.value))
    assert len(set(messages)) == 1
    assert any(str(value) in messages[0] for value in [*wrong.values(), -0.1, 1.0])


def wavy(step: int) -> float:
    """A learning rate that is another one at every step."""
    return 0.02 * (1 + 0.5 * np.sin(step))


DECAYS = [{}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled_weight_decay": True}]
TWINS = [(cls, decay) for cls in ADAPTIVE for decay in DECAYS[: 2 if cls is Adamax else 3]]
OTHERS = [
    *((cls, {"betas": betas}) for cls in ADAPTIVE for betas in [(0.0, 0.0), (0.5, 0.6)]),
    *((cls, {"eps": eps}) for cls in ADAPTIVE for eps in (0.0, 0.5)),
    *((RAdam, {"betas": (0.9, beta2)}) for beta2 in (2 / 3, 0.7, 0.99)),
    *((NAdam, {"momentum_decay": decay}) for decay in (0.0, 0.5)),
]


def name(value: Any) -> str:
    return value.__name__ if callable(value) else str(value)


@pytest.mark.parametrize(
    ("cls", "arguments", "problem"),
    [
        *((*twin, f) for twin in TWINS for f in (quadratic, rosenbrock, network, shapes)),
        *((*twin, shapes) for twin in OTHERS),
    ],
    ids=name,
)
def test_our_class_takes_the_steps_of_torchs(cls, arguments, problem):
    """200 of them; RAdam's rectification (rho > 5) sets in at the sixth, later or never."""
    ours = path(on_all(cls, **arguments), problem, 200, wavy)
    torchs = path(on_all(getattr(torch.optim, cls.__name__), **arguments), problem, 200, wavy)
    assert ours.isfinite().all()
    torch.testing.assert_close(ours, torchs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("cls", "arguments"), TWINS, ids=name)
def test_our_class_takes_the_steps_of_torchs_in_single_precision(cls, arguments):
    single = partial(shapes, torch.float32)
    ours = path(on_all(cls, **arguments), single, 200, wavy)
    torchs = path(on_all(getattr(torch.optim, cls.__name__), **arguments), single, 200, wavy)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_parameter_groups_take_the_steps_of_torchs(cls):
    def groups(model: nn.Module) -> list[dict]:
        return [
            {"params": model[0].parameters(), "lr": 0.03, "betas": (0.5, 0.9)},
            {"params": [model[2].weight], "lr": 0.01, "weight_decay": 0.2},
            {"params": [model[2].bias], "eps": 0.1},
        ]

    ours = path(lambda model: cls(groups(model)), network, 50)
    torchs = path(lambda model: getattr(torch.optim, cls.__name__)(groups(model)), network, 50)
    torch.testing.assert_close(ours, torchs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_torchs_class_and_ours_go_on_from_each_others_state(cls):
    """What older versions of exprun have saved is torch's."""
    twin = getattr(torch.optim, cls.__name__)
    ends = []
    for first, then in ((cls, cls), (twin, cls), (cls, twin)):
        model, loss_at = network(torch.float32)
        optimizer = first(model.parameters())
        take(optimizer, loss_at, range(30))
        other = then(model.parameters())
        other.load_state_dict({**other.state_dict(), "state": optimizer.state_dict()["state"]})
        take(other, loss_at, range(30, 60))
        ends.append(nn.utils.parameters_to_vector(model.parameters()).detach())
        if then is cls:
            assert {state["step"].dtype for state in other.state.values()} == {torch.float64}
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], rtol=1e-5, atol=1e-6)


class Recorder(TorchDispatchMode):
    """Notes each operation with its arguments, all tensors alike."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Any]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func.namespace != "profiler":
            arguments = tree_map_only(Tensor, lambda _: "tensor", (args, kwargs))
            self.calls.append((str(func), arguments))
        return func(*args, **kwargs)


def operations(make: Make, lr_at: Callable[[int], float], steps: int) -> list[Any]:
    """The operations of each step, without those of the gradients."""
    model, loss_at = network(torch.float32)
    optimizer = make(model)
    recorded = []
    for step in range(steps):
        optimizer.zero_grad()
        loss_at(step).backward()
        optimizer.param_groups[0]["lr"] = lr_at(step)
        with Recorder() as recorder:
            optimizer.step()
        recorded.append(recorder.calls)
    return recorded


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(
    "file", [file for file in FILES if file.stem != "lbfgs"], ids=lambda file: file.stem
)
def test_every_step_after_the_first_issues_the_same_operations(file, weight_decay):
    node = load(file) | {"weight_decay": weight_decay}
    recorded = operations(
        lambda model: make_optimizer(node, model, []), lambda _: node["lr"], steps=9
    )
    assert recorded[3]
    assert recorded[3] == recorded[7]
    assert recorded[1] == recorded[8]
    if node["_target_"].startswith("exprun."):
        assert not any("_local_scalar_dense" in name for name, _ in recorded[3])


@pytest.mark.parametrize(
    ("cls", "decay"), [(Momentum, {}), (Momentum, {"weight_decay": 0.1}), *TWINS], ids=name
)
def test_only_the_last_operation_gets_the_learning_rate(cls, decay):
    recorded = operations(on_all(cls, **decay), lambda step: 0.5**step, steps=8)
    *before, (last, (arguments, options)) = recorded[3]
    *later, (same_last, (others, other_options)) = recorded[7]
    assert before == later
    assert last == same_last
    scalars = [*arguments[1:], *options.values()], [*others[1:], *other_options.values()]
    different = [pair for pair in zip(*scalars, strict=True) if pair[0] != pair[1]]
    assert different == [(-(0.5**3), -(0.5**7))]


def load(file: Path) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(file), resolve=True)


@pytest.mark.parametrize("problem", [quadratic, network])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_option_takes_the_steps_of_torchs_class(file, problem):
    node = load(file)
    arguments = {key: value for key, value in node.items() if key != "_target_"}
    name = node["_target_"].rpartition(".")[2]
    if name == "Momentum":
        name, arguments["lr"] = "SGD", arguments["lr"] * (1 - arguments["momentum"])
    ours = path(lambda model: make_optimizer(node, model, []), problem)
    torchs = path(on_all(getattr(torch.optim, name), **arguments), problem)
    torch.testing.assert_close(ours, torchs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "cls", "arguments"),
    [
        ("sgd", torch.optim.SGD, {}),
        ("nesterov", torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        ("adagrad", torch.optim.Adagrad, {}),
        ("adadelta", torch.optim.Adadelta, {}),
        ("rmsprop", torch.optim.RMSprop, {}),
        ("adam", torch.optim.Adam, {}),
        ("adamw", torch.optim.AdamW, {}),
        ("adamax", torch.optim.Adamax, {}),
        ("nadam", torch.optim.NAdam, {}),
        ("radam", torch.optim.RAdam, {}),
    ],
)
def test_an_option_names_its_technique_with_torchs_defaults(name, cls, arguments):
    node = load(next(file for file in FILES if file.stem == name))
    ours = path(lambda model: make_optimizer(node, model, []), network)
    torchs = path(on_all(cls, lr=node["lr"], **arguments), network)
    torch.testing.assert_close(ours, torchs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_option_goes_on_exactly_from_its_saved_state(file, dtype):
    node = load(file)
    whole, loss_at = network(dtype)
    take(make_optimizer(node, whole, []), loss_at, range(10))

    first, loss_at = network(dtype)
    optimizer = make_optimizer(node, first, [])
    take(optimizer, loss_at, range(5))
    saved = io.BytesIO()
    torch.save([first.state_dict(), optimizer.state_dict()], saved)
    saved.seek(0)
    weights, state = torch.load(saved, weights_only=True)
    second, loss_at = network(dtype)
    optimizer = make_optimizer(node, second, [])
    second.load_state_dict(weights)
    optimizer.load_state_dict(state)
    take(optimizer, loss_at, range(5, 10))

    for w, expected in zip(second.parameters(), whole.parameters(), strict=True):
        assert torch.equal(w, expected)


SGD_AND_EMA = pytest.mark.parametrize(
    "cls", [torch.optim.SGD, partial(Momentum, momentum=0.0)], ids=["sgd", "momentum=0"]
)


@SGD_AND_EMA
@pytest.mark.parametrize(
    ("lr", "x", "y"),
    [
        (0.001, 0.132620, 2.037e-10),
        (0.0099, 0.802**100, 0.132620),
        (0.01, 0.8**100, 1.0),
        (0.011, 0.78**100, 8.28e7),
        (1 / 110, (9 / 11) ** 100, (9 / 11) ** 100),
    ],
)
def test_gradient_descent_on_the_lectures_quadratic(cls, lr, x, y):
    end = path(on_all(cls, lr=lr), quadratic, steps=100)[-1].tolist()
    assert end == pytest.approx([x, y], rel=1e-3)


@SGD_AND_EMA
def test_gradient_descent_at_its_stability_limit_swings_for_ever(cls):
    y = path(on_all(cls, lr=0.01), quadratic, steps=100)[:, 1]
    expected = torch.tensor([-1.0, 1.0] * 50, dtype=torch.float64)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=0)


@SGD_AND_EMA
def test_gradient_descent_with_the_inverse_curvature_needs_one_step(cls):
    assert path(on_all(cls, lr=0.005), quadratic, steps=1)[0, 1].abs() < 1e-16


@pytest.mark.parametrize("lr", [0.001, 0.05, 0.19, 0.2])
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_momentum_on_the_quadratic_is_a_matrix_power(lr, momentum):
    """(w, u) is multiplied by a fixed matrix at every step, one for each curvature."""
    end = path(on_all(Momentum, lr=lr, momentum=momentum), quadratic, steps=30)[-1]
    for coordinate, curvature in enumerate([20, 200]):
        force = (1 - momentum) * curvature
        matrix = np.array([[1 - lr * force, -lr * momentum], [force, momentum]])
        expected = (np.linalg.matrix_power(matrix, 30) @ [1, 0])[0]
        assert end[coordinate].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("lr", "stable"), [(0.189, True), (0.191, False)])
def test_stability_limit_of_momentum(lr, stable):
    """2 (1 + β) / ((1 - β) λmax) = 0.19 for β = 0.9 and λmax = 200."""
    y = path(on_all(Momentum, lr=lr, momentum=0.9), quadratic, steps=5000)[:, 1].abs()
    assert (y[-100:].max() < 1e-3) if stable else (y[-100:].max() > 1e3)
