"""How a file was read, so that a new one of the same columns is read the same way."""

from __future__ import annotations

from dataclasses import dataclass

MISSING = ("?", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null")
"""Words that stand for a gap if nothing else is said; a blank cell always is one."""

AUTO, LABEL = "auto", "label"
"""Besides a kind, what a column can be wanted as: whatever it is, or the target."""


@dataclass(frozen=True)
class Reading:
    """``header=False`` is a text file without a line of names; its columns are called ``1``, ``2``,
    … by their position. ``delimiter`` is a character, or ``" "`` for runs of blanks; None is to be
    found out. ``missing`` are the words that stand for a gap besides a blank cell, in every text of
    every format; a number among them stands for a gap in whatever spelling. ``columns`` is how many
    a file without a header has, for only their positions tell them apart; None is not known."""

    header: bool = True
    delimiter: str | None = None
    missing: tuple[str, ...] = MISSING
    columns: int | None = None
