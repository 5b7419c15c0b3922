"""Read a file in the Arrow IPC format, which Feather is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from exprun.common.errors import UsageError
from exprun.data.file_kinds import first_bytes, instead, option_for
from exprun.data.read_options import Reading
from exprun.data.typed_file import AT_ONCE, TypedFile


class ArrowFile(TypedFile):
    """An Arrow IPC file (Feather version 2), mapped into memory."""

    def __init__(self, path: str, reading: Reading) -> None:
        """Raises UsageError for other files, or if there are no rows."""
        try:
            if option_for(head := first_bytes(path)) != "arrow":
                raise UsageError(f"{path}: is not an Arrow or Feather file{instead(head)}")
            self.file = pa.ipc.open_file(pa.memory_map(path))
            count = self.file.num_record_batches
            rows = sum(self.file.get_batch(k).num_rows for k in range(count))
        except FileNotFoundError:
            raise UsageError(f"{path}: no such file") from None
        except IsADirectoryError:
            raise UsageError(f"{path}: is a folder; expected a file") from None
        except (OSError, pa.ArrowException) as error:
            raise UsageError(f"{path}: is a damaged Arrow file: {error}") from None
        super().__init__(path, reading, self.file.schema, rows)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for k in range(self.file.num_record_batches):
            batch = self.file.get_batch(k).select(list(columns))
            for first in range(0, len(batch), AT_ONCE):
                yield batch.slice(first, AT_ONCE)
