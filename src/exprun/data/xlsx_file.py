"""Read the first sheet of an Excel workbook."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from exprun.common.errors import UsageError
from exprun.data.file_kinds import first_bytes, instead, option_for
from exprun.data.read_options import Reading
from exprun.data.typed_file import TableFile


class XlsxFile(TableFile):
    """The first sheet of an .xlsx workbook; its first row that is not blank has the names. Cells
    have their calculated values. A column whose cells are all numbers, booleans or dates is of that
    type, any other is text."""

    def __init__(self, path: str, reading: Reading) -> None:
        """Raises UsageError for other files, if openpyxl is missing, or if there are no rows."""
        sheet, names, lines = _rows(path)
        if not lines:
            raise UsageError(f"{path}: is empty")
        first, head = lines[0]
        columns = [k for k, name in enumerate(head) if name not in (None, "")]
        filled = {k for _, cells in lines for k, cell in enumerate(cells) if cell is not None}
        unnamed = sorted(filled - set(columns))
        if unnamed:
            raise UsageError(
                f"{path}: row {first}: column {unnamed[0] + 1} has no name; expected a name for "
                "each "
                "column in the first row that is not blank"
            )
        schema = [str(head[k]).strip() for k in columns]
        cells = [[cells[k] if k < len(cells) else None for _, cells in lines[1:]] for k in columns]
        table = pa.Table.from_arrays([_typed(column) for column in cells], schema)
        super().__init__(path, reading, table, [line for line, _ in lines[1:]])
        if len(names) > 1:
            self.note = f"; sheet {sheet!r}, the first of {len(names)}"


def _rows(path: str) -> tuple[str, list[str], list[tuple[int, Sequence[Any]]]]:
    """The name of the first sheet, those of all, and its rows that are not blank with their
    numbers."""
    try:
        if option_for(head := first_bytes(path)) != "xlsx":
            raise UsageError(f"{path}: is not an Excel workbook (.xlsx){instead(head)}")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: is a folder; expected a file") from None
    try:
        import openpyxl  # an optional extra
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        raise UsageError(
            f"{path}: Excel workbooks need openpyxl; expected pip install 'exprun[xlsx]', or a CSV "
            "file exported from it"
        ) from None
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            sheet = book.worksheets[0]
            numbered = enumerate(sheet.iter_rows(values_only=True), 1)
            filled = [(k, row) for k, row in numbered if any(c not in (None, "") for c in row)]
            return sheet.title, book.sheetnames, filled
    except (
        KeyError,
        IndexError,
        ValueError,
        OSError,
        zipfile.BadZipFile,
        InvalidFileException,
    ) as e:
        raise UsageError(f"{path}: is a damaged workbook: {e}") from None


def _typed(cells: list[Any]) -> pa.Array:
    """The cells of a column (rows,) as numbers, booleans, timestamps or text."""
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {int} and all(cell is None or abs(cell) < 2**63 for cell in cells):
        return pa.array(cells, pa.int64())
    if kinds and kinds <= {int, float}:
        return pa.array([cell if cell is None else float(cell) for cell in cells], pa.float64())
    if kinds == {bool}:
        return pa.array(cells, pa.bool_())
    if kinds and kinds <= {datetime.datetime, datetime.date}:
        midnight = datetime.time()
        times = [
            cell
            if cell is None or isinstance(cell, datetime.datetime)
            else datetime.datetime.combine(cell, midnight)
            for cell in cells
        ]
        return pa.array(times, pa.timestamp("us"))
    return pa.array([None if cell is None else str(cell) for cell in cells], pa.string())
