"""Numbers, times, words and commands as the terminal shows them, and the console they go to."""

from __future__ import annotations

import os
import re
import sys
from datetime import timedelta

from rich.console import Console

NONE = "-"


class OutputConsole(Console):
    """A console that falls silent when nobody reads on: a training goes on without its reader."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def default_console() -> Console:
    """Standard output. Colours can be forced into a file, an animated display cannot."""
    interactive = None if sys.stdout.isatty() else False
    return OutputConsole(highlight=False, force_interactive=interactive)


def draws(console: Console) -> bool:
    """Whether something can be drawn over itself there."""
    return console.is_interactive and not console.options.ascii_only


def figure(value: float | None) -> str:
    """A loss or a metric, hardly ever wider than 8 characters; None is one that is not there."""
    if value is None:
        return NONE
    size = abs(value)
    if size == 0 or 0.001 <= size < 1000:
        return f"{value:.4f}"
    return f"{value:.1f}" if 1000 <= size < 100_000 else f"{value:.2e}"


def p_value(p: float) -> str:
    """``p = .005``, ``p < .001``."""
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".", 1)


def duration(seconds: float) -> str:
    """``1.4 s``, ``0:02:05``."""
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def per_second(speed: float, unit: str) -> str:
    """``1,234 it/s``, ``  0.42 it/s``: all as wide as each other."""
    return f"{speed:>6,.0f} {unit}/s" if speed >= 10 else f"{speed:>6.2f} {unit}/s"


def printable(text: str, console: Console) -> str:
    """The user's words on one line, with nothing in them that could upset this terminal."""
    line = re.sub(r"\s*[^\S ]\s*", " ", text)
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line.encode(console.encoding, "replace").decode(console.encoding)


def shorten_keys(title: str, width: int) -> str:
    """Overrides with no more of their keys than the last part, if they are too long."""
    return title if len(title) <= width else short_keys(title)


def short_keys(title: str) -> str:
    """Overrides with the last part of their keys alone: ``lr=0.1`` for ``optimizer.lr=0.1``."""
    words = [word.partition("=") for word in title.split(" ")]
    return " ".join(f"{key.rpartition('.')[2]}{equals}{value}" for key, equals, value in words)


def shorten(text: str, width: int) -> str:
    """The text without its middle, if it is too long: jobs often differ in their last override."""
    front = width // 2
    return text if len(text) <= width else f"{text[:front]}…{text[front + 1 - width :]}"
