"""Files whose columns have types: what their readers have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from exprun.common.errors import CellError, NoFeature, UsageError, list_override
from exprun.data import progress
from exprun.data.ahead import ahead
from exprun.data.builder import BadCell, FrameBuilder, TooManyWords, is_text, plain
from exprun.data.csv_file import SEEN, too_many
from exprun.data.datetimes import mostly_datetimes
from exprun.data.frame import CATEGORICAL, DATETIME, NUMERIC, Frame
from exprun.data.read_options import AUTO, LABEL, Reading
from exprun.data.spelling import is_number

AT_ONCE = 2**14
"""Number of rows that are converted at once."""


def check_names(path: str, names: Sequence[str]) -> None:
    """Raise UsageError for two columns of one name."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(f"{path}: there are two columns {twice[0]!r}")


class TypedFile(ABC):
    """A file with columns of Arrow's types as a source of columns, whose kinds follow from the
    types: numbers are numeric, dates are dates, text (unless it is mostly dates) and booleans
    categorical."""

    index: Sequence[str] = ()
    note = ""

    def __init__(self, path: str, reading: Reading, schema: pa.Schema, rows: int) -> None:
        """``schema`` are the columns of ``rows`` rows. Raises UsageError for two columns of one
        name, or if there are no rows."""
        self.path, self.schema, self.rows = path, schema, rows
        self.reading = Reading(missing=reading.missing)
        self.names = list(schema.names)
        check_names(path, self.names)
        if not rows:
            raise UsageError(f"{path}: there are no rows")

    @abstractmethod
    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield these columns in batches of rows. Raises UsageError if the file is damaged."""

    def where(self, row: int) -> str:
        return f"{self.path}: row {row + 1}"

    def missing_hint(self, name: str) -> str:
        return ""

    @property
    def bytes(self) -> int:
        """The size of the file."""
        return Path(self.path).stat().st_size

    def read(self, wanted: Mapping[str, str]) -> Frame:
        """See ``CsvFile.read``."""
        kinds = {name: self._kind(name, kind) for name, kind in wanted.items()}
        while True:
            bounded = [name for name in kinds if wanted[name] != CATEGORICAL]
            builder = FrameBuilder(kinds, self.reading.missing, bounded)
            try:
                with progress.bar(self.path, self.bytes) as advance:
                    for batch in ahead(self.batches(list(kinds))):
                        builder.add(dict(zip(batch.schema.names, batch.columns, strict=True)))
                        advance(int(builder.rows / self.rows * self.bytes))
                return builder.frame()
            except TooManyWords as many:
                if not many.numbers:
                    raise too_many(self.path, many.column, wanted) from None
                kinds[many.column] = NUMERIC
            except BadCell as cell:
                said = f"{self.where(cell.row)}, column {cell.column!r}: {cell}"
                raise CellError(said, cell.column) from None

    def _kind(self, name: str, kind: str) -> str:
        type_ = self.schema.field(name).type
        if pa.types.is_dictionary(type_):
            type_ = type_.value_type
        number = pa.types.is_integer(type_) or pa.types.is_floating(type_)
        number = number or pa.types.is_decimal(type_) or pa.types.is_null(type_)
        date = pa.types.is_timestamp(type_) or pa.types.is_date(type_)
        if not (number or date or is_text(type_) or pa.types.is_boolean(type_)):
            raise NoFeature(
                f"{self.path}: column {name!r} has values of type {type_}; expected numbers, text, "
                f"booleans or dates, or {list_override('data.drop', [name])}",
                name,
                f"values of type {type_}",
            )
        if kind == LABEL:
            return CATEGORICAL
        if kind != AUTO:
            return kind
        if date or (is_text(type_) and self._mostly_datetimes(name)):
            return DATETIME
        return NUMERIC if number else CATEGORICAL

    def head(self, name: str) -> list[str]:
        """The first words of a column of text that are not missing."""
        batch = next(self.batches([name])).slice(0, SEEN)
        words = [word.strip() for word in plain(batch.column(0)).to_pylist() if word is not None]
        return [word for word in words if word not in ("", *self.reading.missing)]

    def _mostly_datetimes(self, name: str) -> bool:
        """Whether a column of text holds dates, by its first rows."""
        return mostly_datetimes(self.head(name))


class TableFile(TypedFile):
    """A file that has been read into a table of Arrow; ``lines`` (rows,) are the numbers of the
    rows in the file."""

    def __init__(self, path: str, reading: Reading, table: pa.Table, lines: Sequence[int]) -> None:
        super().__init__(path, reading, table.schema, len(table))
        self.table, self.lines = table, lines

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield from self.table.select(list(columns)).to_batches(AT_ONCE)

    def where(self, row: int) -> str:
        return f"{self.path}: row {self.lines[row]}"

    def _kind(self, name: str, kind: str) -> str:
        """Text that is mostly numbers is numeric, as in a CSV file."""
        found = super()._kind(name, kind)
        if kind != AUTO or found != CATEGORICAL or not is_text(self.schema.field(name).type):
            return found
        words = self.head(name)
        return NUMERIC if words and 2 * sum(map(is_number, words)) >= len(words) else found
