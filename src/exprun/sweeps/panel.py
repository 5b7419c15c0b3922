"""A small terminal panel with the progress of all jobs of a sweep."""

from __future__ import annotations

import math
import statistics
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby, takewhile
from time import perf_counter
from typing import Self

from rich.console import Console
from rich.text import Text

from exprun.common.constants import (
    COMPLETED,
    DIVERGED,
    EARLY_STOPPED,
    FAILED,
    INTERRUPTED,
    STOPPED,
)
from exprun.display.panel import SEPARATOR, Canvas, flow, heading, progress
from exprun.display.summary import CURVE
from exprun.display.text import (
    default_console,
    draws,
    figure,
    per_second,
    printable,
    shorten_keys,
)
from exprun.sweeps.ranking import COMPARABLE, cost, higher_is_better
from exprun.sweeps.results import REPETITION

STRIP = 6
"""Maximum number of lines of the strip, which has a character for each job."""

COLUMNS, FEW_COLUMNS = ("5 %", "median", "95 %", "best"), ("median", "best")
"""Columns of the table, and those that are kept where there is little room."""

SETTLED = 1.0
"""Seconds of measurement before a speed is shown."""

SAMPLES = 300
"""Maximum number of samples that the speed is averaged over: half a minute of redraws, or longer if
epochs are slow."""

STARTING = "starting"

RUNNING = "running"
WAITING = "waiting"
STYLES = {
    RUNNING: "cyan",
    WAITING: "dim",
    COMPLETED: "green",
    EARLY_STOPPED: "green",
    DIVERGED: "red",
    FAILED: "red",
    INTERRUPTED: "yellow",
    STOPPED: "green",
}
"""States of a job in the order in which their counts are shown, with the colours."""

ABOVE = 3
"""Terminal rows reserved, if possible, for output above the panel."""

WITHOUT_RESULT = (DIVERGED, FAILED, INTERRUPTED)
LEVELS = "▁▂▃▄▅▆▇█"
NOT_YET, UNSEEN, NEVER = "·", "✓", "✗"

Figures = dict[str, dict[int, float]]
"""By name of a figure, like ``val_loss``, its newest value for each job number that has one."""


@dataclass(slots=True)
class Job:
    """The state of a job in the panel; ``status`` is empty until it has ended."""

    title: str
    max_epochs: int
    row: Mapping[str, float] = field(default_factory=dict)  # newest row of the curve
    first_epoch: float = 0  # epoch of the first row received
    status: str = ""
    metrics: Mapping[str, float | None] = field(default_factory=dict)  # final metrics

    @property
    def state(self) -> str:
        return self.status or (RUNNING if self.row else WAITING)

    @property
    def done(self) -> float:
        """Progress in epochs; a job that has ended counts with its maximum."""
        return self.max_epochs if self.status else self.row.get("epoch", 0)

    @property
    def trained(self) -> float:
        """Epochs trained since the panel began, without those of a resumed job's earlier run."""
        return self.row["epoch"] - self.first_epoch + 1 if self.row else 0


class SweepPanel:
    """The progress of a sweep: counts of jobs by state, speed, figures, the best configuration so
    far by validation, and a character for each job. Nothing is drawn if the output is not a
    terminal. ``workers`` is a text about the worker processes.

    ``draw`` redraws it at most every ``INTERVAL``; there is no thread. Use it in a ``with`` block,
    at whose end it is erased. Output to ``panel.console`` appears above it:
    ``job_line(…, console=panel.console)``.

    The figures are those of each job's newest epoch, of the validation part if there is one; jobs
    that diverged, failed or were interrupted are left out.
    """

    def __init__(
        self,
        title: str,
        jobs: Mapping[int, tuple[str, int]],
        console: Console | None = None,
    ) -> None:
        """``title`` is the sweep's overrides; ``jobs`` has, by number, the title of each job (its
        distinguishing overrides) and its ``max_epochs``."""
        self.workers = STARTING
        self.console = console or default_console()
        self._title = printable(title, self.console)
        self._jobs = {
            number: Job(printable(title, self.console), max_epochs)
            for number, (title, max_epochs) in jobs.items()
        }
        self._canvas = Canvas(self.console, self._lines, transient=True)
        self._digits = len(str(max(jobs, default=0)))
        self._period = _period(title for title, _ in jobs.values())
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES)  # seconds, epochs trained

    def __enter__(self) -> Self:
        self._began = perf_counter()
        if draws(self.console):
            self._canvas.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._canvas.started:
            self._canvas.stop()

    def epoch(self, job: int, row: Mapping[str, float]) -> None:
        """Store the newest row of a job's learning curve."""
        known = self._jobs[job]
        if not known.row:
            known.first_epoch = row["epoch"]
        known.row, known.status = row, ""  # a status "interrupted" no longer applies

    def ended(
        self, job: int, status: str, metrics: Mapping[str, float | None] | None = None
    ) -> None:
        self._jobs[job].status, self._jobs[job].metrics = status, metrics or {}

    def draw(self) -> None:
        """Redraw the panel if the interval has passed; cheap if it has not."""
        if self._canvas.started and perf_counter() >= self._canvas.due:
            self._canvas.draw()

    def _lines(self, width: int) -> Iterator[Text]:
        states = Counter(job.state for job in self._jobs.values())
        counts = [(f"{states[s]} {s.replace('_', ' ')}", STYLES[s]) for s in STYLES if states[s]]
        figures = self._figures()
        lines = [
            *heading(self._title, self.workers.split(SEPARATOR), width),
            *self._progress(states, width),
            *flow(counts, width),
            *self._table(figures, width),
            *self._best(figures, width),
        ]
        yield from lines
        yield from self._strip(figures, width, self.console.height - ABOVE - len(lines) - 1)

    def _figures(self) -> Figures:
        rows = {n: job.row for n, job in self._jobs.items() if job.status not in WITHOUT_RESULT}
        kinds = dict.fromkeys(tuple(row) for row in rows.values())  # columns depend on the task
        names = dict.fromkeys(name for kind in kinds for name in kind)
        part = "val_" if "val_loss" in names else "train_"
        figures = {
            name: {n: v for n, row in rows.items() if math.isfinite(v := row.get(name, math.nan))}
            for name in names
            if name.startswith(part)
        }
        return {name: values for name, values in figures.items() if values}

    def _progress(self, states: Counter[str], width: int) -> Iterator[Text]:
        jobs = self._jobs.values()
        total = sum(job.max_epochs for job in jobs)
        done = sum(job.done for job in jobs)
        ended = len(jobs) - states[RUNNING] - states[WAITING]
        left = f"{ended:>{len(str(len(jobs)))}}/{len(jobs)} jobs "
        right = self._pace(total - done)
        over = ended == len(jobs)
        yield from progress(left, done / total if total else 1, right, width, over=over)

    def _pace(self, epochs_left: float) -> str:
        """Epochs per second, the elapsed time, and an upper bound of the time left, as text."""
        now = perf_counter()
        elapsed = f" {timedelta(seconds=int(now - self._began))}"
        trained = sum(job.trained for job in self._jobs.values())
        # The first epochs are not measured, because their time includes the start of processes.
        if trained and (not self._samples or trained > self._samples[-1][1]):
            self._samples.append((now, trained))
        if not self._samples or self._samples[-1][0] - self._samples[0][0] < SETTLED:
            return elapsed
        (began, before), (last, epochs) = self._samples[0], self._samples[-1]
        speed = (epochs - before) / (last - began)
        left = timedelta(seconds=round(max(epochs_left / speed - (now - last), 0)))
        return f" {per_second(speed, 'epochs')}  {elapsed}   ≤ {left} left"

    def _table(self, figures: Figures, width: int) -> Iterator[Text]:
        """Yield a row for each figure with its percentiles over the jobs, its best value and the
        job that has it. If the width is short, two columns are left out, and then, rather than
        truncating them, the overrides of the best jobs, which leaves their numbers."""
        if not figures:
            return
        best = {
            name: (max if higher_is_better(name) else min)(values, key=values.__getitem__)
            for name, values in figures.items()
        }
        label, number = max(map(len, figures)), self._digits + 2
        cell = 9 if label + 4 * 9 + 1 + number <= width else 8
        for columns in (COLUMNS, FEW_COLUMNS):
            room = width - label - len(columns) * cell - 1 - number - 1
            titles = {job: shorten_keys(self._jobs[job].title, room) for job in best.values()}
            if all(len(title) <= room for title in titles.values()):
                break
        else:
            columns, titles = COLUMNS, dict.fromkeys(titles, "")
        yield Text(f"{'':{label}}" + "".join(f"{column:>{cell}}" for column in columns), "dim")
        for name, values in figures.items():
            low, median, high = _percentiles(values.values())
            shown = dict(zip(COLUMNS, (low, median, high, values[best[name]]), strict=True))
            yield Text.assemble(
                (f"{name:{label}}", "dim"),
                "".join(f"{figure(shown[column]):>{cell}}" for column in columns),
                (f" {f'[{best[name]}]':>{number}} {titles[best[name]]}", "dim"),
            )

    def _best(self, figures: Figures, width: int) -> Iterator[Text]:
        """Yield the configuration with the best mean, over its ended repetitions, of the figure
        that jobs are ranked by."""
        for name in _ranking(figures)[:1]:
            found: dict[str, list[float]] = {}
            for job in self._jobs.values():
                value = job.metrics.get(name)
                if value is not None and job.status not in WITHOUT_RESULT:
                    found.setdefault(_configuration(job.title), []).append(value)
            if not found:
                continue
            means = {title: statistics.fmean(values) for title, values in found.items()}
            best = (max if higher_is_better(name) else min)(means, key=means.__getitem__)
            runs = f", mean of {len(found[best])}" if len(found[best]) > 1 else ""
            tail = f"  {name} {figure(means[best])}{runs}"
            room = width - len("best so far ") - len(tail)
            title = shorten_keys(best, room)
            if len(title) <= room:
                yield Text.assemble(("best so far ", "dim"), (title, "bold"), (tail, "dim"))
            else:
                yield Text(f"best so far {tail.strip()}", "dim")
                yield from flow([(word, "bold") for word in title.split(" ")], width)

    def _strip(self, figures: Figures, width: int, height: int) -> Iterator[Text]:
        """Yield lines with a character for each job; taller means a better rank. Jobs that differ
        only in their last override are in one line if they fit; if there is no room for all lines,
        the first shown is, where possible, that of the first job that has not ended."""
        ranking = _ranking(figures)
        ranks = _ranks(figures, ranking)
        marks = []
        for number, job in self._jobs.items():
            if number in ranks:
                mark = LEVELS[round((1 - ranks[number]) * (len(LEVELS) - 1))]
            elif job.status:
                mark = NEVER if job.status in WITHOUT_RESULT else UNSEEN
            else:
                mark = NOT_YET
            marks.append((number, mark, STYLES[job.state]))
        room = max(width - self._digits - 1, 1)
        size = room - room % (self._period if self._period <= room else 10) or room
        rows = [marks[start : start + size] for start in range(0, len(marks), size)]
        at_work = next((i for i, job in enumerate(self._jobs.values()) if not job.status), 0)
        shown = max(min(height, STRIP), 1)
        first = max(min(at_work // size, len(rows) - shown), 0)
        for row in rows[first : first + shown]:
            runs = (list(run) for _, run in groupby(row, key=lambda job: job[2]))
            yield Text.assemble(
                (f"{row[0][0]:>{self._digits}} ", "dim"),
                *(("".join(mark for _, mark, _ in run), run[0][2]) for run in runs),
            )
        if ranking:
            legend = (f"{LEVELS} rank by {ranking[0]}", f"{NOT_YET} waiting", f"{NEVER} no result")
            yield Text(f"{'':{self._digits}} {'  '.join(legend)}", "dim")


def _configuration(title: str) -> str:
    """The overrides in a title without those of repetitions."""
    words = [word for word in title.split(" ") if word.partition("=")[0] not in REPETITION]
    return " ".join(words) or "all jobs"


def _ranking(figures: Collection[str]) -> list[str]:
    """The figures that jobs are ranked by during training: first a monitored figure, recognised as
    one that learning curves do not have by default, then COMPARABLE."""
    usual = {part + name for part in ("val_", "train_") for name in CURVE}
    monitored = [name for name in figures if name not in usual]
    comparable = [n for k in COMPARABLE for n in (k, k.replace("val", "train")) if n in figures]
    return list(dict.fromkeys([*monitored, *comparable]))


def _percentiles(values: Collection[float]) -> tuple[float, float, float]:
    """The 5th, 50th and 95th percentiles of the values."""
    at_least_two = [*values] * (2 if len(values) == 1 else 1)
    twentieths = statistics.quantiles(at_least_two, n=20, method="inclusive")
    return twentieths[0], twentieths[9], twentieths[18]


def _ranks(figures: Figures, names: Sequence[str]) -> dict[int, float]:
    """The rank of each job, from 0 (best) to 1 (worst), by the first of these figures, with ties
    broken by the next."""
    jobs = {job for name in names for job in figures[name]}
    costs = {
        job: tuple(cost({name: figures[name].get(job) for name in names}, names)) for job in jobs
    }
    ranks: dict[tuple[float, ...], int] = {}
    for rank, values in enumerate(sorted(costs.values())):
        ranks.setdefault(values, rank)
    return {job: ranks[values] / max(len(jobs) - 1, 1) for job, values in costs.items()}


def _period(titles: Iterable[str]) -> int:
    """The number of jobs, from the first, that differ only in their last override."""
    others = [title.rpartition(" ")[0] for title in titles]
    return sum(1 for _ in takewhile(lambda words: words == others[0], others)) or 1
