"""Read a CSV file in one pass: detect the kinds of columns, report errors by row and column."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as pa_csv

from exprun.common.errors import CellError, NoFeature, UsageError, choices, list_override
from exprun.data import progress
from exprun.data.ahead import ahead
from exprun.data.builder import MOST_WORDS, BadCell, FrameBuilder, TooManyWords
from exprun.data.datetimes import mostly_datetimes
from exprun.data.frame import CATEGORICAL, DATETIME, NUMERIC, Frame, Words
from exprun.data.number_format import Ambiguous, NumberFormat, detect, format_of, unit_of
from exprun.data.read_options import AUTO, LABEL, Reading
from exprun.data.spelling import is_number
from exprun.data.text_file import TextFile

pa.set_io_thread_count(1)  # see ``_wait_for_reads``

BLOCK = 2**20
"""Bytes that are converted at once; at least LINES times the length of the first row."""

LINES = 16

FEW_WORDS = 10
"""Distinct words of numbers with a unit, like 12 %, above which they are no categories."""

SEEN = 1000
"""Number of first rows from which a column's kind is guessed."""


class CsvFile:
    """A CSV file as a source of columns. A column is numeric if half of its cells are numbers, or
    of dates if half of them are dates, and then all other cells are errors; otherwise it is
    categorical."""

    def __init__(self, path: str, reading: Reading) -> None:
        """Raises UsageError if it is not a CSV file or has no rows."""
        self.path = path
        self.file = TextFile(path, reading)
        self.names = self.file.names
        columns = None if reading.header else len(self.names)
        self.index = [name for name in self.names if re.fullmatch(r"Unnamed: \d+", name)]
        found = self.file.delimiter if reading.delimiter is None else ","
        names = {",": "", "\t": "tabs", ";": "semicolons", " ": "blanks"}
        by = names.get(found, repr(found))
        self.note = f"; separated by {by}" if by else ""
        if self.file.stray_lines:
            lines = "line" if self.file.stray_lines == 1 else f"{self.file.stray_lines} lines"
            self.note += f"; without the first {lines}, above the table"
        self.gaps = frozenset(["", *reading.missing])
        self.block = max(BLOCK, LINES * self.file.width)
        head = [cells for (_, cells), _ in zip(self.file.rows(), range(SEEN), strict=False)]
        if not head:
            raise UsageError(f"{path}: there is a header and no rows")
        self.head = [self._filled(head, place) for place in range(len(self.names))]
        self.ambiguous: Ambiguous | None = None
        self.format = self._number_format(reading)
        separators = self.format.decimal, self.format.thousands
        self.reading = Reading(
            reading.header, self.file.delimiter, reading.missing, columns, *separators
        )
        if (reading.decimal, reading.thousands) != separators and not self.format.is_plain:
            self.note += f"; numbers as with {self.format}"

    def _number_format(self, reading: Reading) -> NumberFormat:
        """How numbers are written, by ``reading`` and the first rows."""
        if reading.decimal is not None and reading.thousands is not None:
            return NumberFormat(reading.decimal, reading.thousands)
        try:
            return detect(self.head, reading.decimal, reading.thousands)
        except Ambiguous as error:
            self.ambiguous = error
            return NumberFormat()

    def _filled(self, rows: Sequence[Sequence[str]], place: int) -> list[str]:
        """The cells of a column that are not missing."""
        cells = (row[place].strip() for row in rows if place < len(row))
        return [cell for cell in cells if cell not in self.gaps]

    def missing_hint(self, name: str) -> str:
        """A hint for the message that there is no such column."""
        return self.file.header_hint

    def where(self, row: int) -> str:
        return self.file.where(row)

    def read(self, wanted: Mapping[str, str]) -> Frame:
        """Read the columns ``wanted``, by name with their kind: ``numeric``, ``categorical``,
        ``datetime``, ``auto``, or ``label`` (categorical unless it has too many different numbers).
        Raises UsageError."""
        unnamed = [name for name in self.file.nameless if name in wanted]
        if unnamed:
            raise UsageError(
                f"{self.path}: column {unnamed[0]} has no name in the header (an index?); leave it "
                f"out with {list_override('data.drop', [unnamed[0]])}"
            )
        self._refuse_ambiguous(wanted)
        kinds = {name: self._guess(name, kind) for name, kind in wanted.items()}
        as_words: set[str] = set()
        while True:
            try:
                frame = self._stream(kinds, wanted, as_words)
                break
            except TooManyWords as many:
                if not many.numbers:
                    raise too_many(self.path, many.column, wanted) from None
                kinds[many.column] = NUMERIC
            except BadCell as cell:
                raise self._fault(cell, wanted) from None
            except pa.ArrowInvalid as error:
                self._explain(error)
                for name, kind in self._odd(kinds, wanted).items():
                    kinds[name] = kind
                    as_words.add(name)
        for name, column in frame.categorical.items():
            if wanted[name] == AUTO:
                self._mostly_words(name, column)
        return frame

    def _refuse_ambiguous(self, wanted: Mapping[str, str]) -> None:
        """Raise UsageError if a wanted column has numbers that can be read in two ways."""
        found = self.ambiguous
        if found is None or wanted.get(self.names[found.column]) not in (AUTO, LABEL, NUMERIC):
            return
        ways = choices(f"{way} if it is {way.plain(found.cell)}" for way in found.formats)
        name = self.names[found.column]
        raise CellError(
            f"{self.path}: column {name!r} has numbers like {found.cell!r}; expected {ways}", name
        )

    def _guess(self, name: str, kind: str) -> str:
        if kind == LABEL:
            return CATEGORICAL
        if kind != AUTO:
            return kind
        filled = self.head[self.names.index(name)]
        if mostly_datetimes(filled):
            return DATETIME
        numbers = sum(self.format.is_number(cell) for cell in filled)
        return NUMERIC if 2 * numbers >= len(filled) else CATEGORICAL

    def _stream(
        self, kinds: Mapping[str, str], wanted: Mapping[str, str], words: set[str]
    ) -> Frame:
        bounded = [name for name in kinds if wanted[name] != CATEGORICAL]
        builder = FrameBuilder(kinds, self.reading.missing, bounded, self.format)
        texts = {*words, *(name for name, kind in kinds.items() if kind != NUMERIC)}
        if not self.format.is_plain:
            texts = {*kinds}
        types = {n: pa.string() if n in texts else pa.float64() for n in kinds}
        for batch in ahead(self._batches(types)):
            builder.add(batch)
        return builder.frame()

    def _batches(self, types: Mapping[str, pa.DataType]) -> Iterator[dict[str, pa.Array]]:
        """Yield these columns in batches of rows."""
        file, spaced = self.file, self.file.delimiter == " "
        with (
            progress.bar(self.path, file.bytes) as advance,
            open(self.path, "rb") as raw,  # noqa: PTH123
            file.open(raw) as unpacked,
        ):
            source: Any = _Spaced(unpacked) if spaced else unpacked
            try:
                reader = pa_csv.open_csv(
                    source,
                    read_options=pa_csv.ReadOptions(
                        column_names=self.names, skip_rows=file.skipped, block_size=self.block
                    ),
                    parse_options=pa_csv.ParseOptions(
                        delimiter=file.delimiter,
                        quote_char=False if spaced else '"',
                        newlines_in_values=not spaced,
                    ),
                    convert_options=pa_csv.ConvertOptions(
                        column_types=dict(types),
                        include_columns=list(types),
                        null_values=sorted(self.gaps),
                        strings_can_be_null=True,
                    ),
                )
                for batch in reader:
                    yield dict(zip(batch.schema.names, batch.columns, strict=True))
                    advance(raw.tell())
            finally:
                _wait_for_reads()

    def _explain(self, error: pa.ArrowInvalid) -> None:
        """Raise the UsageError for an Arrow error, unless it is about a cell that is not a
        number."""
        text = str(error)
        ragged = self.file.ragged()
        if ragged is not None:
            raise ragged from None
        if "UTF8" in text:
            raise self.file.not_utf8() from None
        if "conversion error" not in text:
            what = text.splitlines()[0]
            if "straddling" in text:
                what = f"a row of more than {self.block:,} bytes; is a quote not closed?"
            raise UsageError(f"{self.path}: {what}") from None

    def _odd(self, kinds: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
        """The columns guessed numeric that cannot be converted, with the kind to use instead;
        raises UsageError for one that is numeric nevertheless."""
        numeric = {name: pa.string() for name, kind in kinds.items() if kind == NUMERIC}
        counts = {name: np.zeros(2, dtype=np.int64) for name in numeric}
        first: dict[str, BadCell] = {}
        rows = 0
        try:
            for batch in self._batches(numeric):
                kind_of_all = dict.fromkeys(numeric, CATEGORICAL)
                builder = FrameBuilder(kind_of_all, self.reading.missing, (), self.format)
                builder.add(batch)
                for name, column in builder.frame().categorical.items():
                    number = _are_numbers(column)
                    counts[name] += [number.sum(), (~number & (column.codes >= 0)).sum()]
                    odd = np.flatnonzero(~number & (column.codes >= 0))
                    if len(odd) and name not in first:
                        word = column.words[column.codes[odd[0]]]
                        first[name] = BadCell(
                            rows + int(odd[0]), name, repr(word), "is not a number"
                        )
                rows += len(next(iter(batch.values())))
        except pa.ArrowInvalid as error:
            self._explain(error)
            raise
        changed = {}
        for name, (numbers, others) in counts.items():
            if others and wanted[name] == AUTO and numbers < others:
                changed[name] = CATEGORICAL
            elif others:
                raise self._fault(first[name], wanted)
            else:
                changed[name] = NUMERIC
        return changed

    def _mostly_words(self, name: str, column: Words) -> None:
        """Raise UsageError for a column guessed categorical whose cells are mostly numbers, or
        would be with decimal points."""
        number = _are_numbers(column)
        odd = ~number & (column.codes >= 0)
        if number.sum() >= odd.sum():
            row = int(np.argmax(odd))
            word = column.words[column.codes[row]]
            raise self._fault(BadCell(row, name, repr(word), "is not a number"), {name: AUTO})
        like = f"{self.path}: column {name!r} has numbers like {column.words[0]!r}"
        if (other := format_of(column.words)) is not None:
            raise CellError(
                f"{like}, as with {other}, and the file is read as with {self.format}; expected "
                "one format in all columns",
                name,
            )
        if len(column.words) > FEW_WORDS and (unit := unit_of(column.words)):
            declared = list_override("data.categorical", [name])
            raise CellError(f"{like}; expected them without {unit!r}, or {declared}", name)

    def _fault(self, cell: BadCell, wanted: Mapping[str, str]) -> UsageError:
        name = cell.column
        if cell.row == 0 and not self.reading.header:
            advice = "is the first row a header? data.header=true"
        elif wanted[name] == AUTO:
            others = [list_override(f"data.{key}", [name]) for key in ("categorical", "drop")]
            advice = f"if it means a missing value, add it to data.missing, else {choices(others)}"
        else:
            words = ", ".join(["a blank cell", *self.reading.missing])
            advice = f"a missing value is one of data.missing: {words}"
        written = repr(self.file.cell(cell.row, self.names.index(name)))
        where = f"{self.where(cell.row)}, column {name!r}"
        return CellError(f"{where}: {written} {cell.why}; {advice}", name)


def _are_numbers(column: Words) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether each cell is a number, (rows,); a missing value is not."""
    numbers = [is_number(word) for word in column.words]
    return np.array([*numbers, False])[column.codes]


def too_many(path: str, name: str, wanted: Mapping[str, str]) -> NoFeature:
    """The error for a column with a new word in most rows."""
    why = f"more than {MOST_WORDS} different words"
    said = (
        f"{path}: column {name!r} has {why}, as names, dates or texts have; leave it out with "
        f"{list_override('data.drop', [name])}"
    )
    if wanted.get(name) == LABEL:
        said = f"{path}: the target {name!r} has {why}; expected classes or numbers"
    return NoFeature(said, name, why)


def _wait_for_reads() -> None:
    """Wait until Arrow's only reading thread is done with what it reads ahead, after an error too:
    it calls Python's files, and a process that ends meanwhile is aborted.

    The same thread reads this, so afterwards, from memory that is Arrow's: to let go of Python's
    would be a call, too.
    """
    (_, _, memory) = pa.array(["x\n"]).buffers()
    pa_csv.open_csv(pa.BufferReader(memory))


class _Spaced(io.RawIOBase):
    """A stream that replaces each run of blanks by a single one."""

    def __init__(self, lines: IO[bytes]) -> None:
        self.lines, self.rest = lines, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self.rest:
            lines = self.lines.readlines(size)
            self.rest = b"".join(b" ".join(line.split()) + b"\n" for line in lines)
        first, self.rest = self.rest[:size], self.rest[size:]
        return first
