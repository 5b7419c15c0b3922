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

from exprun.common.errors import UsageError
from exprun.data.file_kinds import instead, option_for
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
    b"PK\x03\x04": "a ZIP archive or an Excel workbook; expected a CSV file exported from it",
    b"PAR1": "a Parquet file; expected data=parquet",
    b"\x93NUMPY": "a NumPy array; expected an .npz file and data=npz",
    b"SQLite format": "an SQLite database; expected a CSV file exported from it",
    b"%PDF": "a PDF document; expected a CSV file",
    b"\xff\xfe": "UTF-16 text; convert it, for example with iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "UTF-16 text; convert it, for example with iconv -f UTF-16 -t UTF-8",
}
"""First bytes of files in other formats, with the names of these."""


class TextFile:
    """A CSV file, possibly gzip'd: the ``names`` of its columns, its ``delimiter``, the number
    ``skipped`` of lines before the first row, and ``width``, the approximate bytes of a row. Raises
    UsageError if it is not a CSV file."""

    def __init__(self, path: str, reading: Reading) -> None:
        self.path = path
        self.reading = reading
        try:
            self.bytes = Path(path).stat().st_size
            with Path(path).open("rb") as file:
                self.zipped = file.read(2) == b"\x1f\x8b"
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
        self._refuse_stray_line(text)
        self.names = self._names(text)

    def _refuse_others(self, head: bytes) -> None:
        start = head.lstrip()[:200].lower()
        if not start:
            raise UsageError(f"{self.path}: is empty")
        if self.zipped and head.startswith((b"PAR1", b"PK")):
            raise UsageError(f"{self.path}: is no gzip'd text; unpack it before: gunzip")
        if option_for(head[:200]) == "npz":
            raise UsageError(f"{self.path}: is an .npz file; expected data=npz")
        for signature, what in SIGNATURES.items():
            if head.startswith(signature):
                raise UsageError(f"{self.path}: is {what}")
        if b"\x00" in head:
            expected = instead(head[:200]) or "; expected text"
            raise UsageError(f"{self.path}: is a binary file{expected}")
        if re.match(rb"(\xef\xbb\xbf)?(<!doctype|<html|<\?xml)", start):
            raise UsageError(
                f"{self.path}: is an HTML or XML page, not a CSV file; was it downloaded from "
                "behind a login?"
            )
        if re.match(rb"(%[^\n]*\n|\s)*@relation\b", head.lstrip(b"\xef\xbb\xbf"), re.IGNORECASE):
            raise UsageError(
                f"{self.path}: is an ARFF file; expected the rows after its @data line as a CSV "
                "file, with data.header=false"
            )
        if re.match(rb'[{\[]\s*["{\[]', start):
            raise UsageError(f"{self.path}: is JSON; expected a CSV file")

    def _refuse_stray_line(self, text: str) -> None:
        """Raise UsageError if the first line has another number of cells than all following ones,
        so that it cannot be the header."""
        reader = self._reader(io.StringIO(text, newline=""))
        rows = (len(cells) for cells in reader if cells)
        first, *others = itertools.islice(rows, SNIFFED_LINES)
        if len(others) < 3 or len(set(others)) > 1 or first == others[0] or others[0] == 1:
            return
        differ = f"its first line has {_cells(first)}, the next {len(others)} have {others[0]} each"
        if 1 < first == others[0] - 1:
            what = "are the first ones row names, as R writes them? write.table(…, row.names=FALSE)"
        else:
            what = "is it a title or a comment? leave it out: tail -n +2"
        raise UsageError(f"{self.path}: {differ}; {what}")

    def _decoded(self, head: bytes) -> str:
        """The complete lines of the head as text."""
        whole = head if len(head) < HEAD else head[: head.rfind(b"\n") + 1] or head
        try:
            return whole.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise self.not_utf8() from None

    def _names(self, text: str) -> list[str]:
        reader = self._reader(io.StringIO(text, newline=""))
        first = next((cells for cells in reader if cells), None)
        if first is None:
            raise UsageError(f"{self.path}: is empty")
        by_position = [str(k) for k in range(1, len(first) + 1)]
        self.first = [cell.strip() for cell in first]
        if not self.reading.header:
            self.skipped = 0
            return by_position
        self.skipped = reader.line_num
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
        if self.zipped:
            return gzip.open(raw or self.path)  # type: ignore[return-value]
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
            reader = self._reader(t)
            filled = ((reader.line_num, cells) for cells in reader if cells)
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
    return _best_delimiter(lines) or _best_delimiter(lines[1:]) or ","


def _best_delimiter(lines: list[str]) -> str | None:
    best, most = None, 0.5
    for delimiter in SNIFFED:
        spaced = delimiter == " "
        rows = map(str.split, lines) if spaced else csv.reader(lines, delimiter=delimiter)
        counts = [len(cells) for cells in rows]
        share = counts.count(counts[0]) / len(counts) if counts and counts[0] > 1 else 0
        if share > most:
            best, most = delimiter, share
    return best
