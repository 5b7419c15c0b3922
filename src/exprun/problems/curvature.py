"""Local curvature, and which learning rates it allows.

Along an eigenvector of the Hessian with eigenvalue c (the curvature) a quadratic function has the
gradient g = c w, and a step of gradient descent, with or without momentum, is linear in the last
two points: its characteristic polynomial is z² - t z + d. With momentum β in torch's form, a step
of -lr u with u = β u + (1 - dampening) g, it is

    momentum   t = 1 + β - lr (1 - dampening) c   d = β               (Polyak 1964)
    Nesterov   t = (1 + β) (1 - lr c)             d = β (1 - lr c)    (Nesterov 1983)

and β = 0 is gradient descent, z = 1 - lr c. The lecture's momentum, u = β u + (1 - β) g, is the
first with dampening = β. Errors shrink if both roots lie within the unit circle, that is for
|d| < 1 and |t| < 1 + d (Jury's criterion; Goh 2017, "Why momentum really works", has the first
row). For c > 0 that leaves lr below

    gradient descent     2 / c
    torch's momentum     2 (1 + β) / ((1 - dampening) c)
    lecture's momentum   2 (1 + β) / ((1 - β) c)
    Nesterov             2 (1 + β) / ((1 + 2 β) c)

and for c < 0 nothing. The theory does not cover optimizers that scale the gradient (Adam,
RMSprop, …).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from exprun.techniques.optimizers import Momentum

Function = Callable[[Tensor, Tensor], Tensor]
"""f(x, y) for tensors of equal shape, elementwise."""


@dataclass(frozen=True)
class Linear:
    """An optimizer whose steps are linear in the gradient; ``scale`` is (1 - dampening) above."""

    momentum: float = 0.0
    scale: float = 1.0
    nesterov: bool = False

    @classmethod
    def of(cls, optimizer: torch.optim.Optimizer) -> Linear | None:
        """The method of an optimizer; None if its steps are not linear in the gradient, or if it
        has weight decay, which changes the function."""
        group = optimizer.param_groups[0]
        if group.get("weight_decay"):
            return None
        if type(optimizer) is Momentum:
            return cls(group["momentum"], 1 - group["momentum"])
        if type(optimizer) is torch.optim.SGD:
            beta = group["momentum"]
            # torch's SGD ignores dampening without momentum
            scale = 1 - group["dampening"] if beta else 1.0
            return cls(beta, scale, group["nesterov"])
        return None

    def limit(self, curvature: float) -> float:
        """The learning rate below which errors along this curvature shrink; 0 for negative
        curvature, infinity for curvature 0."""
        if curvature <= 0:
            return 0.0 if curvature else math.inf
        factor = 1 / (1 + 2 * self.momentum) if self.nesterov else 1 / self.scale
        return 2 * (1 + self.momentum) * factor / curvature

    @property
    def formula(self) -> str:
        """The formula of ``limit`` for the largest curvature, as text."""
        if not self.momentum:
            return "2/λmax"
        if self.nesterov:
            return "2(1+β)/((1+2β)λmax)"
        if self.scale == 1:
            return "2(1+β)/λmax"
        return "2(1+β)/((1-β)λmax)" if self.scale == 1 - self.momentum else "2(1+β)/((1-d)λmax)"

    def rate(self, lr: float, curvature: float) -> float:
        """The factor per iteration by which errors along this curvature change asymptotically: the
        larger root's absolute value. Above 1 they grow."""
        beta, step = self.momentum, lr * self.scale * curvature
        t, d = (1 + beta) * (1 - step), beta * (1 - step)
        if not self.nesterov:
            t, d = 1 + beta - step, beta
        inside = t * t - 4 * d
        return math.sqrt(d) if inside < 0 else (abs(t) + math.sqrt(inside)) / 2


def hessian(function: Function, x: float, y: float) -> Tensor:
    """The Hessian at a point, (2, 2) float64."""
    point = torch.tensor([x, y], dtype=torch.float64)
    made: Tensor = torch.autograd.functional.hessian(lambda xy: function(xy[0], xy[1]), point)
    return made


def curvatures(function: Function, x: float, y: float) -> tuple[float, float]:
    """The Hessian's eigenvalues at a point, the smaller first; nan if it is not finite."""
    matrix = hessian(function, x, y)
    if not matrix.isfinite().all():
        return math.nan, math.nan
    low, high = torch.linalg.eigvalsh(matrix).tolist()
    return low, high


def is_quadratic(function: Function, x: float, y: float) -> bool:
    """Whether the Hessian is the same at a point and at two others."""
    here, *others = (hessian(function, x + dx, y + dy) for dx, dy in ((0, 0), (0.7, -0.3), (-2, 3)))
    return all(torch.allclose(here, other, rtol=1e-9, atol=1e-9) for other in others)
