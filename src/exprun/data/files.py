"""New files of columns that are known: what a prediction or an evaluation reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exprun.data.frame import Frame
from exprun.data.preprocess import Preprocessing
from exprun.data.tabular import _numbers, _read
from exprun.errors import UsageError, nearest


def read_columns(path: str | Path, preprocessing: Preprocessing) -> Frame:
    """The columns that ``preprocessing`` is applied to, from a file that may have others too.

    Raises UsageError, naming file, row and column, for whatever cannot be used.
    """
    file = str(Path(path).expanduser())
    table = _read(file, "")
    for name in preprocessing.features:
        if name not in table.column_names:
            hint = nearest(name, table.column_names)
            raise UsageError(f"{file}: there is no column {name!r}{hint}")
    columns = [_numbers(table, name, file) for name in preprocessing.features]
    return Frame(preprocessing.features, np.column_stack(columns))


def read_labelled(
    path: str | Path, preprocessing: Preprocessing
) -> tuple[Frame, NDArray[np.int64] | NDArray[np.float64]]:
    """``read_columns``, and the targets: class ids (rows,), or numbers (rows, targets) in the
    unit of the file. Raises UsageError for a label that the task does not have."""
    raise NotImplementedError
