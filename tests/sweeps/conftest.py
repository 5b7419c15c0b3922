"""Sweeps to compare with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import run_interpreter
from tests.sweeps.made_up import FIGURES, of_eight, sweep
from tests.sweeps.processes import LONG, ONE_BY_ONE


@pytest.fixture
def eight(tmp_path: Path) -> Path:
    asked = {"optimizer": [*FIGURES], "seed": range(8)}
    return sweep(tmp_path / "eight", of_eight, asked)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nothing interrupted, its jobs one after the other."""
    folder = tmp_path_factory.mktemp("whole")
    done = run_interpreter(folder, *ONE_BY_ONE, *LONG, "hydra.sweep.dir=sweep")
    assert done.returncode == 0, done.stderr
    return folder / "sweep"
