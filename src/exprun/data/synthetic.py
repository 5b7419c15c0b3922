"""Synthetic data sets in the plane.

All draw from the data stream of ``data.split_seed``, so that a data set is the same for all seeds
of a sweep. The shapes are those of scikit-learn's ``make_moons`` and ``make_circles``.
"""

from __future__ import annotations

import numpy as np
import torch

from exprun.common.elementary import Numbers, sine_and_cosine
from exprun.common.random_numbers import normal_double
from exprun.data.frame import Frame
from exprun.data.table import Table
from exprun.data.task import Task


def moons(rows: int, noise: float, generator: torch.Generator) -> Table:
    """Two interleaving half circles of radius 1, with normal noise of std ``noise``."""
    outer, inner = rows // 2, rows - rows // 2
    upper = _on_circle(np.linspace(0, 0.5, outer))
    lower = [1, 0.5] - _on_circle(np.linspace(0, 0.5, inner))
    return _plane("moons", [upper, lower], noise, generator)


def circles(rows: int, noise: float, factor: float, generator: torch.Generator) -> Table:
    """A circle of radius 1 around one of radius ``factor``, with normal noise of std ``noise``."""
    outer, inner = rows // 2, rows - rows // 2
    large = _on_circle(np.linspace(0, 1, outer, endpoint=False))
    small = factor * _on_circle(np.linspace(0, 1, inner, endpoint=False))
    return _plane("circles", [large, small], noise, generator)


def spirals(rows: int, noise: float, arms: int, turns: float, generator: torch.Generator) -> Table:
    """``arms`` Archimedean spirals from the centre to radius 1, ``turns`` rounds each, a class per
    arm, with normal noise of std ``noise`` times 0.1."""
    shares = [rows // arms + (arm < rows % arms) for arm in range(arms)]
    points = []
    for arm, share in enumerate(shares):
        radius = np.linspace(0.05, 1, share)
        points.append(radius[:, None] * _on_circle(turns * radius + arm / arms))
    return _plane("spirals", points, 0.1 * noise, generator)


def _on_circle(turns: Numbers) -> Numbers:
    """Points (n, 2) of the unit circle at ``turns`` (n,) counter-clockwise from (1, 0)."""
    sine, cosine = sine_and_cosine(turns)
    return np.column_stack([cosine, sine])


def _plane(name: str, points: list[Numbers], noise: float, generator: torch.Generator) -> Table:
    """The table with one class per set of points and added noise."""
    x = np.concatenate(points)
    jitter = normal_double(x.size, generator).reshape(x.shape)
    y = np.repeat(np.arange(len(points)), [len(p) for p in points])
    task = Task(("class",), tuple(str(k) for k in range(len(points))))
    return Table(name, Frame(("x", "y"), x + noise * jitter), y, task)
