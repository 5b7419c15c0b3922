"""Use torch's optimizers without importing its compiler, ``torch._dynamo``.

``torch.optim`` imports the compiler on first use, only to exclude functions from compilation; that
takes 1.2 s, a third of a short run. Nothing is compiled here, so the undecorated functions are
called directly, with the same arithmetic. If torch changes these internals, runs start more slowly
but compute the same.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


def skip_compiler_import() -> None:
    """Create, save and load optimizers without importing the compiler.

    torch caches the function to call instead in the attribute ``__dynamo_disable`` of the original
    one; this sets it to the original itself.
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        original = inspect.unwrap(getattr(Optimizer, name))
        vars(original).setdefault("__dynamo_disable", original)


def is_torchs_or_ours(optimizer: Optimizer) -> bool:
    """Whether the optimizer's class is defined in torch or exprun."""
    return type(optimizer).__module__.startswith(("torch.optim.", "exprun."))


def step(optimizer: Optimizer, objective: Callable[[], Tensor]) -> None:
    """``optimizer.step(objective)``.

    For torch's and exprun's optimizers it calls the undecorated method under ``no_grad``; a custom
    optimizer, or one whose ``step`` a scheduler has wrapped, is called as usual.
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
