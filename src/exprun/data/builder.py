"""Build a frame from batches of Arrow columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from exprun.common.memory import trim
from exprun.data.arrow_arrays import floats, missing, numbers
from exprun.data.datetimes import NoDate, has_zones, seconds
from exprun.data.frame import CATEGORICAL, DATETIME, Frame, Words
from exprun.data.number_format import NumberFormat
from exprun.data.packed import Packed
from exprun.data.spelling import is_number, spellings

LARGEST = float(np.finfo(np.float32).max)
"""The largest number allowed in data, because networks compute in float32."""

MOST_WORDS = 10_000
"""Maximum number of distinct words in a column not declared categorical; more are probably names
or dates."""


class BadCell(Exception):
    """An invalid cell; ``row`` counts from 0, ``why`` is a phrase like ``is not a number``."""

    def __init__(self, row: int, column: str, cell: str, why: str) -> None:
        super().__init__(f"{cell} {why}")
        self.row, self.column, self.cell, self.why = row, column, cell, why


class TooManyWords(Exception):
    """A column has more than MOST_WORDS words; ``numbers`` says whether all are numbers."""

    def __init__(self, column: str, numbers: bool) -> None:
        super().__init__(column)
        self.column, self.numbers = column, numbers


class FrameBuilder:
    """Collects batches of columns, whose kinds are given by name: numeric ones and dates packed,
    categorical ones as codes.

    Missing values are the words in ``missing``, compared without surrounding blanks, numbers equal
    to one in it, NaN and null. ``bounded`` are the categorical columns that may have at most
    MOST_WORDS distinct words. ``number_format`` is that of texts of numbers.
    """

    def __init__(
        self,
        kinds: Mapping[str, str],
        missing: Sequence[str],
        bounded: Sequence[str] = (),
        number_format: NumberFormat | None = None,
    ) -> None:
        self.format = number_format or NumberFormat()
        self.names, self.bounded = tuple(kinds), bounded
        self.categorical = [name for name, kind in kinds.items() if kind == CATEGORICAL]
        self.numeric = [name for name, kind in kinds.items() if kind != CATEGORICAL]
        self.datetimes = frozenset(name for name, kind in kinds.items() if kind == DATETIME)
        self.gaps = frozenset(["", *missing])
        self.gap_numbers = missing_numbers(missing)
        self.rows = 0
        self.numbers = Packed(len(self.numeric))
        self.codes: dict[str, list[NDArray[np.int32]]] = {name: [] for name in self.categorical}
        self.zones: dict[str, bool] = {}  # whether the times of a column have zones
        self.words: dict[str, dict[str, int]] = {name: {} for name in self.categorical}

    def add(self, batch: Mapping[str, pa.Array]) -> None:
        """Append a batch of columns. Raises BadCell or TooManyWords."""
        rows = len(next(iter(batch.values())))
        columns = []
        for name in self.numeric:
            read = self._datetimes if name in self.datetimes else self._numbers
            columns.append(read(batch[name], name))
            check_size(columns[-1], name, self.rows)
        self.numbers.append(rows, columns)
        for name in self.categorical:
            self.codes[name].append(self._codes(batch[name], name))
        self.rows += rows

    def _numbers(self, column: pa.Array, name: str) -> NDArray[np.float64]:
        """The values (rows,) of a column of numbers or of their texts, with NaN for missing
        ones."""
        column = plain(column)
        if pa.types.is_string(column.type):
            column = self._without_gaps(column)
            odd = pc.invert(pc.match_substring_regex(column, f"^({self.format.pattern})$"))
            row = pc.index(odd, True).as_py()
            if row >= 0:
                raise BadCell(self.rows + row, name, repr(column[row].as_py()), "is not a number")
            column = self.format.plain_column(column)
        values = floats(pc.cast(column, pa.float64(), safe=False))
        if self.gap_numbers:
            values = np.where(np.isin(values, self.gap_numbers), np.nan, values)
        return values

    def _datetimes(self, column: pa.Array, name: str) -> NDArray[np.float64]:
        """The seconds since 1970 (rows,) of a column of dates or their texts."""
        column = plain(column)
        if pa.types.is_string(column.type):
            column = self._without_gaps(column)
        if name not in self.zones and (zones := has_zones(column)) is not None:
            self.zones[name] = zones
        try:
            return seconds(column, self.zones.get(name))
        except NoDate as error:
            cell = repr(column[error.row].as_py())
            raise BadCell(self.rows + error.row, name, cell, error.why) from None

    def _without_gaps(self, column: pa.Array) -> pa.Array:
        trimmed = pc.utf8_trim_whitespace(column)
        gap = pc.is_in(trimmed, pa.array(sorted(self.gaps)))
        return pc.if_else(gap, pa.scalar(None, pa.string()), trimmed)

    def _codes(self, column: pa.Array, name: str) -> NDArray[np.int32]:
        """Indices (rows,) of the words in the column's dictionary, to which new ones are added."""
        column = plain(column)
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        encoded = pc.dictionary_encode(pc.cast(column, pa.string()))
        known = self.words[name]
        stripped = self._plain_words(encoded, name)
        codes = [
            -1 if self._is_gap(word) else known.setdefault(word, len(known)) for word in stripped
        ]
        if name in self.bounded and len(known) > MOST_WORDS:
            raise TooManyWords(name, all(map(is_number, known)))
        places, missed = numbers(encoded.indices), missing(encoded.indices)
        if missed is not None:
            places = np.where(missed, len(codes), places)
        found: NDArray[np.int32] = np.array([*codes, -1], dtype=np.int32)[places]
        return found

    def _plain_words(self, encoded: pa.DictionaryArray, name: str) -> Iterator[str]:
        """Yield the words of the dictionary without blanks around them, numbers as in a program."""
        for code, word in enumerate(encoded.dictionary.to_pylist()):
            try:
                yield self.format.plain(word.strip())
            except ValueError:
                row = self.rows + pc.index(encoded.indices, code).as_py()
                raise BadCell(row, name, repr(word), "is not a number in this format") from None

    def _is_gap(self, word: str) -> bool:
        if word in self.gaps:
            return True
        return bool(self.gap_numbers) and is_number(word) and float(word) in self.gap_numbers

    def frame(self) -> Frame:
        """The collected rows; ends the builder."""
        numbers = self.numbers.closed()
        pa.default_memory_pool().release_unused()
        trim()
        none: list[Any] = [np.empty(0, np.int32)]
        categorical = {
            name: Words.of(np.concatenate(self.codes[name] or none), spellings([*self.words[name]]))
            for name in self.categorical
        }
        zoned = frozenset(name for name, zones in self.zones.items() if zones)
        return Frame(self.names, numbers, categorical, self.datetimes, zoned)


def missing_numbers(missing: Sequence[str]) -> list[float]:
    """The numbers, including infinities, among the words that stand for missing values."""
    return [float(word) for word in missing if is_number(word) or word.lower() in INFINITIES]


INFINITIES = ("inf", "+inf", "-inf", "infinity", "+infinity", "-infinity")


def plain(column: pa.Array) -> pa.Array:
    """A dictionary column decoded, and every text type as ``string``; others are unchanged."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return pc.cast(column, pa.string()) if is_text(column.type) else column


def is_text(type_: pa.DataType) -> bool:
    """Whether it is one of Arrow's text types, of which pandas writes several."""
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(kind(type_) for kind in kinds)


def check_size(values: NDArray[Any], name: str, first: int = 0) -> None:
    """Raise BadCell at the first of the values (rows,) that is too large for float32; ``first`` is
    the row number of ``values[0]``."""
    large = np.abs(values) > LARGEST
    if large.any():
        row = int(np.argmax(large))
        finite = np.isfinite(values[row])
        why = f"is too large for 32 bits, above {LARGEST:.2g}" if finite else "is not finite"
        raise BadCell(first + row, name, f"{values[row]:g}", why)
