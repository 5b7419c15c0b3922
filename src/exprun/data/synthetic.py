"""Synthetic data sets in the plane.

All draw from the data stream of ``data.split_seed``, so that a data set is the same for all seeds
of a sweep. The shapes are those of scikit-learn's ``make_moons`` and ``make_circles``.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from exprun.data.frame import Frame
from exprun.data.table import Table
from exprun.data.task import Task


def moons(rows: int, noise: float, generator: torch.Generator) -> Table:
    """Two interleaving half circles of radius 1, with normal noise of std ``noise``."""
    outer, inner = rows // 2, rows - rows // 2
    a, b = np.linspace(0, math.pi, outer), np.linspace(0, math.pi, inner)
    upper = np.column_stack([np.cos(a), np.sin(a)])
    lower = np.column_stack([1 - np.cos(b), 0.5 - np.sin(b)])
    return _plane("moons", [upper, lower], noise, generator)


def circles(rows: int, noise: float, factor: float, generator: torch.Generator) -> Table:
    """A circle of radius 1 around one of radius ``factor``, with normal noise of std ``noise``."""
    outer, inner = rows // 2, rows - rows // 2
    a = np.linspace(0, 2 * math.pi, outer, endpoint=False)
    b = np.linspace(0, 2 * math.pi, inner, endpoint=False)
    large = np.column_stack([np.cos(a), np.sin(a)])
    small = factor * np.column_stack([np.cos(b), np.sin(b)])
    return _plane("circles", [large, small], noise, generator)


def spirals(rows: int, noise: float, arms: int, turns: float, generator: torch.Generator) -> Table:
    """``arms`` Archimedean spirals from the centre to radius 1, ``turns`` rounds each, a class per
    arm, with normal noise of std ``noise`` times 0.1."""
    shares = [rows // arms + (arm < rows % arms) for arm in range(arms)]
    points = []
    for arm, share in enumerate(shares):
        radius = np.linspace(0.05, 1, share)
        angle = 2 * math.pi * (turns * radius + arm / arms)
        points.append(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]))
    return _plane("spirals", points, 0.1 * noise, generator)


def _plane(
    name: str, points: list[NDArray[np.float64]], noise: float, generator: torch.Generator
) -> Table:
    """The table with one class per set of points and added noise."""
    x = np.concatenate(points)
    jitter = torch.empty(x.shape, dtype=torch.float64).normal_(generator=generator).numpy()
    y = np.repeat(np.arange(len(points)), [len(p) for p in points])
    task = Task(("class",), tuple(str(k) for k in range(len(points))))
    return Table(name, Frame(("x", "y"), x + noise * jitter), y, task)
