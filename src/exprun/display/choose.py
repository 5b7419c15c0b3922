"""Who shows a training on this output."""

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
    """The callback for this output: a live panel on a terminal, plain lines elsewhere.

    ``title`` tells the run from others, e.g. the user's overrides. To be used in a ``with`` block
    around the training: what it shows is complete at the end of the block. A job of a sweep, which
    gets a line of its own afterwards, leaves nothing behind.
    """
    console = console or default_console()
    if draws(console):
        return LivePanel(title, console, transient=in_sweep)
    return nullcontext(Callback()) if in_sweep else PlainLines(title, console)
