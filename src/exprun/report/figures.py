"""Writes the figures of a report to files: SVG and PDF, their numbers as CSV, tables also as
LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from exprun.record.files import folder_name, write_atomic
from exprun.report.study import Table, View

SPECIAL = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)
"""LaTeX escapes of characters that have a special meaning."""


def write_figures(folder: Path, views: Sequence[View], tables: dict[str, Table]) -> list[Path]:
    """Write each figure as ``<name>.svg``, ``.pdf`` and ``.csv``, and each table as ``.csv`` and
    ``.tex``, into ``folder``, which is created; returns the paths. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, bytes] = {}
    for view in views:
        name = folder_name([view.name])
        contents[f"{name}.svg"] = view.drawing.svg().encode()
        contents[f"{name}.pdf"] = view.drawing.pdf()
        contents[f"{name}.csv"] = as_csv(view.table).encode()
    for name, table in tables.items():
        contents[f"{name}.csv"] = as_csv(table).encode()
        contents[f"{name}.tex"] = as_latex(table).encode()
    for name, content in contents.items():
        write_atomic(folder / name, content, settle=False)
    return [folder / name for name in contents]


def as_csv(table: Table) -> str:
    """The table as CSV with a header; numbers in Python's spelling, None as an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return text.getvalue()


def as_latex(table: Table) -> str:
    """A ``tabular`` with the rules of the package booktabs; numbers are right-aligned, with four
    decimals or, if very large or small, significant digits."""
    sides = [
        "l" if any(isinstance(row[i], str) for row in table.rows) else "r"
        for i in range(len(table.columns))
    ]
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{{''.join(sides)}}}",
        "\\toprule",
        " & ".join(name.translate(SPECIAL) for name in table.columns) + r" \\",
        "\\midrule",
        *(" & ".join(_latex(cell) for cell in row) + r" \\" for row in table.rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex(cell: str | float | int | None) -> str:
    if cell is None:
        return "--"
    if isinstance(cell, str):
        return cell.translate(SPECIAL)
    if isinstance(cell, int):
        return str(cell)
    shown = f"{cell:.4f}" if cell == 0 or 0.001 <= abs(cell) < 1e5 else f"{cell:.3g}"
    mantissa, e, exponent = shown.partition("e")
    shown = rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if e else shown
    return f"${shown}$" if e or cell < 0 else shown
