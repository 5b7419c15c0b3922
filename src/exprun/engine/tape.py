"""Record one iteration as a ``Program`` that can be replayed.

A replay calls the same kernels in the same order, so it computes the same bits, without the
overhead of autograd and of the optimizer's Python code.

``record`` runs an iteration while a ``TorchDispatchMode`` logs every operation that reaches a
kernel: those of the forward pass, the backward pass and the optimizer. The resulting ``Program``
is a Python function (see ``Program.source``). ``docs/engine.md`` explains it in detail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from exprun.engine.aliasing import (
    alias_key,
    in_place_variant,
    out_variant,
    reusable_storage,
    storage_address,
)
from exprun.engine.instruction import Instruction, tensors_in
from exprun.engine.program import Program

aten = torch.ops.aten

UNINITIALISED = {
    aten.empty.memory_format,
    aten.empty_like.default,
    aten.empty_strided.default,
    aten.new_empty.default,
    aten.new_empty_strided.default,
}
"""Their results are written before they are read, so all iterations can share the memory."""

READS_SHAPE_ONLY = {aten.ones_like.default, aten.zeros_like.default}
"""Operations that use only the shape, dtype and device of their operand, not its values."""

STEP_INCREMENTS = {aten._foreach_add_.Scalar, aten.add_.Tensor}
"""Operations with which optimizers increment their step counters."""

RATE_NAMES = ("lr", "value", "alpha")
"""Names of arguments that hold the learning rate or its negative in an optimizer's operations."""


class Unrecordable(Exception):
    """The iteration cannot be replayed; the text says why. ``optimizers`` are those whose steps
    vary, if known."""

    def __init__(self, reason: str, optimizers: Sequence[Optimizer] = ()) -> None:
        super().__init__(reason)
        self.optimizers = optimizers


@dataclass(frozen=True)
class Rate:
    """A learning rate during recording, and the parameters that it updates."""

    value: float
    parameters: Sequence[Tensor]


def record(
    iteration: Callable[[], None],
    x: Tensor,
    y: Tensor,
    rates: Sequence[Rate] = (),
    changing: Sequence[Tensor] = (),
) -> Program:
    """Run ``iteration``, which reads the batch ``x``, ``y``, and return it as a program.

    Tensors that the iteration does not write are treated as constant, except for ``changing``,
    which may change between replays. Raises Unrecordable if it cannot be replayed, possibly after
    part of the iteration.
    """
    with Tape() as tape:
        iteration()
    return _Writer(tape.instructions, x, y, rates, changing).program()


class Tape(TorchDispatchMode):
    """Logs every operation while active.

    It keeps their tensors alive, so no address is reused and equal ``alias_key`` means the same
    tensor.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.instructions: list[Instruction] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False, so that torch does not import its compiler (1.3 s) only to disable it here."""
        return False

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        keywords = dict(kwargs or {})
        if operation is aten._local_scalar_dense.default:
            raise Unrecordable("it reads a number from a tensor")
        out = operation(*args, **keywords)
        if operation.namespace in ("aten", "exprun"):  # others are profiler annotations
            self.instructions.append(Instruction(operation, tuple(args), keywords, out))
        return out


class _Writer:
    """Generates a program's source from a tape.

    Tensors with the same storage in every iteration (weights, optimizer state, buffers) are
    constants of the program, and so are their views, such as a transposed weight. Results of an
    operation with an ``out=`` variant are written into the recorded tensors again, which makes them
    constants too; other results are local variables. A result with a single reader is overwritten
    in place by that reader if possible.
    """

    def __init__(
        self,
        tape: Sequence[Instruction],
        x: Tensor,
        y: Tensor,
        rates: Sequence[Rate],
        changing: Sequence[Tensor],
    ) -> None:
        tape = _with_fused_counters(tape)
        self.names = {alias_key(x): "x", alias_key(y): "y"}
        # Storage addresses that differ from one iteration to the next.
        self.per_iteration = {storage_address(x), storage_address(y)}
        self.rates = {
            alias_key(w): (number, rate.value)
            for number, rate in enumerate(rates)
            for w in rate.parameters
        }
        self.rates_not_found = set(self.rates)  # parameters without a known learning-rate argument
        self.written = {
            storage_address(w) for i in tape if i.operation._schema.is_mutable for w in i.operands
        } | {storage_address(w) for w in changing}
        # A tensor made from Python numbers is a constant. Its values go into the source as a
        # comment, so that other values in the next iteration give a different source.
        lifted = [i.out for i in tape if i.operation is aten.lift_fresh.default]
        self.lifted_comments = [f"# uses {tensor.tolist()}" for tensor in lifted]
        self.tape = self._needed(tape)
        self.reusable = reusable_storage(self.tape)
        self.in_reused_storage: set[Any] = set()  # keys of results in their reader's storage
        self.lines: list[str] = []
        self.operations: list[OpOverload] = []  # one per line that calls one
        self.tensors: list[Tensor] = []
        self.lists: list[list[Tensor]] = []
        self.others: dict[str, Any] = {}
        self.known: dict[Any, str] = {}  # names of constants, by key
        self.numbers = count(1)  # of the local variables t1, t2, …

    def program(self) -> Program:
        for instruction in self.tape:
            self._write(instruction)
        if self.rates_not_found:
            raise Unrecordable("its learning rate is not in the operation that moves the weights")
        lines = [*self.lifted_comments, *self.lines]
        return Program(lines, self.operations, self.tensors, self.lists, self.others)

    def _needed(self, tape: Sequence[Instruction]) -> list[Instruction]:
        """The tape without redundant views and without operations whose results are not read."""
        known: set[Any] = set()
        new = []
        for instruction in tape:
            known.update(alias_key(operand) for operand in instruction.operands)
            keys = {alias_key(result) for result in instruction.results}
            if not (instruction.operation.is_view and keys <= known):
                new.append(instruction)
            known |= keys
        read: set[Any] = set()
        needed = []
        for instruction in reversed(new):
            keys = {alias_key(result) for result in instruction.results}
            if instruction.operation._schema.is_mutable or keys & read:
                needed.append(instruction)
                if instruction.operation not in READS_SHAPE_ONLY:
                    read.update(alias_key(operand) for operand in instruction.operands)
        return needed[::-1]

    def _write(self, instruction: Instruction) -> None:
        """Append the statement of an operation, in place or with ``out=`` if possible."""
        operation, results = instruction.operation, instruction.results
        if operation in UNINITIALISED or self._is_constant(instruction):
            return
        arguments = [self._text(value) for value in instruction.arguments]
        keywords = {name: self._text(value) for name, value in instruction.keywords.items()}
        self._insert_rate(instruction, arguments, keywords)
        into, in_place = out_variant(operation), in_place_variant(operation)
        if in_place and next(map(alias_key, instruction.operands), None) in self.in_reused_storage:
            operation = in_place
            self._bind_constant(results[0], arguments[0])
            results = []
        elif into and len(into[1]) == len(results):
            operation = into[0]
            for name, result in zip(into[1], results, strict=True):
                keywords[name] = self._tensor(self.reusable.get(alias_key(result), result))
                self._bind_constant(result, keywords[name])
            results = []
        for result in results:
            self.per_iteration.add(storage_address(result))
            if alias_key(result) not in self.names:
                self.names[alias_key(result)] = f"t{next(self.numbers)}"
        called = ", ".join([*arguments, *(f"{name}={text}" for name, text in keywords.items())])
        assigned = f"{self._assignment_targets(instruction)} = " if results else ""
        self.lines.append(f"{assigned}aten.{operation.overloadpacket.__name__}({called})")
        self.operations.append(operation)

    def _bind_constant(self, result: Tensor, name: str) -> None:
        """Register that a result is written into the constant ``name``."""
        key = alias_key(result)
        self.names[key] = name
        self.written.add(storage_address(result))
        if key in self.reusable:
            self.in_reused_storage.add(key)

    def _assignment_targets(self, instruction: Instruction) -> str:
        """The left-hand side of the assignment of an operation's results."""
        out = instruction.out
        if isinstance(out, Tensor):
            return self.names[alias_key(out)]
        names = [self.names[alias_key(x)] if isinstance(x, Tensor) else "_" for x in out]
        return ", ".join(names) + "," * (len(names) == 1)

    def _is_constant(self, instruction: Instruction) -> bool:
        """Whether its result is the same in every iteration: a view of constant storage, or a value
        computed only from tensors that are never written."""
        operation, results = instruction.operation, instruction.results
        if operation._schema.is_mutable:
            return False
        if operation.is_view:
            return not any(storage_address(result) in self.per_iteration for result in results)
        random = torch.Tag.nondeterministic_seeded in operation.tags
        changing = self.per_iteration | self.written
        read = [] if operation in READS_SHAPE_ONLY else instruction.operands
        return not random and not any(
            storage_address(tensor) in changing for tensor in [*read, *results]
        )

    def _insert_rate(
        self, instruction: Instruction, arguments: list[str], keywords: dict[str, str]
    ) -> None:
        """Replace the recorded learning rate by that of the iteration: in an operation that writes
        into a parameter, it is an argument equal to the rate or its negative."""
        schema = instruction.operation._schema
        if not schema.is_mutable:
            return
        names = [argument.name for argument in schema.arguments]
        given = [*zip(names, instruction.arguments, strict=False), *instruction.keywords.items()]
        fused = schema.name.startswith("aten::_fused_")  # its other numbers have names of their own
        for parameter in {alias_key(w) for w in tensors_in(instruction.arguments[:1])} & set(
            self.rates
        ):
            number, rate = self.rates[parameter]
            if rate == 1 and {*names} & {*RATE_NAMES} - {name for name, _ in given}:
                raise Unrecordable("a learning rate of 1 is left out where it is the default")
            for position, (name, value) in enumerate(given):
                if not isinstance(value, float):
                    continue
                if name not in RATE_NAMES or abs(value) != abs(rate):
                    if not fused:
                        raise Unrecordable("a number besides its learning rate moves the weights")
                    continue
                same = math.copysign(1, value) == math.copysign(1, rate)
                text = f"lr[{number}]" if same else f"-lr[{number}]"
                if position < len(arguments):
                    arguments[position] = text
                else:
                    keywords[name] = text
                self.rates_not_found.discard(parameter)

    def _text(self, value: Any) -> str:
        """A value as a Python expression of the program."""
        if isinstance(value, Tensor):
            if alias_key(value) in self.names:
                return self.names[alias_key(value)]
            if storage_address(value) in self.per_iteration:
                raise Unrecordable("it reads a tensor through a view that was not recorded")
            return self._tensor(value)
        if isinstance(value, list | tuple):
            if any(True for _ in tensors_in(value)):
                return self._list(value)
            return f"[{', '.join(self._text(item) for item in value)}]"
        if value is None or isinstance(value, bool | int | str):
            return repr(value)
        if isinstance(value, float):
            return repr(value) if math.isfinite(value) else f'float("{value}")'
        name = self.known.setdefault(
            id(value), f"{type(value).__name__.lower()}_{len(self.others)}"
        )
        self.others[name] = value
        return name

    def _tensor(self, tensor: Tensor) -> str:
        """The name of a tensor with constant storage."""
        key = alias_key(tensor)
        if key not in self.known:
            self.known[key] = f"c_{len(self.tensors)}"
            self.tensors.append(tensor.detach())
        return self.known[key]

    def _list(self, values: Sequence[Any]) -> str:
        """A list that contains tensors, as an expression; a named constant if all are constant."""
        varies = any(storage_address(item) in self.per_iteration for item in tensors_in(values))
        if varies or not all(isinstance(item, Tensor) for item in values):
            return f"[{', '.join(self._text(item) for item in values)}]"
        keys = tuple(alias_key(item) for item in values)
        if keys not in self.known:
            self.known[keys] = f"l_{len(self.lists)}"
            self.lists.append([item.detach() for item in values])
        return self.known[keys]


def _with_fused_counters(tape: Sequence[Instruction]) -> list[Instruction]:
    """The tape with all step counters incremented by one operation at its beginning.

    Optimizers increment one counter per parameter, and a stack has many optimizers: that would be a
    tenth of all work. The counters are moved into one contiguous storage with ``Tensor.set_`` and
    remain the same tensor objects.
    """
    counted: dict[int, Tensor] = {}
    single: set[int] = set()  # addresses of scalars used so far
    memories: set[int] = set()  # storages of larger tensors used so far
    rest = []
    for instruction in tape:
        touched = [*instruction.operands, *instruction.results]
        counting = (
            instruction.operation in STEP_INCREMENTS
            and not instruction.keywords
            and isinstance(instruction.arguments[1], int | float)
            and instruction.arguments[1] == 1
            and all(w.dim() == 0 and w.is_floating_point() for w in touched)
            and not any(w.data_ptr() in single or storage_address(w) in memories for w in touched)
        )
        if counting:
            counted.update({id(w): w for w in instruction.operands})
        else:
            rest.append(instruction)
        single.update(w.data_ptr() for w in touched if w.dim() == 0)
        memories.update(storage_address(w) for w in touched if w.dim())
    counters = list(counted.values())
    if len({(w.dtype, w.device) for w in counters}) != 1:
        return list(tape)
    first = counters[0]
    size = first.element_size()
    beside = all(w.data_ptr() == first.data_ptr() + i * size for i, w in enumerate(counters))
    if not beside:
        for counter, slot in zip(counters, torch.stack(counters).unbind(), strict=True):
            counter.set_(slot)  # type: ignore[call-overload]  # its stub lacks tensors
    together = first.detach().as_strided((len(counters),), (1,))
    return [Instruction(aten.add_.Tensor, (together, 1), {}, together), *rest]
