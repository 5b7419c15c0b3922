"""Shell completion, as the shells ask for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exprun.commands import COMMANDS
from exprun.commands.completion import complete, is_command
from exprun.common.constants import ACTIVATIONS


def asked(line: str, tmp_path: Path) -> set[str]:
    """What ``exprun -sc query=bash`` answers, where torch cannot be imported."""
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    done = subprocess.run(
        [sys.executable, "-m", "exprun", "-sc", "query=bash"],
        env={**os.environ, "COMP_LINE": line, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_first_word_is_a_command_a_group_or_a_key(tmp_path: Path) -> None:
    assert {*COMMANDS, "optimizer=", "seed="} <= asked("exprun ", tmp_path)


def test_what_can_be_explained(tmp_path: Path) -> None:
    found = asked("exprun explain opt", tmp_path)
    assert {"optimizer", "optimizer=adam", "optimizer.lr"} <= found
    assert all(word.startswith("opt") for word in found)


@pytest.mark.parametrize("start", ["exprun ", "exprun -m optimizer=sgd "])
def test_the_values_of_a_key_beside_hydras_own_answer(start: str, tmp_path: Path) -> None:
    found = asked(f"{start}model.activation=", tmp_path)
    assert found == {f"model.activation={name}" for name in ACTIVATIONS}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("exprun res", ["resume"]),
        ("exprun optimizer=adam res", []),
        ("exprun resume ", []),  # the shell has the paths
        ("exprun device=c", ["device=cpu", "device=cuda"]),
        (
            "exprun trainer.engine=",
            [f"trainer.engine={name}" for name in ("auto", "native", "plain", "replay")],
        ),
        (
            "exprun stopping.monitor=val_m",
            [f"stopping.monitor=val_{name}" for name in ("macro_f1", "mae", "mean_rank_error")],
        ),
        ("exprun optimizer.lr=", []),
        ("exprun nosuch.key=", []),
        ("exprun explain optimizer=adamw", ["optimizer=adamw"]),
    ],
)
def test_the_words_that_fit(line: str, expected: list[str]) -> None:
    assert complete(line) == expected


@pytest.mark.parametrize(
    ("line", "beyond"),
    [("exprun", False), ("exprun res", False), ("exprun resume", False), ("exprun resume ", True),
     ("exprun resume out", True), ("exprun seed=1 resume ", False)],
)  # fmt: skip
def test_hydra_is_not_asked_about_commands(line: str, beyond: bool) -> None:
    assert is_command(line) is beyond
