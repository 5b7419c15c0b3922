"""The panel of a sweep."""

from __future__ import annotations

import math
from io import StringIO

import pytest
from rich.console import Console

from exprun.common.constants import COMPLETED, DIVERGED, EARLY_STOPPED, FAILED, INTERRUPTED
from exprun.display.panel import INTERVAL
from exprun.display.summary import job_line
from exprun.sweeps.panel import SweepPanel
from tests.display.terminals import RESULT, Terminal, terminal_console

ASKED = "optimizer.lr=0.1,0.2 seed=range(4)"
JOBS = {
    4 * i + seed: (f"optimizer.lr={lr} seed={seed}", 10)
    for i, lr in enumerate((0.1, 0.2))
    for seed in range(4)
}
WORKERS = "2 processes × 2 at a time · cpu"


def row(epoch: int, value: float, **others: float) -> dict[str, float]:
    """A classification's row: a loss, and an accuracy that goes with it."""
    figures = {
        "train_loss": value + 1,
        "val_loss": value,
        "train_accuracy": 0,
        "val_accuracy": 1 - value,
    }
    return {"epoch": epoch, "iteration": 3 * epoch, "lr": 0.1, **figures, **others}


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("exprun.display.panel", "exprun.sweeps.panel"):
        monkeypatch.setattr(f"{module}.perf_counter", clock)
    return clock


class Screen:
    """A panel on a terminal, and what stands there."""

    def __init__(self, jobs: dict[int, tuple[str, int]], clock: Clock, width: int = 80) -> None:
        self.console, self.file = terminal_console(width)
        self.clock = clock
        self.terminal = Terminal()
        self.panel = SweepPanel(ASKED, jobs, self.console)
        self.panel.workers = WORKERS

    def __enter__(self) -> Screen:
        self.panel.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.panel.__exit__(*exception)

    def after(self, seconds: float) -> list[str]:
        """The lines of the terminal when so much time has passed and the panel was drawn."""
        self.clock.now += seconds
        self.panel.draw()
        return self.lines

    @property
    def lines(self) -> list[str]:
        self.terminal.feed(self.file.getvalue())
        self.file.truncate(self.file.seek(0))
        return self.terminal.text.splitlines()


def test_before_the_first_epoch(clock: Clock) -> None:
    with Screen(JOBS, clock) as screen:
        assert screen.after(3) == [
            f"{ASKED}               {WORKERS}",
            f"0/8 jobs {'─' * 63} 0:00:03",
            "8 waiting",
            f"0 {'·' * 8}",
        ]


def test_all_jobs_at_a_glance(clock: Clock) -> None:
    with Screen(JOBS, clock) as screen:
        for job in range(6):
            screen.panel.epoch(job, row(1, 0.9))
        screen.after(10)
        for job in range(6):
            screen.panel.epoch(job, row(5, job / 10))
        screen.panel.ended(2, COMPLETED)
        screen.panel.ended(3, EARLY_STOPPED)
        screen.panel.ended(0, DIVERGED)
        assert screen.after(2) == [
            f"{ASKED}               {WORKERS}",
            f"3/8 jobs {'━' * 15}╸{'─' * 12}     12 epochs/s   0:00:12   ≤ 0:00:03 left",
            "3 running · 2 waiting · 1 completed · 1 early stopped · 1 diverged",
            "                  5 %   median     95 %     best",
            "val_loss       0.1200   0.3000   0.4800   0.1000 [1] optimizer.lr=0.1 seed=1",
            "val_accuracy   0.5200   0.7000   0.8800   0.9000 [1] optimizer.lr=0.1 seed=1",
            "0 ✗█▆▅▃▁··",
            "  ▁▂▃▄▅▆▇█ rank by val_accuracy  · waiting  ✗ no result",
        ]


def test_figures_without_validation_part_are_those_of_the_training_part(clock: Clock) -> None:
    names = ("loss", "rmse", "mae", "r2")
    with Screen(JOBS, clock) as screen:
        for job in (4, 7):
            figures = {f"train_{name}": job / 10 for name in names}
            screen.panel.epoch(job, {"epoch": 1, "iteration": 3, "lr": 0.1, **figures})
        lines = screen.after(1)
        assert [line.split()[:6] for line in lines[4:8]] == [
            ["train_loss", "0.4150", "0.5500", "0.6850", "0.4000", "[4]"],
            ["train_rmse", "0.4150", "0.5500", "0.6850", "0.4000", "[4]"],
            ["train_mae", "0.4150", "0.5500", "0.6850", "0.4000", "[4]"],
            ["train_r2", "0.4150", "0.5500", "0.6850", "0.7000", "[7]"],
        ]
        assert lines[8] == "0 ····▁··█"
        assert "rank by train_r2" in lines[9]


def test_figures_that_are_not_finite_count_as_none(clock: Clock) -> None:
    with Screen(JOBS, clock) as screen:
        screen.panel.epoch(0, row(1, 0.25))
        screen.panel.epoch(1, row(1, math.nan))
        screen.panel.epoch(2, row(1, 0.5, val_loss=math.inf))
        lines = screen.after(1)
        assert lines[4].split()[:6] == ["val_loss", *["0.2500"] * 4, "[0]"]
        assert lines[5].split()[:6] == [
            "val_accuracy",
            "0.5125",
            "0.6250",
            "0.7375",
            "0.7500",
            "[0]",
        ]
        assert lines[6] == "0 █·▁·····"


def test_equal_accuracies_are_ranked_by_the_loss_and_equal_jobs_alike(clock: Clock) -> None:
    with Screen(JOBS, clock) as screen:
        for job, loss in enumerate((0.3, 0.1, 0.1, 0.2)):
            screen.panel.epoch(job, row(1, loss, val_accuracy=0.5))
        assert screen.after(1)[6] == "0 ▁██▃····"


def test_jobs_without_figures_of_their_own(clock: Clock) -> None:
    with Screen(JOBS, clock) as screen:
        screen.panel.ended(0, COMPLETED)
        screen.panel.ended(1, FAILED)
        screen.panel.epoch(2, row(1, 0.5))
        screen.panel.ended(2, INTERRUPTED)
        assert screen.after(1)[2:] == [
            "5 waiting · 1 completed · 1 failed · 1 interrupted",
            "0 ✓✗✗·····",
        ]


def test_speed_is_that_of_the_epochs_that_were_watched(clock: Clock) -> None:
    with Screen({0: ("seed=0", 1000), 1: ("seed=1", 1000)}, clock) as screen:
        screen.after(30)  # processes start
        for job in (0, 1):
            screen.panel.epoch(job, row(500, 1))  # resumed
        assert "epochs/s" not in screen.after(0.1)[1]
        screen.panel.epoch(0, row(510, 1))
        assert "epochs/s" not in screen.after(0.5)[1], "too early to tell"
        screen.panel.epoch(0, row(520, 1))
        screen.panel.epoch(1, row(520, 1))
        assert screen.after(1.5)[1].endswith("     20 epochs/s   0:00:32   ≤ 0:00:48 left")
        assert screen.after(10)[1].endswith("     20 epochs/s   0:00:42   ≤ 0:00:38 left")
        assert screen.after(60)[1].endswith("     20 epochs/s   0:01:42   ≤ 0:00:00 left")


def test_drawn_when_due_and_not_before(clock: Clock) -> None:
    with Screen(JOBS, clock) as screen:
        before = screen.after(0.2)
        screen.panel.epoch(0, row(1, 1))
        assert screen.after(0.04) == before
        assert screen.after(0.07) != before


def test_nothing_is_left_behind(clock: Clock) -> None:
    with Screen(JOBS, clock) as screen:
        screen.panel.epoch(0, row(1, 1))
        assert screen.after(1)
        assert not screen.terminal.cursor
    assert screen.lines == [""] * len(screen.lines)
    assert (screen.terminal.row, screen.terminal.column) == (0, 0)
    assert screen.terminal.cursor


def test_lines_of_finished_jobs_stand_above_the_panel(clock: Clock) -> None:
    with Screen(JOBS, clock) as screen:
        for job in (2, 5):
            screen.panel.epoch(job, row(1, 1))
            screen.panel.ended(job, EARLY_STOPPED)
            job_line(job, f"{job}/8", JOBS[job][0], RESULT, screen.panel.console)
        print("a warning")
        lines = screen.lines
        assert [line[:28] for line in lines[:2]] == [
            "2/8 [2] lr=0.1 seed=2    val",
            "5/8 [5] lr=0.2 seed=1    val",
        ]
        assert lines[2] == "a warning"
        assert lines[3].startswith(ASKED)
        assert lines[4].startswith("2/8 jobs "), "drawn as it is by now"
        assert sum(line.startswith(ASKED) for line in lines) == 1
    assert [line for line in screen.lines if line] == lines[:3]


def test_a_terminal_made_narrower_keeps_no_remains(clock: Clock) -> None:
    with Screen(JOBS, clock) as screen:
        screen.panel.epoch(0, row(1, 1))
        assert ASKED in screen.after(1)[0]
        screen.console.width = 30
        screen.terminal.resize(30)
        screen.console.print("a job")
        assert screen.lines[:2] == ["a job", ASKED[:29] + "…"]
        assert len(screen.after(1)) == len(screen.lines)
        assert sum(ASKED[:10] in line for line in screen.lines) == 1
    assert [line for line in screen.lines if line] == ["a job"]


def many(lrs: int, seeds: int) -> dict[int, tuple[str, int]]:
    return {
        seeds * i + s: (f"optimizer.lr={i} seed={s}", 10) for i in range(lrs) for s in range(seeds)
    }


@pytest.mark.parametrize(
    ("width", "lrs", "seeds", "expected"),
    [
        (80, 8, 32, {"  0 ": 64, " 64 ": 64, "128 ": 64, "192 ": 64}),
        (60, 3, 32, {" 0 ": 32, "32 ": 32, "64 ": 32}),
        (60, 1, 100, {" 0 ": 50, "50 ": 50}),
        (60, 1, 55, {" 0 ": 55}),
        (80, 5, 1, {"0 ": 5}),
        (5, 3, 3, {"0 ": 3, "3 ": 3, "6 ": 3}),
    ],
)
def test_jobs_that_differ_in_their_last_override_stand_side_by_side(
    clock: Clock, width: int, lrs: int, seeds: int, expected: dict[str, int]
) -> None:
    with Screen(many(lrs, seeds), clock, width) as screen:
        lines = [line for line in screen.lines if line.endswith("·")]
        assert lines[-len(expected) :] == [label + "·" * n for label, n in expected.items()]


def test_the_jobs_at_work_are_shown_if_there_is_no_room_for_all(clock: Clock) -> None:
    screen = Screen(many(32, 32), clock)
    screen.console.height = 12
    with screen:
        assert [line.split()[0] for line in screen.lines[3:]] == ["0", "64", "128", "192", "256"]
        for job in range(500):
            screen.panel.ended(job, COMPLETED)
        assert screen.after(1)[3:] == [
            f" 448 {'✓' * 52}{'·' * 12}",
            *(f"{job:>4} {'·' * 64}" for job in (512, 576, 640, 704)),
        ]
        for job in range(500, 1024):
            screen.panel.ended(job, COMPLETED)
        assert screen.after(1)[1].startswith("1024/1024 jobs ━━━")


@pytest.mark.parametrize("width", [1, 8, 20, 40, 60, 80, 200])
@pytest.mark.parametrize("jobs", [0, 1, 256])
def test_the_panel_fits_any_terminal(clock: Clock, width: int, jobs: int) -> None:
    with Screen(many(1, jobs), clock, width) as screen:
        for job in range(0, jobs, 2):
            screen.panel.epoch(job, row(job % 10, job / 256))
        lines = screen.after(1)
        assert all(len(line) <= width for line in lines)
        assert len(lines) <= 24
        assert max(map(len, lines)) >= min(width, 80), "it uses the width it has"


def test_the_table_at_sixty_columns(clock: Clock) -> None:
    with Screen(many(8, 32), clock, 60) as screen:
        for job in range(256):
            screen.panel.epoch(job, row(1, job / 256))
        assert screen.after(1)[4:6] == [
            "               median     best",
            "val_loss       0.4980   0.0000   [0] optimizer.lr=0 seed=0",
        ]


LONG_TITLE = (
    "optimizer.betas=[0.9,0.999] scheduler.gamma=0.97 model.hidden=[128,128] stopping.patience=17"
)
SHORT_KEYS = "betas=[0.9,0.999] gamma=0.97 hidden=[128,128] patience=17"


@pytest.mark.parametrize("width", [60, 80, 88])
def test_a_value_that_varies_is_never_cut(clock: Clock, width: int) -> None:
    """Keys are shortened, and columns left out, before that."""
    words = LONG_TITLE.split(" ")
    short = SHORT_KEYS.split(" ")
    for count in range(1, 5):
        jobs = {3: (" ".join(words[-count:]), 10)}
        with Screen(jobs, clock, width) as screen:
            screen.panel.epoch(3, row(1, 0.25))
            screen.panel.ended(3, COMPLETED, {"val_accuracy": 0.75, "val_loss": 0.25})
            lines = screen.after(1)
        (loss,) = [line for line in lines if line.startswith("val_loss")]
        first = next(i for i, line in enumerate(lines) if line.startswith("best so far"))
        last = next(i for i, line in enumerate(lines) if line.startswith("3 "))
        titles = " ".join(words[-count:]), " ".join(short[-count:])
        tail = loss.partition("[3]")[2].strip()
        assert tail in (*titles, "")
        assert bool(tail) == (len(titles[1]) <= {60: 25, 80: 45, 88: 53}[width])
        shown = " ".join(lines[first:last])
        assert all(word in shown for word in short[-count:])
        assert "…" not in shown + loss


@pytest.mark.parametrize(
    "console", [Console(file=StringIO()), terminal_console(_environ={"TERM": "dumb"})[0]]
)
def test_silent_where_nothing_can_be_drawn(console: Console) -> None:
    with SweepPanel(ASKED, JOBS, console) as panel:
        panel.epoch(0, row(1, 1))
        panel.draw()
        panel.ended(0, COMPLETED)
        panel.console.print("a job")
        panel.draw()
    assert console.file.getvalue() == "a job\n"  # type: ignore[attr-defined]


def test_titles_cannot_upset_the_output(clock: Clock) -> None:
    with Screen({0: ("x=\n[bold]\x1b[2J", 5)}, clock) as screen:
        screen.panel.epoch(0, row(1, 1))
        assert screen.after(1)[4].endswith("[0] x= [bold]?[2J")


def test_nothing_is_drawn_before_it_is_due(clock: Clock) -> None:
    with Screen(many(8, 32), clock) as screen:
        screen.after(1)
        screen.panel.epoch(0, row(1, 1))
        screen.clock.now += INTERVAL / 2
        screen.panel.draw()
        assert screen.file.getvalue() == ""
        screen.clock.now += INTERVAL
        screen.panel.draw()
        assert screen.file.getvalue()


def test_the_best_configuration_so_far(clock: Clock) -> None:
    """By the mean over its repetitions; a job that failed, or has not ended, counts for nothing."""
    with Screen(JOBS, clock) as screen:
        for job, accuracy in {0: 0.5, 1: 0.9, 4: 0.8, 5: 0.7}.items():
            screen.panel.epoch(job, row(1, 1 - accuracy))
            screen.panel.ended(job, COMPLETED, {"val_accuracy": accuracy, "val_loss": 0.1})
        screen.panel.epoch(6, row(1, 0.01))
        screen.panel.ended(7, FAILED, {})
        (line,) = [line for line in screen.after(1) if line.startswith("best so far ")]
    assert line.split("  ") == ["best so far optimizer.lr=0.2", "val_accuracy 0.7500, mean of 2"]
