"""Split rows into training, validation and test rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from exprun.common.errors import UsageError
from exprun.data.frame import Frame, Rows
from exprun.data.rare import ERROR, KEEP_IN_TRAIN
from exprun.data.table import Table

RANDOM, LAST, TIME = "random", "last", "time"
"""The values of ``data.split``: methods of splitting."""


@dataclass(frozen=True)
class Split:
    """Row numbers of the three parts, each in ascending order."""

    train: Rows
    val: Rows
    test: Rows


def split_rows(
    table: Table,
    val_fraction: float,
    test_fraction: float,
    generator: torch.Generator,
    method: str = RANDOM,
    rare: str = ERROR,
) -> Split:
    """Split the rows at random, stratified by class, or in order, first training, then validation,
    then test rows: with ``method`` LAST as they stand, with TIME by the table's times, of which
    equal ones stay in one part.

    The fractions are of all rows; the table's official test rows, if any, are the test part, and
    ``val_fraction`` is then of the other rows. With ``rare="keep_in_train"`` all rows of a class
    with fewer rows than parts are training rows. Raises UsageError if a class or the whole table
    has too few rows for every part to get one, or if a class has no training row.
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
    needed = rows_needed(table, val_fraction, test_fraction)
    if rare == KEEP_IN_TRAIN and (method != RANDOM or table.groups is not None):
        given = f"data.split={method}" if method != RANDOM else "data.group"
        raise UsageError(
            f"data.rare=keep_in_train: {given} says which rows are trained on; expected "
            "data.rare=error, drop or merge"
        )
    if table.time is not None and method != TIME:
        raise UsageError(f"data.time is for data.split=time; with data.split={method} leave it out")
    if method != RANDOM:
        times = None
        if method == TIME:
            time = time_of(table)
            times = time[time.names[0]][:rows]
        return _split_in_order(table, method, times, fractions, official)
    if table.groups is not None:
        return _split_groups(table, groups, fractions, official, generator)
    keep = rare == KEEP_IN_TRAIN and any(len(group) >= needed for group in groups)
    for k, group in enumerate(groups):
        if len(group) < needed and not (keep and len(group)):
            of = f"class {table.task.classes[k]!r} has" if table.task.classes else "there are"
            besides = " besides the official test rows" if table.test_rows else ""
            raise UsageError(
                f"{table.name}: {of} only {len(group)} row(s){besides}; a split into {needed} "
                f"parts needs at least {needed}{_advice(table)}"
            )
    kept = [group for group in groups if len(group) < needed]
    groups = [group for group in groups if len(group) >= needed]
    sizes = np.array([len(group) for group in groups])
    test_quota = _quotas(sizes, fractions[1], most=sizes - (needed - 1))
    val_quota = _quotas(sizes, fractions[0], most=sizes - test_quota - 1)
    parts: list[list[Rows]] = [kept, [], []]
    for group, val, test in zip(groups, val_quota, test_quota, strict=True):
        shuffled = group[torch.randperm(len(group), generator=generator).numpy()]
        for part, chosen in zip(
            parts, np.split(shuffled, [len(group) - val - test, len(group) - test]), strict=True
        ):
            part.append(chosen)
    train, val_rows, test_rows = (np.sort(np.concatenate(part)) for part in parts)
    return Split(train, val_rows, np.concatenate([test_rows, official]))


def rows_needed(table: Table, val_fraction: float, test_fraction: float) -> int:
    """Minimum rows of a class, without official test rows, for every part to get one."""
    return 1 + (val_fraction > 0) + (test_fraction > 0 and not table.test_rows)


def _advice(table: Table) -> str:
    """Advice for a class with too few rows, if the data come from the user's file."""
    if not table.task.classes or table.reading is None:
        return table.task.amount_hint
    return f"; expected data.rare=drop, keep_in_train or merge{table.task.amount_hint}"


def time_of(table: Table) -> Frame:
    """The column to split by: that of ``data.time``, else the only one of dates. Raises UsageError
    if there is none, or a gap in it."""
    if table.time is not None:
        return table.time
    dates = sorted(table.features.datetimes)
    if len(dates) != 1:
        found = f"there are {' and '.join(dates)}" if dates else "there is no column of dates"
        raise UsageError(f"data.split=time: {table.name}: {found}; expected data.time=<column>")
    if np.isnan(table.features[dates[0]]).any():
        raise UsageError(
            f"data.split=time: {table.name}: column {dates[0]!r} has gaps; expected a time in "
            "every row, or another data.time"
        )
    return table.features.only(dates)


def _split_in_order(
    table: Table,
    method: str,
    times: NDArray[np.float64] | None,
    fractions: list[float],
    official: Rows,
) -> Split:
    """Split the rows, sorted by ``times`` (rows,) if there are some, into three runs."""
    rows = len(table) - table.test_rows
    val, test = (round(rows * fraction) for fraction in fractions)
    if table.groups is not None:
        raise UsageError(
            f"data.split={method} takes the rows in order and keeps no groups together; expected "
            "data.split=random, or data.group=null"
        )
    order, ends = np.arange(rows), [rows - val - test, rows - test]
    if times is not None:
        order = np.argsort(times, kind="stable")
        ascending, sizes = times[order], (val + test, test)
        first_of_equal = np.searchsorted(ascending, ascending[np.minimum(ends, rows - 1)])
        ends = [int(k) if n else rows for k, n in zip(first_of_equal, sizes, strict=True)]
        val, test = ends[1] - ends[0], rows - ends[1]
    needed = 1 + sum(fraction > 0 for fraction in fractions)
    distinct = f" of {len(np.unique(times))} different times" if times is not None else ""
    if val + test >= rows or any(f and not n for f, n in zip(fractions, (val, test), strict=True)):
        raise UsageError(
            f"{table.name}: there are only {rows} row(s){distinct}; a split into {needed} parts of "
            "these fractions needs more"
        )
    train, val_rows, test_rows = map(np.sort, np.split(order, ends))
    trained = set(table.y[train].tolist()) if table.task.classes else set()
    for k in sorted(set(range(len(table.task.classes))) - trained):
        raise UsageError(
            f"{table.name}: class {table.task.classes[k]!r} has no row to train on, for "
            f"data.split={method} takes the first rows for that; expected data.split=random"
            f"{table.task.amount_hint}"
        )
    return Split(train, val_rows, np.concatenate([test_rows, official]))


def _split_groups(
    table: Table,
    strata: list[Rows],
    fractions: list[float],
    official: Rows,
    generator: torch.Generator,
) -> Split:
    """Split so that no group is in two parts: groups, largest first, are assigned to the part that
    is then closest to its share of every class's rows (greedy, as scikit-learn's
    StratifiedGroupKFold).

    Raises UsageError if a part gets no group, or a class no training row.
    """
    rows = len(table) - table.test_rows
    assert table.groups is not None
    _, group = np.unique(table.groups[:rows], return_inverse=True)
    counts = np.zeros((group.max() + 1, len(strata)))
    for k, stratum in enumerate(strata):
        counts[:, k] = np.bincount(group[stratum], minlength=len(counts))
    shares = np.array([1 - sum(fractions), *fractions])
    wanted = shares[:, None] * counts.sum(axis=0)
    weight = 1 / np.maximum(counts.sum(axis=0), 1)
    got = np.zeros_like(wanted)
    part = np.empty(len(counts), dtype=np.int64)
    shuffled = torch.randperm(len(counts), generator=generator).numpy()
    for g in shuffled[np.argsort(-counts.sum(axis=1)[shuffled], kind="stable")]:
        before = got - wanted
        worse = ((2 * before + counts[g]) * counts[g] * weight).sum(axis=1)
        part[g] = np.argmin(np.where(shares > 0, worse, np.inf))
        got[part[g]] += counts[g]
    needed = int((shares > 0).sum())
    if len(set(part.tolist())) < needed:
        raise UsageError(
            f"{table.name}: there are only {len(counts)} group(s) of such sizes; a split into "
            f"{needed} parts needs more"
        )
    for k in np.flatnonzero(got[0] == 0).tolist():
        of = f"class {table.task.classes[k]!r}" if table.task.classes else "nothing"
        raise UsageError(
            f"{table.name}: {of} has no row to train on, for its groups are in other parts; "
            f"expected another data.split_seed, or more groups{table.task.amount_hint}"
        )
    train, val, test = (np.flatnonzero(part[group] == p) for p in range(3))
    return Split(train, val, np.concatenate([test, official]))


def _quotas(sizes: Rows, fraction: float, most: Rows) -> Rows:
    """Number of rows of each group in a part: in proportion, rounded by largest remainders to match
    the total, at least one per group and at most ``most``."""
    if not fraction:
        return np.zeros_like(sizes)
    exact = sizes * fraction
    quotas = np.floor(exact).astype(np.int64)
    missing = round(sizes.sum() * fraction) - quotas.sum()
    quotas[np.argsort(quotas - exact, kind="stable")[:missing]] += 1
    clipped: Rows = np.clip(quotas, 1, most)
    return clipped
