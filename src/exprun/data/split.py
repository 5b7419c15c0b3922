"""Training, validation and test rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from exprun.data.frame import Rows
from exprun.data.table import Table
from exprun.errors import UsageError


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts, each in ascending order."""

    train: Rows
    val: Rows
    test: Rows


def split(
    table: Table, val_fraction: float, test_fraction: float, generator: torch.Generator
) -> Split:
    """Split the rows at random, each class in proportion.

    The fractions are of all rows; the table's official test rows, if any, are the test part and
    ``val_fraction`` is then of the others. Raises UsageError if a class or the whole has too few
    rows for every part to get one.
    """
    rows = len(table) - table.test_rows
    official = np.arange(rows, len(table))
    fractions = [val_fraction, 0.0 if table.test_rows else test_fraction]
    if sum(fractions) >= 1:
        raise UsageError(
            f"data.val_fraction={val_fraction:g} and data.test_fraction={test_fraction:g} leave "
            "nothing to train on; expected a sum below 1"
        )
    if table.task.classes:
        groups = [np.flatnonzero(table.y[:rows] == k) for k in range(len(table.task.classes))]
    else:
        groups = [np.arange(rows)]
    needed = 1 + sum(fraction > 0 for fraction in fractions)
    for k, group in enumerate(groups):
        if len(group) < needed:
            of = f"class {table.task.classes[k]!r} has" if table.task.classes else "there are"
            besides = " besides the official test rows" if table.test_rows else ""
            raise UsageError(
                f"{table.name}: {of} only {len(group)} row(s){besides}; a split into {needed} "
                f"parts needs at least {needed}"
            )
    sizes = np.array([len(group) for group in groups])
    test_quota = _quotas(sizes, fractions[1], most=sizes - (needed - 1))
    val_quota = _quotas(sizes, fractions[0], most=sizes - test_quota - 1)
    parts: list[list[Rows]] = [[], [], []]
    for group, val, test in zip(groups, val_quota, test_quota, strict=True):
        shuffled = group[torch.randperm(len(group), generator=generator).numpy()]
        for part, chosen in zip(
            parts, np.split(shuffled, [len(group) - val - test, len(group) - test]), strict=True
        ):
            part.append(chosen)
    train, val_rows, test_rows = (np.sort(np.concatenate(part)) for part in parts)
    return Split(train, val_rows, np.concatenate([test_rows, official]))


def _quotas(sizes: Rows, fraction: float, most: Rows) -> Rows:
    """How many rows of each group a part gets: in proportion, rounded so that the whole fits
    (largest remainders), at least one of each group and never more than ``most``."""
    if not fraction:
        return np.zeros_like(sizes)
    exact = sizes * fraction
    quotas = np.floor(exact).astype(np.int64)
    missing = round(sizes.sum() * fraction) - quotas.sum()
    quotas[np.argsort(quotas - exact, kind="stable")[:missing]] += 1
    clipped: Rows = np.clip(quotas, 1, most)
    return clipped
