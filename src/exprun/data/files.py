"""New files of columns that are known: what a prediction or an evaluation reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exprun.common.errors import UsageError, nearest
from exprun.data.csv_file import CsvFile
from exprun.data.frame import CATEGORICAL, NUMERIC, Frame
from exprun.data.idx import images
from exprun.data.npz_file import NpzFile
from exprun.data.parquet_file import ParquetFile
from exprun.data.preprocess import Preprocessing
from exprun.data.read_options import Reading
from exprun.data.tabular import Source, check_no_gap, class_ids


def open_source(path: str | Path, reading: Reading) -> Source:
    """A file by its suffix: ``.parquet``, ``.npz``, and everything else is CSV."""
    file = str(Path(path).expanduser())
    suffix = Path(file).suffix.lower()
    if suffix == ".parquet":
        return ParquetFile(file)
    return NpzFile(file) if suffix == ".npz" else CsvFile(file, reading)


def read_columns(path: str | Path, preprocessing: Preprocessing) -> Frame:
    """The columns that ``preprocessing`` is applied to, from a file that may have others too; also
    from an images file in the IDX format.

    Raises UsageError, naming file, row and column, for whatever cannot be used.
    """
    if "idx3-ubyte" in Path(path).name:
        frame = images(Path(path).expanduser())
        if frame.names != preprocessing.features:
            raise UsageError(
                f"{path}: has {len(frame.names)} pixels an image; expected the columns "
                f"{preprocessing.features[0]} … {preprocessing.features[-1]}"
            )
        return frame
    source = open_source(path, preprocessing.reading)
    return source.read(_wanted(source, preprocessing))


def read_labelled(
    path: str | Path, preprocessing: Preprocessing
) -> tuple[Frame, NDArray[np.int64] | NDArray[np.float64]]:
    """``read_columns``, and the targets: class ids (rows,), or numbers (rows, targets) in the
    unit of the file. Raises UsageError for a label that the task does not have."""
    source = open_source(path, preprocessing.reading)
    task = preprocessing.task
    _check_there(source, task.targets)
    kind = CATEGORICAL if task.classes else NUMERIC
    targets = dict.fromkeys(task.targets, kind)
    frame = source.read({**_wanted(source, preprocessing), **targets})
    for name in task.targets:
        check_no_gap(source, frame, name)
    features = frame.only(preprocessing.features)
    if task.classes:
        return features, class_ids(source, frame.categorical[task.targets[0]], task)
    return features, np.stack([frame[name] for name in task.targets], axis=1)


def _wanted(source: Source, preprocessing: Preprocessing) -> dict[str, str]:
    _check_there(source, preprocessing.features)
    return {column.name: column.kind for column in preprocessing.columns}


def _check_there(source: Source, names: tuple[str, ...]) -> None:
    """Raise UsageError for a column that the file does not have, or calls something else."""
    missing = [name for name in names if name not in source.names]
    if missing:
        extra = [name for name in source.names if name not in names]
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        hint = source.missing_hint(missing[0]) or nearest(missing[0], extra)
        raise UsageError(f"{source.path}: column {missing[0]!r} is missing{more}{hint}")
