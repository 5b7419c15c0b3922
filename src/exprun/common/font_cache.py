"""matplotlib's font cache, which would lie outside of the output folder."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path


def use_no_font_cache() -> bool:
    """matplotlib keeps a list of the machine's fonts in its cache folder. If there is none yet, let
    it find no place for one: it then makes a temporary folder and takes it away at the end, for
    exprun writes nothing outside of the output folder. Returns whether it is so."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it says that it looks for fonts
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matplotlib"
    lists = (folder.glob("fontlist-*.json") for folder in (cache, Path.home() / ".matplotlib"))
    chosen = os.environ.get("MPLCONFIGDIR", os.devnull)  # no place: by the process that began this
    if chosen != os.devnull or any(map(any, lists)):
        return False
    os.environ["MPLCONFIGDIR"] = os.devnull
    return True


def remove_font_cache() -> None:
    """Take that temporary folder away where nothing else does: at the end of a worker process."""
    folder = Path(os.environ.get("MPLCONFIGDIR", ""))
    if TEMPORARY and folder.name.startswith("matplotlib-"):
        shutil.rmtree(folder, ignore_errors=True)


TEMPORARY = use_no_font_cache()
"""Whether matplotlib's cache folder is its own temporary one."""
