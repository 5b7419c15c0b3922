"""A training as plain lines of text, for log files and pipes."""

from __future__ import annotations

import math
from typing import Self

from rich.console import Console

from exprun.display.describe import about
from exprun.display.text import figure, printable
from exprun.training.callbacks import Callback
from exprun.training.training import Training

LINES = 20
"""Approximate number of lines per run, independent of its epochs."""


class PlainLines(Callback):
    """Prints a line for the run, then one for the first and last epoch and every twentieth of all
    epochs."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = printable(title, console)
        self._console = console
        self._pending = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._print_pending()

    def on_start(self, training: Training) -> None:
        self._pending = "  ".join(filter(None, [self._title, *about(training)]))
        self._print_pending()

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        self._pending = _line(training, row)
        if training.epoch == 1 or training.epoch % math.ceil(training.max_epochs / LINES) == 0:
            self._print_pending()

    def _print_pending(self) -> None:
        if self._pending:
            self._console.out(self._pending, highlight=False)
            self._pending = ""


def _line(training: Training, row: dict[str, float]) -> str:
    """The line of an epoch, with columns of fixed width."""
    epochs, stopping = training.max_epochs, training.stopping
    iterations = len(str(epochs * training.iterations_per_epoch))
    words = [
        f"epoch {training.epoch:>{len(str(epochs))}}/{epochs}",
        f"iter {training.iteration:<{iterations}}",
        f"lr {row['lr']:<9.4g}",
    ]
    words += [
        f"{name} {figure(value):<8}"
        for name, value in row.items()
        if name.startswith(("train_", "val_"))
    ]
    if math.isfinite(stopping.best):
        best = figure(stopping.signed(stopping.best))
        words.append(f"best {stopping.monitor} {best} (epoch {stopping.best_epoch})")
    return "  ".join(words).rstrip()
