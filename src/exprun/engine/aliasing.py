"""Storage and aliasing of recorded tensors: which results can be written into existing memory.

An ``out=`` variant saves the allocation; an in-place variant also saves the memory of the result.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from exprun.engine.instruction import Instruction


def storage_address(tensor: Tensor) -> int:
    """The address of a tensor's storage, which its views share."""
    return tensor.untyped_storage().data_ptr()


def alias_key(tensor: Tensor) -> tuple[Any, ...]:
    """Address, shape, strides and dtype: tensors with equal keys are interchangeable operands."""
    return (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)


def reusable_storage(tape: Sequence[Instruction]) -> dict[tuple[Any, ...], Tensor]:
    """Results that their only reader can overwrite in place, by ``alias_key``.

    The values are the tensors to write them into: the reader's result, or the last one of a chain
    of such readers.
    """
    readers: dict[int, list[Instruction]] = {}
    for instruction in tape:
        for memory in {storage_address(operand) for operand in instruction.operands}:
            readers.setdefault(memory, []).append(instruction)
    reusable: dict[tuple[Any, ...], Tensor] = {}
    for instruction in reversed(tape):
        if len(instruction.results) != 1 or instruction.operation.is_view:
            continue
        (result,) = instruction.results
        reading = readers.get(storage_address(result), [])
        if len(reading) == 1 and _can_overwrite(reading[0], result):
            (target,) = reading[0].results
            reusable[alias_key(result)] = reusable.get(alias_key(target), target)
    return reusable


def _can_overwrite(instruction: Instruction, operand: Tensor) -> bool:
    """Whether ``operand`` is the operation's first argument and its result may overwrite it."""
    first, out = next(iter(instruction.arguments), None), instruction.out
    if not (isinstance(first, Tensor) and isinstance(out, Tensor)):
        return False
    if in_place_variant(instruction.operation) is None or alias_key(first) != alias_key(operand):
        return False
    reads = [alias_key(other) for other in instruction.operands]
    return reads.count(alias_key(first)) == 1 and alias_key(out)[1:] == alias_key(first)[1:]


@functools.cache
def in_place_variant(operation: OpOverload) -> OpOverload | None:
    """The in-place variant of an operation, ``relu_`` for ``relu``; None if there is none."""
    packet = getattr(torch.ops.aten, f"{operation.overloadpacket.__name__}_", None)
    variant: OpOverload | None = getattr(packet, operation._overloadname, None)
    if operation.is_view or variant is None:
        return None
    names = [[(a.name, str(a.type)) for a in op._schema.arguments] for op in (operation, variant)]
    return variant if names[0] == names[1] else None


@functools.cache
def out_variant(operation: OpOverload) -> tuple[OpOverload, list[str]] | None:
    """The ``out=`` variant of an operation and the names of its output arguments; None if there is
    none, or if it only computes a new tensor and copies it."""
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
