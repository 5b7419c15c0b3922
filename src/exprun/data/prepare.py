"""Prepare a table for training: split, preprocess, and move three parts to the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from exprun.common.errors import UsageError
from exprun.common.streams import stream as generator
from exprun.common.threads import mapped
from exprun.data.columns import Categorical, Datetime
from exprun.data.datetimes import iso
from exprun.data.encoding import AUTO, ONE_HOT, TARGET, Supervision
from exprun.data.folds import rows_in_folds, split_fold, untested
from exprun.data.frame import DATETIME, Frame, Rows
from exprun.data.one_hot_inputs import Inputs, OneHotInputs, tensors_of
from exprun.data.preprocess import Preprocessing, single
from exprun.data.rare import ERROR, treat_rare
from exprun.data.scaling import NONE, STANDARDIZE, Scaling
from exprun.data.split import RANDOM, TIME, Split, rows_needed, split_rows, time_of
from exprun.data.storage import read_in_order, zeros
from exprun.data.table import Table, listed
from exprun.data.targets import FEW_ROWS
from exprun.data.task import MOST_IN_TABLE

MOST_DENSE, LEAST_SAVED = 2**26, 4
"""Bytes of dense inputs of all parts, 64 MiB, from which one-hot columns are kept as codes, where
these take this many times less memory."""


@dataclass(frozen=True)
class Part:
    """One part of the data: ``x`` (n, inputs) float32, kept as codes if it is large and mostly
    one-hot (``OneHotInputs``); ``y`` (n,) int64 class ids, or (n, targets) float32, standardised
    with ``standardize_target``; ``weight`` (n,) float32, the weights of the rows, with mean 1 over
    the training rows; None is 1 for all."""

    x: Inputs
    y: Tensor
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def taken(self, rows: Tensor) -> Part:
        """A copy of the rows with the numbers ``rows`` (m,), kept in the same form."""
        x = self.x.taken(rows) if isinstance(self.x, OneHotInputs) else self.x[rows]
        return Part(x, self.y[rows], None if self.weight is None else self.weight[rows])


BUFFER_BYTES = 2**27
"""Inputs among which the rows of a streamed data set are shuffled, 128 MiB."""


@dataclass(frozen=True)
class Data:
    """A data set ready for training, with its preprocessing; ``test_rows`` are the numbers, counted
    from 0, that the test rows have in the source, if they are a fold of a cross-validation.
    ``shuffle_buffer`` is the number of training rows that are shuffled with each other if not all
    are (see ``training.batches.shuffled``)."""

    name: str
    train: Part
    val: Part
    test: Part
    preprocessing: Preprocessing
    notes: tuple[str, ...] = ()
    test_rows: Rows | None = None
    shuffle_buffer: int | None = None


def prepare(
    table: Table,
    *,
    val_fraction: float = 0.2,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    split: str = RANDOM,
    folds: int | None = None,
    fold: int | None = None,
    rare: str = ERROR,
    train_rows: int | None = None,
    standardize: bool = True,
    scaling: str = "auto",
    impute_numeric: str = "median",
    impute_categorical: str = "own_category",
    unseen: Literal["ignore", "error"] = "ignore",
    encoding: str = ONE_HOT,
    standardize_target: bool = False,
    stream: bool = False,
    device: torch.device | str = "cpu",
) -> Data:
    """Split, fit the preprocessing on the training rows, and move everything to the device.

    If ``train_rows`` is given, only the first ``train_rows`` training rows are used, in the order
    of the file. ``scaling="auto"`` is ``standardize`` or, with ``standardize=False``, ``none``; for
    other values see ``Preprocessing.fit``. ``rare`` selects the treatment of classes with fewer
    rows than the split has parts, see ``treat_rare`` and ``split_rows``. The number ``fold`` of
    ``folds`` is the test part of a cross-validation, see ``split_fold``. Raises UsageError if the
    table cannot be split in this way.

    With ``stream`` the inputs are too large for memory: they lie where ``storage.streamed`` says,
    which has to be the context of this call, and are shuffled in blocks.

    The rows of a file are given back to memory as they become inputs: such a table is used up.
    """
    if stream and torch.device(device).type != "cpu":
        raise UsageError("data.stream=true: trains on the CPU only; expected device=cpu")
    drawn = generator(split_seed, "split")
    if folds is None:
        table = treat_rare(table, rare, rows_needed(table, val_fraction, test_fraction))
        parts = split_rows(table, val_fraction, test_fraction, drawn, split, rare)
    else:
        assert fold is not None
        table = treat_rare(table, rare, rows_in_folds(folds, val_fraction))
        parts = split_fold(table, folds, fold, val_fraction, drawn, split, rare)
    if train_rows is not None:
        if train_rows > len(parts.train):
            raise UsageError(
                f"data.train_rows={train_rows}: {table.name} has only {len(parts.train)} rows to "
                "train on"
            )
        parts = replace(parts, train=parts.train[:train_rows])
    if table.task.classes:
        target = Scaling.identity(0)
    elif standardize_target:
        target = Scaling.standardize(table.y[parts.train].astype(np.float64))
    else:
        target = Scaling.identity(table.task.width)
    if scaling == "auto":
        scaling = STANDARDIZE if standardize else NONE

    def part(rows: Rows, x: Inputs) -> Part:
        if table.task.classes:
            y = torch.from_numpy(table.y[rows])
        else:
            values = target.apply(table.y[rows].astype(np.float64))
            y = torch.from_numpy(single(values, table.task.targets))
        return Part(x.to(device), y.to(device), _weights(table, parts, rows, device))

    supervision = None
    if table.features.categorical and encoding in (AUTO, TARGET):
        groups = None if table.groups is None else table.groups[parts.train]
        drawn = generator(split_seed, "encoding")
        supervision = Supervision.draw(table.task, table.y[parts.train], groups, drawn)
    try:
        preprocessing = Preprocessing.fit(
            table.features,
            parts.train,
            table.task,
            target,
            scaling=scaling,
            impute_numeric=impute_numeric,
            impute_categorical=impute_categorical,
            unseen=unseen,
            encoding=encoding,
            supervision=supervision,
            reading=table.reading,
            weight=table.weight,
        )
        each = (parts.train, parts.val, parts.test)
        times = [_periods_of_time(table, parts)] if split == TIME else []
        if folds is not None and split != RANDOM:
            first = untested(table, folds, split)
            times += [f"folds in order: the first {first:,} rows are in no fold, only trained on"]
        inputs = _inputs(preprocessing, table.features, each, supervision)
        for x in inputs[1:] if stream else ():
            for tensor in tensors_of(x):
                read_in_order(tensor.numpy())
        train, val, test = map(part, each, inputs)
    except UsageError as error:
        raise UsageError(f"{table.name}: {error}") from None
    notes = table.notes
    if table.reading:
        notes = (*notes, *_dates(preprocessing), *_encodings(preprocessing))
        notes = (*notes, *_constant(train.x, preprocessing))
    notes = (*notes, *times)
    if len(table.task.classes) > MOST_IN_TABLE:
        notes = (*notes, f"more than {MOST_IN_TABLE} classes: no confusion.csv, nor its table")
    numbers = np.arange(len(table)) if table.rows is None else table.rows
    test_rows = None if folds is None else numbers[parts.test]
    buffer = None
    if stream:
        bytes_ = sum(tensor.nbytes for tensor in tensors_of(train.x))
        buffer = max(1, BUFFER_BYTES * len(train) // max(1, bytes_))
        if len(train) > buffer:
            notes = (*notes, f"shuffled in blocks, among {buffer:,} rows at a time (data.stream)")
    return Data(table.name, train, val, test, preprocessing, notes, test_rows, buffer)


def _inputs(
    preprocessing: Preprocessing,
    frame: Frame,
    parts: Sequence[Rows],
    supervision: Supervision | None,
) -> list[Inputs]:
    """The inputs (rows, width) of each of the parts, of which the first one is trained on. All grow
    together, in the order of the frame, whose memory shrinks."""
    as_codes = _as_codes(preprocessing, sum(map(len, parts)))
    dense = preprocessing.without_one_hot if as_codes else preprocessing
    columns = len(preprocessing.one_hot) if as_codes else 0
    inputs = [zeros((len(rows), dense.width), np.float32) for rows in parts]
    codes = [zeros((len(rows), columns), np.int32) for rows in parts]

    def fill(run: tuple[int, int]) -> None:
        for rows, x, ones in zip(parts, inputs, codes, strict=True):
            here = slice(*np.searchsorted(rows, run))
            x[here] = dense.apply(frame, rows[here])
            if as_codes:
                ones[here] = preprocessing.codes(frame, rows[here])
        frame.release(run[0])

    mapped(fill, frame.runs())
    if supervision is not None:
        dense.cross_fit(inputs[0], frame, parts[0], supervision)
    if not as_codes:
        return [torch.from_numpy(x) for x in inputs]
    places = torch.from_numpy(preprocessing.dense_places)
    return [
        OneHotInputs(torch.from_numpy(x), places, torch.from_numpy(ones), preprocessing.width)
        for x, ones in zip(inputs, codes, strict=True)
    ]


def _as_codes(preprocessing: Preprocessing, rows: int) -> bool:
    """Whether one-hot columns of so many rows are kept as codes."""
    compact = preprocessing.without_one_hot.width + len(preprocessing.one_hot)
    width = preprocessing.width
    return 4 * rows * width >= MOST_DENSE and width >= LEAST_SAVED * compact


def _weights(table: Table, parts: Split, rows: Rows, device: torch.device | str) -> Tensor | None:
    """The weights of some rows, with mean 1 over the training rows. Raises UsageError if all are
    0."""
    if table.weights is None:
        return None
    if len(rows) and not table.weights[rows].any():
        raise UsageError(
            "all rows of a part have weight 0; expected another data.split_seed, or larger "
            "fractions"
        )
    scaled = table.weights[rows] / table.weights[parts.train].mean()
    return torch.from_numpy(scaled.astype(np.float32)).to(device)


def _periods_of_time(table: Table, parts: Split) -> str:
    """A note on the first and last time of each part of the split."""
    time = time_of(table)
    times, is_date = time[time.names[0]], time.kind(time.names[0]) == DATETIME
    shown = iso if is_date else "{:.6g}".format
    named = {"train": parts.train, "validation": parts.val, "test": parts.test}
    said = [
        f"{name} {shown(times[rows].min())} to {shown(times[rows].max())}"
        for name, rows in named.items()
        if len(rows) and rows[-1] < len(times)
    ]
    return f"split by {time.names[0]}: {', '.join(said)}"


def _dates(preprocessing: Preprocessing) -> list[str]:
    """A note on each column of dates: the parts that are inputs."""
    return [
        f"{column.name}: dates as {', '.join(['elapsed time', *column.periods])}"
        for column in preprocessing.columns
        if isinstance(column, Datetime)
    ]


def _encodings(preprocessing: Preprocessing) -> list[str]:
    """A note on each categorical column that is not one-hot."""
    return [
        f"{column.name}: {len(column.levels):,} categories by {column.encoding.method} encoding, "
        f"as {listed(column.encoding.of)}"
        for column in preprocessing.columns
        if isinstance(column, Categorical) and column.encoding
    ]


def _constant(inputs: Inputs, preprocessing: Preprocessing) -> list[str]:
    """A note on the constant numeric columns, whose inputs (n, width) are equal in all rows."""
    if isinstance(inputs, OneHotInputs):
        return _constant(inputs.numbers, preprocessing.without_one_hot)
    x = inputs
    numeric = {c.name for c in preprocessing.columns if not isinstance(c, Categorical)}
    likely = (x[:FEW_ROWS] == x[0]).all(0)  # most columns are told by these
    named = zip(preprocessing.input_names, x.T, likely.tolist(), strict=True)
    constant = [
        name
        for name, column, is_likely in named
        if is_likely and name in numeric and bool((column == column[0]).all())
    ]
    if not constant:
        return []
    return [f"constant in the training rows, so no help: {listed(constant)}"]
