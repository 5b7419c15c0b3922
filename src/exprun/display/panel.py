"""Parts of terminal panels: a canvas of redrawn lines, progress bars, headings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

INTERVAL = 0.1
"""Seconds between two redraws, and between two reports of a worker process."""

MAX_WIDTH = 88
"""Maximum width in columns; wider lines are hard to read."""

NARROW = 60
"""Below this width in columns, tables of figures are spaced more closely."""

SHORTEST_BAR = 8
SEPARATOR = " · "


class Canvas(RenderHook):
    """The last lines of a terminal, redrawn in place when ``draw`` is called, without a thread.

    ``lines`` returns them for a width. Other output on the same console, or of ``print``, appears
    above them. The terminal may be resized at any time.
    """

    def __init__(
        self, console: Console, lines: Callable[[int], Iterable[Text]], *, transient: bool
    ) -> None:
        self.due = 0.0  # time of the next redraw
        self._console = console
        self._lines = lines
        self._drawn: list[int] = []  # width of each line on the screen
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=transient,
            get_renderable=lambda: self,
            redirect_stderr=sys.stderr.isatty(),
        )

    @property
    def started(self) -> bool:
        return self._live.is_started

    def start(self) -> None:
        self._console.push_render_hook(self)
        self._live.start()
        self.draw()

    def draw(self) -> None:
        self._live.refresh()
        self.due = perf_counter() + INTERVAL

    def stop(self) -> None:
        """Draw a last time, and keep the lines or, if transient, erase them."""
        self._live.stop()
        self._console.pop_render_hook()

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Erase lines that were wrapped when the terminal became narrower: rich's Live moves up
        only by the number of lines that it wrote."""
        wrapped = sum((width - 1) // self._console.width for width in self._drawn if width)
        up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)) * wrapped
        return [Control(*up), *renderables]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, MAX_WIDTH)
        lines = list(self._lines(width))
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        self._drawn = [line.cell_len for line in lines]
        yield from lines


def heading(title: str, items: Sequence[str], width: int) -> Iterator[Text]:
    """The title on the left, the items on the right or, if there is no room, below."""
    description = SEPARATOR.join(items)
    gap = width - cell_len(title) - cell_len(description)
    if title and gap >= len(SEPARATOR):
        yield Text.assemble((title, "bold"), " " * gap, (description, "dim"))
        return
    if title:
        yield Text(title, "bold")
    yield from flow([(item, "dim") for item in items], width)


def progress(left: str, share: float, right: str, width: int, *, over: bool) -> Iterator[Text]:
    """A progress bar between two texts; the right one goes below if there is no room."""
    room = width - len(left) - len(right)
    style = "green" if over else "cyan"
    if room >= SHORTEST_BAR:
        yield Text.assemble(left, _bar(share, room, style), right)
    else:
        yield Text.assemble(left, _bar(share, width - len(left), style))
        yield Text(right.strip())


def _bar(share: float, width: int, style: str) -> Text:
    full, half = divmod(int(2 * width * share), 2)
    rest = "─" * (width - full - half)
    return Text.assemble(("━" * full + "╸" * half, style), (rest, "dim"))


def flow(items: Iterable[tuple[str, str]], width: int) -> Iterator[Text]:
    """Texts with their styles, wrapped to as few lines as necessary."""
    line = Text()
    for item, style in items:
        if line and line.cell_len + len(SEPARATOR) + cell_len(item) > width:
            yield line
            line = Text()
        line.append(SEPARATOR if line else "", "dim").append(item, style)
    if line:
        yield line
