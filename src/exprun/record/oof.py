"""``oof.parquet``: the predictions of the rows of a fold by the model that was trained without them
("out of fold")."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from exprun.record.files import NewFile

if TYPE_CHECKING:  # the end of a sweep needs no torch
    from torch import Tensor

    from exprun.data.frame import Rows
    from exprun.data.preprocess import Preprocessing
    from exprun.training.prediction import Prediction

OOF = "oof.parquet"

ROW = "row"
"""The column of the rows' numbers, counted from 0 in the order of the source."""


def oof_file(
    folder: Path, rows: Rows, y: Tensor, prediction: Prediction, preprocessing: Preprocessing
) -> NewFile:
    """The file with the columns ``row``, each target, ``predicted_<target>``, and
    ``probability_<label>`` of each class, for the rows (n,) with targets ``y``, (n,) class ids or
    (n, targets) standardised."""
    import pyarrow as pa  # a tenth of a second
    from pyarrow import parquet

    task, scaling = preprocessing.task, preprocessing.target
    truth: list[NDArray[np.generic]]
    if task.classes:
        truth = [np.array(task.classes, dtype=object)[y.cpu().numpy()]]
    else:
        numbers = y.double().cpu().numpy() * np.array(scaling.std) + np.array(scaling.mean)
        truth = [*numbers.T]
    answers = prediction.columns()
    columns = {
        ROW: rows,
        **dict(zip(task.targets, truth, strict=True)),
        **{f"predicted_{target}": answers.pop(target) for target in task.targets},
        **answers,
    }
    content = io.BytesIO()
    arrays = [pa.array(column) for column in columns.values()]
    parquet.write_table(pa.Table.from_arrays(arrays, list(columns)), content)
    return NewFile(folder / OOF, content.getvalue())
