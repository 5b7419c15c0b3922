"""A data set as it was read: rows, columns, target; nothing split or scaled yet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exprun.data.task import Task


@dataclass(frozen=True)
class Table:
    """Rows of numbers and what they are to predict.

    ``x`` is (rows, features) float64. ``y`` is (rows,) int64 class ids, or (rows, targets)
    float64. The last ``test_rows`` rows are an official test split; 0 means there is none.
    """

    name: str
    features: tuple[str, ...]
    x: NDArray[np.float64]
    y: NDArray[np.int64] | NDArray[np.float64]
    task: Task
    test_rows: int = 0
