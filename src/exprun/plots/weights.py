"""Plots of the size of the weights over the strength of a regularisation in a sweep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from exprun.common.figure_style import palette, save
from exprun.plots.figure import panels
from exprun.record.model import WEIGHTS
from exprun.sweeps.results import Results

NEAR_ZERO = 1e-3
"""Absolute value below which a weight counts as near zero."""


def strength(results: Results) -> str | None:
    """The key of a regularisation strength that the sweep varies; None if it varies none."""
    for key, levels in results.factors.items():
        if key.endswith(("strength", "weight_decay")) and len(levels) > 1:
            return key
    return None


def draw(results: Results, key: str, title: str, folder: Path) -> list[str]:
    """Write ``weights.png`` and ``.svg``: the 2-norm of all weight matrices together and the share
    of their entries near zero, over the strength ``key``. Points are jobs, lines are means, one
    line per combination of the other factors. Jobs without a model are left out. Returns the files'
    names."""
    lines: dict[str, dict[float, list[tuple[float, float]]]] = {}
    for name, value, weights in models(results, key):
        norm = float(np.linalg.norm(weights))
        near = float((np.abs(weights) < NEAR_ZERO).mean())
        lines.setdefault(name, {}).setdefault(value, []).append((norm, near))
    labels = ("‖W‖, all weight matrices", f"share of |w| < {NEAR_ZERO:g}")
    with panels(2, title) as (figure, found):
        for which, (axes, label) in enumerate(zip(found, labels, strict=True)):
            for (name, points), color in zip(lines.items(), palette(len(lines)), strict=True):
                values = sorted(points)
                means = [float(np.mean([p[which] for p in points[v]])) for v in values]
                axes.plot(values, means, color=color, lw=1.5, label=name or None)
                for value in values:
                    figures = [p[which] for p in points[value]]
                    axes.plot([value] * len(figures), figures, "o", ms=3.5, color=color)
            positive = [v for points in lines.values() for v in points if v > 0]
            if positive and max(positive) > 20 * min(positive):
                axes.set_xscale("symlog", linthresh=min(positive))
            axes.set(xlabel=key, ylabel=label)
        if any(lines):
            found[0].legend()
        return save(figure, folder, "weights")


def models(results: Results, key: str) -> Iterator[tuple[str, float, np.ndarray]]:
    """Yields, for each job with a model, the other factors' values, the strength and all entries of
    its weight matrices, flattened."""
    for job in results.jobs:
        file = job.folder / WEIGHTS
        if not (job.ended_well and file.is_file() and key in job.values):
            continue
        others = " ".join(f"{k}={v}" for k, v in job.values.items() if k != key)
        matrices = [w.ravel() for w in load_file(file).values() if w.ndim == 2]
        yield others, float(job.values[key]), np.concatenate(matrices)
