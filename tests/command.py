"""The command in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

EXPRUN = [sys.executable, "-m", "exprun"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
