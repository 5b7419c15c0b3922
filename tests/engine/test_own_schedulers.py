"""Custom schedulers that do more than to set hyperparameters: every engine trains as the
plain loop does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler

from exprun.fit.loop import fit
from exprun.techniques.schedules import TorchScheduler
from tests.conftest import same_bits, training
from tests.engine.native import needs_native
from tests.engine.trainings import both, by_hand

pytestmark = pytest.mark.usefixtures("measured_by_replay")


class Does(LRScheduler):
    """Somebody's own scheduler, which does something to the optimizer besides at one time."""

    def __init__(self, optimizer: Any, time: int, what: Callable[[Any], None]) -> None:
        self.time, self.what = time, what
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        if self.last_epoch == self.time:
            self.what(self.optimizer)
        return [group["lr"] for group in self.optimizer.param_groups]


def freezes(optimizer: Any) -> None:
    for w in optimizer.param_groups[0]["params"][:2]:
        w.requires_grad_(False)


@torch.no_grad()
def shrinks(optimizer: Any) -> None:
    for w in optimizer.param_groups[0]["params"]:
        w.mul_(0.5)


def replaces(optimizer: Any) -> None:
    for w in optimizer.param_groups[0]["params"]:
        w.data = w.data * 0.5


def splits(optimizer: Any) -> None:
    """The last layer gets a learning rate of its own."""
    first = optimizer.param_groups[0]
    first["params"], last = first["params"][:-2], first["params"][-2:]
    optimizer.add_param_group({"params": last, "lr": first["lr"] / 10})


def forgets(optimizer: Any) -> None:
    for state in optimizer.state.values():
        for name, value in state.items():
            if name != "step":
                state[name] = torch.zeros_like(value)


CHANGES: dict[str, Callable[[Any], None]] = {
    "clears the state": lambda optimizer: optimizer.state.clear(),
    "replaces the states": forgets,
    "freezes a layer": freezes,
    "shrinks the weights": shrinks,
    "replaces the weights": replaces,
    "splits the group": splits,
}


def changing(what: str, interval: str) -> dict[str, Any]:
    """A training whose scheduler does this in its fourth epoch or before it."""
    time = 3 if interval == "epoch" else 25
    return {
        "optimizer": partial(torch.optim.AdamW, lr=0.05, fused=True),
        "scheduler": lambda optimizer: TorchScheduler(
            optimizer, Does(optimizer, time, CHANGES[what]), interval=interval
        ),
        "max_epochs": 6,
    }


@pytest.mark.parametrize("interval", ["epoch", "iteration"])
@pytest.mark.parametrize("what", CHANGES)
def test_replayed(iris, what: str, interval: str) -> None:
    both(by_hand(iris, **changing(what, interval)))


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_done_is_resumed(iris, what: str) -> None:
    options = changing(what, "epoch")
    whole, begun, resumed = (training(iris, **options | {"max_epochs": n}) for n in (6, 4, 6))
    fit(whole)
    fit(begun)
    resumed.load_state_dict(copy.deepcopy(begun.state_dict()))
    fit(resumed)
    assert same_bits(resumed.state_dict()["model"], whole.state_dict()["model"])


@needs_native
@pytest.mark.parametrize("interval", ["epoch", "iteration"])
@pytest.mark.parametrize("what", CHANGES)
def test_native(iris, what: str, interval: str) -> None:
    """The other engine goes on from where this one was: the same as if nothing had been tried."""
    native, plain = (
        training(iris, **changing(what, interval), engine=engine) for engine in ("auto", "plain")
    )
    engine = fit(native).engine
    fit(plain)
    for a, b in zip(native.history, plain.history, strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)
    assert (engine == "native") == (what == "shrinks the weights")
