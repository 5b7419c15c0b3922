"""A data set as read: columns and target, not yet split or scaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exprun.data.frame import Frame
from exprun.data.read_options import Reading
from exprun.data.task import Task


@dataclass(frozen=True)
class Table:
    """Features and targets of a data set.

    ``features`` are the columns to predict from. ``y`` is (rows,) int64 class ids, or (rows,
    targets) float64. The last ``test_rows`` rows are an official test split; 0 means there is none.
    Rows with equal numbers in ``groups`` (rows,) must not be in two parts of a split. ``time`` has
    one column, of numbers or dates, that orders the rows, if the user named it. ``weights`` (rows,)
    are the weights of the rows, at least 0, from the column ``weight``; None is the same for all.
    ``reading`` holds the options with which the file was read, if any; ``notes`` are lines for the
    user on what was detected. ``rows`` (rows,) are the numbers that the rows have in the source, if
    some have been left out.
    """

    name: str
    features: Frame
    y: NDArray[np.int64] | NDArray[np.float64]
    task: Task
    test_rows: int = 0
    groups: NDArray[np.int64] | None = None
    time: Frame | None = None
    weights: NDArray[np.float64] | None = None
    reading: Reading | None = None
    notes: tuple[str, ...] = ()
    rows: NDArray[np.int64] | None = None
    weight: str | None = None

    def __len__(self) -> int:
        return len(self.features)


def listed(words: Sequence[str]) -> str:
    """The first few names, for a note."""
    return ", ".join(words if len(words) <= 6 else [*words[:5], f"and {len(words) - 5} more"])
