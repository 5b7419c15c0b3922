"""The output of ``exprun evaluate``: metrics and the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from exprun.data.task import MOST_IN_TABLE, Task
from exprun.display.text import default_console, figure, printable


def show_evaluation(
    file: str,
    rows: int,
    task: Task,
    figures: Mapping[str, float],
    confusion: Sequence[Sequence[int]],
    console: Console | None = None,
) -> None:
    """Print the metrics and the confusion matrix.

    ``confusion`` has a row per true class and a column per predicted class; it is empty for
    regression.
    """
    console = console or default_console()
    console.print(printable(f"{file}: {rows:,} rows, {task.description}", console), markup=False)
    console.print()
    width = max(map(len, figures))
    for name, value in figures.items():
        console.print(f"{name:<{width}}  {figure(value):>9}", markup=False, soft_wrap=True)
    if not confusion:
        return
    console.print()
    labels = [printable(label, console) for label in task.classes]
    if len(labels) > MOST_IN_TABLE:
        table, needed = _each_class(labels, confusion)
        console.print(table, width=max(needed, console.width))
        console.print(f"the matrix of {len(labels)} classes: exprun evaluate --json")
        return
    table, needed = _matrix(labels, confusion)
    if console.is_terminal and needed > console.width:
        table, needed = _each_class(labels, confusion)
        console.print(table, width=max(needed, console.width))
        console.print("the whole matrix is wider than this terminal: exprun evaluate --json")
    else:
        console.print(table, width=needed)


def _matrix(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> tuple[Table, int]:
    """The confusion matrix with recall and precision at its margins, and the table's width."""
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    lines = [
        [label, *map(str, row), _share(row[k], sum(row))]
        for k, (label, row) in enumerate(zip(labels, confusion, strict=True))
    ]
    precision = [_share(confusion[k][k], total) for k, total in enumerate(predicted)]
    return _table(["true \\ predicted", *labels, "recall"], [*lines, ["precision", *precision, ""]])


def _each_class(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> tuple[Table, int]:
    """A table with a line per class (rows, recall, precision), and its width."""
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    lines = [
        [label, str(sum(row)), _share(row[k], sum(row)), _share(row[k], predicted[k])]
        for k, (label, row) in enumerate(zip(labels, confusion, strict=True))
    ]
    return _table(["class", "rows", "recall", "precision"], lines)


def _share(part: int, whole: int) -> str:
    return figure(part / whole if whole else None)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> tuple[Table, int]:
    """A table whose first column is text and all others numbers, and its width."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for place, name in enumerate(head):
        table.add_column(Text(name), justify="right" if place else "left", no_wrap=True)
    for line in lines:
        table.add_row(*map(Text, line))
    widths = [max(map(cell_len, column)) for column in zip(head, *lines, strict=True)]
    return table, sum(widths) + 2 * len(widths)
