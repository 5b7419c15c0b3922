"""The command in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from exprun.cli import main
from tests.problems.folders import Command


@pytest.fixture
def exprun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``exprun(*words)`` runs the command in an empty folder; returns the exit code and the folder
    of what was run last."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, Path]:
        code = main(list(words))
        made = sorted(tmp_path.glob("outputs/*/*"), key=lambda path: path.stat().st_mtime)
        return code, made[-1] if made else tmp_path

    return run
