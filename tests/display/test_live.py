"""The live panel of a training."""

from __future__ import annotations

import itertools
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exprun.display.choose import watch
from exprun.display.panel import INTERVAL
from exprun.fit.loop import fit
from exprun.techniques.stopping import Stopping
from exprun.training.callbacks import Callback
from exprun.training.training import Training
from tests.display.terminals import TITLE, Terminal, make_training, show, terminal_console

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
import signal
from tests.display.terminals import make_training
from exprun.display.choose import watch
from exprun.fit.loop import fit
from exprun.training.callbacks import Callback

class Interrupt(Callback):
    def on_iteration(self, training, iteration):
        if iteration == 401:
            signal.raise_signal(signal.SIGINT)  # in this thread: one of the screen may get another

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
