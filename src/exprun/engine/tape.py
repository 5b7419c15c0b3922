"""Record one iteration, then replay it: the same kernels in the same order, so the same bits,
without the work that autograd and the optimizer's Python do around each of them.

``record`` runs an iteration for real while a ``TorchDispatchMode`` takes down every operation that
reaches the kernels: those of the forward pass, of the backward pass and of the optimizer. What
comes out is a ``Program``: the operations as a Python function (``Program.source`` shows it).
``docs/engine.md`` tells it at leisure.
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
    changing_variant,
    hosts_of,
    memory_of,
    place_of,
    writing_variant,
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
"""What these return is written before it is read, so the same memory does for every iteration."""

OF_SHAPE_ALONE = {aten.ones_like.default, aten.zeros_like.default}
"""These do not read the numbers of the tensor that they are given."""

COUNTING = {aten._foreach_add_.Scalar, aten.add_.Tensor}
"""How optimizers count up their steps."""

RATE_NAMES = ("lr", "value", "alpha")
"""Arguments in which an optimizer's operations carry the learning rate or its negative."""


class Unrecordable(Exception):
    """The iteration is not the same operations every time; the text says why, and ``optimizers``
    whose steps differ, if that is known."""

    def __init__(self, reason: str, optimizers: Sequence[Optimizer] = ()) -> None:
        super().__init__(reason)
        self.optimizers = optimizers


@dataclass(frozen=True)
class Rate:
    """A learning rate while recording, and the parameters that it moves."""

    value: float
    parameters: Sequence[Tensor]


def record(
    iteration: Callable[[], None],
    x: Tensor,
    y: Tensor,
    rates: Sequence[Rate] = (),
    changing: Sequence[Tensor] = (),
) -> Program:
    """Run ``iteration``, which reads the batch ``x``, ``y``, and make a program of it. What it does
    not write itself stays as it is, but for the tensors that are ``changing``.

    Raises Unrecordable if it cannot be replayed; it may then have been run in part.
    """
    with Tape() as tape:
        iteration()
    return _Writer(tape.instructions, x, y, rates, changing).program()


class Tape(TorchDispatchMode):
    """Takes down every operation while it is active, and keeps their tensors alive: so two tensors
    at the same place in memory are the same."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.instructions: list[Instruction] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: torch shall not import its compiler, 1.3 s, only to tell it to look away."""
        return False

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        keywords = dict(kwargs or {})
        if operation is aten._local_scalar_dense.default:
            raise Unrecordable("it reads a number from a tensor")
        out = operation(*args, **keywords)
        if operation.namespace in ("aten", "exprun"):  # the others are marks of the profiler
            self.instructions.append(Instruction(operation, tuple(args), keywords, out))
        return out


class _Writer:
    """Writes a program.

    What stays in its place from one iteration to the next — weights, optimizer state, buffers — is
    a constant of the program, and so are views of it, like a transposed weight. So are the results
    of an operation that can write them into the recorded tensors, again and again; those of others
    are local variables. What only one operation reads, that one changes in place if it can.
    """

    def __init__(
        self,
        tape: Sequence[Instruction],
        x: Tensor,
        y: Tensor,
        rates: Sequence[Rate],
        changing: Sequence[Tensor],
    ) -> None:
        tape = _counting_once(tape)
        self.names = {place_of(x): "x", place_of(y): "y"}
        self.moving = {memory_of(x), memory_of(y)}  # memory that the next iteration has elsewhere
        self.rates = {
            place_of(w): (number, rate.value)
            for number, rate in enumerate(rates)
            for w in rate.parameters
        }
        self.unmoved = set(self.rates)  # parameters whose learning rate was not found yet
        self.written = {
            memory_of(w) for i in tape if i.operation._schema.is_mutable for w in i.operands
        } | {memory_of(w) for w in changing}
        # A tensor made of numbers is a constant. Said in the text, so that other numbers in the
        # next iteration make another text.
        lifted = [i.out for i in tape if i.operation is aten.lift_fresh.default]
        self.made = [f"# uses {tensor.tolist()}" for tensor in lifted]
        self.tape = self._needed(tape)
        self.hosts = hosts_of(self.tape)
        self.changeable: set[Any] = set()  # places of results that lie in their hosts
        self.lines: list[str] = []
        self.operations: list[OpOverload] = []  # one for each line that calls one
        self.tensors: list[Tensor] = []
        self.lists: list[list[Tensor]] = []
        self.others: dict[str, Any] = {}
        self.known: dict[Any, str] = {}  # names of constants
        self.numbers = count(1)  # of local variables

    def program(self) -> Program:
        for instruction in self.tape:
            self._write(instruction)
        if self.unmoved:
            raise Unrecordable("its learning rate is not in the operation that moves the weights")
        lines = [*self.made, *self.lines]
        return Program(lines, self.operations, self.tensors, self.lists, self.others)

    def _needed(self, tape: Sequence[Instruction]) -> list[Instruction]:
        """Without views that are nothing new, and without results that nobody reads."""
        known: set[Any] = set()
        new = []
        for instruction in tape:
            known.update(place_of(operand) for operand in instruction.operands)
            places = {place_of(result) for result in instruction.results}
            if not (instruction.operation.is_view and places <= known):
                new.append(instruction)
            known |= places
        read: set[Any] = set()
        needed = []
        for instruction in reversed(new):
            places = {place_of(result) for result in instruction.results}
            if instruction.operation._schema.is_mutable or places & read:
                needed.append(instruction)
                if instruction.operation not in OF_SHAPE_ALONE:
                    read.update(place_of(operand) for operand in instruction.operands)
        return needed[::-1]

    def _write(self, instruction: Instruction) -> None:
        operation, results = instruction.operation, instruction.results
        if operation in UNINITIALISED or self._is_constant(instruction):
            return
        arguments = [self._text(value) for value in instruction.arguments]
        keywords = {name: self._text(value) for name, value in instruction.keywords.items()}
        self._insert_rate(instruction, arguments, keywords)
        into, in_place = writing_variant(operation), changing_variant(operation)
        if in_place and next(map(place_of, instruction.operands), None) in self.changeable:
            operation = in_place
            self._lies(results[0], arguments[0])
            results = []
        elif into and len(into[1]) == len(results):
            operation = into[0]
            for name, result in zip(into[1], results, strict=True):
                keywords[name] = self._tensor(self.hosts.get(place_of(result), result))
                self._lies(result, keywords[name])
            results = []
        for result in results:
            self.moving.add(memory_of(result))
            if place_of(result) not in self.names:
                self.names[place_of(result)] = f"t{next(self.numbers)}"
        called = ", ".join([*arguments, *(f"{name}={text}" for name, text in keywords.items())])
        assigned = f"{self._assigned(instruction)} = " if results else ""
        self.lines.append(f"{assigned}aten.{operation.overloadpacket.__name__}({called})")
        self.operations.append(operation)

    def _lies(self, result: Tensor, name: str) -> None:
        """A result is written into the constant of that name."""
        place = place_of(result)
        self.names[place] = name
        self.written.add(memory_of(result))
        if place in self.hosts:
            self.changeable.add(place)

    def _assigned(self, instruction: Instruction) -> str:
        """The names of all that an operation returns."""
        out = instruction.out
        if isinstance(out, Tensor):
            return self.names[place_of(out)]
        names = [self.names[place_of(x)] if isinstance(x, Tensor) else "_" for x in out]
        return ", ".join(names) + "," * (len(names) == 1)

    def _is_constant(self, instruction: Instruction) -> bool:
        """Whether it gives the same in every iteration: a view of what stays in its place, or a
        value computed from nothing that is ever written."""
        operation, results = instruction.operation, instruction.results
        if operation._schema.is_mutable:
            return False
        if operation.is_view:
            return not any(memory_of(result) in self.moving for result in results)
        random = torch.Tag.nondeterministic_seeded in operation.tags
        changing = self.moving | self.written
        read = [] if operation in OF_SHAPE_ALONE else instruction.operands
        return not random and not any(memory_of(tensor) in changing for tensor in [*read, *results])

    def _insert_rate(
        self, instruction: Instruction, arguments: list[str], keywords: dict[str, str]
    ) -> None:
        """Put the iteration's learning rate in the place of the recorded one: it is the number, or
        its negative, in an operation that writes into a parameter."""
        schema = instruction.operation._schema
        if not schema.is_mutable:
            return
        names = [argument.name for argument in schema.arguments]
        given = [*zip(names, instruction.arguments, strict=False), *instruction.keywords.items()]
        fused = schema.name.startswith("aten::_fused_")  # tells its other numbers by name
        for parameter in {place_of(w) for w in tensors_in(instruction.arguments[:1])} & set(
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
                self.unmoved.discard(parameter)

    def _text(self, value: Any) -> str:
        """A value as it stands in the program."""
        if isinstance(value, Tensor):
            if place_of(value) in self.names:
                return self.names[place_of(value)]
            if memory_of(value) in self.moving:
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
        """The name of one that stays in its place."""
        place = place_of(tensor)
        if place not in self.known:
            self.known[place] = f"c_{len(self.tensors)}"
            self.tensors.append(tensor.detach())
        return self.known[place]

    def _list(self, values: Sequence[Any]) -> str:
        """A list with tensors in it; it has a name if all of them stay in their places."""
        moving = any(memory_of(item) in self.moving for item in tensors_in(values))
        if moving or not all(isinstance(item, Tensor) for item in values):
            return f"[{', '.join(self._text(item) for item in values)}]"
        places = tuple(place_of(item) for item in values)
        if places not in self.known:
            self.known[places] = f"l_{len(self.lists)}"
            self.lists.append([item.detach() for item in values])
        return self.known[places]


def _counting_once(tape: Sequence[Instruction]) -> list[Instruction]:
    """The tape with all counters counted up at once, by one operation at its beginning.

    An optimizer counts the steps of each parameter by itself, and a stack has many optimizers: that
    would be a tenth of all work. The counters are moved side by side in memory, and stay the
    tensors that they are.
    """
    counted: dict[int, Tensor] = {}
    single: set[int] = set()  # addresses of numbers that were touched
    memories: set[int] = set()  # and of memory, by tensors of many
    rest = []
    for instruction in tape:
        touched = [*instruction.operands, *instruction.results]
        counting = (
            instruction.operation in COUNTING
            and not instruction.keywords
            and isinstance(instruction.arguments[1], int | float)
            and instruction.arguments[1] == 1
            and all(w.dim() == 0 and w.is_floating_point() for w in touched)
            and not any(w.data_ptr() in single or memory_of(w) in memories for w in touched)
        )
        if counting:
            counted.update({id(w): w for w in instruction.operands})
        else:
            rest.append(instruction)
        single.update(w.data_ptr() for w in touched if w.dim() == 0)
        memories.update(memory_of(w) for w in touched if w.dim())
    counters = list(counted.values())
    if len({(w.dtype, w.device) for w in counters}) != 1:
        return list(tape)
    first = counters[0]
    size = first.element_size()
    beside = all(w.data_ptr() == first.data_ptr() + i * size for i, w in enumerate(counters))
    if not beside:
        for counter, place in zip(counters, torch.stack(counters).unbind(), strict=True):
            counter.set_(place)  # type: ignore[call-overload]  # its stub forgets tensors
    together = first.detach().as_strided((len(counters),), (1,))
    return [Instruction(aten.add_.Tensor, (together, 1), {}, together), *rest]
