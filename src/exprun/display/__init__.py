"""What the user sees in the terminal: while a run trains, after it, and after a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console

from exprun.display.comparison import comparison
from exprun.display.diagnostics import initialization as show_initialization
from exprun.display.lines import PlainLines
from exprun.display.live import LivePanel
from exprun.display.stack import StackPanel
from exprun.display.summary import job_line, summary, sweep_summary
from exprun.display.text import default_console
from exprun.training import Observer

__all__ = [
    "LivePanel",
    "PlainLines",
    "StackPanel",
    "comparison",
    "job_line",
    "show_initialization",
    "summary",
    "sweep_summary",
    "watch",
    "watch_stack",
]


def watch(
    title: str, device: str, console: Console | None = None, *, in_sweep: bool = False
) -> AbstractContextManager[Observer]:
    """The observer for this output: a live panel on a terminal, plain lines elsewhere.

    ``title`` tells the run from others, e.g. the user's overrides. To be used in a ``with`` block
    around the training: what it shows is complete at the end of the block. A job of a sweep, which
    gets a line of its own afterwards, leaves nothing behind.
    """
    console = console or default_console()
    if _draws(console):
        return LivePanel(title, device, console, transient=in_sweep)
    return nullcontext(Observer()) if in_sweep else PlainLines(title, device, console)


def watch_stack(
    title: str, jobs: Mapping[int, tuple[str, int]], workers: str, console: Console | None = None
) -> StackPanel:
    """The panel for the jobs of a stacked sweep: on a terminal it is shown, elsewhere silent.

    ``title`` is what the sweep was asked, ``jobs`` are its numbers with what tells each job from
    the others and its ``max_epochs``, ``workers`` is who trains them. To be used in a ``with``
    block, in which all lines are printed to ``panel.console``.
    """
    console = console or default_console()
    return StackPanel(title, jobs, workers, console, silent=not _draws(console))


def _draws(console: Console) -> bool:
    """Whether something can be drawn over itself there."""
    return console.is_interactive and not console.options.ascii_only
