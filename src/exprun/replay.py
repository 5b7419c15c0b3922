"""Replayed iterations: what ``fit.iterate`` does, from a recording (``docs/engine.md``).

The first iteration of a training runs as it is written. Then one is recorded, and the next once
more; if both are the same operations with the same numbers, all others are replayed. Whatever is
not the same every time runs as it is written throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from exprun import light
from exprun.tape import Program, Rate, Unrecordable, record

if TYPE_CHECKING:
    from exprun.fit import Training

OWN = ("torch.nn.", "exprun.")
"""Modules whose code is known to do the same in every iteration."""


def obstacle(training: Training) -> str | None:
    """Why the iterations of this training run as they are written; None if they may be replayed."""
    t = training
    if not t.replay:
        return "replay is off"
    if isinstance(t.optimizer, torch.optim.LBFGS):
        return "L-BFGS evaluates the loss several times in an iteration"
    if getattr(getattr(t.scheduler, "scheduler", None), "cycle_momentum", False):
        return "the scheduler changes the momentum too"
    if any(m._forward_hooks or m._forward_pre_hooks for m in t.model.modules()):
        return "somebody watches the layers"
    parts = [*t.model.modules(), t.loss, *t.regularizers]
    foreign = [part for part in parts if not f"{type(part).__module__}.".startswith(OWN)]
    if not light.is_torchs_or_ours(t.optimizer):
        foreign.append(t.optimizer)
    if foreign:
        return f"{type(foreign[0]).__name__} is code of somebody's own"
    return None


class Replay:
    """Iterations by recorded programs, one program for every length of batch."""

    def __init__(self, training: Training, objective: Callable[..., Tensor]) -> None:
        """``objective(training, xb, yb)`` is the training loss of a batch, a scalar."""
        self.training = training
        self.objective = objective
        self.trained = bool(training.optimizer.state)
        self.candidates: dict[int, Program] = {}
        self.programs: dict[int, Program] = {}
        self.losses = torch.zeros((), device=training.device)

    def __call__(self, xb: Tensor, yb: Tensor, iteration: int) -> None:
        """One iteration, like ``fit.iterate``, but for the look at the loss: see ``all_finite``.

        Raises Unrecordable, maybe in the middle of it.
        """
        t = self.training
        t.scheduler.before_iteration(iteration, t.iterations_per_epoch)
        program = self.programs.get(len(xb))
        if program is not None:
            with torch.inference_mode():
                program.run(xb, yb, [group["lr"] for group in t.optimizer.param_groups])
        elif self.trained:
            self._record(xb, yb)
        else:
            self._iterate(xb, yb)
            self.trained = True

    def all_finite(self) -> bool:
        """Whether all losses since the last call were finite numbers."""
        total = self.losses.item()
        self.losses.zero_()
        return math.isfinite(total)

    def _record(self, xb: Tensor, yb: Tensor) -> None:
        rates = [Rate(group["lr"], group["params"]) for group in self.training.optimizer.param_groups]
        program = record(lambda: self._iterate(xb, yb), xb, yb, rates)
        candidate = self.candidates.setdefault(len(xb), program)
        if candidate is not program:
            if candidate.source != program.source:
                raise Unrecordable("its operations change from iteration to iteration")
            self.programs[len(xb)] = program

    def _iterate(self, xb: Tensor, yb: Tensor) -> None:
        t = self.training
        parameters = list(t.model.parameters())
        loss = self.objective(t, xb, yb)
        with torch.no_grad():
            self.losses += loss
        for w, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            w.grad = gradient
        light.step(t.optimizer, lambda: loss)
        for regularizer in t.regularizers:
            regularizer.constrain(t.model)
        t.optimizer.zero_grad()
