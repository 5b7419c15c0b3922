"""A table of numbers in half of the memory of float64, where that loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from exprun.common.elementary import Numbers
from exprun.data.storage import allocate, is_streamed, will_need

AT_ONCE = 2**20
"""Numbers of a chunk, 8 MiB as float64."""

MOST_DIGITS = 9
"""Most digits after the decimal point of numbers that are tried as whole ones."""

GAP = np.iinfo(np.int32).min
"""What stands for NaN among whole numbers."""

LARGEST_WHOLE = 2.0**31 - 1

HEAD = 64
"""First numbers of a column in a chunk, which mostly tell how all of them can be kept."""


@dataclass(frozen=True)
class Column:
    """A column of a chunk, (rows,): float32, float64, or int32 to be divided by 10 **
    ``digits``. ``gaps`` of the numbers are missing."""

    values: NDArray[Any]
    digits: int
    gaps: int

    @classmethod
    def of(cls, values: Numbers, digits: int) -> Column:
        """The smallest exact form of the values; ``digits`` is the least number of digits after
        the decimal point that is tried."""
        missed = np.isnan(values)
        gaps = int(np.count_nonzero(missed))
        filled = np.where(missed, 0.0, values) if gaps else values
        if _is_single(filled[:HEAD]) and _is_single(filled):
            return cls(values.astype(np.float32), 0, gaps)
        largest = float(np.abs(filled).max())
        while digits <= MOST_DIGITS and largest * 10**digits <= LARGEST_WHOLE:
            if _has(filled[:HEAD], digits) and _has(filled, digits):
                whole = np.rint(filled * 10.0**digits).astype(np.int32)
                if gaps:
                    whole[missed] = GAP
                return cls(whole, digits, gaps)
            digits += 1
        return cls(values, 0, gaps)

    def numbers(self, rows: NDArray[np.int64]) -> Numbers:
        """Some of the values as float64, (rows,)."""
        values = self.values[rows]
        if values.dtype != np.int32:
            return values.astype(np.float64)
        numbers: Numbers = values / 10.0**self.digits
        if self.gaps:
            numbers[values == GAP] = np.nan
        return numbers


def _is_single(values: Numbers) -> bool:
    """Whether all values are float32 numbers."""
    return bool((values.astype(np.float32) == values).all())


def _has(values: Numbers, digits: int) -> bool:
    """Whether all values are whole numbers divided by 10 ** digits.

    The quotient of two exact numbers is the float64 nearest to the decimal, which is also what a
    reader of text gives (Clinger 1990, "How to read floating point numbers accurately").
    """
    power = 10.0**digits
    return bool((np.rint(values * power) / power == values).all())


class Packed:
    """A growing table of numbers (rows, columns) float64, with NaN for a missing one, kept in
    chunks of rows that can be given back one by one.

    Columns have four bytes a number in a chunk of which all numbers are float32, or decimals of at
    most nine digits.
    """

    dtype = np.dtype(np.float64)

    def __init__(self, columns: int) -> None:
        self.width = columns
        self.streamed = is_streamed()
        self.chunks: list[tuple[Column, ...] | None] = []
        self.starts = [0]
        """The first row of each chunk, and the number of rows."""
        self.digits = [0] * columns
        self.filled = 0
        self.open = np.empty((columns, max(1, AT_ONCE // max(1, columns))))

    @classmethod
    def of(cls, numbers: NDArray[Any]) -> Packed:
        """The numbers (rows, columns)."""
        made = cls(numbers.shape[1])
        step = made.open.shape[1]
        for first in range(0, len(numbers), step):
            part = numbers[first : first + step]
            made.append(len(part), part.T)
        return made.closed()

    @property
    def shape(self) -> tuple[int, int]:
        return self.starts[-1], self.width

    def __len__(self) -> int:
        return self.starts[-1]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The numbers (rows, columns) as NumPy's functions take them."""
        return self.block(slice(None), range(self.width)).astype(dtype or self.dtype, copy=False)

    def append(self, rows: int, columns: Sequence[NDArray[Any]] | NDArray[Any]) -> None:
        """Append so many rows, column by column (rows,)."""
        done = 0
        while done < rows:
            some = min(self.open.shape[1] - self.filled, rows - done)
            for place, column in enumerate(columns):
                self.open[place, self.filled : self.filled + some] = column[done : done + some]
            self.filled += some
            done += some
            if self.filled == self.open.shape[1]:
                self._pack()

    def closed(self) -> Packed:
        """The table with all rows, to which none will be appended."""
        if self.filled:
            self._pack()
        self.open = np.empty((self.width, 0))
        return self

    def _pack(self) -> None:
        """Move the collected rows into a chunk of its own pages, which the system gets back as soon
        as the chunk is released."""
        rows = self.open[:, : self.filled]
        found = [Column.of(v, d) for v, d in zip(rows, self.digits, strict=True)]
        self.digits = [column.digits for column in found]
        sizes = [-(-column.values.nbytes // 8) * 8 for column in found]
        pages, at, kept = allocate(sum(sizes)), 0, []
        for column, size in zip(found, sizes, strict=True):
            values = np.frombuffer(pages, column.values.dtype, self.filled, at)
            values[:] = column.values
            kept.append(Column(values, column.digits, column.gaps))
            at += size
        self.chunks.append(tuple(kept))
        self.starts.append(self.starts[-1] + self.filled)
        self.filled = 0

    def block(
        self, rows: NDArray[np.int64] | slice, places: Sequence[int], order: Literal["C", "F"] = "C"
    ) -> Numbers:
        """Some rows of some columns, (rows, columns) float64."""
        wanted = np.arange(len(self))[rows]
        turn = None
        if (np.diff(wanted) < 0).any():
            turn = np.argsort(wanted, kind="stable")
            wanted = wanted[turn]
        found = np.empty((len(wanted), len(places)), order=order)
        ends = np.searchsorted(wanted, self.starts)
        needed = np.flatnonzero(np.diff(ends))
        if self.streamed:
            for some in filter(None, (self.chunks[k] for k in needed)):
                for place in places:
                    will_need(some[place].values)
        for k in needed:
            part, chunk = slice(ends[k], ends[k + 1]), self.chunks[k]
            assert chunk is not None, "the rows have been released"
            within = wanted[part] - self.starts[k]
            for j, place in enumerate(places):
                found[part, j] = chunk[place].numbers(within)
        if turn is not None:
            found[turn] = found.copy()
        return found

    def gaps(self) -> list[int]:
        """Number of missing values in each column."""
        chunks = [chunk for chunk in self.chunks if chunk is not None]
        return [sum(chunk[place].gaps for chunk in chunks) for place in range(self.width)]

    def only(self, places: Sequence[int]) -> Packed:
        """These columns, not copied."""
        made = Packed(len(places)).closed()
        made.starts = self.starts
        made.chunks = [chunk and tuple(chunk[place] for place in places) for chunk in self.chunks]
        return made

    def taken(self, rows: NDArray[np.int64]) -> Packed:
        """A copy of some of the rows."""
        made = Packed(self.width)
        step = made.open.shape[1]
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            made.append(len(part), self.block(part, range(self.width)).T)
        return made.closed()

    def extended(self, more: Packed) -> Packed:
        """These rows followed by those of another table, not copied."""
        made = self.only(range(self.width))
        made.chunks += more.chunks
        made.starts = [*self.starts, *(len(self) + start for start in more.starts[1:])]
        return made

    def release(self, row: int) -> None:
        """Give back the memory of the chunk that begins at a row."""
        self.chunks[self.starts.index(row)] = None
