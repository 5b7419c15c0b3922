"""Tables of the layers' diagnostics in the terminal."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from exprun.diagnostics.signal_propagation import verdict
from exprun.display.text import NONE, default_console, printable

LAYERS = {
    "z std": "pre_std",
    "a std": "act_std",
    "∂L/∂z std": "grad_std",
    "dead": "dead",
    "saturated": "saturated",
    "‖ΔW‖/‖W‖": "update_ratio",
    "noise": "grad_noise",
    "‖∂L/∂W‖": "grad_norm",
    "z mean": "pre_mean",
}
"""Columns and their headings; the last ones are left out first on a narrow terminal."""

INITIALIZATION = {
    "E[a²] theory": "act_predicted",
    "measured": "act_measured",
    "E[δ²] theory": "grad_predicted",
    " measured": "grad_measured",
}
SHARES = ("dead", "saturated")


def layers(path: Path, console: Console | None = None) -> None:
    """Print the last epoch of the ``diagnostics.csv`` at ``path``."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = [row for row in rows if row["epoch"] == rows[-1]["epoch"]]
    console = console or default_console()
    when = "before the training" if last[0]["epoch"] == "0" else f"after epoch {last[0]['epoch']}"
    console.print()
    console.print(_table(f"layers {when}", LAYERS, last, console))


def initialization(rows: Sequence[Mapping[str, Any]], console: Console | None = None) -> None:
    """Print the rows of the initialisation laboratory and their verdict."""
    console = console or default_console()
    console.print(_table("initial weights", INITIALIZATION, rows, console))
    console.print(f"{printable(verdict(rows), console)}\n", soft_wrap=True)


def _table(
    title: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], console: Console
) -> Table:
    """A table with as many of the columns as fit the console's width."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    names = [str(row["layer"]) for row in rows]
    table.add_column(title, no_wrap=True)
    room = console.width - max(map(len, [title, *names]))
    shown = []
    for heading, name in columns.items():
        cells = [_cell(name, row[name]) for row in rows]
        if all(cell == NONE for cell in cells):
            continue
        room -= 2 + max(map(len, [heading, *cells]))
        if room < 0:
            break
        table.add_column(Text(printable(heading, console)), justify="right", no_wrap=True)
        shown.append(cells)
    for name, *cells in zip(names, *shown, strict=True):
        table.add_row(Text(printable(name, console)), *cells)
    return table


def _cell(name: str, value: Any) -> str:
    """A cell's text: three digits, shares in percent; None and an empty text are missing values."""
    if value in (None, ""):
        return NONE
    return f"{float(value):.1%}" if name in SHARES else f"{float(value):.3g}"
