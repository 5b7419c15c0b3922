"""A recorded iteration compiled to a Python function over many batches (source from ``tape``)."""

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
    """A function generated from one recorded iteration; ``source`` is its Python source.

    ``lines`` are the statements of one iteration and ``operations`` the operations they call, in
    order. They refer to ``tensors`` as c_0, c_1, …, to the lists of tensors ``lists`` as l_0, l_1,
    … and to ``others`` by their names.
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
        """Train on m batches ``xs`` and ``ys`` (m, …) of the recorded shape, in order; ``rates``
        has one list per batch, with one learning rate per parameter group."""
        with torch.inference_mode():
            self.function(xs, ys, rates, *self.arguments)

    @cached_property
    def function(self) -> Iterations:
        """``source`` compiled, calling torch's own bindings of the operations."""
        bindings = {op.overloadpacket.__name__: _binding(op) for op in self.operations}
        namespace: dict[str, Any] = {"aten": SimpleNamespace(**bindings)}
        exec(self.source, namespace)
        function: Iterations = namespace["iterations"]
        return function


@cache
def _binding(operation: OpOverload) -> Callable[..., Any]:
    """The fastest callable for an operation: torch's Python binding, else the operation itself.

    Bindings name their output argument ``out``; an operation that names it otherwise is called
    itself.
    """
    packet = operation.overloadpacket
    renamed = any(a.is_out and a.name != "out" for a in operation._schema.arguments)
    for namespace in () if renamed else (torch, Tensor):
        found = getattr(namespace, packet.__name__, None)
        if isinstance(found, BuiltinFunctionType | MethodDescriptorType):
            return found
    called: Callable[..., Any] = packet
    return called
