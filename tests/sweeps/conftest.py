from __future__ import annotations

from pathlib import Path

import pytest

from tests.sweeps.made_up import FIGURES, of_eight, sweep


@pytest.fixture
def eight(tmp_path: Path) -> Path:
    asked = {"optimizer": [*FIGURES], "seed": range(8)}
    return sweep(tmp_path / "eight", of_eight, asked)
