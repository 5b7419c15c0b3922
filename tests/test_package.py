"""The wheel works from an empty folder, and pulls in nothing heavy before it has to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", params=["gcc", "/bin/false"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs, and nothing else of the checkout: made with a C
    compiler, and with none."""
    if not shutil.which(request.param):
        pytest.skip(f"needs {request.param}")
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    env = {**os.environ, "CC": request.param}
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", folder, ROOT], check=True, env=env)
    (wheel,) = folder.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl") == (request.param == "/bin/false")
    target = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    return target


def test_the_wheel_trains_from_any_folder(installed: Path, tmp_path: Path) -> None:
    assert (installed / "exprun" / "conf" / "config.yaml").is_file()
    assert (installed / "exprun" / "py.typed").is_file()
    assert not list(installed.rglob("*.c"))
    has_library = bool(list(installed.rglob("libexprun_native.so")))
    assert (installed / "exprun" / "docs" / "options" / "optimizer.md").is_file()
    assert (installed / "exprun" / "conf" / "hydra" / "sweeper" / "exprun.yaml").is_file()
    assert (installed / "hydra_plugins" / "exprun_sweeps.py").is_file()
    assert not (installed / "hydra_plugins" / "__init__.py").exists()  # others have plugins too
    # without site's .pth files, by which an editable install comes before anything else
    python = [sys.executable, "-S"]
    env = {**os.environ, "PYTHONPATH": f"{installed}{os.pathsep}{sysconfig.get_path('purelib')}"}
    done = subprocess.run(
        [*python, "-c", "import exprun, sys; print(exprun.__file__)"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(installed))
    subprocess.run(
        [*python, "-m", "exprun", "trainer.max_epochs=1", "optimizer=nadam"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    (path,) = tmp_path.glob("outputs/runs/*/result.json")
    result = json.loads(path.read_text())
    assert result["status"] == "completed"
    assert result["engine"].startswith("native") == has_library


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
