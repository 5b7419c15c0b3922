"""Read new files with the columns of the training, for predictions and evaluations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprun.common.errors import UsageError, nearest
from exprun.common.named_files import expanded
from exprun.data.column_roles import weights_of
from exprun.data.csv_file import CsvFile
from exprun.data.frame import CATEGORICAL, NUMERIC, Frame
from exprun.data.idx import images, images_file, is_idx, labels_of
from exprun.data.npz_file import TEST, NpzFile
from exprun.data.open_file import open_file
from exprun.data.parquet_file import SUFFIX
from exprun.data.preprocess import Preprocessing
from exprun.data.source import Source
from exprun.data.targets import check_no_gap, class_ids


def open_source(path: str | Path, preprocessing: Preprocessing) -> Source:
    """Open a file to be read with the options of the training file."""
    source = open_file(path, preprocessing.reading)
    if isinstance(source, NpzFile) and source.in_parts:
        source = NpzFile(source.path, preprocessing.reading, TEST)
    if isinstance(source, CsvFile) and preprocessing.reading.columns is not None:
        _place_columns(source, preprocessing, preprocessing.reading.columns)
    return source


def _place_columns(source: CsvFile, preprocessing: Preprocessing, expected: int) -> None:
    """Name the columns of a file without a header as in training, by position. Raises UsageError
    if the number of columns is not ``expected``.

    One exception: if training read every column, a file that lacks as many columns as there are
    targets is assumed to lack the targets.
    """
    targets, found = preprocessing.task.targets, len(source.names)
    if found == expected:
        return
    of_training = [str(k) for k in range(1, expected + 1)]
    unread = expected - len(preprocessing.features) - len(targets)
    if found == expected - len(targets) and not unread:
        source.names = [name for name in of_training if name not in targets]
        return
    without = f", or {expected - len(targets)} without the target" if not unread else ""
    places = ", ".join(targets)
    raise UsageError(
        f"{source.path}: has {found} columns; expected {expected} as in training{without}; "
        "without a header only their positions tell them apart: leave those that are not there "
        f"empty, like the target's (column {places})"
    )


def read_columns(path: str | Path, preprocessing: Preprocessing) -> Frame:
    """Read the columns that ``preprocessing`` needs from a file that may have others too, from an
    images file in the IDX format, or from the test images of a folder of such files.

    Raises UsageError, naming file, row and column, for invalid data.
    """
    file = expanded(path)
    if _is_of_images(file):
        return _read_images(images_file(file), preprocessing)
    source = open_source(path, preprocessing)
    return source.read(_wanted(source, preprocessing))


def read_kept(
    path: str | Path, preprocessing: Preprocessing, names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Columns of a file, also such as training did not read, as words (rows,) with None for gaps,
    or as integers if all words are.

    Raises UsageError for a column that is not there, and for images, which have none.
    """
    if not names:
        return {}
    file = expanded(path)
    if _is_of_images(file):
        raise UsageError(f"{file}: images have no columns to keep")
    source = open_source(path, preprocessing)
    for name in names:
        if name not in source.names:
            shown = ", ".join([*source.names[:20], *["…"] * (len(source.names) > 20)])
            hint = nearest(name, source.names)
            raise UsageError(f"{source.path}: there is no column {name!r}{hint} (columns: {shown})")
    frame = source.read(dict.fromkeys(names, CATEGORICAL))
    return {name: _as_integers(frame[name], frame.categorical[name].words) for name in names}


def _as_integers(column: NDArray[Any], words: Sequence[str]) -> NDArray[Any]:
    """The words (rows,) as int64 if that changes no spelling and there is no gap."""
    whole = all(re.fullmatch(r"0|-?[1-9]\d{0,17}", word) for word in words)
    return column.astype(np.int64) if whole and None not in set(column.tolist()) else column


def _is_of_images(file: Path) -> bool:
    """Whether it is an IDX file, or a folder of them and not of Parquet files."""
    return is_idx(file) or (file.is_dir() and not any(file.glob(f"*{SUFFIX}")))


def _read_images(file: Path, preprocessing: Preprocessing) -> Frame:
    frame = images(file)
    if frame.names != preprocessing.features:
        raise UsageError(
            f"{file}: has {len(frame.names)} pixels an image; expected the columns "
            f"{preprocessing.features[0]} … {preprocessing.features[-1]}"
        )
    return frame


def read_labelled(
    path: str | Path, preprocessing: Preprocessing
) -> tuple[Frame, NDArray[np.int64] | NDArray[np.float64]]:
    """Read ``read_columns`` and the targets: class ids (rows,), or numbers (rows, targets) in the
    unit of the file. Raises UsageError also for a label that the task does not have."""
    file, task = expanded(path), preprocessing.task
    if _is_of_images(file):
        file = images_file(file)
        frame = _read_images(file, preprocessing)
        labels = labels_of(file, len(frame))
        return frame, class_ids(labels, task, lambda row: f"{file}: image {row + 1}")
    source = open_source(path, preprocessing)
    _check_there(source, task.targets)
    kind = CATEGORICAL if task.classes else NUMERIC
    targets = dict.fromkeys(task.targets, kind)
    frame = source.read({**_wanted(source, preprocessing), **targets})
    for name in task.targets:
        check_no_gap(source, frame, name)
    features = frame.only(preprocessing.features)
    if task.classes:
        return features, class_ids(frame.categorical[task.targets[0]], task, source.where)
    return features, np.stack([frame[name] for name in task.targets], axis=1)


def read_weights(path: str | Path, preprocessing: Preprocessing) -> NDArray[np.float64] | None:
    """The weights of the rows (rows,) from the column that had them in training; None if there was
    none, or the file has no such column. Raises UsageError for a gap or a negative one."""
    name = preprocessing.weight
    if name is None:
        return None
    source = open_source(path, preprocessing)
    if name not in source.names:
        return None
    return weights_of(source, source.read({name: NUMERIC}), name)


def _wanted(source: Source, preprocessing: Preprocessing) -> dict[str, str]:
    _check_there(source, preprocessing.features)
    return {column.name: column.kind for column in preprocessing.columns}


def _check_there(source: Source, names: tuple[str, ...]) -> None:
    """Raise UsageError for a column that the file lacks or spells differently."""
    missing = [name for name in names if name not in source.names]
    if missing:
        extra = [name for name in source.names if name not in names]
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        hint = source.missing_hint(missing[0]) or nearest(missing[0], extra)
        raise UsageError(f"{source.path}: column {missing[0]!r} is missing{more}{hint}")
