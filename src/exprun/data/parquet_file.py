"""Read a Parquet file, or several as one table, in batches of rows."""

from __future__ import annotations

import bisect
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from exprun.common.errors import UsageError
from exprun.common.named_files import files_in, is_pattern
from exprun.data.file_kinds import first_bytes, instead, option_for
from exprun.data.read_options import Reading
from exprun.data.typed_file import AT_ONCE, TypedFile, check_names

SUFFIX = ".parquet"

BUFFER = 2**18
"""Bytes of a column that are read at once."""

UNNAMED = r"__index_level_\d+__"
"""What pandas calls an index without a name; who writes its table anew may drop the metadata."""


class ParquetFile(TypedFile):
    """A Parquet file, or the files of a folder or a pattern, with the same columns, one after the
    other in the order of their names. ``index`` are the columns that pandas wrote for the index,
    which are not features."""

    def __init__(self, path: str, reading: Reading) -> None:
        """Raises UsageError for other files, if there are no rows, or if the files differ
        in their columns."""
        self.paths = _files(path)
        self.metadata, schemas = [], []
        for name in self.paths:
            with _opened(name) as file:
                self.metadata.append(file.metadata)
                schemas.append(file.schema_arrow)
        first = schemas[0]
        for schema, name in zip(schemas, self.paths, strict=True):
            check_names(name, schema.names)
            _check_columns(first, schema, self.paths[0], name)
        counts = [metadata.num_rows for metadata in self.metadata]
        self.firsts = [0, *itertools.accumulate(counts)]
        super().__init__(path, reading, first, sum(counts))
        said = self._pandas_index()
        self.index = [name for name in self.names if name in said or re.fullmatch(UNNAMED, name)]
        if len(self.paths) > 1:
            self.note = f"; {len(self.paths)} files"

    @property
    def bytes(self) -> int:
        return sum(Path(file).stat().st_size for file in self.paths)

    def where(self, row: int) -> str:
        place = bisect.bisect_right(self.firsts, row) - 1
        return f"{self.paths[place]}: row {row - self.firsts[place] + 1}"

    def _pandas_index(self) -> list[str]:
        """The index columns named in pandas' metadata; a range index has no column."""
        described = (self.schema.metadata or {}).get(b"pandas")
        try:
            index = json.loads(described or b"{}").get("index_columns", [])
        except (ValueError, AttributeError):  # not written by pandas
            return []
        return [name for name in index if isinstance(name, str)]

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """One row group after the other, in one thread, whose memory can be given back."""
        for path, metadata in zip(self.paths, self.metadata, strict=True):
            try:
                with _opened(path, metadata) as file:  # not all at once: a process may open 1024
                    for group in range(file.num_row_groups):
                        yield from file.iter_batches(
                            AT_ONCE, row_groups=[group], columns=columns, use_threads=False
                        )
            except (OSError, pa.ArrowException) as error:
                raise UsageError(f"{path}: is a damaged Parquet file: {error}") from None


def _files(path: str) -> list[str]:
    """The path of a file, or the paths of the Parquet files in a folder, or those that match a
    pattern, sorted. Raises UsageError."""
    found = files_in(path)
    if is_pattern(path) and found == [Path(path)]:
        raise UsageError(f"{path}: no file matches this pattern")
    if Path(path).is_dir():
        found = [file for file in found if file.suffix == SUFFIX]
        if not found:
            raise UsageError(f"{path}: is a folder without files *{SUFFIX}; expected a file")
    return [*map(str, found)]


def _opened(path: str, metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
    try:
        if option_for(head := first_bytes(path)) != "parquet":
            raise UsageError(f"{path}: is not a Parquet file{instead(head)}")
        # with pre_buffer it loads everything
        return pq.ParquetFile(path, metadata=metadata, pre_buffer=False, buffer_size=BUFFER)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{path}: is a damaged Parquet file: {error}") from None


def _check_columns(first: pa.Schema, other: pa.Schema, of: str, path: str) -> None:
    """Raise UsageError unless both have the same columns of the same types."""
    names = [*first.names, *(name for name in other.names if name not in first.names)]
    for name in names:
        there = [schema.field(name).type for schema in (first, other) if name in schema.names]
        if len(there) < 2:
            lacking = path if name in first.names else of
            raise UsageError(f"{lacking}: has no column {name!r}, which other files of it have")
        if there[0] != there[1]:
            raise UsageError(
                f"{path}: column {name!r} is of type {there[1]}; expected {there[0]} as in {of}"
            )
