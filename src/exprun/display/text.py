"""Format numbers, times, overrides and commands for the terminal, and create its console."""

from __future__ import annotations

import os
import re
import sys
from datetime import timedelta

from rich.cells import cell_len
from rich.console import Console

NONE = "-"


class OutputConsole(Console):
    """A console that goes silent on a broken pipe, so that the training continues."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def default_console() -> Console:
    """A console on standard output; never interactive if that is not a terminal, even with forced
    colours."""
    interactive = None if sys.stdout.isatty() else False
    return OutputConsole(highlight=False, force_interactive=interactive)


def draws(console: Console) -> bool:
    """Whether the console supports redrawing lines in place."""
    return console.is_interactive and not console.options.ascii_only


def figure(value: float | None) -> str:
    """Format a loss or a metric, usually at most 8 characters wide; None is a missing value."""
    if value is None:
        return NONE
    size = abs(value)
    if size == 0 or 0.001 <= size < 1000:
        return f"{value:.4f}"
    return f"{value:.1f}" if 1000 <= size < 100_000 else f"{value:.2e}"


def p_value(p: float) -> str:
    """Format a p-value: ``p = .005``, ``p < .001``."""
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".", 1)


def duration(seconds: float) -> str:
    """Format a duration: ``1.4 s``, ``0:02:05``."""
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def per_second(speed: float, unit: str) -> str:
    """Format a speed with fixed width: ``  1,234 it/s``, ``  0.42 it/s``."""
    return f"{speed:>6,.0f} {unit}/s" if speed >= 10 else f"{speed:>6.2f} {unit}/s"


def printable(text: str, console: Console) -> str:
    """The user's text on one line; characters the terminal cannot print are replaced by ``?``."""
    line = re.sub(r"\s*[^\S ]\s*", " ", text)
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line.encode(console.encoding, "replace").decode(console.encoding)


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most so many columns, broken between words and nowhere else: a word that is
    longer is a line of its own. ``p = .014``, ``± 0.5`` and ``95 %`` are one word each."""
    lines: list[str] = []
    for word in re.split(r"(?<![=<±]) (?![=<%])", text):
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def shorten_keys(title: str, width: int) -> str:
    """Overrides with no more of their keys than the last part, if they are too long."""
    return title if len(title) <= width else short_keys(title)


def short_keys(title: str) -> str:
    """Overrides with only the last part of each key: ``lr=0.1`` for ``optimizer.lr=0.1``."""
    words = [word.partition("=") for word in title.split(" ")]
    return " ".join(f"{key.rpartition('.')[2]}{equals}{value}" for key, equals, value in words)


def shorten(text: str, width: int) -> str:
    """The text without its middle if it is too long; the end is kept, because jobs often differ in
    their last override."""
    front = width // 2
    return text if len(text) <= width else f"{text[:front]}…{text[front + 1 - width :]}"
