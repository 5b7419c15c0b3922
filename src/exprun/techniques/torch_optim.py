"""torch's optimizers without ``torch._dynamo``, the compiler that nobody asked for.

``torch.optim`` imports it when it is first used, only to tell it which functions to leave alone;
that takes 1.2 s, a third of a short run. Where nothing is compiled there is nobody to tell: the
functions are called as they are, with the same arithmetic. Should torch change its ways, a run
starts slower and does the same.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


def spare_compiler() -> None:
    """Let optimizers be made, saved and loaded without importing the compiler.

    torch keeps the function that it calls instead in an attribute of the original; it looks there
    first, and here it finds the original itself.
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        original = inspect.unwrap(getattr(Optimizer, name))
        vars(original).setdefault("__dynamo_disable", original)


def is_torchs_or_ours(optimizer: Optimizer) -> bool:
    """Whether the optimizer is one whose code is known."""
    return type(optimizer).__module__.startswith(("torch.optim.", "exprun."))


def step(optimizer: Optimizer, objective: Callable[[], Tensor]) -> None:
    """``optimizer.step(objective)``.

    Only torch's own optimizers are called behind their wrappers; one of somebody else's, or one
    whose steps a scheduler counts, is stepped as usual.
    """
    if is_torchs_or_ours(optimizer) and "step" not in vars(optimizer):
        with torch.no_grad():
            _original_step(type(optimizer))(optimizer, objective)  # type: ignore[arg-type]
    else:
        optimizer.step(objective)  # type: ignore[arg-type]  # torch's stub wants a float


@functools.cache
def _original_step(kind: type[Optimizer]) -> Callable[..., Any]:
    original: Callable[..., Any] = inspect.unwrap(kind.step)
    return original
