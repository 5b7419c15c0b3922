"""The environment of a run: versions of libraries, and the commit of the user's code."""

from __future__ import annotations

import functools
import platform
import subprocess
from typing import Any

PACKAGES = ("torch", "numpy", "hydra-core", "omegaconf", "scikit-learn")


@functools.cache
def versions() -> dict[str, str]:
    """Versions of exprun, Python and the packages that a result depends on."""
    from importlib.metadata import version  # takes 0.05 s, not needed for reading results

    from exprun import __version__

    return {
        "exprun": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


@functools.cache
def git() -> dict[str, Any] | None:
    """The commit of the working directory's repository and whether files differ from it, or None.

    Cached, because it takes some milliseconds and a sweep has many jobs.
    """
    try:
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None  # no git, no repository, or no commit yet
    return {"commit": commit, "dirty": bool(changes)}


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()
