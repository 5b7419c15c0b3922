"""Keep matplotlib from writing its font cache outside of the output folder."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path


def use_no_font_cache() -> bool:
    """Make matplotlib use a temporary cache folder unless it already has a list of fonts, because
    exprun writes nothing outside of the output folder.

    With an unusable ``MPLCONFIGDIR`` matplotlib creates a temporary folder and removes it at exit.
    Returns whether it was set so.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs that it searches for fonts
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matplotlib"
    lists = (folder.glob("fontlist-*.json") for folder in (cache, Path.home() / ".matplotlib"))
    chosen = os.environ.get("MPLCONFIGDIR", os.devnull)  # devnull: set by the parent process
    if chosen != os.devnull or any(map(any, lists)):
        return False
    os.environ["MPLCONFIGDIR"] = os.devnull
    return True


def remove_font_cache() -> None:
    """Remove the temporary folder at the end of a worker process, where matplotlib does not."""
    folder = Path(os.environ.get("MPLCONFIGDIR", ""))
    if TEMPORARY and folder.name.startswith("matplotlib-"):
        shutil.rmtree(folder, ignore_errors=True)


TEMPORARY = use_no_font_cache()
"""Whether matplotlib's cache folder is temporary."""
