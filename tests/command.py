"""The command in a process of its own."""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

EXPRUN = [sys.executable, "-m", "exprun"]
"""Runs the command in a new interpreter."""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def run_command(
    folder: Path, *words: str, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """``exprun words…`` in the folder, with more variables of the environment.

    It is a fork of a process that has imported torch, which saves two seconds, unless a variable is
    read when an interpreter or a library starts, such as PYTHONPATH.
    """
    return _run([*forked(), *words], folder, timeout, environment)


def run_interpreter(
    folder: Path, *words: str, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The same in a new interpreter: for what is to be equal in another one, whose strings have
    other hashes. (Signals and terminals need ``Popen([*EXPRUN, …])``.)"""
    return _run([*EXPRUN, *words], folder, timeout, environment)


def _run(
    words: list[str], folder: Path, timeout: float, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@functools.cache
def forked() -> list[str]:
    """Runs the command in a fork: ``command_relay.py`` and the socket of ``command_server.py``,
    which is started now and ends with this process."""
    if not hasattr(os, "pidfd_open"):  # on Linux only
        return EXPRUN
    here = Path(__file__).parent
    folder = tempfile.TemporaryDirectory()
    path = str(Path(folder.name, "socket"))
    words = [sys.executable, "-P", str(here / "command_server.py"), path]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdout is not None
    assert server.stdout.read(5) == b"ready"

    def end() -> None:
        server.communicate()
        folder.cleanup()

    atexit.register(end)
    return [sys.executable, "-IS", str(here / "command_relay.py"), path]
