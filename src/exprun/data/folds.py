"""Cross-validation: the split of one fold, whose rows are the test part."""

from __future__ import annotations

import numpy as np
import torch

from exprun.common.errors import UsageError
from exprun.data.frame import Rows
from exprun.data.rare import ERROR
from exprun.data.split import (
    IN_GROUPS,
    RANDOM,
    Split,
    assigned_groups,
    check_method,
    check_trained,
    common_strata,
    in_first_rows,
    in_order,
    quotas,
    times_of,
)
from exprun.data.table import Table


def split_fold(
    table: Table,
    folds: int,
    fold: int,
    val_fraction: float,
    generator: torch.Generator,
    method: str = RANDOM,
    rare: str = ERROR,
) -> Split:
    """The split whose test rows are the part number ``fold`` of ``folds``, with ``val_fraction`` of
    the other rows for validation. Folds drawn by equal generators have each row in one of them.

    At random every class has equally many rows in each fold, one more or less, and groups stay
    together (as scikit-learn's StratifiedKFold and StratifiedGroupKFold). In order (``method`` LAST
    or TIME) the rows are ``folds`` + 1 runs, the first of which is only trained on, and the test
    part is trained for by the runs before it (as TimeSeriesSplit). With ``rare="keep_in_train"``
    classes of fewer rows than folds are never tested. Raises UsageError as ``split_rows`` does, and
    for a table with official test rows.
    """
    if table.test_rows:
        raise UsageError(
            f"data.folds={folds}: every row is tested once, and {table.name} has official test "
            "rows; expected data.folds=null, or data without a test part"
        )
    check_method(table, method, rare)
    if method != RANDOM:
        return _in_order(table, folds, fold, val_fraction, method)
    if table.groups is not None:
        rows = np.arange(len(table))
        parts = assigned_groups(table, rows, [1 / folds] * folds, generator)
        rest = np.sort(np.concatenate([part for k, part in enumerate(parts) if k != fold]))
        shares = [1 - val_fraction, val_fraction]
        train, val = assigned_groups(table, rest, shares, generator)
        check_trained(table, train, IN_GROUPS)
        return Split(train, val, parts[fold])
    return _stratified(table, folds, fold, val_fraction, generator, rare)


def untested(table: Table, folds: int, method: str) -> int:
    """Number of rows that are before all test parts of ``folds`` in order."""
    rows = len(table)
    _, (first,) = in_order(times_of(table, method), rows, [rows - folds * (rows // (folds + 1))])
    return first


def rows_in_folds(folds: int, val_fraction: float) -> int:
    """Minimum rows of a class for every fold, and the other parts of its split, to get one."""
    return max(folds, 4 if val_fraction > 0 else 2)


def _stratified(
    table: Table,
    folds: int,
    fold: int,
    val_fraction: float,
    generator: torch.Generator,
    rare: str,
) -> Split:
    needed = rows_in_folds(folds, val_fraction)
    kept, groups = common_strata(table, np.arange(len(table)), needed, rare, f"{folds} folds")
    shuffled = [g[torch.randperm(len(g), generator=generator).numpy()] for g in groups]
    first, tested, others = 0, [], []  # dealt out one by one, class after class
    for group in shuffled:
        in_fold = (first + np.arange(len(group))) % folds == fold
        tested.append(group[in_fold])
        others.append(group[~in_fold][torch.randperm(int((~in_fold).sum()), generator=generator)])
        first += len(group)
    sizes = np.array([len(group) for group in others])
    val_rows = quotas(sizes, val_fraction, most=sizes - 1)
    parts: list[list[Rows]] = [kept, []]
    for group, count in zip(others, val_rows, strict=True):
        parts[0].append(group[count:])
        parts[1].append(group[:count])
    train, val = (np.sort(np.concatenate(part)) for part in parts)
    return Split(train, val, np.sort(np.concatenate(tested)))


def _in_order(table: Table, folds: int, fold: int, val_fraction: float, method: str) -> Split:
    rows = len(table)
    size = rows // (folds + 1)
    times = times_of(table, method)
    ends = [rows - (folds - k) * size for k in (fold, fold + 1)]
    order, (start, end) = in_order(times, rows, ends)
    _, (val,) = in_order(times, rows, [start - round(start * val_fraction)])
    if not 0 < val <= start < end or (val_fraction > 0 and val == start):
        raise UsageError(
            f"{table.name}: there are too few rows, or different times, for data.folds={folds}, "
            "each with rows to train on before it; expected fewer"
        )
    train, val_rows, test, _ = map(np.sort, np.split(order, [val, start, end]))
    check_trained(table, train, in_first_rows(method))
    return Split(train, val_rows, test)
