"""An iteration makes every tensor on the training's device and reads none of them back, which on a
GPU would wait for all that was started before.

Checked on torch's ``meta`` device, whose tensors have no content: to read a number raises, and so
does an operation on it and on a CPU's tensor, unless that has no dimensions.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from exprun.engine.replay import ReplayedTraining
from exprun.fit.loop import new_order, with_penalties
from exprun.fit.stack import Stack
from exprun.training.training import Training
from tests.conftest import built

ITERATIONS = 3
"""The first makes the optimizer's state."""


class OneDevice(TorchDispatchMode):
    """Raises AssertionError if an operation takes or makes a tensor that is not on ``meta``."""

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves((args, kwargs, made)):
            if isinstance(value, Tensor):
                assert value.is_meta, f"{func} on {value.device}"
        return made


@pytest.fixture(autouse=True)
def fused_kernels_on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch has them for Adam, AdamW and Adagrad, but its optimizers refuse them."""
    name = "_get_fused_kernels_supported_devices"
    module = importlib.import_module("torch.optim.optimizer")
    monkeypatch.setattr(module, name, lambda: ["meta"])


# Not RMSprop, Adadelta and Adagrad: torch counts the steps of the first two on the CPU, and has no
# kernel of the third for ``meta``, nor the fused one of SGD. Class weights lie on the CPU and are
# copied when an iteration is recorded, as constants of the recording.
TECHNIQUES = [
    *([f"optimizer={name}"] for name in ("adam", "adamw", "nadam", "momentum")),
    *([f"optimizer={name}", "optimizer.fused=false"] for name in ("sgd", "nesterov")),
    *([f"reg={name}"] for name in ("l1", "l2", "elastic_net", "dropout", "max_norm")),
    *(["reg=label_smoothing"], ["reg=l1,l2,dropout"]),
    *(["norm=batch"], ["norm=layer"], ["averaging=ema"]),
    *(["loss=bce"], ["scheduler=cosine"], ["batching=full"]),
    *(["data=diabetes", f"loss={name}"] for name in ("mse", "mae", "huber")),
    *([f"model.activation={name}"] for name in ("sigmoid", "tanh", "gelu")),
]


@pytest.mark.parametrize("words", TECHNIQUES, ids=" ".join)
def test_an_iteration_of_a_training(words: list[str]) -> None:
    training = built("device=meta", *words)
    replayed = ReplayedTraining(training, with_penalties)
    x, y = batch(training)
    with OneDevice():
        for number in range(ITERATIONS):
            replayed._schedule(number)
            replayed._iterate(x, y)


@pytest.mark.parametrize("words", TECHNIQUES, ids=" ".join)
def test_an_iteration_of_a_stack(words: list[str]) -> None:
    members = [built("device=meta", *words, f"seed={seed}") for seed in range(3)]
    stack = Stack(members)
    x, y = (torch.stack([part] * 3) for part in batch(members[0]))
    with OneDevice():
        for number in range(ITERATIONS):
            stack._schedule(number)
            stack._iterate(x, y)


def batch(training: Training) -> tuple[Tensor, Tensor]:
    rows = new_order(training)[:16].to("meta")
    return training.data.train.x[rows], training.targets[rows]


@pytest.mark.parametrize(
    "fault",
    [
        lambda x: x.sum().item(),
        lambda x: x.sum().tolist(),
        lambda x: x.cpu(),
        lambda x: bool(x.sum() > 0),
        lambda x: x * torch.tensor(2.0),
        lambda x: x[x > 0],
        lambda x: x + torch.ones(4),
    ],
    ids=["item", "tolist", "cpu", "bool", "number on the CPU", "selection", "made on the CPU"],
)
def test_what_is_looked_for_is_found(fault: Callable[[Tensor], object]) -> None:
    x = torch.ones(4, device="meta")
    with OneDevice(), pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        fault(x)
