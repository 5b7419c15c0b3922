"""Read the arrays of a file written by NumPy's ``savez``."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from exprun.common.errors import UsageError
from exprun.data.builder import MOST_WORDS, BadCell, FrameBuilder, check_size, missing_numbers
from exprun.data.csv_file import SEEN
from exprun.data.datetimes import mostly_datetimes
from exprun.data.file_kinds import first_bytes, instead
from exprun.data.frame import CATEGORICAL, DATETIME, Frame, Words
from exprun.data.read_options import AUTO, LABEL, Reading
from exprun.data.spelling import is_number

TRAIN, TEST = "train", "test"
"""The parts of a file of Keras."""

KERAS = {f"{name}_{part}" for name in "xy" for part in (TRAIN, TEST)}


class NpzFile:
    """Arrays of equal length as a source of columns; an array with more dimensions gives a column
    per number of a row, ``x_0``, ``x_1``, … Pickled objects are refused, because they could run
    code.

    Of a file with the arrays ``x_train``, ``y_train``, ``x_test``, ``y_test``, as Keras' data sets
    have, the ``part`` is read, as ``x`` and ``y``; ``in_parts`` says that it is one.
    """

    index: tuple[str, ...] = ()

    def __init__(self, path: str, reading: Reading, part: str = TRAIN) -> None:
        """Raises UsageError if it is not such a file or the arrays are not columns of one table."""
        self.path = path
        self.reading, self.note = Reading(missing=reading.missing), ""
        try:
            if not (head := first_bytes(path)).startswith(b"PK"):
                raise UsageError(f"{path}: is not an .npz file{instead(head)}")
            with Path(path).open("rb") as raw:
                file = np.load(raw, allow_pickle=False)
                self.in_parts = set(file.files) == KERAS
                of = (
                    {f"{n}_{part}": n for n in "xy"}
                    if self.in_parts
                    else {n: n for n in file.files}
                )
                self.arrays = {name: np.asarray(file[key]) for key, name in of.items()}
        except FileNotFoundError:
            raise UsageError(f"{path}: no such file") from None
        except IsADirectoryError:
            raise UsageError(f"{path}: is a folder; expected a file") from None
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            raise UsageError(f"{path}: is not an .npz file, or is damaged: {error}") from None
        except (ValueError, TypeError, AttributeError) as error:
            if "pickle" in str(error):
                raise UsageError(
                    f"{path}: has pickled objects; expected plain arrays of numbers or text"
                ) from None
            raise UsageError(f"{path}: is not an .npz file: {error}") from None
        self._check()
        if self.in_parts and self.arrays["y"].shape[1:] == (1,):
            self.arrays["y"] = self.arrays["y"][:, 0]
        self.places: dict[str, tuple[str, int | None]] = {}
        for name, array in self.arrays.items():
            if array.ndim == 1:
                self.places[name] = (name, None)
            else:
                self.arrays[name] = flat = array.reshape(len(array), -1)
                self.places |= {f"{name}_{k}": (name, k) for k in range(flat.shape[1])}
        self.names = list(self.places)

    def _check(self) -> None:
        lengths = {name: len(a) if a.ndim else None for name, a in self.arrays.items()}
        if not lengths:
            raise UsageError(f"{self.path}: there is no array in it")
        for name, array in self.arrays.items():
            if lengths[name] is None:
                raise UsageError(f"{self.path}: {name!r} is a single value; expected an array")
            if array.dtype.kind not in "biufUM":
                raise UsageError(
                    f"{self.path}: {name!r} is an array of {array.dtype}; expected numbers, text "
                    "or dates"
                )
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name!r} has {n}" for name, n in lengths.items())
            raise UsageError(f"{self.path}: the arrays differ in their rows: {said}")
        if not next(iter(lengths.values())):
            raise UsageError(f"{self.path}: there are no rows")

    def missing_hint(self, name: str) -> str:
        if name in self.arrays:
            return (
                f"; the array {name!r} has several columns, expected one of {name}_0, {name}_1, …"
            )
        return ""

    def where(self, row: int) -> str:
        return f"{self.path}: row {row + 1}"

    def _column(self, name: str) -> NDArray[Any]:
        array, place = self.places[name]
        found: NDArray[Any] = self.arrays[array] if place is None else self.arrays[array][:, place]
        return found

    def read(self, wanted: Mapping[str, str]) -> Frame:
        """See ``CsvFile.read``. An array that contains exactly the numeric columns is not
        copied."""
        numeric, categorical, datetimes = [], {}, set()
        for name, wish in wanted.items():
            column = self._column(name)
            number = column.dtype.kind in "iuf"
            date = column.dtype.kind == "M" or self._mostly_datetimes(column)
            kind = DATETIME if wish == AUTO and date else wish
            as_words = {AUTO: not number, CATEGORICAL: True, LABEL: self._few(column)}
            if as_words.get(kind):
                categorical[name] = self._words(column)
            else:
                numeric.append(name)
                datetimes |= {name} if kind == DATETIME else set()
        numbers = self._numbers(numeric, datetimes)
        for place, name in enumerate(numeric):
            try:
                if numbers.dtype.kind == "f":
                    check_size(numbers[:, place], name)
            except BadCell as cell:
                where = self.where(cell.row)
                raise UsageError(f"{where}, column {name!r}: {cell}") from None
        return Frame(tuple(wanted), numbers, categorical, frozenset(datetimes))

    def _mostly_datetimes(self, column: NDArray[Any]) -> bool:
        """Whether an array of text holds dates, by its first rows."""
        if column.dtype.kind != "U":
            return False
        words = [word.strip() for word in column[:SEEN].tolist()]
        return mostly_datetimes([word for word in words if word not in ("", *self.reading.missing)])

    @staticmethod
    def _few(column: NDArray[Any]) -> bool:
        """Whether a target has few enough different values to be read as words."""
        return column.dtype.kind not in "iuf" or len(np.unique(column)) <= MOST_WORDS

    def _numbers(self, names: list[str], datetimes: Set[str]) -> NDArray[Any]:
        """Numeric columns, and those of dates, (rows, columns): an array that consists of exactly
        these without a copy, else a copy."""
        gaps = missing_numbers(self.reading.missing)
        sources = {self.places[name][0] for name in names}
        whole = next((a for key, a in self.arrays.items() if {key} == sources), np.empty((0, 0)))
        if whole.ndim == 2 and whole.shape[1] == len(names) and whole.dtype.kind in "iuf":
            numbers = whole
        else:
            rows = len(next(iter(self.arrays.values())))
            columns = [
                self._as_seconds(name) if name in datetimes else self._as_numbers(name)
                for name in names
            ]
            numbers = np.stack(columns, axis=1) if columns else np.empty((rows, 0))
        if gaps:
            numbers = np.where(np.isin(numbers, gaps), np.nan, numbers)
        return numbers

    def _as_numbers(self, name: str) -> NDArray[Any]:
        """A column (rows,) of numbers, booleans, or texts of numbers, as numbers."""
        column = self._column(name)
        if column.dtype.kind == "M":
            raise UsageError(f"{self.path}: {name!r} is an array of dates; expected numbers")
        if column.dtype.kind != "U":
            return column
        words = self._words(column)
        odd = [not is_number(word) for word in words.words]
        wrong = np.array([*odd, False])[words.codes]
        if wrong.any():
            row = int(np.argmax(wrong))
            word = words.words[words.codes[row]]
            raise UsageError(f"{self.where(row)}, column {name!r}: {word!r} is not a number")
        return np.array([*map(float, words.words), np.nan])[words.codes]

    def _as_seconds(self, name: str) -> NDArray[np.float64]:
        """A column (rows,) of dates or their texts as seconds since 1970."""
        column = self._column(name)
        if column.dtype.kind == "M":
            column = column.astype("datetime64[us]")
        return self._read(column, name, DATETIME)[name]

    def _words(self, column: NDArray[Any]) -> Words:
        """A column of numbers, booleans or text as words."""
        return self._read(column, "column", CATEGORICAL).categorical["column"]

    def _read(self, column: NDArray[Any], name: str, kind: str) -> Frame:
        builder = FrameBuilder({name: kind}, self.reading.missing)
        builder.add({name: pa.array(column)})
        return builder.frame()
