"""A terminal to draw on, and something to draw."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import torch
from rich.console import Console
from torch import nn

from exprun.common.streams import Streams
from exprun.data.prepare import Data, Part
from exprun.data.preprocess import Preprocessing
from exprun.data.scaling import Scaling
from exprun.data.task import Task
from exprun.display.choose import watch
from exprun.fit.loop import fit
from exprun.techniques.losses import auto
from exprun.techniques.schedules import FactorScheduler
from exprun.training.training import Training

TITLE = "model.hidden=[256,128] [bold]x[/bold]"


def make_training(*, classes: int = 3, val: int = 20, **options: Any) -> Training:
    """A small training on random data; ``classes=0`` is a regression."""
    torch.manual_seed(0)
    task = Task(("label",), tuple("abc"[:classes]))

    def part(rows: int) -> Part:
        x = torch.randn(rows, 4)
        return Part(x, x.argmax(1) % classes if classes else x.sum(1, keepdim=True))

    target = Scaling.identity(0 if classes else 1)
    preprocessing = Preprocessing.identity("wxyz", task, target)
    data = Data("toy", part(60), part(val), part(20), preprocessing)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, task.width))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    streams, scheduler = Streams.from_seed(0), FactorScheduler(optimizer)
    return Training(model, auto(task), data, optimizer, scheduler, streams, **options)


class Terminal:
    """Understands what rich writes: text, new lines, cursor up, erase line, cursor on and off."""

    def __init__(self) -> None:
        self.rows, self.row, self.column, self.cursor = [""], 0, 0, True

    def feed(self, stream: str) -> Terminal:
        for code, char in re.findall(r"\x1b\[([?\d;]*[A-Za-z])|([^\x1b])", stream, re.DOTALL):
            if char == "\n":
                self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif char == "\r":
                self.column = 0
            elif char:
                old = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = old[: self.column] + char + old[self.column + 1 :]
                self.column += 1
            elif code == "2K":
                self.rows[self.row] = ""
            elif code == "1A":
                self.row = max(self.row - 1, 0)
            elif code in ("?25l", "?25h"):
                self.cursor = code == "?25h"
            else:
                assert code.endswith("m"), f"not an escape sequence of a panel: {code}"
        return self

    def resize(self, width: int) -> None:
        """Wrap the rows again, as terminals do; the cursor stays at the end of its row."""
        wrapped = [[r[i : i + width] for i in range(0, len(r) or 1, width)] for r in self.rows]
        self.rows = [row for rows in wrapped for row in rows]
        self.row, self.column = len(self.rows) - 1, len(self.rows[-1])

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self.rows)


def terminal_console(width: int = 80, **options: Any) -> tuple[Console, StringIO]:
    file = StringIO()
    defaults: dict[str, Any] = {"force_terminal": True, "_environ": {"TERM": "xterm"}}
    return Console(file=file, width=width, height=24, **defaults | options), file


def show(training: Training, width: int = 80, title: str = TITLE) -> str:
    """What stands on the terminal after the training."""
    console, file = terminal_console(width)
    with watch(title, console) as screen:
        fit(training, [screen])
    return Terminal().feed(file.getvalue()).text


def printed(show: Any, *arguments: Any, **options: Any) -> str:
    """What a function that takes a console prints, as plain text."""
    console, file = terminal_console(**options)
    show(*arguments, console)
    return Terminal().feed(file.getvalue()).text


# ---------------------------------------------------------------------------------- summary

METRICS = {"val_loss": 0.1043, "val_accuracy": 0.97, "test_loss": 0.11, "test_accuracy": 0.9722}
RESULT = {
    "status": "early_stopped",
    "reason": "val_loss has not improved for 10 epochs",
    "epochs": 34,
    "best_epoch": 24,
    "metrics": METRICS,
    "seconds": 125.4,
}
