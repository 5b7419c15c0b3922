"""Classify a descent as stable, oscillating or diverging: by theory if it holds for the whole
function, else from the path."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from exprun.problems.curvature import Function, Linear, hessian, is_quadratic

STABLE, OSCILLATING, DIVERGING = "stable", "oscillating", "diverging"


@dataclass(frozen=True)
class Verdict:
    """A classification and the reason for it."""

    word: str
    why: str

    def __str__(self) -> str:
        return f"{self.word}: {self.why}"


def by_theory(
    function: Function, method: Linear, lr: float, start: Sequence[float]
) -> Verdict | None:
    """The verdict for a quadratic function with a constant learning rate; None for other functions.

    Only curvatures in whose direction the gradient at the start is not 0 count: along others the
    point never moves.
    """
    x, y = start
    if not is_quadratic(function, x, y):
        return None
    values, vectors = torch.linalg.eigh(hessian(function, x, y))
    point = torch.tensor([x, y], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(function(point[0], point[1]), point)
    parts = (vectors.T @ gradient).abs()
    moved = [
        c for c, g in zip(values.tolist(), parts.tolist(), strict=True) if g > 1e-12 * parts.max()
    ]
    if not moved:
        return Verdict(STABLE, "it starts where the gradient is 0")
    if min(moved) < 0:
        return Verdict(DIVERGING, f"the curvature {min(moved):.4g} is negative, f has no minimum")
    rates = {curvature: method.rate(lr, curvature) for curvature in moved}
    slowest = max(rates, key=lambda curvature: rates[curvature])
    rate, limit = rates[slowest], method.limit(max(moved))
    if math.isclose(rate, 1, abs_tol=1e-9):
        return Verdict(OSCILLATING, f"lr {lr:.4g} is the stability limit, errors stay as they are")
    if rate > 1:
        why = f"lr {lr:.4g} is above the stability limit {limit:.4g}"
        return Verdict(DIVERGING, f"{why}, errors grow by {rate:.4g} an iteration")
    return Verdict(STABLE, f"an iteration multiplies errors by {rate:.4g} in the long run")


MAX_REVERSED = 0.3
"""Share of reversed steps from which a path counts as oscillating."""

MAX_RISE = 0.01
"""Share of its total decrease by which f may rise again."""

MAX_STEP_RATIO = 0.9
"""A path does not converge if its steps do not shrink below this share from the third to the last
quarter."""


def by_path(points: NDArray[np.float64], f: NDArray[np.float64], *, minimum: bool) -> Verdict:
    """The verdict from the points (n, 2) and the values (n,) of a descent; ``minimum`` says whether
    the function has a minimum."""
    if not (np.isfinite(points).all() and np.isfinite(f).all()):
        return Verdict(DIVERGING, "f or its gradient is no longer finite")
    steps = np.diff(points, axis=0)
    sizes = np.linalg.norm(steps, axis=1)
    quarter = max(len(steps) // 4, 1)
    before, last = sizes[-2 * quarter : -quarter], sizes[-quarter:]
    restless = len(before) > 0 and last.max() > MAX_STEP_RATIO * before.max() > 0
    if f[-1] > f[0] and restless:
        return Verdict(DIVERGING, f"f has grown from {f[0]:.4g} to {f[-1]:.4g}")
    latest = steps[-2 * quarter :]
    back = (latest[1:] * latest[:-1]).sum(axis=1) < 0
    if restless and len(back) and back.mean() > MAX_REVERSED:
        return Verdict(OSCILLATING, f"steps of up to {last.max():.3g} back and forth do not shrink")
    lowest = f.min()
    if restless and f[-1] - lowest > MAX_RISE * (f[0] - lowest):
        return Verdict(
            OSCILLATING, f"steps grow, and f has gone up from {lowest:.3g} to {f[-1]:.3g}"
        )
    if restless and not minimum:
        return Verdict(DIVERGING, "f falls without end, there is no minimum")
    return Verdict(STABLE, "f goes down" if f[-1] < f[0] else "the path comes to rest")
