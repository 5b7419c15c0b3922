"""A recorded iteration as a function over many batches, in the text that ``tape`` has written.

The text is Python. It is TorchScript as well, whose interpreter calls the same kernels with less
between them; this file is the only one that knows of it. TorchScript is deprecated: where it is not
there, or does not take a text, the same text runs as Python, with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from types import BuiltinFunctionType, MethodDescriptorType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

Iterations = Callable[..., None]

PAYS = 50
"""Runs of a single iteration, like that on the left-over batch of an epoch, after which it pays to
compile them too."""

TYPES = {
    torch.dtype: "int",
    torch.layout: "int",
    torch.memory_format: "int",
    torch.device: "Device",
    torch.Generator: "Generator",
}
"""What TorchScript calls the kinds of values that are neither tensors nor numbers."""


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
        self.runs = 0
        self.arguments = (tensors, lists, *others.values())
        typed = [f"{name}: {TYPES.get(type(value), 'Any')}" for name, value in others.items()]
        constants = [
            "".join(f"c_{i}, " for i in range(len(tensors))) + "= tensors" if tensors else "",
            *(f"l_{i} = lists[{i}]" for i, held in enumerate(lists) if held),
        ]
        self.source = "\n".join(
            [
                f"def iterations({', '.join([*PARAMETERS, *typed])}) -> None:",
                "    aten = torch.ops.aten",
                *(f"    {line}" for line in constants if line),
                "    for x, y, lr in zip(xs.unbind(), ys.unbind(), rates):",
                *(f"        {line}" for line in lines or ["pass"]),
            ]
        )

    def run(self, xs: Tensor, ys: Tensor, rates: list[list[float]]) -> None:
        """Train on the batches, one after the other."""
        self.runs += 1
        rare = len(xs) == 1 and self.runs <= PAYS and self.source not in SCRIPTS
        with torch.inference_mode():
            if rare or self.compiled is None:
                self.plain(xs, ys, rates, *self.arguments)
            else:
                # what is written, in its order
                with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
                    self.compiled(xs, ys, rates, *self.arguments)

    @cached_property
    def plain(self) -> Iterations:
        """The text as Python, on torch's own bindings of the operations."""
        bindings = {op.overloadpacket.__name__: _binding(op) for op in self.operations}
        called = SimpleNamespace(ops=SimpleNamespace(aten=SimpleNamespace(**bindings)))
        namespace: dict[str, Any] = {"torch": called}
        exec(self.source, namespace)
        function: Iterations = namespace["iterations"]
        return function

    @cached_property
    def compiled(self) -> Iterations | None:
        """The text as TorchScript; None if that cannot be had. Trainings of the same operations
        share it: their tensors are its arguments."""
        if self.source not in SCRIPTS:
            if len(SCRIPTS) >= MOST_SCRIPTS:
                del SCRIPTS[next(iter(SCRIPTS))]
            SCRIPTS[self.source] = _compiled(self.source, self.operations)
        return SCRIPTS[self.source]


SCRIPTS: dict[str, Iterations | None] = {}
"""What texts were compiled to, the oldest first."""

MOST_SCRIPTS = 64


def _compiled(source: str, operations: Sequence[OpOverload]) -> Iterations | None:
    try:
        script: Any = torch.jit.CompilationUnit(f"{source}\n").iterations
    except (AttributeError, RuntimeError):  # no TorchScript, or not in its language
        return None
    names = [op.overloadpacket.__name__ for op in operations]
    return script if _does_all(script.graph, names) else None


def _does_all(graph: Any, operations: Sequence[str]) -> bool:
    """Whether all operations are left when TorchScript has taken out what it takes for useless: it
    does not always see what is written through a list."""
    graph = graph.copy()
    torch._C._jit_pass_dce(graph)
    bodies = [body for node in graph.nodes() for body in node.blocks()]  # that of the loop
    left = [node.kind() for body in bodies for node in body.nodes()]
    recorded = [f"aten::{name}" for name in operations]
    return [k for k in left if k not in HELPERS] == [k for k in recorded if k not in HELPERS]


PARAMETERS = (
    "xs: Tensor",
    "ys: Tensor",
    "rates: List[List[float]]",
    "tensors: List[Tensor]",
    "lists: List[List[Tensor]]",
)

HELPERS = (
    "aten::__getitem__",
    "aten::_set_item",
    "aten::neg",
    "prim::Constant",
    "prim::ListConstruct",
    "prim::ListUnpack",
    "prim::TupleUnpack",
    "prim::TupleConstruct",
)
"""What else stands in the body of the loop: the negative of a learning rate, lists and tuples."""


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
