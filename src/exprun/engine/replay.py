"""Execute iterations by replaying recorded operations (``docs/engine.md``).

The first iteration of a training runs eagerly, because optimizers create their state in it. The
next two are recorded; if both are the same operations with the same numbers, all later iterations
are replayed. A training whose operations vary runs eagerly throughout.

A recording contains the optimizers' hyperparameters as constants, except for the learning rates,
which are arguments. So the hyperparameters are compared before every replay: a scheduler may change
any of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from exprun.engine.program import Program
from exprun.engine.tape import Rate, Unrecordable, record
from exprun.techniques import torch_optim
from exprun.techniques.regularizers import Regularizer

if TYPE_CHECKING:
    from exprun.training.training import Training

KNOWN_PACKAGES = ("torch.nn.", "exprun.")
"""Packages whose code is known to issue the same operations in every iteration."""


def obstacle(training: Training) -> str | None:
    """The reason why this training cannot be replayed; None if it can."""
    t = training
    if t.engine == "plain":
        return "trainer.engine=plain"
    if isinstance(t.optimizer, torch.optim.LBFGS):
        return "L-BFGS evaluates the loss several times in an iteration"
    if any(m._forward_hooks or m._forward_pre_hooks for m in t.model.modules()):
        return "somebody watches the layers"
    parts: list[Any] = [*t.model.modules(), t.loss, *t.regularizers]
    if t.averaging:
        parts.append(t.averaging)
    foreign = [part for part in parts if not f"{type(part).__module__}.".startswith(KNOWN_PACKAGES)]
    if not torch_optim.is_torchs_or_ours(t.optimizer):
        foreign.append(t.optimizer)
    if foreign:
        return f"{type(foreign[0]).__name__} is code of somebody's own"
    if type(t.optimizer).__module__.startswith("torch."):
        name = type(t.optimizer).__name__
        if name in FUSED and not t.optimizer.defaults["fused"]:
            return f"torch's {name} computes numbers from the step, unless fused=true"
        if name not in FUSED + UNFUSED:
            return f"torch's {name} is not known to do the same in every iteration"
    return None


FUSED = ("Adam", "AdamW", "Adagrad")
UNFUSED = ("SGD", "RMSprop", "Adadelta")
"""torch's optimizers that issue the same operations in every step; those in FUSED only with
``fused=True``."""


AT_ONCE_SECONDS = 0.05
"""Approximate time between two returns to the loop, which calls callbacks and checks for
interruption."""

MOST_CHANGES = 4
"""How often recordings may be discarded after a change of hyperparameters or addresses: recording
takes as long as dozens of iterations."""


Storages = tuple[int, bool, tuple[int, ...]]
"""Of a weight: its address, whether it is trained, and the addresses of its optimizer states."""


def storages_of(optimizers: Sequence[Optimizer]) -> list[Storages]:
    """Where the weights and their states lie in memory, and which weights are trained: a scheduler
    that starts anew may give an optimizer another state, one that unfreezes layers other weights.
    """
    return [
        (w.data_ptr(), w.requires_grad, _addresses(optimizer.state.get(w, {})))
        for optimizer in optimizers
        for group in optimizer.param_groups
        for w in group["params"]
    ]


def _addresses(state: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(value.data_ptr() for value in state.values() if isinstance(value, Tensor))


class Replay:
    """Runs ``iteration(x, y)`` from recordings, one for each batch shape."""

    def __init__(
        self,
        iteration: Callable[[Tensor, Tensor], None],
        schedule: Callable[[int], None],
        optimizers: Sequence[Optimizer],
        *,
        steady: bool,
        ahead: bool = True,
    ) -> None:
        """``schedule(number)`` sets the hyperparameters of the ``optimizers`` for an iteration of
        the epoch, 0 the first; if they are ``steady``, for all of the epoch. ``ahead`` says that it
        may be called for iterations that are not yet due."""
        self.iteration = iteration
        self.schedule = schedule
        self.optimizers = optimizers
        self.steady = steady
        self.ahead = ahead or steady
        self.begun = all(optimizer.state for optimizer in optimizers)
        self.at_once = 1
        self.candidates: dict[torch.Size, Program] = {}
        self.programs: dict[torch.Size, Program] = {}
        self.hyperparameters = self._hyperparameters()  # those that are recorded
        self.storages: list[Storages] = []  # the weights and states that are recorded
        self.changes = 0
        self.scheduled = False  # whether ``schedule`` was already called for the next iteration

    def __call__(self, xs: Tensor, ys: Tensor, number: int) -> int:
        """Run iteration ``number`` of the epoch and as many after it as fit into one call; returns
        how many were run. ``xs`` (m, …) and ``ys`` (m, …) are the next m batches. Raises
        Unrecordable, possibly after part of an iteration."""
        began = time.perf_counter()
        if not self.scheduled:
            self.schedule(number)
        self.scheduled = False
        self._notice_changes()
        program = self.programs.get(xs.shape[1:])
        if program is None:
            done = 1
            self._iterate(xs[0], ys[0])
        else:
            rates = self._rates(number, min(self.at_once, len(xs)) if self.ahead else 1)
            done = len(rates)
            program.run(xs[:done], ys[:done], rates)
        speed = done / (time.perf_counter() - began)
        self.at_once = max(1, int(speed * AT_ONCE_SECONDS))
        return done

    def _groups(self) -> Iterator[dict[str, Any]]:
        for optimizer in self.optimizers:
            yield from optimizer.param_groups

    def _hyperparameters(self) -> list[list[dict[str, Any]]]:
        """The hyperparameters per optimizer and parameter group, without the learning rates."""
        return [
            [
                {name: group.get(name) for name in optimizer.defaults if name != "lr"}
                for group in optimizer.param_groups
            ]
            for optimizer in self.optimizers
        ]

    def _notice_changes(self) -> None:
        """Forget recordings that hold what has changed since. Raises Unrecordable if that has
        happened too often."""
        now, before = self._hyperparameters(), self.hyperparameters
        moved = bool(self.candidates) and self.storages != storages_of(self.optimizers)
        if now == before and not moved:
            return
        self.changes += 1
        if self.changes > MOST_CHANGES:
            changed = [i for i in range(len(now)) if now[i] != before[i]]
            names = _changed_names(now, before)
            raise Unrecordable(
                f"{' and '.join(names) or 'what the optimizer moves'} changes too often",
                [self.optimizers[i] for i in changed],
            )
        self.hyperparameters = now
        self.candidates.clear()
        self.programs.clear()
        self.begun = False  # the next step may create optimizer state

    def _rates(self, number: int, iterations: int) -> list[list[float]]:
        """One list of learning rates, one per parameter group, for each of the next ``iterations``,
        the first of which is already scheduled; it stops before an iteration in which another
        hyperparameter changes."""
        rates = [[group["lr"] for group in self._groups()]]
        if self.steady:
            return rates * iterations
        for following in range(number + 1, number + iterations):
            self.schedule(following)
            if self._hyperparameters() != self.hyperparameters:
                self.scheduled = True
                break
            rates.append([group["lr"] for group in self._groups()])
        return rates

    def _iterate(self, x: Tensor, y: Tensor) -> None:
        """Run one iteration eagerly, and record it if the optimizers already have state."""
        if not self.begun:
            self.iteration(x, y)
            self.begun = True
            return
        rates = [
            Rate(group["lr"], [w for w in group["params"] if w.requires_grad])
            for group in self._groups()
        ]
        program = record(lambda: self.iteration(x, y), x, y, rates)
        self.storages = storages_of(self.optimizers)
        candidate = self.candidates.setdefault(x.shape, program)
        if candidate is not program:
            if candidate.source != program.source:
                raise Unrecordable("its operations change from iteration to iteration")
            self.programs[x.shape] = program


def _changed_names(
    now: list[list[dict[str, Any]]], before: list[list[dict[str, Any]]]
) -> list[str]:
    """The sorted names of the hyperparameters that differ."""
    pairs = [
        (new, old)
        for groups, old_groups in zip(now, before, strict=True)
        for new, old in zip(groups, old_groups, strict=False)  # there may be another group
    ]
    return sorted({name for new, old in pairs for name in new if new[name] != old[name]})


class ReplayedTraining:
    """``fit.loop.iterate`` for a training, by replay."""

    def __init__(self, training: Training, with_penalties: Callable[..., Tensor]) -> None:
        """``with_penalties(training, loss)`` returns the objective, a scalar."""
        self.training = training
        self.with_penalties = with_penalties
        rows = training.batch_size or len(training.data.train)
        self.loss_sums = torch.zeros(rows, device=training.device)  # accumulated losses
        self.penalised = any(
            type(r).penalty is not Regularizer.penalty for r in training.regularizers
        )
        self.replay = Replay(
            self._iterate,
            self._schedule,
            [training.optimizer],
            steady=training.scheduler.steady,
            ahead=training.scheduler.ahead,
        )

    def __call__(self, xs: Tensor, ys: Tensor, number: int) -> int:
        """Run iterations on the next m batches ``xs`` and ``ys`` (m, …), from iteration ``number``
        of the epoch on; returns how many. The losses are not checked here: see ``all_finite``."""
        return self.replay(xs, ys, number)

    def _schedule(self, number: int) -> None:
        t = self.training
        t.scheduler.before_iteration(t.iteration + number, t.iterations_per_epoch)

    def all_finite(self) -> bool:
        """Whether all losses since the last call were finite numbers."""
        total = self.loss_sums.sum().item()
        self.loss_sums.zero_()
        return math.isfinite(total)

    def _iterate(self, xb: Tensor, yb: Tensor) -> None:
        """One iteration like ``fit.loop.iterate``, without reading the loss."""
        t = self.training
        parameters = [w for w in t.model.parameters() if w.requires_grad]
        losses = t.loss.training_rows(t.model(xb), yb)
        loss = self.with_penalties(t, t.loss.reduced(losses))
        with torch.no_grad():  # without penalties the loss itself is not needed
            self.loss_sums[: len(losses)].add_(loss if self.penalised else losses)
        for w, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            w.grad = gradient
        torch_optim.step(t.optimizer, lambda: loss)
        for regularizer in t.regularizers:
            regularizer.constrain(t.model)
        if t.averaging:
            t.averaging.update()
        t.streams.dropout.advance()
        t.optimizer.zero_grad()
