"""The command in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

EXPRUN = [sys.executable, "-m", "exprun"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run_command(
    folder: Path, *words: str, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """``exprun words…`` in the folder, with more variables of the environment."""
    return subprocess.run(
        [*EXPRUN, *words],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
