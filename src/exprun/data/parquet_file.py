"""Read a Parquet file in batches of rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from exprun.common.errors import UsageError, list_override
from exprun.data import progress
from exprun.data.builder import BadCell, FrameBuilder, TooManyWords, is_text, plain
from exprun.data.csv_file import SEEN, too_many
from exprun.data.datetimes import mostly_datetimes
from exprun.data.file_kinds import first_bytes, instead, option_for
from exprun.data.frame import CATEGORICAL, DATETIME, NUMERIC, Frame
from exprun.data.read_options import AUTO, LABEL, Reading

AT_ONCE = 2**14
"""Number of rows that are converted at once."""


UNNAMED = r"__index_level_\d+__"
"""What pandas calls an index without a name; who writes its table anew may drop the metadata."""


class ParquetFile:
    """A Parquet file as a source of columns, whose kinds follow from their types. ``index`` are the
    columns that pandas wrote for the index, which are not features."""

    def __init__(self, path: str, reading: Reading) -> None:
        """Raises UsageError if it is not a Parquet file or has no rows."""
        self.path = path
        self.reading, self.note = Reading(missing=reading.missing), ""
        try:
            self.bytes = Path(path).stat().st_size
            if option_for(head := first_bytes(path)) != "parquet":
                raise UsageError(f"{path}: is not a Parquet file{instead(head)}")
            self.file = pq.ParquetFile(path, pre_buffer=False)  # else it loads everything
        except FileNotFoundError:
            raise UsageError(f"{path}: no such file") from None
        except IsADirectoryError:
            raise UsageError(f"{path}: is a folder; expected a file") from None
        except (OSError, pa.ArrowException) as error:
            raise UsageError(f"{path}: is a damaged Parquet file: {error}") from None
        self.names = list(self.file.schema_arrow.names)
        said = self._pandas_index()
        self.index = [name for name in self.names if name in said or re.fullmatch(UNNAMED, name)]
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise UsageError(f"{path}: there are two columns {twice[0]!r}")
        if not self.file.metadata.num_rows:
            raise UsageError(f"{path}: there are no rows")

    def _pandas_index(self) -> list[str]:
        """The index columns named in pandas' metadata; a range index has no column."""
        described = (self.file.schema_arrow.metadata or {}).get(b"pandas")
        try:
            index = json.loads(described or b"{}").get("index_columns", [])
        except (ValueError, AttributeError):  # not written by pandas
            return []
        return [name for name in index if isinstance(name, str)]

    def missing_hint(self, name: str) -> str:
        return ""

    def where(self, row: int) -> str:
        return f"{self.path}: row {row + 1}"

    def read(self, wanted: Mapping[str, str]) -> Frame:
        """See ``CsvFile.read``."""
        kinds = {name: self._kind(name, kind) for name, kind in wanted.items()}
        while True:
            bounded = [name for name in kinds if wanted[name] != CATEGORICAL]
            builder = FrameBuilder(kinds, self.reading.missing, bounded)
            try:
                with progress.bar(self.path, self.bytes) as advance:
                    for batch in self._batches(list(kinds)):
                        builder.add(dict(zip(batch.schema.names, batch.columns, strict=True)))
                        share = builder.rows / self.file.metadata.num_rows
                        advance(int(share * self.bytes))
                return builder.frame()
            except TooManyWords as many:
                if not many.numbers:
                    raise UsageError(too_many(self.path, many.column, wanted)) from None
                kinds[many.column] = NUMERIC
            except BadCell as cell:
                where = self.where(cell.row)
                raise UsageError(f"{where}, column {cell.column!r}: {cell}") from None

    def _batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield batches of rows, one row group after the other, which takes less memory than
        iterating over the whole file."""
        try:
            for group in range(self.file.num_row_groups):
                yield from self.file.iter_batches(AT_ONCE, row_groups=[group], columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise UsageError(f"{self.path}: is a damaged Parquet file: {error}") from None

    def _kind(self, name: str, kind: str) -> str:
        type_ = self.file.schema_arrow.field(name).type
        if pa.types.is_dictionary(type_):
            type_ = type_.value_type
        number = pa.types.is_integer(type_) or pa.types.is_floating(type_)
        number = number or pa.types.is_decimal(type_) or pa.types.is_null(type_)
        date = pa.types.is_timestamp(type_) or pa.types.is_date(type_)
        if not (number or date or is_text(type_) or pa.types.is_boolean(type_)):
            raise UsageError(
                f"{self.path}: column {name!r} has values of type {type_}; expected numbers, text, "
                f"booleans or dates, or {list_override('data.drop', [name])}"
            )
        if kind == LABEL:
            return CATEGORICAL
        if kind != AUTO:
            return kind
        if date or (is_text(type_) and self._mostly_datetimes(name)):
            return DATETIME
        return NUMERIC if number else CATEGORICAL

    def _mostly_datetimes(self, name: str) -> bool:
        """Whether a column of text holds dates, by its first rows."""
        head = next(self.file.iter_batches(SEEN, columns=[name]))
        words = [word.strip() for word in plain(head.column(0)).to_pylist() if word is not None]
        return mostly_datetimes([word for word in words if word not in ("", *self.reading.missing)])
