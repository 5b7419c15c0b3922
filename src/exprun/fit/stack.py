"""Train many networks of equal shape together on a GPU, in one forward and backward pass.

A member of a stack is an ordinary ``Training`` with its own optimizer, schedule, random streams,
stopping and learning curve. Only its weights are views of the stack's tensors, and its iterations
are computed together with the others'. A batched matrix product may round differently than k single
ones, so a member's result equals that of its solo run up to rounding.

On a CPU stacking saves nothing, so members are trained one by one, with the bits of solo runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from exprun.common.constants import ALONE, DIVERGED, INTERRUPTED
from exprun.data.one_hot_inputs import Inputs
from exprun.engine.replay import Replay, obstacle
from exprun.engine.tape import Unrecordable
from exprun.fit.learning_curve import Curve
from exprun.fit.loop import continue_fit, end_epoch, ended
from exprun.fit.stacked_networks import StackedLinear, StackedMLP
from exprun.techniques import torch_optim
from exprun.techniques.losses import CrossEntropy
from exprun.techniques.networks import MLP, Dropout, HiddenLayer, describe
from exprun.techniques.regularizers import L1, L2, ElasticNet, Regularizer
from exprun.training.batches import blocks
from exprun.training.callbacks import Callback, Outcome
from exprun.training.divergence import Diverged
from exprun.training.training import Training

COMPACT_BELOW = 0.75
"""A stack is rebuilt with new members when the share of running ones falls below this."""

STACKED_ON = ("cuda",)
"""Device types on which many small networks are faster as a stack."""

PENALTIES = (L1, L2, ElasticNet)
"""Regularizers whose penalties are computed for all members at once."""


class Stack:
    """k trainings of equal ``shape`` whose iterations are computed together, each on its own
    batch."""

    def __init__(self, members: Sequence[Training]) -> None:
        self.members = members
        self.running = members
        models = [member.model for member in members]
        self.model = StackedMLP([model for model in models if isinstance(model, MLP)])
        self.linear = [m for m in self.model.modules() if isinstance(m, StackedLinear)]
        self.layers = list(zip(*map(_linear, models), strict=True))
        self.norms = [w for model in models for w in _norm_parameters(model)]
        self.penalties = [
            _merged(same, members[0].device)
            for same in zip(*(m.regularizers for m in members), strict=True)
            if isinstance(same[0], PENALTIES)
        ]
        self.losses = torch.zeros(len(members), device=members[0].device)
        self.replay = Replay(
            self._iterate,
            self._schedule,
            [member.optimizer for member in members],
            steady=all(member.scheduler.steady for member in members),
            ahead=all(member.scheduler.ahead for member in members),
        )
        self.x, self.y, self.offsets = _pooled(members)

    def train_epoch(self, running: Sequence[Training], interrupted: Callable[[], bool]) -> bool:
        """Train the ``running`` members for an epoch; returns False if interrupted. The weights of
        the other members are not used any more. Raises Unrecordable."""
        first = self.members[0]
        count, size = len(first.data.train), first.batch_size or len(first.data.train)
        for member in running:
            member.set_mode(True)
        orders = torch.zeros((len(self.members), count), dtype=torch.long)
        for order, member in zip(orders, self.members, strict=True):
            if any(member is other for other in running):
                torch.randperm(count, generator=member.streams.order, out=order)
        self.running = running
        number = 0
        rows = orders.to(self.x.device) + self.offsets
        for xs, ys in blocks(self.x, self.y, rows, size, first.smallest_batch):
            end = number + len(xs)
            while number < end:
                number += self.replay(xs[number - end :], ys[number - end :], number)
                if interrupted():
                    return False
        return True

    def _schedule(self, number: int) -> None:
        for member in self.running:
            member.scheduler.before_iteration(
                member.iteration + number, member.iterations_per_epoch
            )

    def finite(self) -> list[bool]:
        """Whether all losses of each member since the last call were finite numbers."""
        finite: list[bool] = self.losses.isfinite().tolist()
        self.losses.zero_()
        return finite

    def _iterate(self, x: Tensor, y: Tensor) -> None:
        """One iteration of all members on their batches x (k, n, inputs) and y (k, n, …)."""
        losses = self._objective(x, y)
        with torch.no_grad():
            self.losses += losses
        stacked = [w for layer in self.linear for w in (layer.weight, layer.bias)]
        gradients = [  # contiguous like the weights: fused optimizers index both alike
            gradient.contiguous()
            for gradient in torch.autograd.grad(losses.sum(), [*stacked, *self.norms])
        ]
        for w, gradient in zip(self.norms, gradients[len(stacked) :], strict=True):
            w.grad = gradient
        for i, layers in enumerate(self.layers):
            weights, biases = gradients[2 * i].unbind(), gradients[2 * i + 1].unbind()
            for layer, weight, bias in zip(layers, weights, biases, strict=True):
                layer.weight.grad, layer.bias.grad = weight, bias
        for member in self.members:
            torch_optim.step(member.optimizer, lambda: losses)
            for regularizer in member.regularizers:
                regularizer.constrain(member.model)
            if member.averaging:
                member.averaging.update()
            member.streams.dropout.advance()
            member.optimizer.zero_grad()

    def _objective(self, x: Tensor, y: Tensor) -> Tensor:
        """``fit.with_penalties`` of every member's loss, (k,)."""
        outputs = self.model(x)
        first = self.members[0].loss
        smooth = any(member.loss.label_smoothing for member in self.members)
        alike = all(member.loss.for_training == first.for_training for member in self.members)
        if isinstance(first, CrossEntropy) and alike and not smooth:
            losses = first(outputs, y)
        else:
            each = zip(self.members, outputs.unbind(), y.unbind(), strict=True)
            losses = torch.stack([member.loss(out, targets) for member, out, targets in each])
        for regularizer in self.penalties:
            penalty = regularizer.penalty(self.model, len(self.members[0].data.train))
            if penalty is not None:
                losses = losses + penalty
        return losses


def _linear(model: nn.Module) -> list[nn.Linear]:
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)]


def _norm_parameters(model: nn.Module) -> list[Tensor]:
    """The parameters that do not belong to linear layers."""
    linear = {id(w) for layer in _linear(model) for w in layer.parameters()}
    return [w for w in model.parameters() if id(w) not in linear]


def _merged(regularizers: Sequence[Regularizer], device: torch.device) -> Regularizer:
    """k members' regularizers as one whose coefficients are tensors (k,) float64."""
    first: Any = regularizers[0]
    as_coefficients: Any = {"dtype": torch.float64, "device": device}
    numbers = [f.name for f in fields(first) if not isinstance(getattr(first, f.name), bool)]
    values = {
        name: torch.tensor([getattr(r, name) for r in regularizers], **as_coefficients)
        for name in numbers
    }
    merged: Regularizer = replace(first, **values)
    return merged


def _pooled(members: Sequence[Training]) -> tuple[Inputs, Tensor, Tensor]:
    """Training inputs and encoded targets of all members, concatenated, shared data only once; and
    each member's first row in them, (k, 1)."""
    different = list({id(m.data): m for m in members}.values())
    x, y = [m.data.train.x for m in different], [m.targets for m in different]
    rows = len(x[0])
    starts = {id(m.data): rows * i for i, m in enumerate(different)}
    offsets = torch.tensor([[starts[id(m.data)]] for m in members], device=x[0].device)
    if len(x) == 1:
        return x[0], y[0], offsets
    return torch.cat([rows[:] for rows in x]), torch.cat(y), offsets


def not_stackable(training: Training) -> str | None:
    """The reason why a training cannot be a member of a stack; None if it can."""
    if type(training.model) is not MLP:
        return f"{type(training.model).__name__} is not exprun's MLP"
    if any(isinstance(r, L1) and r.biases for r in training.regularizers):
        return "reg.l1.biases=true is not stacked"
    return obstacle(training)


def shape(training: Training) -> tuple[Any, ...]:
    """A key that is equal for trainings that can be members of the same stack."""
    t = training
    layers = [m for m in t.model.modules() if isinstance(m, HiddenLayer)]
    loss = vars(t.loss) | {"label_smoothing": None, "class_weight": None}  # may differ
    return (
        describe(t.model),
        *((str(layer.activation), str(layer.norm), layer.norm_position) for layer in layers),
        tuple(isinstance(layer.dropout, Dropout) for layer in layers),
        (type(t.loss), str(sorted(loss.items()))),
        tuple(type(r) for r in t.regularizers),
        (len(t.data.train), t.batch_size, t.device),
        None if isinstance(t.data.train.x, Tensor) else id(t.data),  # codes are not pooled
    )


def capacity(training: Training, size: int) -> int:
    """The number of such trainings that fit into half of the free GPU memory, at most ``size``; 1
    on devices without stacking."""
    t = training
    if t.device.type not in STACKED_ON:
        return 1
    if t.device.type != "cuda":  # free memory is unknown
        return size
    weights = 4 * sum(w.numel() * w.element_size() for w in t.model.parameters())
    units = sum(layer.out_features for layer in _linear(t.model))
    rows = t.batch_size or len(t.data.train)
    activations = 8 * rows * units * t.data.train.x[:1].element_size()
    free, _ = torch.cuda.mem_get_info(t.device)
    return max(1, min(size, free // 2 // (weights + activations)))


@dataclass
class Member:
    """A training to be stacked, with its callbacks.

    ``done`` is called with its outcome, ``failed`` with an exception that concerns only this
    member. Both must copy the weights they need: the stack's storage is reused afterwards.
    """

    training: Training
    callbacks: Sequence[Callback]
    done: Callable[[Outcome], None]
    failed: Callable[[Exception], None]
    curve: Curve = field(init=False)
    running: bool = True
    seconds: float = 0.0
    rows: int = 0
    before: dict[str, Any] = field(default_factory=dict)


def fit_stack(
    pending: Iterator[Member],
    size: int,
    interrupted: Callable[[], bool] = lambda: False,
) -> None:
    """Train all ``pending`` members like ``fit``, at most ``size`` at once; the callbacks'
    ``on_iteration`` is not called for stacked members.

    Members that have ended are replaced by pending ones when their share is large enough
    (COMPACT_BELOW). A member that cannot be stacked, or whose loss is not finite, is trained alone.
    """
    members: list[Member] = []
    while True:
        members = [member for member in members if member.running]
        while not members or len(members) < capacity(members[0].training, size):
            member = next(pending, None)
            if member is None:
                break
            _join(members, member, interrupted)
        if not members:
            return
        at_once = capacity(members[0].training, size)
        stack = Stack([member.training for member in members])
        for member in members:  # their weights have new storage
            member.curve = Curve(member.training, replayed=True)
        running, recordable = len(members), True
        while recordable and running and running >= COMPACT_BELOW * len(members):
            recordable = _epoch(stack, members, at_once, interrupted)
            running = sum(member.running for member in members)


def _join(members: list[Member], member: Member, interrupted: Callable[[], bool]) -> None:
    """Add a new member, or train it alone if it cannot be stacked with the others."""
    with _isolated(member):
        for callback in member.callbacks:
            callback.on_start(member.training)
        stacked = member.training.device.type in STACKED_ON
        if not stacked or ended(member.training):  # it was resumed after its last epoch
            member.running = False
            member.done(continue_fit(member.training, member.callbacks, interrupted))
            return
        fits = not members or shape(member.training) == shape(members[0].training)
        reason = not_stackable(member.training) or ("" if fits else "its shapes are its own")
        if reason:
            _train_alone(member, interrupted, reason)
        else:
            members.append(member)


def _train_alone(member: Member, interrupted: Callable[[], bool], reason: str) -> None:
    member.running = False
    outcome = continue_fit(member.training, member.callbacks, interrupted)
    engine = re.split("[:;]", str(outcome.engine))[0]
    member.done(replace(outcome, engine=f"{engine}; {ALONE}{reason}"))


def _epoch(
    stack: Stack, members: Sequence[Member], at_once: int, interrupted: Callable[[], bool]
) -> bool:
    """Train all running members for an epoch and end it as ``fit`` does.

    Returns False if the stack cannot be recorded: the members that prevent it are then trained
    alone, and the others repeat the epoch in another stack.
    """
    running = [member for member in members if member.running]
    began = time.perf_counter()
    for member in running:
        member.before = member.training.snapshot()
    recordable = True
    try:
        whole = stack.train_epoch([member.training for member in running], interrupted)
        stays = stack.finite()
        reason = "a loss was not finite"
    except Unrecordable as why:
        whole, recordable, reason = True, False, str(why)
        unfit = {id(optimizer) for optimizer in why.optimizers}
        stays = [bool(unfit) and id(m.training.optimizer) not in unfit for m in members]
    seconds = (time.perf_counter() - began) / len(members)
    for member, together in zip(members, stays, strict=True):
        if not member.running:
            continue
        with _isolated(member):
            t = member.training
            if not (whole and recordable and together):
                t.load_state_dict(member.before)
            if whole and not together:
                _train_alone(member, interrupted, reason)
                continue
            if not recordable:
                continue
            ending: tuple[str, str] | None
            try:
                if whole:
                    member.seconds += seconds
                    member.rows += t.rows_per_epoch
                    iteration = t.iteration + t.iterations_per_epoch
                    end_epoch(t, member.curve, iteration, member.callbacks)
                    ending = ended(t)
                else:
                    ending = INTERRUPTED, f"interrupted in epoch {t.epoch + 1}"
            except Diverged as divergence:
                ending = DIVERGED, str(divergence)
            if ending:
                member.running = False
                speed = member.rows / member.seconds if member.seconds else 0.0
                member.done(Outcome(*ending, speed, f"stacked: up to {at_once} at once"))
    return recordable


@contextmanager
def _isolated(member: Member) -> Iterator[None]:
    """Report an exception through ``member.failed`` instead of ending the whole stack."""
    try:
        yield
    except Exception as error:
        member.running = False
        member.failed(error)
