"""Choose the callback that displays a training on a console."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from rich.console import Console

from exprun.display.lines import PlainLines
from exprun.display.live import LivePanel
from exprun.display.text import default_console, draws
from exprun.training.callbacks import Callback


def watch(
    title: str, console: Console | None = None, *, in_sweep: bool = False
) -> AbstractContextManager[Callback]:
    """The callback for a console: a live panel on a terminal, plain lines elsewhere.

    ``title`` identifies the run, e.g. by the user's overrides. Use it in a ``with`` block around
    the training; the output is complete at the end of the block. With ``in_sweep`` no output
    remains, because the sweep prints a line for each job.
    """
    console = console or default_console()
    if draws(console):
        return LivePanel(title, console, transient=in_sweep)
    return nullcontext(Callback()) if in_sweep else PlainLines(title, console)
