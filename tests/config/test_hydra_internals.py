"""What is taken from Hydra's and OmegaConf's inside stands in one file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from exprun.cli import main
from exprun.config import hydra_internals
from exprun.config.options import is_sweep
from exprun.config.paths import conf_dir

SRC = Path(__file__).parents[2] / "src"
INSIDE = re.compile(r"^\s*(?:from|import) (?:hydra|omegaconf)(?:\.\w+)*\._\w+", re.MULTILINE)


def test_one_module_imports_what_is_not_documented() -> None:
    found = [path.name for path in SRC.rglob("*.py") if INSIDE.search(path.read_text())]
    assert found == ["hydra_internals.py"]


only_1_3 = pytest.mark.skipif(
    not hydra_internals.IS_1_3, reason="Hydra 1.4 reads the mode from the command line alone"
)


@pytest.mark.parametrize("preset", sorted((conf_dir() / "experiment").glob("*.yaml")), ids=str)
def test_a_preset_that_is_a_sweep_is_seen_by_its_file(preset: Path) -> None:
    assert is_sweep(preset) is (
        OmegaConf.select(OmegaConf.load(preset), "hydra.mode") == "MULTIRUN"
    )


@only_1_3
@pytest.mark.parametrize("words", [
    [],
    ["seed=1"],
    ["hydra.mode=RUN"],
    ["seed=1,2", "hydra.mode=MULTIRUN"],
    ["hydra.mode=MULTIRUN", "hydra.mode=RUN"],
    ["hydra.mode=SIDEWAYS"],
])  # fmt: skip
def test_the_mode_is_that_which_hydra_composes(words: list[str]) -> None:
    hydra = hydra_internals.main_hydra(str(conf_dir()), None)
    try:
        expected = hydra.get_mode("config", list(words))
        with hydra_internals.mode_of_the_command_line():
            assert hydra.get_mode("config", list(words)) == expected
    finally:
        GlobalHydra.instance().clear()


@only_1_3
def test_options_of_ones_own_may_set_the_mode(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "own" / "space").mkdir(parents=True)
    text = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2'}}}\n"
    (tmp_path / "own" / "space" / "mine.yaml").write_text(text)
    words = ["--config-dir", str(tmp_path / "own"), "space=mine", "data=iris", "model.hidden=[4]"]
    sweep = f"hydra.sweep.dir={tmp_path / 'sweep'}"
    assert main([*words, "trainer.max_epochs=1", sweep]) == 0, capsys.readouterr().err
    assert (tmp_path / "sweep" / "sweep.json").is_file()


@pytest.mark.parametrize("text", ["", "- 1", "hydra: 3", "hydra: {mode: RUN}", "a: [", "hydra: {}"])
def test_other_files_are_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    assert is_sweep(path) is False
