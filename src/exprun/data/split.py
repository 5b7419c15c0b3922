"""Split rows into training, validation and test rows."""

from __future__ import annotations

from collections.abc import Sequence
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
    check_method(table, method, rare)
    if method != RANDOM:
        return _split_in_order(table, method, times_of(table, method), fractions, official)
    if table.groups is not None:
        return _split_groups(table, fractions, official, generator)
    needed = rows_needed(table, val_fraction, test_fraction)
    kept, groups = common_strata(table, np.arange(rows), needed, rare, f"{needed} parts")
    sizes = np.array([len(group) for group in groups])
    test_quota = quotas(sizes, fractions[1], most=sizes - (needed - 1))
    val_quota = quotas(sizes, fractions[0], most=sizes - test_quota - 1)
    parts: list[list[Rows]] = [kept, [], []]
    for group, val, test in zip(groups, val_quota, test_quota, strict=True):
        shuffled = group[torch.randperm(len(group), generator=generator).numpy()]
        for part, chosen in zip(
            parts, np.split(shuffled, [len(group) - val - test, len(group) - test]), strict=True
        ):
            part.append(chosen)
    train, val_rows, test_rows = (np.sort(np.concatenate(part)) for part in parts)
    return Split(train, val_rows, np.concatenate([test_rows, official]))


def check_method(table: Table, method: str, rare: str) -> None:
    """Raise UsageError if ``method`` does not go together with the table's time, or with
    ``rare="keep_in_train"``."""
    if rare == KEEP_IN_TRAIN and (method != RANDOM or table.groups is not None):
        given = f"data.split={method}" if method != RANDOM else "data.group"
        raise UsageError(
            f"data.rare=keep_in_train: {given} says which rows are trained on; expected "
            "data.rare=error, drop or merge"
        )
    if table.time is not None and method != TIME:
        raise UsageError(f"data.time is for data.split=time; with data.split={method} leave it out")
    if table.groups is not None and method != RANDOM:
        raise UsageError(
            f"data.split={method} takes the rows in order and keeps no groups together; expected "
            "data.split=random, or data.group=null"
        )


def common_strata(
    table: Table, rows: Rows, needed: int, rare: str, parts: str
) -> tuple[list[Rows], list[Rows]]:
    """The ``rows`` of each class with fewer than ``needed`` of them, which are all trained on, and
    of each other class. Raises UsageError if there are such and ``rare`` is not
    ``keep_in_train``, or if there are no others."""
    groups = strata_of(table, rows)
    keep = rare == KEEP_IN_TRAIN and any(len(group) >= needed for group in groups)
    for k, group in enumerate(groups):
        if len(group) < needed and not (keep and len(group)):
            of = f"class {table.task.classes[k]!r} has" if table.task.classes else "there are"
            besides = " besides the official test rows" if table.test_rows else ""
            raise UsageError(
                f"{table.name}: {of} only {len(group)} row(s){besides}; a split into {parts} "
                f"needs at least {needed}{_advice(table)}"
            )
    return (
        [group for group in groups if len(group) < needed],
        [group for group in groups if len(group) >= needed],
    )


def times_of(table: Table, method: str) -> NDArray[np.float64] | None:
    """The times (rows,) by which the rows are ordered, None if they are taken as they stand."""
    if method != TIME:
        return None
    time = time_of(table)
    times: NDArray[np.float64] = time[time.names[0]][: len(table) - table.test_rows]
    return times


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
    order, ends = in_order(times, rows, [rows - val - test, rows - test])
    val, test = ends[1] - ends[0], rows - ends[1]
    needed = 1 + sum(fraction > 0 for fraction in fractions)
    distinct = f" of {len(np.unique(times))} different times" if times is not None else ""
    if val + test >= rows or any(f and not n for f, n in zip(fractions, (val, test), strict=True)):
        raise UsageError(
            f"{table.name}: there are only {rows} row(s){distinct}; a split into {needed} parts of "
            "these fractions needs more"
        )
    train, val_rows, test_rows = map(np.sort, np.split(order, ends))
    check_trained(table, train, in_first_rows(method))
    return Split(train, val_rows, np.concatenate([test_rows, official]))


def in_order(
    times: NDArray[np.float64] | None, rows: int, ends: Sequence[int]
) -> tuple[Rows, list[int]]:
    """The rows (rows,) in the order of ``times`` (rows,), as they stand if there are none, and the
    ``ends`` of runs of them, moved down to where no equal times are parted."""
    if times is None:
        return np.arange(rows), list(ends)
    order = np.argsort(times, kind="stable")
    ascending = times[order]
    firsts = [np.searchsorted(ascending, ascending[end]) if end < rows else rows for end in ends]
    return order, [*map(int, firsts)]


def _split_groups(
    table: Table, fractions: list[float], official: Rows, generator: torch.Generator
) -> Split:
    """Split so that no group is in two parts.

    Raises UsageError if a part gets no group, or a class no training row.
    """
    rows = np.arange(len(table) - table.test_rows)
    shares = [1 - sum(fractions), *fractions]
    train, val, test = assigned_groups(table, rows, shares, generator)
    check_trained(table, train, IN_GROUPS)
    return Split(train, val, np.concatenate([test, official]))


def assigned_groups(
    table: Table, rows: Rows, shares: Sequence[float], generator: torch.Generator
) -> list[Rows]:
    """The ``rows`` in parts of these ``shares``, each in ascending order, no group in two of them:
    groups, largest first, are assigned to the part that is then closest to its share of every
    class's rows (greedy, as scikit-learn's StratifiedGroupKFold). Raises UsageError if a part gets
    no group."""
    assert table.groups is not None
    _, group = np.unique(table.groups[rows], return_inverse=True)
    strata = strata_of(table, rows)
    counts = np.zeros((group.max() + 1, len(strata)))
    for k, stratum in enumerate(strata):
        counts[:, k] = np.bincount(group[np.searchsorted(rows, stratum)], minlength=len(counts))
    wanted = np.array(shares)[:, None] * counts.sum(axis=0)
    weight = 1 / np.maximum(counts.sum(axis=0), 1)
    got = np.zeros_like(wanted)
    part = np.empty(len(counts), dtype=np.int64)
    shuffled = torch.randperm(len(counts), generator=generator).numpy()
    for g in shuffled[np.argsort(-counts.sum(axis=1)[shuffled], kind="stable")]:
        before = got - wanted
        worse = ((2 * before + counts[g]) * counts[g] * weight).sum(axis=1)
        part[g] = np.argmin(np.where(np.array(shares) > 0, worse, np.inf))
        got[part[g]] += counts[g]
    needed = sum(share > 0 for share in shares)
    if len(set(part.tolist())) < needed:
        raise UsageError(
            f"{table.name}: there are only {len(counts)} group(s) of such sizes; a split into "
            f"{needed} parts needs more"
        )
    return [rows[part[group] == p] for p in range(len(shares))]


def check_trained(table: Table, train: Rows, why: str) -> None:
    """Raise UsageError if a class has no training row; ``why`` is the reason and what is expected
    instead."""
    trained = set(table.y[train].tolist()) if table.task.classes else set()
    for k, label in enumerate(table.task.classes):
        if k not in trained:
            raise UsageError(
                f"{table.name}: class {label!r} has no row to train on, for {why}"
                f"{table.task.amount_hint}"
            )


def in_first_rows(method: str) -> str:
    """Why a class may have no training row if the rows are split in order by ``method``."""
    return f"data.split={method} takes the first rows for that; expected data.split=random"


IN_GROUPS = "its groups are in other parts; expected another data.split_seed, or more groups"
"""Why a class may have no training row if groups stay together."""


def strata_of(table: Table, rows: Rows) -> list[Rows]:
    """The ``rows`` of each class, or all of them together for a regression."""
    if not table.task.classes:
        return [rows]
    return [rows[table.y[rows] == k] for k in range(len(table.task.classes))]


def quotas(sizes: Rows, fraction: float, most: Rows) -> Rows:
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
