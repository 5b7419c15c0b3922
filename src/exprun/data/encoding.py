"""Numbers for the levels of a categorical column: target and frequency encoding.

Target encoding (Micci-Barreca 2001, "A preprocessing scheme for high-cardinality categorical
attributes in classification and prediction problems") is scikit-learn's ``TargetEncoder`` with
automatic smoothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from exprun.common.elementary import Numbers
from exprun.common.errors import UsageError
from exprun.data.scaling import Linear
from exprun.data.task import Task

AUTO, ONE_HOT, TARGET, FREQUENCY = "auto", "one_hot", "target", "frequency"
"""The values of ``data.encoding``."""

MOST_ONE_HOT = 100
"""Maximum number of levels of a column that is one-hot with ``data.encoding=auto``."""

FOLDS = 5
"""Folds of the cross-fitting; scikit-learn's default."""


def encoding_of(method: str, levels: int) -> str:
    """The encoding of a column with so many levels by ``data.encoding=method``."""
    if method != AUTO:
        return method
    return ONE_HOT if levels <= MOST_ONE_HOT else TARGET


@dataclass(frozen=True)
class Encoding:
    """The numbers of a column's levels, ``values`` (levels, inputs), and of an unseen word,
    ``unseen`` (inputs,). Each input is standardised by its ``scaling`` and has a name of ``of``,
    like ``mean of price``. ``method`` is ``target`` or ``frequency``."""

    method: str
    of: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    unseen: tuple[float, ...]
    scaling: tuple[Linear, ...]

    @cached_property
    def inputs(self) -> NDArray[np.float32]:
        """The network's inputs (levels + 1, inputs) for each level, and in the last row for an
        unseen word."""
        return self.scaled(np.array([*self.values, self.unseen]))

    def scaled(self, values: Numbers) -> NDArray[np.float32]:
        """The network's inputs (rows, inputs) for such values."""
        center = np.array([scaling.center for scaling in self.scaling])
        scale = np.array([scaling.scale for scaling in self.scaling])
        scaled: NDArray[np.float32] = ((values - center) / scale).astype(np.float32)
        return scaled


@dataclass(frozen=True)
class Supervision:
    """What target encoding learns from: ``y`` (rows, numbers) float64 of the training rows, whose
    means per level are the encoding and are called ``of``, and the number of each row's fold in the
    cross-fitting, ``folds`` (rows,)."""

    y: Numbers
    of: tuple[str, ...]
    folds: NDArray[np.int64]

    @classmethod
    def draw(
        cls,
        task: Task,
        y: NDArray[np.int64] | Numbers,
        groups: NDArray[np.int64] | None,
        generator: torch.Generator,
    ) -> Supervision:
        """For the training rows' targets, class ids (rows,) or numbers (rows, targets): one number
        for two classes, one for each of more classes, and one for each target of a regression.

        Folds are stratified by class; rows with equal numbers in ``groups`` (rows,) share one.
        """
        if not task.classes:
            numbers, of = y.astype(np.float64), [f"mean of {name}" for name in task.targets]
        else:
            scored = range(len(task.classes)) if len(task.classes) > 2 else [1]
            numbers = np.stack([(y == k).astype(np.float64) for k in scored], axis=1)
            of = [f"share of {task.classes[k]}" for k in scored]
        if groups is None:
            strata = y.astype(np.int64) if task.classes else None
            return cls(numbers, tuple(of), _dealt(len(y), strata, generator))
        _, group = np.unique(groups, return_inverse=True)
        return cls(numbers, tuple(of), _dealt(group.max() + 1, None, generator)[group])


def _dealt(
    count: int, strata: NDArray[np.int64] | None, generator: torch.Generator
) -> NDArray[np.int64]:
    """Fold numbers (count,), dealt out one by one to shuffled rows, stratum after stratum."""
    order = torch.randperm(count, generator=generator).numpy()
    if strata is not None:
        order = order[np.argsort(strata[order], kind="stable")]
    folds = np.empty(count, dtype=np.int64)
    folds[order] = np.arange(count) % FOLDS
    return folds


def target_means(places: NDArray[np.int64], levels: int, y: Numbers) -> tuple[Numbers, Numbers]:
    """The mean of y (rows, numbers) for each of the ``levels``, shrunk towards the mean of all
    rows, (levels, numbers), and the mean of all rows (numbers,).

    ``places`` (rows,) are the rows' levels. The weight of a level's own mean is n·σ² / (n·σ² + s²)
    with its n rows, their variance s² and that of all rows σ² (empirical Bayes, equations 5 and 6
    of the paper); a level without rows has the mean of all rows.
    """
    counts = np.bincount(places, minlength=levels)
    overall, variance = y.mean(axis=0), y.var(axis=0)
    encoded = np.empty((levels, y.shape[1]))
    for k, column in enumerate(y.T):
        sums = np.bincount(places, column, minlength=levels)
        means = sums / np.maximum(counts, 1)
        squares = np.bincount(places, (column - means[places]) ** 2, minlength=levels)
        own = variance[k] * counts
        total = own + squares / np.maximum(counts, 1)
        weight = own / np.where(total > 0, total, 1.0)
        encoded[:, k] = weight * means + (1 - weight) * overall[k]
    return encoded, overall


def cross_fitted(places: NDArray[np.int64], levels: int, learned: Supervision) -> Numbers:
    """The encoding of the training rows themselves, (rows, numbers): each is encoded by the means
    of the other folds, so that its own target has no part in it.

    Raises UsageError if all rows are in one fold.
    """
    encoded = np.empty_like(learned.y)
    for fold in range(FOLDS):
        held = learned.folds == fold
        if not held.any():
            continue
        if held.all():
            raise UsageError(
                "data.encoding=target needs two training rows, or groups, at least; expected "
                "data.encoding=one_hot or frequency"
            )
        means, _ = target_means(places[~held], levels, learned.y[~held])
        encoded[held] = means[places[held]]
    return encoded
