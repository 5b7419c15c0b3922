"""State as torch's objects give it: nested dicts and lists of tensors and plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


def on_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same structure, made anew, with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: on_tensors(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(on_tensors(item, change) for item in value)
    return value
