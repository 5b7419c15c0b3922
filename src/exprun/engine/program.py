"""A recorded iteration as a Python function over many batches, in the text ``tape`` has written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from types import BuiltinFunctionType, MethodDescriptorType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

Iterations = Callable[..., None]


class Program:
    """``run(xs, ys, rates)`` trains on m batches of the recorded shape, (m, …) each, with one
    learning rate per batch and parameter group; ``source`` is its text.

    ``lines`` are those of one iteration and ``operations`` what they call, in their order. They
    name the ``tensors`` c_0, c_1, …, the lists of tensors l_0, l_1, … and ``others``.
    """

    def __init__(
        self,
        lines: Sequence[str],
        operations: Sequence[OpOverload],
        tensors: list[Tensor],
        lists: list[list[Tensor]],
        others: Mapping[str, Any],
    ) -> None:
        self.operations = operations
        self.arguments = (tensors, lists, *others.values())
        constants = [
            "".join(f"c_{i}, " for i in range(len(tensors))) + "= tensors" if tensors else "",
            "".join(f"l_{i}, " for i in range(len(lists))) + "= lists" if lists else "",
        ]
        self.source = "\n".join(
            [
                f"def iterations({', '.join(['xs, ys, rates, tensors, lists', *others])}):",
                *(f"    {line}" for line in constants if line),
                "    for x, y, lr in zip(xs.unbind(), ys.unbind(), rates):",
                *(f"        {line}" for line in lines or ["pass"]),
            ]
        )

    def run(self, xs: Tensor, ys: Tensor, rates: list[list[float]]) -> None:
        """Train on the batches, one after the other."""
        with torch.inference_mode():
            self.function(xs, ys, rates, *self.arguments)

    @cached_property
    def function(self) -> Iterations:
        """The text, with torch's own bindings of the operations."""
        bindings = {op.overloadpacket.__name__: _binding(op) for op in self.operations}
        namespace: dict[str, Any] = {"aten": SimpleNamespace(**bindings)}
        exec(self.source, namespace)
        function: Iterations = namespace["iterations"]
        return function


@cache
def _binding(operation: OpOverload) -> Callable[..., Any]:
    """What to call: torch's own binding of the operation, which is quicker, or the operation.
    Bindings call the tensor ``out`` that a result is written into, whatever the operation does."""
    packet = operation.overloadpacket
    renamed = any(a.is_out and a.name != "out" for a in operation._schema.arguments)
    for home in () if renamed else (torch, Tensor):
        found = getattr(home, packet.__name__, None)
        if isinstance(found, BuiltinFunctionType | MethodDescriptorType):
            return found
    called: Callable[..., Any] = packet
    return called
