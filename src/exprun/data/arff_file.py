"""Read a file in Weka's ARFF format."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from exprun.common.errors import UsageError, choices
from exprun.data.file_kinds import ARFF, first_bytes
from exprun.data.read_options import Reading
from exprun.data.spelling import is_number
from exprun.data.typed_file import TableFile

NOMINAL = "nominal"
NUMBERS = ("numeric", "real", "integer")
TEXTS = ("string", "date")

QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.|"")*\""""

ATTRIBUTE = re.compile(rf"@attribute\s+({QUOTED}|[^\s{{]+)\s*(.+)", re.IGNORECASE)

CELLS = {
    sign: re.compile(rf"""\s*({QUOTED}|[^{sign}'"\s][^{sign}]*?|)\s*({sign}|$)""") for sign in ",\t"
}
"""A cell of a row and what follows it, by the delimiter."""

SPARSE = re.compile(rf"""\s*(\d+)\s+({QUOTED}|[^,'"]+?)\s*(?:,|$)""")
"""A cell of a sparse row: the column's number, from 0 on, and its value."""

ESCAPED = re.compile(r"""\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))""")
CONTROL = {"n": "\n", "r": "\r", "t": "\t"}

MISSING = "?"


class ArffFile(TableFile):
    """An ARFF file: numeric attributes are numbers, nominal ones and strings text; dates are those
    that are read in other files too. What a sparse row leaves out is 0, or the first of the nominal
    values."""

    def __init__(self, path: str, reading: Reading) -> None:
        """Raises UsageError, naming the line, for other files and for rows that do not fit the
        attributes."""
        lines = iter(_lines(path))
        types: dict[str, str] = {}
        nominal: dict[str, dict[str, None]] = {}
        absent: list[str | None] = []
        for number, line in lines:
            word = line.split(None, 1)[0].lower()
            if word == "@data":
                break
            if word == "@attribute":
                name, kind, values = _attribute(path, number, line)
                if name in types:
                    raise UsageError(f"{path}: row {number}: there are two attributes {name!r}")
                types[name] = kind
                if kind == NOMINAL:
                    nominal[name] = dict.fromkeys(values)
                absent.append(values[0] if values else None)
            elif word != "@relation":
                raise UsageError(
                    f"{path}: row {number}: {line[:40]!r}; expected @relation, @attribute or @data"
                )
        else:
            raise UsageError(f"{path}: there is no @data in it")
        columns: dict[str, list[str | None]] = {name: [] for name in types}
        numbers = []
        for number, line in lines:
            if line.startswith("{"):
                cells = _sparse_cells(path, number, line, absent)
            else:
                cells = _cells(path, number, line, len(types))
            numbers.append(number)
            for (name, kind), cell in zip(types.items(), cells, strict=True):
                if kind in NUMBERS and cell != MISSING and not is_number(cell):
                    raise UsageError(
                        f"{path}: row {number}, column {name!r}: {cell!r} is not a number"
                    )
                if kind == NOMINAL and cell != MISSING and cell not in nominal[name]:
                    raise UsageError(
                        f"{path}: row {number}, column {name!r}: {cell!r} is none of its values; "
                        f"expected {choices([*nominal[name]][:10])}"
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


def _attribute(path: str, number: int, line: str) -> tuple[str, str, list[str]]:
    """Name and kind of an attribute, NOMINAL or the first word of its type, and its values if it is
    nominal, the first of which sparse rows leave out; for numbers that is 0."""
    found = ATTRIBUTE.fullmatch(line)
    kind = found[2].split()[0].lower() if found else ""
    kind = NOMINAL if kind.startswith("{") else kind
    if found is None or kind not in (NOMINAL, *NUMBERS, *TEXTS):
        raise UsageError(
            f"{path}: row {number}: {line[:60]!r}; expected @attribute, a name, and numeric, "
            "string, "
            "date or {its,values}"
        )
    name = _unquoted(found[1])
    if kind == NOMINAL:
        values = found[2].strip().removeprefix("{").removesuffix("}")
        return name, kind, [value.strip() for value in _row(path, number, values)]
    return name, kind, ["0"] * (kind in NUMBERS)


def _unquoted(word: str) -> str:
    """The word, without its quotes and what is escaped in them."""
    if not re.fullmatch(QUOTED, word):
        return word
    inner = word[1:-1]
    return ESCAPED.sub(_character, inner.replace('""', '"') if word[0] == '"' else inner)


def _character(escaped: re.Match[str]) -> str:
    by_number = escaped[1] or escaped[2]
    return chr(int(by_number, 16)) if by_number else CONTROL.get(escaped[3], escaped[3])


def _cells(path: str, number: int, line: str, expected: int) -> list[str]:
    """The cells of a row."""
    cells = _row(path, number, line)
    if len(cells) != expected:
        raise UsageError(f"{path}: row {number} has {len(cells)} cells; expected {expected}")
    return [cell.strip() for cell in cells]


def _row(path: str, number: int, line: str) -> list[str]:
    delimiter = "," if "," in line or "\t" not in line else "\t"
    if "'" not in line and '"' not in line:
        return line.split(delimiter)
    cells, at, more = [], 0, delimiter
    while more:
        cell = CELLS[delimiter].match(line, at)
        if cell is None:
            raise UsageError(
                f"{path}: row {number}: {line[at : at + 40]!r}; expected a quote at the end of the "
                "word, or a backslash before one in it"
            )
        cells.append(_unquoted(cell[1]))
        at, more = cell.end(), cell[2]
    return cells


def _sparse_cells(path: str, number: int, line: str, absent: Sequence[str | None]) -> list[str]:
    """The cells of a sparse row ``{column value, column value}``, whose columns count from 0."""
    content, found = line.removeprefix("{").removesuffix("}").strip(), dict[int, str]()
    at = 0
    while at < len(content) and (cell := SPARSE.match(content, at)):
        found[int(cell[1])] = _unquoted(cell[2])
        at = cell.end()
    if at < len(content) or not line.endswith("}") or max(found, default=0) >= len(absent):
        raise UsageError(
            f"{path}: row {number}: {line[:60]!r}; expected a sparse row {{column value, …}} with "
            f"columns from 0 to {len(absent) - 1}"
        )
    cells = [found.get(place, value) for place, value in enumerate(absent)]
    if None in cells:
        raise UsageError(
            f"{path}: row {number}: has no text for column {cells.index(None)}; expected one, "
            "also in a sparse row"
        )
    return [cell for cell in cells if cell is not None]


def _typed(cells: list[str | None], kind: str) -> pa.Array:
    if kind in NUMBERS:
        return pa.array([None if cell is None else float(cell) for cell in cells], pa.float64())
    return pa.array(cells, pa.string())
