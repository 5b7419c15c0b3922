"""The README's commands and code do what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import forked

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """With ``exprun`` on the path, as in an activated virtual environment."""
    scripts = str(Path(sys.executable).parent)
    forks = tmp_path_factory.mktemp("scripts")
    (forks / "exprun").write_text(f'#!/bin/sh\nexec {shlex.join(forked())} "$@"\n')
    (forks / "exprun").chmod(0o755)
    return os.environ | {"PATH": os.pathsep.join([str(forks), scripts, os.environ["PATH"]])}


@pytest.mark.parametrize("block", blocks("bash"))
def test_shell_blocks_run(block: str, tmp_path: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr


@pytest.mark.parametrize("block", blocks("console"))
def test_transcripts_are_true(block: str, tmp_path: Path, environment: dict[str, str]) -> None:
    commands = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    assert commands
    for command, answer in commands:
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout + done.stderr == answer


@pytest.mark.parametrize("block", blocks("python"))
def test_python_blocks_run(block: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "val_accuracy" in done.stdout


def test_every_group_and_option_is_in_the_table() -> None:
    text = README.read_text()
    conf = README.parent / "conf"
    for path in conf.glob("*/*.yaml"):
        if path.parent.name != "problem":
            assert re.search(
                rf"^\| `{path.parent.name}` \|[^\n]*\b{path.stem}\b", text, re.MULTILINE
            ), path


def test_pictures_are_there() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README.read_text())
    assert pictures
    for picture in pictures:
        assert (README.parent / picture).stat().st_size > 1000
