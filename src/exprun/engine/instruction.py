"""One recorded operation of an iteration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch._ops import OpOverload


@dataclass
class Instruction:
    """A dispatched operation with its arguments; ``out`` is its return value."""

    operation: OpOverload
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    out: Any
    results: list[Tensor] = field(init=False)
    """The tensors it returned; empty if it mutates its arguments."""

    def __post_init__(self) -> None:
        made = [] if self.operation._schema.is_mutable else tensors_in([self.out])
        self.results = list(made)

    @property
    def operands(self) -> Iterator[Tensor]:
        """The tensors among its arguments."""
        return tensors_in([*self.arguments, *self.keywords.values()])


def tensors_in(values: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested lists and tuples, depth first."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value)
