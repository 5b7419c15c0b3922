"""Where the results of recorded operations lie in memory, and where they might.

An operation that writes its result into memory that is there already spares the allocation, and one
that changes its operand in place even the memory.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from exprun.engine.instruction import Instruction


def memory_of(tensor: Tensor) -> int:
    """The address of the memory that a tensor and its views share."""
    return tensor.untyped_storage().data_ptr()


def place_of(tensor: Tensor) -> tuple[Any, ...]:
    """Address, shape and strides: equal for tensors that are the same to every operation."""
    return (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)


def hosts_of(tape: Sequence[Instruction]) -> dict[tuple[Any, ...], Tensor]:
    """The places of results that a single operation reads, which could change them in place; and
    the result of that one, where both may lie."""
    readers: dict[int, list[Instruction]] = {}
    for instruction in tape:
        for memory in {memory_of(operand) for operand in instruction.operands}:
            readers.setdefault(memory, []).append(instruction)
    hosts: dict[tuple[Any, ...], Tensor] = {}
    for instruction in reversed(tape):
        if len(instruction.results) != 1 or instruction.operation.is_view:
            continue
        (result,) = instruction.results
        reading = readers.get(memory_of(result), [])
        if len(reading) == 1 and _may_change(reading[0], result):
            (host,) = reading[0].results
            hosts[place_of(result)] = hosts.get(place_of(host), host)
    return hosts


def _may_change(instruction: Instruction, operand: Tensor) -> bool:
    """Whether the operation may put its result in the place of its first argument, this one."""
    first, out = next(iter(instruction.arguments), None), instruction.out
    if not (isinstance(first, Tensor) and isinstance(out, Tensor)):
        return False
    if changing_variant(instruction.operation) is None or place_of(first) != place_of(operand):
        return False
    reads = [place_of(other) for other in instruction.operands]
    return reads.count(place_of(first)) == 1 and place_of(out)[1:] == place_of(first)[1:]


@functools.cache
def changing_variant(operation: OpOverload) -> OpOverload | None:
    """The variant of an operation that changes its first operand into the result: ``relu_``."""
    packet = getattr(torch.ops.aten, f"{operation.overloadpacket.__name__}_", None)
    variant: OpOverload | None = getattr(packet, operation._overloadname, None)
    if operation.is_view or variant is None:
        return None
    names = [[(a.name, str(a.type)) for a in op._schema.arguments] for op in (operation, variant)]
    return variant if names[0] == names[1] else None


@functools.cache
def writing_variant(operation: OpOverload) -> tuple[OpOverload, list[str]] | None:
    """The variant of an operation that writes its results into given tensors, and the names of
    those arguments; None if there is none."""
    packet, schema = operation.overloadpacket, operation._schema
    wanted = [(a.name, str(a.type)) for a in schema.arguments]
    if operation.is_view:
        return None
    for name in packet.overloads():
        variant = getattr(packet, name)
        arguments = variant._schema.arguments
        given = [(a.name, str(a.type)) for a in arguments if not a.is_out]
        out = [a.name for a in arguments if a.is_out]
        generated = torch.Tag.generated in variant.tags  # computes a new tensor and copies it
        if out and given == wanted and not generated and name != "unary_out":
            return variant, out
    return None
