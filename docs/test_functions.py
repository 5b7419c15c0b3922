"""Make the pictures of docs/test_functions.md from real runs: ``python docs/test_functions.py``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent / "test_functions"
SCRIPTS = Path(sys.executable).parent
PICTURES = {
    "rosenbrock": ("problem=rosenbrock optimizer=momentum optimizer.lr=0.005", "path.png"),
    "quadratic": ("experiment=demo2d_quadratic", "paths.png"),
    "optimizers": ("experiment=demo2d_rosenbrock", "paths.png"),
    "averages": ("problem=ema", "averages.png"),
}
"""What is run for each picture, and the file that it is."""


def make(name: str, words: str, picture: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run(["exprun", *words.split()], cwd=scratch, env=environment, check=True)
        (folder,) = Path(scratch).glob("outputs/*/*")
        shutil.copy(folder / picture, DOCS / f"{name}.png")


if __name__ == "__main__":
    DOCS.mkdir(exist_ok=True)
    for name, (words, picture) in PICTURES.items():
        make(name, words, picture)
