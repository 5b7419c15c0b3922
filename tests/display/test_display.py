"""What the user sees, on a terminal and elsewhere."""

from __future__ import annotations

import itertools
import os
import pty
import re
import subprocess
import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from exprun.common.streams import Streams
from exprun.data.prepare import Data, Part
from exprun.data.preprocess import Preprocessing
from exprun.data.scaling import Scaling
from exprun.data.task import Task
from exprun.display.choose import watch
from exprun.display.lines import PlainLines
from exprun.display.live import LivePanel
from exprun.display.panel import INTERVAL
from exprun.display.summary import job_line, summary, sweep_summary
from exprun.fit.loop import fit
from exprun.techniques.losses import auto
from exprun.techniques.schedules import FactorScheduler
from exprun.techniques.stopping import Stopping
from exprun.training.callbacks import Callback
from exprun.training.training import Training

TITLE = "model.hidden=[256,128] [bold]x[/bold]"


def make_training(*, classes: int = 3, val: int = 20, **options: Any) -> Training:
    """A small training on random data; ``classes=0`` is a regression."""
    torch.manual_seed(0)
    task = Task(("label",), tuple("abc"[:classes]))

    def part(rows: int) -> Part:
        x = torch.randn(rows, 4)
        return Part(x, x.argmax(1) % classes if classes else x.sum(1, keepdim=True))

    target = Scaling.identity(0 if classes else 1)
    preprocessing = Preprocessing.identity("wxyz", task, target)
    data = Data("toy", part(60), part(val), part(20), preprocessing)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, task.width))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    streams, scheduler = Streams.from_seed(0), FactorScheduler(optimizer)
    return Training(model, auto(task), data, optimizer, scheduler, streams, **options)


class Terminal:
    """Understands what rich writes: text, new lines, cursor up, erase line, cursor on and off."""

    def __init__(self) -> None:
        self.rows, self.row, self.column, self.cursor = [""], 0, 0, True

    def feed(self, stream: str) -> Terminal:
        for code, char in re.findall(r"\x1b\[([?\d;]*[A-Za-z])|([^\x1b])", stream, re.DOTALL):
            if char == "\n":
                self.row, self.column = self.row + 1, 0
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif char == "\r":
                self.column = 0
            elif char:
                old = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = old[: self.column] + char + old[self.column + 1 :]
                self.column += 1
            elif code == "2K":
                self.rows[self.row] = ""
            elif code == "1A":
                self.row = max(self.row - 1, 0)
            elif code in ("?25l", "?25h"):
                self.cursor = code == "?25h"
            else:
                assert code.endswith("m"), f"not an escape sequence of a panel: {code}"
        return self

    def resize(self, width: int) -> None:
        """Wrap the rows again, as terminals do; the cursor stays at the end of its row."""
        wrapped = [[r[i : i + width] for i in range(0, len(r) or 1, width)] for r in self.rows]
        self.rows = [row for rows in wrapped for row in rows]
        self.row, self.column = len(self.rows) - 1, len(self.rows[-1])

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self.rows)


def terminal_console(width: int = 80, **options: Any) -> tuple[Console, StringIO]:
    file = StringIO()
    defaults: dict[str, Any] = {"force_terminal": True, "_environ": {"TERM": "xterm"}}
    return Console(file=file, width=width, height=24, **defaults | options), file


def show(training: Training, width: int = 80, title: str = TITLE) -> str:
    """What stands on the terminal after the training."""
    console, file = terminal_console(width)
    with watch(title, console) as screen:
        fit(training, [screen])
    return Terminal().feed(file.getvalue()).text


def printed(show: Any, *arguments: Any, **options: Any) -> str:
    """What a function that takes a console prints, as plain text."""
    console, file = terminal_console(**options)
    show(*arguments, console)
    return Terminal().feed(file.getvalue()).text


# ------------------------------------------------------------------------------- live panel


def test_the_panel_shows_everything_once_and_in_place() -> None:
    text = show(make_training(max_epochs=300, stopping=Stopping(patience=300)), 100)
    lines = text.splitlines()
    assert lines[0].startswith(TITLE)
    assert lines[0].endswith("toy · 3 classes · 4-8-3 · 67 parameters · cpu")
    assert re.fullmatch(r"epoch 300/300 ━+ +[\d,]+ it/s   \d+\.\d s", lines[1])
    assert lines[2].split() == ["train", "val", "best", "epoch"]
    assert re.fullmatch(r"loss( +\d\.\d{4}){3} +\d+", lines[3])
    assert re.fullmatch(r"accuracy( +\d\.\d{4}){3} +\d+", lines[4])
    assert re.fullmatch(r"lr 0\.1 · patience \d+ of 300 left", lines[5])
    assert len(lines) == 6, "the panel is drawn over itself"


def test_the_panel_shows_the_figures_of_the_last_and_the_best_epoch() -> None:
    rows: list[dict[str, float]] = []

    class Keep(Callback):
        def on_epoch(self, training: Training, row: dict[str, float]) -> None:
            rows.append(row)

    console, file = terminal_console()
    training = make_training(max_epochs=30, batch_size=4)
    with watch("", console) as screen:
        fit(training, [screen, Keep()])
    lines = Terminal().feed(file.getvalue()).text.splitlines()
    best = max(rows, key=lambda row: row["val_accuracy"])
    expected = [rows[-1]["train_accuracy"], rows[-1]["val_accuracy"], best["val_accuracy"]]
    assert lines[4].split() == ["accuracy", *(f"{x:.4f}" for x in expected), str(best["epoch"])]
    assert lines[5] == "lr 0.1"


@pytest.mark.parametrize("width", [1, 8, 20, 40, 60, 80, 200])
def test_the_panel_fits_any_width(width: int) -> None:
    lines = show(make_training(max_epochs=3), width).splitlines()
    assert all(len(line) <= width for line in lines)
    assert max(map(len, lines)) >= min(width, 80), "it uses the width it has"
    if width >= 40:
        assert lines[-2].split()[0] == "accuracy"
        assert len(lines[-2].split()) == 5


def test_a_long_title_takes_one_line() -> None:
    lines = show(make_training(max_epochs=1), 40, TITLE * 9).splitlines()
    assert lines[0] == (TITLE * 9)[:39] + "…"
    assert lines[1:3] == ["toy · 3 classes · 4-8-3 · 67 parameters", "cpu"]


def test_regression_without_validation_part() -> None:
    text = show(make_training(classes=0, val=0, max_epochs=2), 100)
    assert "toy · regression · 4-8-1" in text
    assert [line.split()[0] for line in text.splitlines()[3:7]] == ["loss", "rmse", "mae", "r2"]
    assert text.splitlines()[2].split() == ["train", "best", "epoch"]


def test_bar_speed_and_time_left_move_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    for module in ("live", "panel"):
        monkeypatch.setattr(f"exprun.display.{module}.perf_counter", lambda: now)
    training = make_training(max_epochs=2, batch_size=1, stopping=Stopping(patience=5))
    console, file = terminal_console()
    with watch("", console) as screen:
        screen.on_start(training)
        before = Terminal().feed(file.getvalue()).text
        now += INTERVAL
        screen.on_iteration(training, 30)
        drawn = file.getvalue()
        screen.on_iteration(training, 31)
        assert file.getvalue() == drawn, "the next drawing is not due"
        during = Terminal().feed(drawn).text
    assert "epoch 0/2 ─" in before
    assert re.search(r"epoch 1/2 (━+)╸?─+ +[\d,.]+ it/s   ≤ 0:00:00 left", during)
    assert re.search(r"\nloss +- +- +- +-\n", during)


def test_an_interrupted_epoch_is_not_counted() -> None:
    console, file = terminal_console()
    training = make_training(max_epochs=5)
    calls = itertools.count(1)
    with watch("", console) as screen:
        fit(training, [screen], interrupted=lambda: next(calls) == 3)
    text = Terminal().feed(file.getvalue()).text
    assert training.epoch == 1
    assert "epoch 1/5" in text


def test_a_resumed_training_remembers_its_best_epoch() -> None:
    training = make_training(max_epochs=9)
    training.epoch = 4
    training.kept_row = {"epoch": 3, "train_loss": 1, "train_accuracy": 1, "val_accuracy": 0.875}
    console, file = terminal_console()
    with watch("", console) as screen:
        screen.on_start(training)
    text = Terminal().feed(file.getvalue()).text
    assert "epoch 4/9" in text
    assert re.search(r"accuracy +- +- +0\.8750 +3\n", text)


def test_a_terminal_made_narrower_keeps_no_remains() -> None:
    console, file = terminal_console(80)
    terminal = Terminal()
    with watch("title", console) as screen:
        screen.on_start(make_training(max_epochs=2))
        terminal.feed(file.getvalue())
        assert "title" in terminal.text
        file.truncate(file.seek(0))
        console.width = 30
        terminal.resize(30)
    assert terminal.feed(file.getvalue()).text.count("title") == 1
    assert terminal.text.count("epoch 0/2") == 1


def test_what_is_printed_meanwhile_stands_above_the_panel() -> None:
    console, file = terminal_console()
    with watch("title", console) as screen:
        screen.on_start(make_training(max_epochs=2))
        print("a warning")
    assert Terminal().feed(file.getvalue()).text.startswith("a warning\ntitle")


def test_nothing_is_drawn_of_a_training_that_never_starts() -> None:
    console, file = terminal_console()
    with watch("title", console):
        pass
    assert file.getvalue() == ""


SCRIPT = """
import os, signal
from tests.display.test_display import make_training
from exprun.display.choose import watch
from exprun.fit.loop import fit
from exprun.training.callbacks import Callback

class Interrupt(Callback):
    def on_iteration(self, training, iteration):
        if iteration == 401:
            os.kill(os.getpid(), signal.SIGINT)

try:
    with watch("title") as screen:
        fit(make_training(max_epochs=2000, engine="plain"), [screen, Interrupt()])
except KeyboardInterrupt:
    print("interrupted")
"""


def run_script(**environment: str) -> str:
    """What the script writes to a real pseudo-terminal."""
    keyboard, terminal = pty.openpty()
    root = str(Path(__file__).parents[2])
    inherited = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
    environment = inherited | {"TERM": "xterm-256color", "PYTHONPATH": root} | environment
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment
    ):
        os.close(terminal)
        stream = b""
        try:
            while chunk := os.read(keyboard, 65536):
                stream += chunk
        except OSError:  # Linux: the other side is closed
            pass
    os.close(keyboard)
    return stream.decode()


def test_control_c_leaves_a_complete_panel_and_a_visible_cursor() -> None:
    stream = run_script()
    assert "\x1b[?25l" in stream, "the cursor is hidden meanwhile"
    assert stream.count("title") > 1, "drawn several times"
    terminal = Terminal().feed(stream)
    assert terminal.cursor
    lines = terminal.text.splitlines()
    assert lines[0].startswith("title")
    assert "epoch  200/2000" in lines[1]
    assert lines[3].startswith("loss")
    assert lines[5:] == ["lr 0.1", "interrupted"]
    assert "\x1b[36m" in stream, "in colour"


def test_no_color_and_dumb_terminals_are_respected() -> None:
    assert not re.search(r"\x1b\[[\d;]*3\dm", run_script(NO_COLOR="1"))
    assert "\x1b" not in run_script(TERM="dumb")


# ------------------------------------------------------------------------------ plain lines


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, LivePanel),
        ({"force_terminal": False}, PlainLines),
        ({"_environ": {"TERM": "dumb"}}, PlainLines),
    ],
)
def test_the_output_decides_what_is_shown(options: dict[str, Any], kind: type) -> None:
    assert type(watch("", terminal_console(**options)[0])) is kind


def test_colours_forced_into_a_file_force_no_animation(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with watch(TITLE) as screen:
        fit(make_training(max_epochs=1), [screen])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{TITLE}  toy  3 classes  4-8-3  67 parameters  cpu"
    assert len(lines) == 2


@pytest.mark.parametrize(("max_epochs", "expected"), [(1, 1), (7, 7), (50, 18), (333, 21)])
def test_about_twenty_lines_whatever_the_number_of_epochs(max_epochs: int, expected: int) -> None:
    file = StringIO()
    with watch("", Console(file=file)) as screen:
        fit(make_training(max_epochs=max_epochs), [screen])
    lines = file.getvalue().splitlines()[1:]
    assert len(lines) == expected
    assert lines[-1].startswith(f"epoch {max_epochs}/{max_epochs}  iter {max_epochs * 2} ")
    columns = [[m.start() for m in re.finditer(r"(train|val)_\w+ ", line)] for line in lines]
    assert all(c == columns[0] and len(c) == 5 for c in columns), "aligned"


def test_a_line_tells_the_best_epoch_and_the_last_line_is_never_missing() -> None:
    training = make_training(max_epochs=100, stopping=Stopping(patience=2, monitor="val_accuracy"))
    file = StringIO()
    with watch("", Console(file=file)) as screen:
        outcome = fit(training, [screen])
    last, best = file.getvalue().splitlines()[-1], training.kept_row
    assert outcome.status == "early_stopped"
    assert last.startswith(f"epoch {training.epoch:>3}/100")
    assert last.endswith(f"best val_accuracy {best['val_accuracy']:.4f} (epoch {best['epoch']})")


def test_lines_without_validation_part_claim_no_best() -> None:
    file = StringIO()
    with watch("", Console(file=file)) as screen:
        fit(make_training(classes=0, val=0, max_epochs=1), [screen])
    line = file.getvalue().splitlines()[-1]
    assert "train_r2" in line
    assert "val_" not in line
    assert "best" not in line


def test_titles_cannot_upset_the_output() -> None:
    title = "data.path=a\nb\x1b[2J\udcff\tc ü"
    file = StringIO()
    with watch(title, Console(file=file)) as screen:
        screen.on_start(make_training())
    assert file.getvalue().startswith("data.path=a b?[2J? c ü  toy")


def test_a_terminal_that_knows_ascii_only_gets_ascii_only() -> None:
    bytes_written = BytesIO()
    file = TextIOWrapper(bytes_written, encoding="ascii")
    console = Console(file=file, force_terminal=True)
    with watch("data.path=für.csv", console) as screen:
        fit(make_training(max_epochs=1), [screen])
    job_line(1, "1/2", "ü" * 200, RESULT, console)
    written = bytes_written.getvalue()
    assert b"\x1b[?25l" not in written
    assert written.startswith(b"data.path=f?r.csv  toy")


# ---------------------------------------------------------------------------------- summary

METRICS = {"val_loss": 0.1043, "val_accuracy": 0.97, "test_loss": 0.11, "test_accuracy": 0.9722}
RESULT = {
    "status": "early_stopped",
    "reason": "val_loss has not improved for 10 epochs",
    "epochs": 34,
    "best_epoch": 24,
    "metrics": METRICS,
    "seconds": 125.4,
}
DIVERGED: dict[str, Any] = {
    "status": "diverged",
    "reason": "diverged in epoch 3, iteration 112: the gradient of layer hidden 2 is not finite",
    "epochs": 2,
    "best_epoch": None,
    "metrics": {},
    "seconds": 0.26,
}


def test_summary_of_a_run() -> None:
    folder = "outputs/runs/" + "a" * 90
    assert printed(summary, RESULT, folder, width=60).splitlines() == [
        "",
        "test    loss 0.1100   accuracy 0.9722",
        "val     loss 0.1043   accuracy 0.9700   (epoch 24)",
        "ended   early stopped: val_loss has not improved for 10",
        "        epochs (0:02:05)",
        f"run     {folder}",
        f"curves  tensorboard --logdir {folder}",
    ]


def test_summary_of_a_run_without_result() -> None:
    lines = printed(summary, DIVERGED, "/data/my runs/1", width=200).splitlines()
    assert lines == [
        "",
        "test    not evaluated, for the run diverged",
        f"ended   {DIVERGED['reason']} (0.3 s)",
        "run     /data/my runs/1",
        "curves  tensorboard --logdir '/data/my runs/1'",
    ]
    untested = RESULT | {"metrics": {"train_loss": 0.1}}
    assert "test    no rows set aside\nended" in printed(summary, untested, "../x/1")
    assert printed(summary, untested, "../x/1").endswith("--logdir ../x/1\n")


def test_a_job_line_shows_the_figure_that_the_best_epoch_is_chosen_by() -> None:
    metrics = RESULT["metrics"] | {"val_loss": 0.25, "val_weighted_loss": 0.5}
    for monitor, shown in (("val_weighted_loss", "val_weighted_loss 0.5000"), (None, "val_loss")):
        result = RESULT | {"metrics": metrics, "monitor": monitor}
        said = printed(job_line, 0, "1/2", "reg=l2", result, width=100)
        assert f"  {shown}" in said
        assert ("val_loss" in said) == (monitor is None)


def test_job_line() -> None:
    text = printed(job_line, 2, "3/24", "reg=[l2] seed=1", RESULT, width=100)
    assert text.startswith(" 3/24 [2] reg=[l2] seed=1    ")
    assert text.endswith("  val_accuracy 0.9700  val_loss 0.1043  epoch 24  0:02:05\n")
    assert len(text) == 101
    text = printed(job_line, 0, "1/1", "x", DIVERGED, width=100)
    assert re.fullmatch(r"1/1 \[0\] x +" + re.escape(DIVERGED["reason"]) + r"\n", text)


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("result", [RESULT, DIVERGED])
def test_job_lines_take_one_line_on_a_terminal(width: int, result: dict[str, Any]) -> None:
    title = " ".join(f"optimizer.{i}={i}" for i in range(20)) + " seed=77"
    text = printed(job_line, 3, "4/24", title, result, width=width)
    assert text.count("\n") == 1
    assert len(text) <= width + 1
    assert "=77  " in text


@pytest.mark.parametrize("width", [80, 100, 140])
def test_a_value_that_varies_is_the_last_to_be_cut(width: int) -> None:
    title = "optimizer.lr=0.003 model.hidden=[64,64] reg=none"
    text = printed(job_line, 3, "4/24", f"{title} seed=2", RESULT, width=width)
    assert len(text) <= width + 1
    assert ("optimizer.lr=0.003" in text) == (width > 100)
    assert "lr=0.003" in text
    assert "hidden=[64,64] reg=none seed=2" in text
    assert "test_" not in text, "it is looked at for what was chosen"
    assert ("epoch" in text) == (width > 80)
    assert ("0:02:05" in text) == (width > 100)
    assert "val_accuracy 0.9700" in text


def test_job_lines_are_complete_in_a_file() -> None:
    title = "optimizer=adam " * 10
    text = printed(job_line, 3, "4/24", title, DIVERGED, force_terminal=False)
    assert text == f" 4/24 [3] {title}  {DIVERGED['reason']}\n"


@pytest.mark.parametrize("width", [40, 80])
def test_sweep_summary(width: int) -> None:
    rows: list[dict[str, Any]] = [
        {"number": i, "overrides": f"reg=[l2,dropout] seed={i}", "status": "completed", **METRICS}
        for i in range(12)
    ]
    failed = {"status": "failed", "reason": "no such\n  file"}
    rows += [DIVERGED | {"number": 12, "overrides": "optimizer.lr=1e9"}]
    rows += [failed | {"number": 13 + i, "overrides": "data=csv"} for i in range(11)]
    rows[-11:] = rows[:-12:-1]  # a leaderboard has them in the order of their figures
    text = printed(sweep_summary, rows, "outputs/sweeps/today", width=width)
    assert all(len(li) <= width for li in text.splitlines() if not li.endswith("/today"))
    words = " ".join(text.split())
    assert "jobs 24: 12 completed, 1 diverged, 11 failed" in words
    assert "[12] optimizer.lr=1e9 diverged in epoch 3" in words
    assert "[13] data=csv failed: no such file" in words
    assert words.endswith(
        "and 2 more, see leaderboard.csv sweep outputs/sweeps/today "
        "curves tensorboard --logdir outputs/sweeps/today go on exprun resume outputs/sweeps/today"
    )


def test_what_all_jobs_of_a_sweep_have_in_common_is_said_once() -> None:
    rows = [
        RESULT | METRICS | {"number": i, "overrides": f"x=1 seed={i} y=[a,b]"} for i in range(3)
    ]
    text = printed(sweep_summary, rows, "outputs/sweeps/today")
    assert "\nall     x=1 y=[a,b]\njobs    3: 3 completed\n" in text


def test_an_interrupted_sweep_does_not_list_the_jobs_that_never_began() -> None:
    pending = {"status": "pending", "reason": "", "overrides": "x=2", "number": 1}
    interrupted = {"status": "interrupted", "reason": "interrupted in epoch 2", "overrides": "x=1"}
    rows = [interrupted | {"number": 0}, pending]
    assert printed(sweep_summary, rows, "outputs/sweeps/today").splitlines() == [
        "",
        "jobs    2: 1 interrupted, 1 pending",
        "        [0] x=1  interrupted in epoch 2",
        "sweep   outputs/sweeps/today",
        "curves  tensorboard --logdir outputs/sweeps/today",
        "go on   exprun resume outputs/sweeps/today",
    ]


def test_a_sweep_names_the_means_over_its_seeds(tmp_path: Path) -> None:
    rows = [RESULT | METRICS | {"number": 0, "overrides": "seed=0"}]
    assert f"curves  tensorboard --logdir {tmp_path}\n" in printed(
        sweep_summary, rows, str(tmp_path)
    )
    (tmp_path / "mean").mkdir()
    assert f"curves  tensorboard --logdir {tmp_path}/mean\n" in printed(
        sweep_summary, rows, str(tmp_path)
    )


def test_a_sweep_without_jobs() -> None:
    text = printed(sweep_summary, [], "outputs/sweeps/today")
    assert text.startswith("\njobs    0\nsweep   outputs")
