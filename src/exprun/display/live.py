"""A small panel in the terminal that is redrawn while a training runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from time import perf_counter
from typing import Self

from rich.console import Console
from rich.text import Text

from exprun.common.constants import HIGHER_IS_BETTER
from exprun.display.describe import about
from exprun.display.panel import NARROW, Canvas, flow, heading, progress
from exprun.display.text import NONE, duration, figure, per_second, printable
from exprun.training.callbacks import Callback
from exprun.training.training import Training


class LivePanel(Callback):
    """Shows epoch, speed, time left, figures and their best so far, learning rate, patience left.

    It is redrawn in the callbacks, at most every ``INTERVAL`` seconds, without a thread that would
    take time from the training. Without a validation part it shows training figures.
    """

    def __init__(self, title: str, console: Console, *, transient: bool = False) -> None:
        self._title = printable(title, console)
        self._canvas = Canvas(console, self._lines, transient=transient)
        self._seconds: float | None = None  # duration, once the training has ended
        self._row: dict[str, float] = {}  # the last epoch's row
        self._best: dict[str, tuple[float, int]] = {}  # figure: value, epoch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._canvas.started:
            self._seconds = perf_counter() - self._began
            self._canvas.stop()

    def on_start(self, training: Training) -> None:
        self._training = training
        self._about = about(training)
        self._names = training.figures
        self._first_epoch, self._first_iteration = training.epoch, training.iteration
        self._iteration = training.iteration
        if training.kept_row:  # a resumed training
            self._note_best(training.kept_row)
        self._began = perf_counter()
        self._canvas.start()

    def on_iteration(self, training: Training, iteration: int) -> None:
        self._iteration = iteration
        if perf_counter() >= self._canvas.due:
            self._canvas.draw()

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        self._row = row
        self._note_best(row)
        if perf_counter() >= self._canvas.due:
            self._canvas.draw()

    def _note_best(self, row: dict[str, float]) -> None:
        for name in self._names:
            value = row.get(f"val_{name}", row[f"train_{name}"])
            sign = -1 if name in HIGHER_IS_BETTER else 1
            if name not in self._best or sign * value < sign * self._best[name][0]:
                self._best[name] = value, int(row["epoch"])

    def _lines(self, width: int) -> Iterator[Text]:
        yield from heading(self._title, self._about, width)
        yield from self._progress(width)
        yield from self._table(width)
        yield from self._settings(width)

    def _progress(self, width: int) -> Iterator[Text]:
        t, over = self._training, self._seconds is not None
        within = self._iteration - t.iteration
        done = t.epoch + within / t.iterations_per_epoch
        epoch = t.epoch + (within > 0 and not over)
        left = f"epoch {epoch:>{len(str(t.max_epochs))}}/{t.max_epochs} "
        right = self._pace(done)
        yield from progress(left, done / t.max_epochs, right, width, over=over)

    def _pace(self, done: float) -> str:
        """Iterations per second, and the remaining or total time; ``done`` is in epochs."""
        seconds = self._seconds or perf_counter() - self._began
        epochs = done - self._first_epoch
        if not epochs or not seconds:
            return ""
        speed = (self._iteration - self._first_iteration) / seconds
        pace = f" {per_second(speed, 'it')}"
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
        settings = [(f"lr {float(t.optimizer.param_groups[0]['lr']):.4g}", "")]
        if t.stopping.patience is not None:
            left = f"patience {t.stopping.patience_left} of {t.stopping.patience} left"
            settings.append((left, ""))
        yield from flow(settings, width)
