"""An optimizer that harms its job, for ``bench.poisoned_sweeps``."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

STEP = 50
"""The step that harms."""


class Poisoned(torch.optim.Optimizer):
    """Gradient descent until step STEP, which does what ``how`` (a key of POISONS) says."""

    def __init__(self, params: Iterable[torch.nn.Parameter], how: str, lr: float = 0.01) -> None:
        super().__init__(params, {"lr": lr, "steps": 0})  # which a checkpoint holds
        self.poison = POISONS[how]

    def step(self, closure: Callable[[], float]) -> float:  # type: ignore[override]
        self.param_groups[0]["steps"] += 1
        if self.param_groups[0]["steps"] == STEP:
            self.poison(self)
        with torch.enable_grad():
            loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for weights in group["params"]:
                    weights.sub_(group["lr"] * weights.grad)
        return loss


def _raise(_: Poisoned) -> None:
    raise RuntimeError("poisoned")


def _fill_disk(_: Poisoned) -> None:
    with Path("/dev/full").open("w") as file:
        file.write("poisoned")


def _diverge(optimizer: Poisoned) -> None:
    with torch.no_grad():
        optimizer.param_groups[0]["params"][0].fill_(float("nan"))


POISONS: dict[str, Callable[[Poisoned], Any]] = {
    "raise": _raise,
    "exit": lambda _: os._exit(3),
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "crash": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    "memory": lambda _: bytearray(1 << 50),
    "hang": lambda _: time.sleep(3600),
    "disk": _fill_disk,
    "diverge": _diverge,
}
