"""Treatment of rare classes: those with fewer rows than a split has parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from exprun.common.errors import UsageError
from exprun.data.table import Table, listed
from exprun.data.task import MERGED

ERROR, DROP, KEEP_IN_TRAIN, MERGE = "error", "drop", "keep_in_train", "merge"
"""The values of ``data.rare``: how rare classes are treated."""


def treat_rare(table: Table, rare: str, needed: int) -> Table:
    """The table with classes of fewer than ``needed`` rows, not counting official test rows,
    dropped or merged into one, and a note on it; ``error`` and ``keep_in_train`` change nothing.

    Raises UsageError if classes of an order are to be merged, or if only one class, too few rows of
    the merged class, or no official test row would be left.
    """
    if rare not in (DROP, MERGE) or not table.task.classes:
        return table
    rows = len(table) - table.test_rows
    counts = np.bincount(table.y[:rows], minlength=table.task.width)
    few = counts < needed
    if not few.any():
        return table
    if rare == MERGE and table.task.ordered:
        raise UsageError(
            f"{table.name}: data.rare=merge: a class {MERGED!r} has no place in data.order; "
            "expected data.rare=drop or keep_in_train"
        )
    return _dropped(table, few) if rare == DROP else _merged(table, few, needed)


def _dropped(table: Table, few: NDArray[np.bool_]) -> Table:
    classes = tuple(np.array(table.task.classes, dtype=object)[~few].tolist())
    if len(classes) < 2:
        raise UsageError(
            f"{table.name}: data.rare=drop leaves {len(classes)} class(es); expected another "
            f"data.rare, or more rows{table.task.amount_hint}"
        )
    ids = np.cumsum(~few) - 1
    kept = np.flatnonzero(~few[table.y])
    official = kept >= len(table) - table.test_rows
    if table.test_rows and not official.any():
        raise UsageError(f"{table.name}: data.rare=drop leaves no row of the official test part")
    return replace(
        table,
        features=table.features.taken(kept),
        y=ids[table.y[kept]],
        task=replace(table.task, classes=classes),
        test_rows=int(official.sum()),
        groups=None if table.groups is None else table.groups[kept[~official]],
        notes=(*table.notes, _note(table, few, "left out")),
        weights=None if table.weights is None else table.weights[kept],
        rows=kept,
    )


def _merged(table: Table, few: NDArray[np.bool_], needed: int) -> Table:
    names = table.task.classes
    if MERGED in names:
        few = few.copy()
        few[names.index(MERGED)] = True
    rows = len(table) - table.test_rows
    together = int(few[table.y[:rows]].sum())
    if together < needed or few.all():
        wrong = "no other class" if few.all() else f"only {together} row(s) of {MERGED!r}"
        raise UsageError(
            f"{table.name}: data.rare=merge leaves {wrong}; expected data.rare=drop or "
            f"keep_in_train{table.task.amount_hint}"
        )
    common = tuple(np.array(names, dtype=object)[~few].tolist())
    ids = np.where(few, len(common), np.cumsum(~few) - 1)
    rare = tuple(name for name, is_few in zip(names, few, strict=True) if is_few and name != MERGED)
    return replace(
        table,
        y=ids[table.y],
        task=replace(table.task, classes=(*common, MERGED), merged=rare),
        notes=(*table.notes, _note(table, few, f"merged into {MERGED!r}")),
    )


def _note(table: Table, few: NDArray[np.bool_], fate: str) -> str:
    counts = np.bincount(table.y, minlength=table.task.width)
    classes = [f"{table.task.classes[k]} ({counts[k]})" for k in np.flatnonzero(few)]
    return f"classes of too few rows for every part, {fate}: {listed(classes)}"
