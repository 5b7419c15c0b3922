"""Prints published figures next to the measured ones in the terminal."""

from __future__ import annotations

import math
from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from exprun.display.text import default_console, printable
from exprun.sweeps.published import Comparison, Published


def comparison(published: Published, console: Console | None = None) -> None:
    """Print the source of a preset's figures, each published figure with the measured one and
    whether they agree, and overrides that changed the experiment."""
    console = console or default_console()
    console.print()
    source = printable(published.source, console)
    console.print(Text.assemble(("published: ", "dim"), source), soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", overflow="fold")
    for heading in ("published", "here", "runs"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in published.comparisons:
        cells = [row.figure.title, row.figure.spelled, mean_and_std(row)]
        cells.append(str(row.jobs) if row.jobs == row.of else f"{row.jobs} of {row.of}")
        words = [Text(printable(cell, console)) for cell in cells]
        table.add_row(*words, Text(verdict(row), style(row)))
    console.print(table)
    for row in published.comparisons:
        if row.missing is not None:
            line = printable(f"{row.figure.title}: {row.missing}", console)
            console.print(Text(line, "red"), soft_wrap=True)
    if published.changed:
        changed = printable(" ".join(published.changed), console)
        line = f"Not the published experiment: {changed}"
        console.print(Text(line, "yellow"), soft_wrap=True)


def mean_and_std(row: Comparison) -> str:
    """The measured figure like ``0.9543 ± 0.0012``, with as many digits as published, at least
    four."""
    if row.mean is None:
        return "-"
    digits = len(Decimal(str(row.figure.value)).normalize().as_tuple().digits)
    mean = f"{row.mean:#.{max(4, digits)}g}"
    return mean if row.std is None else f"{mean} ± {row.std:.2g}"


def verdict(row: Comparison) -> str:
    """The verdict as text: that the figures agree, with the tolerance, or how far the mean is from
    the bounds."""
    bounds = row.figure.bounds
    if row.mean is None:
        return "no figure"
    if row.outside is None or bounds is None:
        return f"{row.mean - row.figure.value:+.2g} (not judged)"
    low, high = bounds
    if row.outside:
        bound = f"above {high:.4g}" if row.outside > 0 else f"below {low:.4g}"
        return f"{abs(row.outside):.2g} {bound}"
    half = (high - low) / 2
    if math.isclose(low + half, row.figure.value, rel_tol=1e-9, abs_tol=1e-9 * half):
        return f"agrees, ± {half:.4g}"
    return f"agrees, {low:.4g} to {high:.4g}"


def style(row: Comparison) -> str:
    """The colour of a verdict."""
    if row.mean is None:
        return "red"
    return "dim" if row.outside is None else "yellow" if row.outside else "green"
