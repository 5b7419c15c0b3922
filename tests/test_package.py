"""The wheel works from an empty folder, and pulls in nothing heavy before it has to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs, and nothing else of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    return target


def test_the_wheel_trains_from_any_folder(installed: Path, tmp_path: Path) -> None:
    assert (installed / "exprun" / "conf" / "config.yaml").is_file()
    assert (installed / "exprun" / "py.typed").is_file()
    assert (installed / "exprun" / "docs" / "options" / "optimizer.md").is_file()
    assert (installed / "exprun" / "conf" / "hydra" / "sweeper" / "exprun.yaml").is_file()
    assert (installed / "hydra_plugins" / "exprun_sweeps.py").is_file()
    assert not (installed / "hydra_plugins" / "__init__.py").exists()  # others have plugins too
    done = subprocess.run(
        [sys.executable, "-c", "import exprun, sys; print(exprun.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(installed))
    subprocess.run(
        [sys.executable, "-m", "exprun", "trainer.max_epochs=1", "optimizer=nadam"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    (result,) = tmp_path.glob("outputs/runs/*/result.json")
    assert json.loads(result.read_text())["status"] == "completed"


@pytest.mark.parametrize("words", [["--help"], ["--cfg", "job"], ["optimizer=nope"]])
def test_only_a_run_imports_heavy_packages(words: list[str], tmp_path: Path) -> None:
    code = f"""
import sys
from exprun.cli import main
main({words!r})
heavy = {{"torch", "numpy", "rich", "pyarrow", "sklearn", "tensorboard", "safetensors"}}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"
