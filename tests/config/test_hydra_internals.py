"""What is taken from Hydra's and OmegaConf's inside stands in one file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from exprun.config.options import is_sweep
from exprun.config.paths import conf_dir

SRC = Path(__file__).parents[2] / "src"
INSIDE = re.compile(r"^\s*(?:from|import) (?:hydra|omegaconf)(?:\.\w+)*\._\w+", re.MULTILINE)


def test_one_module_imports_what_is_not_documented() -> None:
    found = [path.name for path in SRC.rglob("*.py") if INSIDE.search(path.read_text())]
    assert found == ["hydra_internals.py"]


@pytest.mark.parametrize("preset", sorted((conf_dir() / "experiment").glob("*.yaml")), ids=str)
def test_a_preset_that_is_a_sweep_is_seen_by_its_file(preset: Path) -> None:
    assert is_sweep(preset) is (
        OmegaConf.select(OmegaConf.load(preset), "hydra.mode") == "MULTIRUN"
    )


@pytest.mark.parametrize("text", ["", "- 1", "hydra: 3", "hydra: {mode: RUN}", "a: [", "hydra: {}"])
def test_other_files_are_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    assert is_sweep(path) is False
