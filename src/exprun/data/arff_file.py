"""Read a file in Weka's ARFF format."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from exprun.common.errors import UsageError
from exprun.data.file_kinds import ARFF, first_bytes
from exprun.data.read_options import Reading
from exprun.data.spelling import is_number
from exprun.data.typed_file import TableFile

NUMBERS = ("numeric", "real", "integer")
TEXTS = ("string", "date")

ATTRIBUTE = re.compile(
    r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s{]+)\s*(.+)""", re.IGNORECASE
)

MISSING = "?"


class ArffFile(TableFile):
    """An ARFF file: numeric attributes are numbers, nominal ones and strings text; dates are those
    that are read in other files too. Sparse rows are refused."""

    def __init__(self, path: str, reading: Reading) -> None:
        """Raises UsageError, naming the line, for other files and for rows that do not fit the
        attributes."""
        lines = iter(_lines(path))
        types: dict[str, str] = {}
        for number, line in lines:
            word = line.split(None, 1)[0].lower()
            if word == "@data":
                break
            if word == "@attribute":
                name, kind = _attribute(path, number, line)
                if name in types:
                    raise UsageError(f"{path}: row {number}: there are two attributes {name!r}")
                types[name] = kind
            elif word != "@relation":
                raise UsageError(
                    f"{path}: row {number}: {line[:40]!r}; expected @relation, @attribute or @data"
                )
        else:
            raise UsageError(f"{path}: there is no @data in it")
        columns: dict[str, list[str | None]] = {name: [] for name in types}
        numbers = []
        for number, line in lines:
            cells = _cells(path, number, line, len(types))
            numbers.append(number)
            for (name, kind), cell in zip(types.items(), cells, strict=True):
                if kind in NUMBERS and cell != MISSING and not is_number(cell):
                    raise UsageError(
                        f"{path}: row {number}, column {name!r}: {cell!r} is not a number"
                    )
                columns[name].append(None if cell == MISSING else cell)
        arrays = [_typed(columns[name], kind) for name, kind in types.items()]
        super().__init__(path, reading, pa.Table.from_arrays(arrays, list(types)), numbers)


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are neither blank nor comments with their numbers."""
    try:
        head = first_bytes(path)
        zipped = head.startswith(b"\x1f\x8b")
        if not zipped and not re.match(ARFF, head, re.IGNORECASE):
            raise UsageError(f"{path}: is not an ARFF file: there is no @relation at its start")
        with (
            gzip.open(path, "rt", encoding="utf-8-sig")
            if zipped
            else Path(path).open(encoding="utf-8-sig") as file
        ):
            for number, line in enumerate(file, 1):
                if (text := line.strip()) and not text.startswith("%"):
                    yield number, text
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: is a folder; expected a file") from None
    except UnicodeDecodeError:
        raise UsageError(
            f"{path}: is not UTF-8 text; convert the file, for example with iconv -f latin1 -t "
            "UTF-8"
        ) from None
    except (OSError, EOFError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


def _attribute(path: str, number: int, line: str) -> tuple[str, str]:
    """Name and kind of an attribute: ``nominal``, or the first word of its type."""
    found = ATTRIBUTE.fullmatch(line)
    kind = found[2].split()[0].lower() if found else ""
    kind = "nominal" if kind.startswith("{") else kind
    if found is None or kind not in ("nominal", *NUMBERS, *TEXTS):
        raise UsageError(
            f"{path}: row {number}: {line[:60]!r}; expected @attribute, a name, and numeric, "
            "string, "
            "date or {its,values}"
        )
    name = found[1]
    if name[0] in "'\"":
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    return name, kind


def _cells(path: str, number: int, line: str, expected: int) -> list[str]:
    """The cells of a row."""
    if line.startswith("{"):
        raise UsageError(f"{path}: row {number}: is a sparse row; expected a value for each column")
    quote = '"' if '"' in line and "'" not in line else "'"
    delimiter = "," if "," in line or "\t" not in line else "\t"
    options = {"quotechar": quote, "escapechar": "\\", "skipinitialspace": True}
    cells: Sequence[str] = next(csv.reader([line], delimiter=delimiter, **options))  # type: ignore[arg-type]
    if len(cells) != expected:
        raise UsageError(f"{path}: row {number} has {len(cells)} cells; expected {expected}")
    return [cell.strip() for cell in cells]


def _typed(cells: list[str | None], kind: str) -> pa.Array:
    if kind in NUMBERS:
        return pa.array([None if cell is None else float(cell) for cell in cells], pa.float64())
    return pa.array(cells, pa.string())
