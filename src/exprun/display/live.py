"""A training as a small panel in the terminal, drawn over itself again and again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from time import perf_counter
from typing import Self

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from exprun import metrics
from exprun.display.text import NONE, about, duration, figure, printable
from exprun.fit import Observer, Training
from exprun.vocabulary import HIGHER_IS_BETTER

INTERVAL = 0.1
"""Seconds between two drawings."""

MAX_WIDTH = 88
"""Columns used at most: farther apart, things that belong together no longer look so."""

NARROW = 60
"""Below this width the table of figures moves closer together."""

SHORTEST_BAR = 8
SEPARATOR = " · "


class LivePanel(Observer):
    """Epoch, speed, time left, figures and their best so far, learning rate, patience left.

    It is drawn by whoever calls, at most every ``INTERVAL``: there is no thread that could take
    time from the training. Figures without a validation part are those of the training part.
    """

    def __init__(
        self, title: str, device: str, console: Console, *, transient: bool = False
    ) -> None:
        self._title = printable(title, console)
        self._device = device
        self._console = console
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=transient,
            get_renderable=lambda: self,
            redirect_stderr=sys.stderr.isatty(),
        )
        self._drawn: list[int] = []  # width of each line on the screen
        self._due = 0.0
        self._seconds: float | None = None  # that it took, once it is over
        self._row: dict[str, float] = {}  # of the last epoch
        self._best: dict[str, tuple[float, int]] = {}  # figure: value, epoch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live.is_started:
            self._seconds = perf_counter() - self._began
            self._draw()
            self._live.stop()

    def on_start(self, training: Training) -> None:
        self._training = training
        self._about = about(training, self._device)
        self._names = metrics.names(training.data.preprocessing.task)
        self._first_epoch, self._first_iteration = training.epoch, training.iteration
        self._iteration = training.iteration
        if training.kept_row:  # resumed
            self._note_best(training.kept_row)
        self._began = perf_counter()
        self._live.start()
        self._draw()

    def on_iteration(self, training: Training, iteration: int) -> None:
        self._iteration = iteration
        if perf_counter() >= self._due:
            self._draw()

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        self._row = row
        self._note_best(row)
        if perf_counter() >= self._due:
            self._draw()

    def _note_best(self, row: dict[str, float]) -> None:
        for name in self._names:
            value = row.get(f"val_{name}", row[f"train_{name}"])
            sign = -1 if name in HIGHER_IS_BETTER else 1
            if name not in self._best or sign * value < sign * self._best[name][0]:
                self._best[name] = value, int(row["epoch"])

    def _draw(self) -> None:
        # A terminal that has become narrower has wrapped what it shows: rich's Live goes back by
        # the lines that it wrote, so the additional ones are erased here.
        wrapped = sum((width - 1) // self._console.width for width in self._drawn if width)
        up = ((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)) * wrapped
        with self._console:  # in one piece: nothing flickers
            self._console.control(Control(*up))
            self._live.refresh()
        self._due = perf_counter() + INTERVAL

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, MAX_WIDTH)
        lines = [
            *self._heading(width),
            *self._progress(width),
            *self._table(width),
            *self._settings(width),
        ]
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        self._drawn = [line.cell_len for line in lines]
        yield from lines

    def _heading(self, width: int) -> Iterator[Text]:
        description = SEPARATOR.join(self._about)
        gap = width - cell_len(self._title) - cell_len(description)
        if self._title and gap >= len(SEPARATOR):
            yield Text.assemble((self._title, "bold"), " " * gap, (description, "dim"))
            return
        if self._title:
            yield Text(self._title, "bold")
        yield from _flow(self._about, width, "dim")

    def _progress(self, width: int) -> Iterator[Text]:
        t, over = self._training, self._seconds is not None
        within = self._iteration - t.iteration
        done = t.epoch + within / t.iterations_per_epoch
        epoch = t.epoch + (within > 0 and not over)
        left = f"epoch {epoch:>{len(str(t.max_epochs))}}/{t.max_epochs} "
        right = self._pace(done)
        room = width - len(left) - len(right)
        style = "green" if over else "cyan"
        if room >= SHORTEST_BAR:
            yield Text.assemble(left, _bar(done / t.max_epochs, room, style), right)
        else:
            yield Text.assemble(left, _bar(done / t.max_epochs, width - len(left), style))
            yield Text(right.strip())

    def _pace(self, done: float) -> str:
        """Iterations per second, and the time left or taken; ``done`` is in epochs."""
        seconds = self._seconds or perf_counter() - self._began
        epochs = done - self._first_epoch
        if not epochs or not seconds:
            return ""
        speed = (self._iteration - self._first_iteration) / seconds
        pace = f" {speed:>6,.0f} it/s" if speed >= 10 else f" {speed:>6.2f} it/s"
        if self._seconds is not None:
            return f"{pace}   {duration(seconds)}"
        left = timedelta(seconds=round((self._training.max_epochs - done) * seconds / epochs))
        at_most = "" if self._training.stopping.patience is None else "≤ "
        return f"{pace}   {at_most}{left} left"

    def _table(self, width: int) -> Iterator[Text]:
        parts = ["train", "val"] if len(self._training.data.val) else ["train"]
        label, cell = max(map(len, self._names)), 11 if width >= NARROW else 8
        headings = "".join(f"{heading:>{cell}}" for heading in [*parts, "best"])
        yield Text(f"{'':{label}}{headings} epoch", "dim")
        for name in self._names:
            best, epoch = self._best.get(name, (None, None))
            values = [figure(self._row.get(f"{part}_{name}")) for part in parts]
            now = epoch is not None and epoch == self._row.get("epoch")
            yield Text.assemble(
                (f"{name:{label}}", "dim"),
                "".join(f"{value:>{cell}}" for value in values),
                (f"{figure(best):>{cell}} {epoch or NONE:>5}", "green" if now else ""),
            )

    def _settings(self, width: int) -> Iterator[Text]:
        t = self._training
        settings = [f"lr {float(t.optimizer.param_groups[0]['lr']):.4g}"]
        if t.stopping.patience is not None:
            settings.append(f"patience {t.stopping.patience_left} of {t.stopping.patience} left")
        yield from _flow(settings, width)


def _bar(share: float, width: int, style: str) -> Text:
    full, half = divmod(int(2 * width * share), 2)
    rest = "─" * (width - full - half)
    return Text.assemble(("━" * full + "╸" * half, style), (rest, "dim"))


def _flow(items: Sequence[str], width: int, style: str = "") -> Iterator[Text]:
    """The items one after the other, on as few lines as they need."""
    line = items[0]
    for item in items[1:]:
        if cell_len(line + SEPARATOR + item) > width:
            yield Text(line, style)
            line = item
        else:
            line += SEPARATOR + item
    yield Text(line, style)
