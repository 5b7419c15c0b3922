"""The output of ``exprun inspect``: a table of columns, suspicions, and the command to train."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from exprun.data.inspection import Inspection
from exprun.display.summary import say
from exprun.display.text import default_console, printable

MOST_COLUMNS = 60
"""Columns that are listed; the rest is counted."""

HEAD = ("column", "kind", "gaps", "distinct", "values", "becomes")
NUMERIC_HEAD = ("gaps", "distinct")


def show_inspection(
    file: str, found: Inspection, train: Sequence[str], console: Console | None = None
) -> None:
    """Print what was found; ``train`` are the words of the command."""
    console = console or default_console()
    said = f"{file}: {found.rows:,} rows, {len(found.columns)} columns"
    console.print(printable(said, console), markup=False, soft_wrap=True)
    console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in HEAD:
        numeric = name in NUMERIC_HEAD
        table.add_column(name, justify="right" if numeric else "left", no_wrap=numeric)
    for column in found.columns[:MOST_COLUMNS]:
        gaps = f"{column.gaps:,}" if column.gaps else ""
        cells = (column.name, column.kind, gaps, f"{column.distinct:,}", column.values)
        table.add_row(*(Text(printable(c, console)) for c in (*cells, column.becomes)))
    console.print(table, width=None if console.is_terminal else 160)
    if len(found.columns) > MOST_COLUMNS:
        rest = len(found.columns) - MOST_COLUMNS
        console.print(f"and {rest} more columns: exprun inspect --json")
    console.print()
    for line in found.problems:
        say(console, "problem", line, "yellow")
    for line in found.suspicions:
        say(console, "suspect", line, "yellow")
    if found.guessed:
        say(console, "target", f"{found.target}, a guess; another one: --target COLUMN")
    if not found.problems:
        say(console, "train", f"exprun {' '.join(train)}", "cyan", to_copy=True)
