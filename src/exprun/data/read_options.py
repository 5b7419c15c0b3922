"""Options with which a file is read, kept so that new files are read in the same way."""

from __future__ import annotations

from dataclasses import dataclass

MISSING = ("?", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null")
"""Default words for a missing value; a blank cell is always one."""

AUTO, LABEL = "auto", "label"
"""What a column can be requested as instead of a kind: detect the kind, or a target."""


@dataclass(frozen=True)
class Reading:
    """Options for reading a file.

    ``header=False`` is a text file without column names; its columns are named ``1``, ``2``, … by
    position. ``delimiter`` is a character, or ``" "`` for runs of blanks; None means detect it.
    ``missing`` are the words for a missing value in addition to a blank cell, in texts of every
    format; a number among them matches in any spelling. ``columns`` is the number of columns of a
    file without a header, where only positions identify them; None is unknown. ``decimal`` and
    ``thousands`` are the separators in numbers of a text file (see ``NumberFormat``); None means
    detect them.
    """

    header: bool = True
    delimiter: str | None = None
    missing: tuple[str, ...] = MISSING
    columns: int | None = None
    decimal: str | None = None
    thousands: str | None = None
