"""Plain lines of a training, for files and pipes."""

from __future__ import annotations

import re
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any

import pytest
from rich.console import Console

from exprun.display.choose import watch
from exprun.display.lines import PlainLines
from exprun.display.live import LivePanel
from exprun.display.summary import job_line
from exprun.fit.loop import fit
from exprun.techniques.stopping import Stopping
from tests.display.terminals import RESULT, TITLE, make_training, terminal_console

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
