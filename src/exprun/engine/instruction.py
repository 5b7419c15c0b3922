"""One operation of an iteration as it was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch._ops import OpOverload


@dataclass
class Instruction:
    """One operation as it was seen; ``out`` is what it returned."""

    operation: OpOverload
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    out: Any
    results: list[Tensor] = field(init=False)
    """The tensors that it made; none if it wrote into its arguments."""

    def __post_init__(self) -> None:
        made = [] if self.operation._schema.is_mutable else tensors_in([self.out])
        self.results = list(made)

    @property
    def operands(self) -> Iterator[Tensor]:
        """The tensors among its arguments."""
        return tensors_in([*self.arguments, *self.keywords.values()])


def tensors_in(values: Any) -> Iterator[Tensor]:
    """The tensors in nested lists and tuples."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value)
