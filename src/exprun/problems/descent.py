"""Minimise a function of two variables with a training's optimizer and scheduler."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exprun.common.constants import COMPLETED, DIVERGED, INTERRUPTED
from exprun.problems.curvature import Function, Linear, curvatures
from exprun.problems.problem import Problem
from exprun.problems.stability import Verdict, by_path, by_theory
from exprun.techniques import torch_optim
from exprun.techniques.schedules import Scheduler
from exprun.training.callbacks import Outcome


class Point(nn.Module):
    """A point of the plane as a module's only parameter, so that optimizers can be built for it."""

    def __init__(self, start: Sequence[float]) -> None:
        """``start`` is (x, y); float64, because errors shrink far below float32's resolution."""
        super().__init__()
        self.xy = nn.Parameter(torch.tensor(start, dtype=torch.float64))


@dataclass
class Descent(Problem):
    """``iterations`` optimizer steps on ``function``, starting at ``point``.

    ``path`` holds the rows of ``trajectory.csv``, the start first: point, value, the gradient's
    norm, and the learning rate of the step that starts there (in the last row, of the step that
    ended there). ``minima`` are the global minima; empty if there is none.
    """

    table = "trajectory.csv"

    title: str
    function: Function
    minima: Sequence[tuple[float, float]]
    point: Point
    optimizer: torch.optim.Optimizer
    scheduler: Scheduler
    iterations: int
    animation: bool = False
    path: list[dict[str, float]] = field(default_factory=list)

    def solve(self, interrupted: Callable[[], bool] = lambda: False) -> Outcome:
        """Run the iterations until f or its gradient is not finite; an iteration counts as an
        epoch."""
        for iteration in range(self.iterations + 1):
            f = self.evaluate().item()
            if iteration:
                self.scheduler.after_epoch(f)
            if iteration < self.iterations:
                self.scheduler.before_iteration(iteration, 1)
            self._note(iteration, f)
            broken = [k for k in ("f", "grad_norm") if not math.isfinite(self.path[-1][k])]
            if broken:
                what = {"f": "f", "grad_norm": "the gradient"}[broken[0]]
                reason = f"diverged in iteration {iteration}: {what} is not finite"
                return Outcome(DIVERGED, reason)
            if interrupted():
                return Outcome(INTERRUPTED, f"interrupted in iteration {iteration + 1}")
            if iteration < self.iterations:
                torch_optim.step(self.optimizer, self.evaluate)
        return Outcome(COMPLETED, f"all {self.iterations} iterations done; {self.verdict}")

    def evaluate(self) -> Tensor:
        """f at the current point, a scalar; sets the point's ``grad``."""
        self.optimizer.zero_grad()
        f = self.function(*self.point.xy)
        f.backward()
        return f

    def _note(self, iteration: int, f: float) -> None:
        x, y = self.point.xy.tolist()
        norm = torch.linalg.vector_norm(self.point.xy.grad).item()
        lr = self.optimizer.param_groups[0]["lr"]
        self.path.append(
            {"iteration": iteration, "x": x, "y": y, "f": f, "grad_norm": norm, "lr": lr}
        )

    def rows(self) -> list[dict[str, float]]:
        return self.path

    @property
    def points(self) -> NDArray[np.float64]:
        """The path, (rows, 2)."""
        return np.array([[row["x"], row["y"]] for row in self.path])

    @cached_property
    def minimum(self) -> tuple[float, float] | None:
        """The minimum nearest to the path's end; None if there is none."""
        x, y = self.points[-1]
        return min(self.minima, key=lambda m: math.hypot(m[0] - x, m[1] - y), default=None)

    @cached_property
    def curvature(self) -> tuple[float, float]:
        """The Hessian's eigenvalues at ``minimum``, or at the path's end if there is none."""
        return curvatures(self.function, *(self.minimum or self.points[-1]))

    @cached_property
    def method(self) -> Linear | None:
        """The optimizer as a linear method, if the theory of ``curvature`` covers it."""
        return Linear.of(self.optimizer)

    @property
    def stability_limit(self) -> float | None:
        """The learning rate below which the method converges at ``minimum``; None if the theory
        does not cover the optimizer or there is no minimum."""
        if self.method is None or self.minimum is None:
            return None
        return self.method.limit(self.curvature[1])

    @cached_property
    def verdict(self) -> Verdict:
        """Stable, oscillating or diverging; to be called after ``solve``."""
        rates = {row["lr"] for row in self.path}
        if self.method and len(rates) == 1:
            first = self.path[0]
            start = (first["x"], first["y"])
            said = by_theory(self.function, self.method, rates.pop(), start)
            if said:
                return said
        f = np.array([row["f"] for row in self.path])
        return by_path(self.points, f, minimum=bool(self.minima))

    def figures(self) -> dict[str, float]:
        last = self.path[-1]
        figures = {name: last[name] for name in ("f", "x", "y")}
        if self.minimum:
            x, y = self.minimum
            figures["distance_to_minimum"] = math.hypot(last["x"] - x, last["y"] - y)
        figures["grad_norm"] = last["grad_norm"]
        figures["curvature_min"], figures["curvature_max"] = self.curvature
        if self.stability_limit is not None:
            figures["stability_limit"] = self.stability_limit
        return figures

    def facts(self) -> dict[str, Any]:
        return {
            "epochs": len(self.path) - 1,
            "parameters": 2,
            "device": "cpu",
            "verdict": self.verdict.word,
        }
