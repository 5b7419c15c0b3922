"""Reading the arrays of a file of NumPy's ``savez``."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprun.common.errors import UsageError
from exprun.data.frame import CATEGORICAL, Frame, Words
from exprun.data.read_options import AUTO, LABEL, Reading


class NpzFile:
    """Arrays of the same length as columns; one of more dimensions is a column for each number of
    its rows, ``x_0``, ``x_1``, … Pickled objects are not read: they could be code."""

    def __init__(self, path: str) -> None:
        """Raises UsageError if it is no such file, or the arrays are not columns of one table."""
        self.path = path
        self.reading, self.note = Reading(), ""
        try:
            with Path(path).open("rb") as raw:
                file = np.load(raw, allow_pickle=False)
                if not isinstance(file, np.lib.npyio.NpzFile):
                    raise UsageError(f"{path}: is not an .npz file")
                self.arrays = {name: np.asarray(file[name]) for name in file.files}
        except FileNotFoundError:
            raise UsageError(f"{path}: no such file") from None
        except IsADirectoryError:
            raise UsageError(f"{path}: is a folder; expected a file") from None
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            raise UsageError(f"{path}: is not an .npz file, or is damaged: {error}") from None
        except (ValueError, TypeError, AttributeError) as error:
            if "pickle" in str(error):
                raise UsageError(
                    f"{path}: has pickled objects, or is not an .npz file; expected plain arrays "
                    "of numbers or text"
                ) from None
            raise UsageError(f"{path}: is not an .npz file: {error}") from None
        self._check()
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
            if array.dtype.kind not in "biufU":
                raise UsageError(
                    f"{self.path}: {name!r} is an array of {array.dtype}; expected numbers or text"
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
        """See ``CsvFile.read``. An array that is all the numbers is not copied."""
        numeric, categorical = [], {}
        for name, kind in wanted.items():
            column = self._column(name)
            number = column.dtype.kind in "iuf"
            few = kind != LABEL or not number or column.dtype.kind in "iu"
            if kind == CATEGORICAL or (kind == AUTO and not number) or (kind == LABEL and few):
                categorical[name] = _words(column)
            elif not number:
                raise UsageError(f"{self.path}: column {name!r} is text; expected numbers")
            else:
                numeric.append(name)
        sources = {self.places[name][0] for name in numeric}
        whole = next((a for key, a in self.arrays.items() if {key} == sources), np.empty((0, 0)))
        if whole.ndim == 2 and whole.shape[1] == len(numeric):
            numbers = whole
        else:
            columns = [self._column(name) for name in numeric]
            rows = len(next(iter(self.arrays.values())))
            numbers = np.stack(columns, axis=1) if columns else np.empty((rows, 0))
        self._check_finite(numbers, numeric)
        return Frame(tuple(wanted), numbers, categorical)

    def _check_finite(self, numbers: NDArray[Any], names: list[str]) -> None:
        if numbers.dtype.kind != "f":
            return
        for place, name in enumerate(names):
            infinite = np.isinf(numbers[:, place])
            if infinite.any():
                row = int(np.argmax(infinite))
                value = numbers[row, place]
                raise UsageError(f"{self.where(row)}, column {name!r}: {value} is not finite")


def _words(column: NDArray[Any]) -> Words:
    """Numbers, booleans or text as words; a blank text, or nan, is a gap."""
    distinct, codes = np.unique(column, return_inverse=True)
    words = [str(word).strip() for word in distinct.tolist()]
    gaps = {"", "nan"}
    places = {word: k for k, word in enumerate(dict.fromkeys(w for w in words if w not in gaps))}
    lookup = np.array([places.get(word, -1) for word in words], dtype=np.int32)
    return Words(lookup[codes.reshape(-1)], tuple(places))
