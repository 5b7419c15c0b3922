"""Inspect the beginning of a text file with columns: its validity, delimiter and column names."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from exprun.common.errors import UsageError
from exprun.data.file_kinds import SEEN_BYTES, instead, option_for
from exprun.data.read_options import Reading

HEAD = 2**20
"""Number of bytes inspected before a file is read."""

SNIFFED = "\t;|, "
"""Delimiters to detect, in order of precedence. The semicolon precedes the comma, because files
separated by semicolons often have decimal commas."""

DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "space": " "}
"""Names of delimiters; any other character stands for itself."""

SNIFFED_LINES = 100

SIGNATURES = {
    b"PK\x03\x04": "a ZIP archive; expected the file in it",
    b"PAR1": "a Parquet file; expected data=parquet",
    b"ARROW1": "an Arrow or Feather file; expected data=arrow",
    b"\x93NUMPY": "a NumPy array; expected an .npz file and data=npz",
    b"SQLite format": "an SQLite database; expected a CSV file exported from it",
    b"%PDF": "a PDF document; expected a CSV file",
    b"\xff\xfe": "UTF-16 text; convert it, for example with iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "UTF-16 text; convert it, for example with iconv -f UTF-16 -t UTF-8",
}
"""First bytes of files in other formats, with the names of these."""


OTHERS = {"npz": "an .npz file", "xlsx": "an Excel workbook", "arff": "an ARFF file"}
"""Files that other options of ``data`` read and whose first bytes alone do not tell."""

GZIP, ZSTD = "gzip", "zstd"

COMPRESSIONS = {b"\x1f\x8b": GZIP, b"\x28\xb5\x2f\xfd": ZSTD}
"""First bytes of compressed files."""

MOST_STRAY_LINES = 10
"""Maximum number of lines above the table, such as titles and comments."""


class TextFile:
    """A CSV file, possibly compressed with gzip or zstd: the ``names`` of its columns, its
    ``delimiter``, the number ``skipped`` of lines before the first row, and ``width``, the
    approximate bytes of a row. Raises UsageError if it is not a CSV file."""

    def __init__(self, path: str, reading: Reading) -> None:
        self.path = path
        self.reading = reading
        try:
            self.bytes = Path(path).stat().st_size
            with Path(path).open("rb") as file:
                start = file.read(4)
            self.compression = next(
                (name for bytes_, name in COMPRESSIONS.items() if start.startswith(bytes_)), None
            )
            with self.open() as lines:
                head = lines.read(HEAD)
        except FileNotFoundError:
            raise UsageError(f"{path}: no such file") from None
        except IsADirectoryError:
            raise UsageError(f"{path}: is a folder; expected a file") from None
        except (OSError, EOFError) as error:  # EOFError: a truncated gzip file
            strerror = getattr(error, "strerror", None)
            raise UsageError(f"{path}: cannot be read: {strerror or error}") from None
        self._refuse_others(head)
        text = self._decoded(head)
        self.width = max(map(len, head.splitlines()[:2]))
        self.delimiter = reading.delimiter or sniff(text)
        self.stray_lines = self._stray_lines(text)
        self._refuse_stray_line(text)
        self.names = self._names(text)

    def _refuse_others(self, head: bytes) -> None:
        start = head.lstrip()[:200].lower()
        if not start:
            raise UsageError(f"{self.path}: is empty")
        if self.compression and head.startswith((b"PAR1", b"PK", b"ARROW1")):
            raise UsageError(f"{self.path}: is no compressed text; unpack it before")
        option = option_for(head[:SEEN_BYTES])
        if option in OTHERS:
            raise UsageError(f"{self.path}: is {OTHERS[option]}; expected data={option}")
        for signature, what in SIGNATURES.items():
            if head.startswith(signature):
                raise UsageError(f"{self.path}: is {what}")
        if b"\x00" in head:
            expected = instead(head[:SEEN_BYTES]) or "; expected text"
            raise UsageError(f"{self.path}: is a binary file{expected}")
        if re.match(rb"(\xef\xbb\xbf)?(<!doctype|<html|<\?xml)", start):
            raise UsageError(
                f"{self.path}: is an HTML or XML page, not a CSV file; was it downloaded from "
                "behind a login?"
            )
        if re.match(rb'[{\[]\s*["{\[]', start):
            raise UsageError(f"{self.path}: is JSON; expected a CSV file")

    def _refuse_stray_line(self, text: str) -> None:
        """Raise UsageError if the first line has another number of cells than all following ones,
        so that it cannot be the header."""
        rows = (len(cells) for cells in self._reader(self._lines(text)) if cells)
        first, *others = itertools.islice(rows, SNIFFED_LINES)
        if len(others) < 3 or len(set(others)) > 1 or first == others[0] or others[0] == 1:
            return
        differ = f"its first line has {_cells(first)}, the next {len(others)} have {others[0]} each"
        if 1 < first == others[0] - 1:
            what = "are the first ones row names, as R writes them? write.table(…, row.names=FALSE)"
        else:
            what = "is it a title or a comment? leave it out: tail -n +2"
        raise UsageError(f"{self.path}: {differ}; {what}")

    def _stray_lines(self, text: str) -> int:
        """The number of lines above the table: the first ones of a single cell each, if all
        following rows have equally many cells, two or more."""
        reader = self._reader(io.StringIO(text, newline=""))
        found = [(len(cells), reader.line_num) for cells in reader if cells][:SNIFFED_LINES]
        single = list(itertools.takewhile(lambda row: row[0] == 1, found))[:MOST_STRAY_LINES]
        following = {count for count, _ in found[len(single) :]}
        table = len(found) >= len(single) + 3 and len(following) == 1 and following != {1}
        return single[-1][1] if single and table else 0

    def _lines(self, text: str) -> IO[str]:
        """The lines of the table."""
        lines = io.StringIO(text, newline="")
        for _ in range(self.stray_lines):
            lines.readline()
        return lines

    def _decoded(self, head: bytes) -> str:
        """The complete lines of the head as text."""
        whole = head if len(head) < HEAD else head[: head.rfind(b"\n") + 1] or head
        try:
            return whole.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise self.not_utf8() from None

    def _names(self, text: str) -> list[str]:
        reader = self._reader(self._lines(text))
        first = next((cells for cells in reader if cells), None)
        if first is None:
            raise UsageError(f"{self.path}: is empty")
        by_position = [str(k) for k in range(1, len(first) + 1)]
        self.first = [cell.strip() for cell in first]
        if not self.reading.header:
            self.skipped = self.stray_lines
            return by_position
        self.skipped = self.stray_lines + reader.line_num
        names = [name or at for name, at in zip(self.first, by_position, strict=True)]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise UsageError(
                f"{self.path}: the column {twice[0]!r} stands twice in the header{self.header_hint}"
            )
        return names

    @property
    def header_hint(self) -> str:
        """A hint for a first line that cannot be the header."""
        better = sniff(self.first[0]) if len(self.first) == 1 else self.delimiter
        if better != self.delimiter and better in self.first[0]:
            return f"; the columns seem to be separated by {better!r}, not {self.delimiter!r}"
        numbers = sum(cell.replace(".", "").replace("-", "").isdigit() for cell in self.first)
        if not self.reading.header or numbers < len(self.first):
            return ""
        last = len(self.first)
        return f"; the first row is numbers: data.header=false names the columns 1 to {last}"

    @property
    def nameless(self) -> list[str]:
        """The columns without a name in the header, named by position."""
        if not self.reading.header:
            return []
        return [name for name, cell in zip(self.names, self.first, strict=True) if not cell]

    def open(self, raw: IO[bytes] | None = None) -> IO[bytes]:
        """Open the text as decompressed bytes; ``raw`` is the file if it is already open."""
        if self.compression == GZIP:
            return gzip.open(raw or self.path)  # type: ignore[return-value]
        if self.compression == ZSTD:
            unpacked = pa.input_stream(raw or self.path, compression=ZSTD)
            return io.BufferedReader(unpacked)
        return raw or Path(self.path).open("rb")

    def _reader(self, lines: IO[str]) -> Any:
        """A ``csv.reader``, or an equivalent for runs of blanks."""
        if self.delimiter == " ":
            return _SpacedReader(lines)
        return csv.reader(lines, delimiter=self.delimiter)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield every row after the header: the number of the line in which it ends, and its cells.
        Slow; used to locate errors."""
        csv.field_size_limit(2**31 - 1)
        with self.open() as file, io.TextIOWrapper(file, "utf-8-sig", "replace", newline="") as t:
            for _ in range(self.stray_lines):
                t.readline()
            reader, above = self._reader(t), self.stray_lines
            filled = ((above + reader.line_num, cells) for cells in reader if cells)
            yield from itertools.islice(filled, int(self.reading.header), None)

    def where(self, row: int) -> str:
        """Path and line, as numbered in an editor, of a row counted from 0 after the header."""
        line = next(itertools.islice(self.rows(), row, None))[0]
        return f"{self.path}: row {line}"

    def cell(self, row: int, column: int) -> str:
        """The text of a cell without surrounding blanks; row 0 is the first after the header."""
        return next(itertools.islice(self.rows(), row, None))[1][column].strip()

    def ragged(self) -> UsageError | None:
        """The error for the first row with too many or too few cells; None if there is none."""
        expected = len(self.names)
        for line, cells in self.rows():
            if len(cells) != expected:
                of = "the header" if self.reading.header else "the first row"
                quote = "; is a quote not closed?" if any("\n" in cell for cell in cells) else ""
                said = f"row {line} has {_cells(len(cells))}; {of} has {expected}{quote}"
                return UsageError(f"{self.path}: {said}")
        return None

    def not_utf8(self) -> UsageError:
        with self.open() as file:
            line = next(number for number, line in enumerate(file, 1) if not _is_utf8(line))
        return UsageError(
            f"{self.path}: row {line} is not UTF-8 text; convert the file, for example with "
            "iconv -f latin1 -t UTF-8"
        )


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


class _SpacedReader:
    """``csv.reader`` for columns separated by runs of blanks."""

    def __init__(self, lines: IO[str]) -> None:
        self.lines, self.line_num = lines, 0

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        self.line_num += 1
        return next(self.lines).split()


def sniff(text: str) -> str:
    """The delimiter with which most of the first lines have as many cells as the first one; if
    there is none, as many as the second one."""
    lines = [line for line in text.splitlines()[:SNIFFED_LINES] if line.strip()]
    found = _best_delimiter(lines) or _best_delimiter(lines[1:])
    above = range(2, min(MOST_STRAY_LINES, len(lines) - 3) + 1)
    return found or next(filter(None, (_best_delimiter(lines[k:], 1.0) for k in above)), ",")


def _best_delimiter(lines: list[str], least: float = 0.5) -> str | None:
    """The delimiter with which the largest share of the lines, above 0.5 and at least ``least``,
    has as many cells as the first one."""
    best, most = None, 0.5
    for delimiter in SNIFFED:
        spaced = delimiter == " "
        rows = map(str.split, lines) if spaced else csv.reader(lines, delimiter=delimiter)
        counts = [len(cells) for cells in rows]
        share = counts.count(counts[0]) / len(counts) if counts and counts[0] > 1 else 0
        if share > most and share >= least:
            best, most = delimiter, share
    return best
