"""Replayed iterations: the same work from a recording (``docs/engine.md``).

The first iteration of a training runs as it is written. Then one is recorded, and the next once
more; if both are the same operations with the same numbers, all others are replayed. Whatever is
not the same every time runs as it is written throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

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
    parts: list[Any] = [*t.model.modules(), t.loss, *t.regularizers]
    if t.averaging:
        parts.append(t.averaging)
    foreign = [part for part in parts if not f"{type(part).__module__}.".startswith(OWN)]
    if not light.is_torchs_or_ours(t.optimizer):
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
"""torch's optimizers that do the same in every iteration, the former if they are fused."""


class Replay:
    """``iteration(x, y)`` from recordings, one for every shape of batch."""

    def __init__(
        self,
        iteration: Callable[[Tensor, Tensor], None],
        groups: Callable[[], Iterable[dict[str, Any]]],
        *,
        begun: bool,
    ) -> None:
        """``groups`` gives the optimizers' parameter groups as they are now; ``begun`` says that
        the optimizers have their state already."""
        self.iteration = iteration
        self.groups = groups
        self.begun = begun
        self.candidates: dict[torch.Size, Program] = {}
        self.programs: dict[torch.Size, Program] = {}

    def __call__(self, x: Tensor, y: Tensor) -> None:
        """One iteration. Raises Unrecordable, maybe in the middle of it."""
        program = self.programs.get(x.shape)
        if program is not None:
            with torch.inference_mode():
                program.run(x, y, [group["lr"] for group in self.groups()])
        elif self.begun:
            self._record(x, y)
        else:
            self.iteration(x, y)
            self.begun = True

    def _record(self, x: Tensor, y: Tensor) -> None:
        rates = [
            Rate(group["lr"], [w for w in group["params"] if w.requires_grad])
            for group in self.groups()
        ]
        program = record(lambda: self.iteration(x, y), x, y, rates)
        candidate = self.candidates.setdefault(x.shape, program)
        if candidate is not program:
            if candidate.source != program.source:
                raise Unrecordable("its operations change from iteration to iteration")
            self.programs[x.shape] = program


class ReplayedTraining:
    """What ``fit.iterate`` does for a training, replayed."""

    def __init__(self, training: Training, objective: Callable[..., Tensor]) -> None:
        """``objective(training, xb, yb)`` is the training loss of a batch, a scalar."""
        self.training = training
        self.objective = objective
        self.losses = torch.zeros((), device=training.device)
        self.replay = Replay(
            self._iterate,
            lambda: training.optimizer.param_groups,
            begun=bool(training.optimizer.state),
        )

    def __call__(self, xb: Tensor, yb: Tensor, iteration: int) -> None:
        """One iteration, like ``fit.iterate`` but for the look at the loss: see ``all_finite``."""
        t = self.training
        t.scheduler.before_iteration(iteration, t.iterations_per_epoch)
        self.replay(xb, yb)

    def all_finite(self) -> bool:
        """Whether all losses since the last call were finite numbers."""
        total = self.losses.item()
        self.losses.zero_()
        return math.isfinite(total)

    def _iterate(self, xb: Tensor, yb: Tensor) -> None:
        t = self.training
        parameters = [w for w in t.model.parameters() if w.requires_grad]
        loss = self.objective(t, xb, yb)
        with torch.no_grad():
            self.losses += loss
        for w, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            w.grad = gradient
        light.step(t.optimizer, lambda: loss)
        for regularizer in t.regularizers:
            regularizer.constrain(t.model)
        if t.averaging:
            t.averaging.update()
        t.optimizer.zero_grad()
