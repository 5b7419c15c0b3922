"""Optimizers that torch does not have, in torch's own interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import Optimizer, ParamsT


class Momentum(Optimizer):
    """The lecture's momentum: an exponential moving average of the gradients (slide "Momentum").

    u = momentum * u + (1 - momentum) * g,  w = w - lr * u,  u = 0 at first.

    torch's SGD sums instead (u = momentum * u + g), so ``lr`` here moves as far as
    ``lr * (1 - momentum)`` there; after that substitution both take the same steps.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        """Raises ValueError if ``lr`` or ``weight_decay`` is negative or momentum not in [0, 1)."""
        if lr < 0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not 0 <= momentum < 1:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if weight_decay < 0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters; returns what ``closure``, if given, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [w for w in group["params"] if w.grad is not None]
            if not weights:
                continue
            gradients = [w.grad for w in weights]
            if group["weight_decay"]:
                gradients = list(
                    torch._foreach_add(gradients, weights, alpha=group["weight_decay"])
                )
            for w in weights:
                if "velocity" not in self.state[w]:
                    self.state[w]["velocity"] = torch.zeros_like(w)
            velocities = [self.state[w]["velocity"] for w in weights]
            torch._foreach_lerp_(velocities, gradients, 1 - group["momentum"])
            torch._foreach_add_(weights, velocities, alpha=-group["lr"])
        return loss
