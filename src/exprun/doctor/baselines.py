"""Compares the trained model with models that need no training, to separate errors of the training
from limits of the data.

A high loss alone does not show whether a training failed or its targets are noisy. Whether a linear
model or the nearest neighbours predict the same rows better does (Cover & Hart 1967: the error of
the nearest neighbour is at most twice the Bayes error), and a permutation test shows whether the
predictions depend on the targets at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exprun.doctor.findings import Comparison

Array = NDArray[np.float64]

MOST_TRAIN, MOST_VAL = 1000, 1000
"""Most rows of each part that are compared, which limits the time to half a second."""

FEWEST, MOST_NUMBERS = 100, 2**22
"""Fewer rows are compared if they have more inputs in all, 32 MiB as float64, but at least 100."""

NEIGHBORS = (1, 5, 15)
RIDGE = (1e-3, 1e-1, 1e1)
"""Ridge penalties per row, of which leave-one-out selects one."""


@dataclass(frozen=True)
class Sample:
    """Rows of both parts: inputs (n, d), targets (n, K), one-hot for classes, and the network's
    predictions in the same form as the targets."""

    x: Array
    y: Array
    predicted: Array
    x_val: Array
    y_val: Array
    predicted_val: Array
    classes: bool
    class_weight: Array | None = None
    """Weight of a row of each class in the training loss, applied to the errors here too."""


def compare(s: Sample) -> Comparison | None:
    """Compare the network with the best of the baselines; None for fewer than 20 training rows.

    The baselines predict each training row without using it (leave-one-out), while the network was
    trained on it: a network that is worse even so has learned less than it could.
    """
    if len(s.x) < 20:
        return None
    model, model_val = _errors(s, s.predicted, s.y), _errors(s, s.predicted_val, s.y_val)
    tried = baselines(s)
    found = [(_errors(s, a, s.y), _errors(s, b, s.y_val), name) for name, a, b in tried]
    own, own_val, name = min(found, key=lambda f: f[0].mean())
    center = s.y.mean(0) if s.classes else np.median(s.y, axis=0)
    trivial = _errors(s, np.broadcast_to(center, s.y.shape), s.y).mean()
    model_all, own_all = np.concatenate([model, model_val]), np.concatenate([own, own_val])
    return Comparison(
        name=name,
        trivial=float(trivial),
        model=float(model_all.mean()),
        baseline=float(own_all.mean()),
        z=paired_z(model_all - own_all),
        model_val=float(model_val.mean()) if len(model_val) else math.nan,
        baseline_val=float(own_val.mean()) if len(own_val) else math.nan,
        z_val=paired_z(model_val - own_val),
        association=association(s.predicted_val, s.y_val, classes=s.classes),
        attainable=max(association(val, s.y_val, classes=s.classes) for _, _, val in tried),
        rows=len(s.y_val),
    )


def _errors(s: Sample, predicted: Array, y: Array) -> Array:
    """The error of each row (n,): 1 for the wrong class, times its weight; or the absolute error,
    averaged over the targets."""
    if not s.classes:
        return np.asarray(np.abs(predicted - y).mean(1))
    wrong: Array = (predicted.argmax(1) != y.argmax(1)).astype(np.float64)
    return wrong if s.class_weight is None else wrong * s.class_weight[y.argmax(1)]


def paired_z(differences: Array) -> float:
    """Mean over its standard error; 0 if all are 0 or there are fewer than 2, ±∞ if all are equal
    otherwise."""
    if len(differences) < 2:
        return 0.0
    error = differences.std(ddof=1) / math.sqrt(len(differences))
    mean = float(differences.mean())
    return mean / error if error > 0 else math.copysign(math.inf, mean) if mean else 0.0


def association(predicted: Array, y: Array, *, classes: bool) -> float:
    """The number of standard deviations by which the predictions agree better with the targets than
    randomly permuted ones: by the number of right classes (the variance of Cohen's kappa under
    independence, Fleiss et al. 1969, exact for fixed margins), or by Spearman's rank correlation r,
    as r √(n-1), averaged over the targets. 0 if either is constant."""
    n = len(y)
    if n < 3:
        return 0.0
    if not classes:
        pairs = zip(predicted.T, y.T, strict=True)
        return float(np.mean([_correlation(_ranks(p), _ranks(t)) for p, t in pairs])) * math.sqrt(
            n - 1
        )
    chosen, true = predicted.argmax(1), y.argmax(1)
    a, b = (np.bincount(ids, minlength=y.shape[1]).astype(float) for ids in (chosen, true))
    both = float((a * b).sum())
    variance = (both**2 - n * (a * b * (a + b)).sum() + n**2 * both) / (n**2 * (n - 1))
    right = float((chosen == true).sum())
    return (right - both / n) / math.sqrt(variance) if variance > 1e-12 else 0.0


def _ranks(values: Array) -> Array:
    """Ranks (n,) of values (n,); ties have their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return np.asarray((last - (counts - 1) / 2)[inverse])


def _correlation(a: Array, b: Array) -> float:
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def baselines(s: Sample) -> list[tuple[str, Array, Array]]:
    """For each baseline its name, leave-one-out predictions for the training rows, and predictions
    for the validation rows."""
    center, scale = s.x.mean(0), s.x.std(0)
    scale[scale <= 1e-9 * np.abs(center)] = 1
    x, x_val = (s.x - center) / scale, (s.x_val - center) / scale
    made = [
        (f"{k} nearest neighbours" if k > 1 else "the nearest neighbour", *found)
        for k, found in zip(NEIGHBORS, neighbors(x, s.y, x_val), strict=True)
    ]
    return [*made, ("a linear model", *ridge(x, s.y, x_val))]


def neighbors(x: Array, y: Array, x_val: Array) -> list[tuple[Array, Array]]:
    """For each of NEIGHBORS, the mean targets of the nearest rows of ``x``: predictions for the
    rows of ``x``, each without itself, and for ``x_val``."""
    k = min(max(NEIGHBORS), len(x) - 1)

    def nearest(rows: Array, *, itself: bool) -> NDArray[np.intp]:
        distance = (rows**2).sum(1)[:, None] - 2 * rows @ x.T + (x**2).sum(1)
        if itself:
            np.fill_diagonal(distance, np.inf)
        few = np.argpartition(distance, k - 1, axis=1)[:, :k]
        order = np.take_along_axis(distance, few, 1).argsort(1)
        return np.take_along_axis(few, order, 1)

    own, other = nearest(x, itself=True), nearest(x_val, itself=False)
    return [(y[own[:, :n]].mean(1), y[other[:, :n]].mean(1)) for n in NEIGHBORS]


def ridge(x: Array, y: Array, x_val: Array) -> tuple[Array, Array]:
    """Predictions of ridge regression, on one-hot targets for classes: leave-one-out in closed form
    for ``x``, which also selects the penalty (Allen 1974, PRESS), and for ``x_val``."""
    n = len(x)
    mean = y.mean(0)
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    projected = u.T @ (y - mean)
    best: tuple[float, Array, Array] | None = None
    for penalty in RIDGE:
        shrunk = s**2 / (s**2 + penalty * n)
        fitted = mean + u @ (shrunk[:, None] * projected)
        leverage = np.minimum((u**2) @ shrunk + 1 / n, 1 - 1e-6)[:, None]
        left_out = (fitted - leverage * y) / (1 - leverage)
        score = float(((left_out - y) ** 2).mean())
        if best is None or score < best[0]:
            factors = (s / (s**2 + penalty * n))[:, None]
            best = score, left_out, mean + (x_val @ vt.T) @ (factors * projected)
    assert best is not None
    return best[1:]
