"""Named columns as read from a file: numbers and words with missing values, not yet split or
scaled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from exprun.data.packed import AT_ONCE, Packed

Rows = NDArray[np.int64]
"""Row numbers, (n,) int64."""

NUMERIC, CATEGORICAL, DATETIME = "numeric", "categorical", "datetime"
"""The kinds of columns."""


@dataclass(frozen=True)
class Words:
    """A categorical column: ``codes`` (rows,) int32 are indices into ``words``, -1 is missing."""

    codes: NDArray[np.int32]
    words: tuple[str, ...]

    @classmethod
    def of(cls, codes: NDArray[np.int32], words: Sequence[str]) -> Words:
        """Build from a list in which words may occur several times; duplicates are merged."""
        place = {word: k for k, word in enumerate(dict.fromkeys(words))}
        if len(place) == len(words):
            return cls(codes, tuple(words))
        lookup = np.array([*(place[word] for word in words), -1], dtype=np.int32)
        return cls(lookup[codes], tuple(place))

    def extended(self, more: Words) -> Words:
        """This column followed by the rows of another one."""
        words = tuple(dict.fromkeys([*self.words, *more.words]))
        place = {word: k for k, word in enumerate(words)}
        lookup = np.array([*(place[word] for word in more.words), -1], dtype=np.int32)
        return Words(np.concatenate([self.codes, lookup[more.codes]]), words)

    def spelled(self) -> NDArray[np.object_]:
        """The words (rows,), None for a missing value."""
        return np.array([*self.words, None], dtype=object)[self.codes]


@dataclass(frozen=True)
class Frame:
    """Rows of a file, column by column.

    ``names`` are the columns in their order. Numeric ones are stored together, ``numbers`` (rows,
    numeric columns): packed, or as an array in the dtype of the source (images stay bytes); floats
    have NaN for a missing value. ``categorical`` holds the others by name. Those in ``datetimes``
    are stored with the numeric ones, as seconds since 1970 (see ``datetimes``); those in ``zoned``
    have time zones.
    """

    names: tuple[str, ...]
    numbers: NDArray[Any] | Packed
    categorical: Mapping[str, Words] = field(default_factory=dict)
    datetimes: frozenset[str] = frozenset()
    zoned: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.numbers)

    @cached_property
    def places(self) -> dict[str, int]:
        """The index of each numeric column, and of those of dates, in ``numbers``."""
        numeric = (name for name in self.names if name not in self.categorical)
        return {name: place for place, name in enumerate(numeric)}

    def kind(self, name: str) -> str:
        """``numeric``, ``categorical`` or ``datetime``."""
        if name in self.categorical:
            return CATEGORICAL
        return DATETIME if name in self.datetimes else NUMERIC

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column (rows,): float64 with NaN, or words with None, for missing values."""
        if name in self.categorical:
            return self.categorical[name].spelled()
        return self.block([name], slice(None))[:, 0]

    def block(
        self, names: Sequence[str], rows: Rows | slice, order: Literal["C", "F"] = "C"
    ) -> NDArray[np.float64]:
        """A copy of some rows of some numeric columns, (rows, columns) float64, in C (row-major) or
        F (column-major) order."""
        places = [self.places[name] for name in names]
        if isinstance(self.numbers, Packed):
            return self.numbers.block(rows, places, order)
        if places and places == list(range(places[0], places[0] + len(places))):
            part = self.numbers[rows, places[0] : places[-1] + 1]
        else:
            part = self.numbers[rows][:, places]
        return np.array(part, dtype=np.float64, order=order)

    def runs(self) -> list[tuple[int, int]]:
        """First and last row, exclusive, of runs of rows of some MiB, one after the other."""
        if isinstance(self.numbers, Packed):
            return [*pairwise(self.numbers.starts)]
        step = max(1, AT_ONCE // max(1, len(self.places)))
        return [(first, min(first + step, len(self))) for first in range(0, len(self), step)]

    def release(self, row: int) -> None:
        """Give back the memory of the numbers of the run that begins at a row, if they are
        packed."""
        if isinstance(self.numbers, Packed):
            self.numbers.release(row)

    def gaps(self) -> dict[str, int]:
        """Number of missing values per column, only for columns that have some."""
        counts = {name: int((words.codes < 0).sum()) for name, words in self.categorical.items()}
        if isinstance(self.numbers, Packed):
            missed = self.numbers.gaps()
        elif self.numbers.dtype.kind == "f":
            parts = range(0, len(self), 4096)
            missed = sum(np.isnan(self.numbers[k : k + 4096]).sum(axis=0) for k in parts)
        else:
            missed = [0] * len(self.places)
        counts |= {name: int(missed[place]) for name, place in self.places.items()}
        return {name: counts[name] for name in self.names if counts.get(name)}

    def only(self, names: Sequence[str]) -> Frame:
        """The frame with only these columns; numbers are not copied if they are packed, or the
        first columns."""
        places = [self.places[name] for name in names if name in self.places]
        numbers = self.numbers
        if isinstance(numbers, Packed):
            numbers = numbers.only(places)
        elif places != list(range(numbers.shape[1])):
            first = places == list(range(len(places)))
            numbers = numbers[:, : len(places)] if first else numbers[:, places]
        categorical = {n: self.categorical[n] for n in names if n in self.categorical}
        datetimes, zoned = (kind & set(names) for kind in (self.datetimes, self.zoned))
        return Frame(tuple(names), numbers, categorical, datetimes, zoned)

    def taken(self, rows: Rows) -> Frame:
        """A copy of some of the rows."""
        categorical = {n: Words(w.codes[rows], w.words) for n, w in self.categorical.items()}
        numbers = self.numbers
        numbers = numbers.taken(rows) if isinstance(numbers, Packed) else numbers[rows]
        return Frame(self.names, numbers, categorical, self.datetimes, self.zoned)

    def extended(self, more: Frame) -> Frame:
        """This frame followed by the rows of another one with the same columns. This frame must not
        be used afterwards: if possible, its numbers grow in place."""
        numbers, rows = self.numbers, len(self)
        if isinstance(numbers, Packed) or isinstance(more.numbers, Packed):
            numbers = _packed(numbers).extended(_packed(more.numbers))
        elif numbers.dtype == more.numbers.dtype and numbers.flags.owndata:
            numbers.resize((rows + len(more), numbers.shape[1]), refcheck=False)
            numbers[rows:] = more.numbers
        else:
            numbers = np.concatenate([numbers, more.numbers])
        categorical = {
            name: words.extended(more.categorical[name]) for name, words in self.categorical.items()
        }
        return Frame(self.names, numbers, categorical, self.datetimes, self.zoned)


def _packed(numbers: NDArray[Any] | Packed) -> Packed:
    return numbers if isinstance(numbers, Packed) else Packed.of(numbers)
