"""What is looked at instead of a network's training: test functions in the plane, moving averages.

All are recorded alike: a table of numbers, pictures, and the figures of ``result.json``.
"""

from __future__ import annotations

import logging
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from exprun.training.callbacks import Outcome


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


class Problem(ABC):
    """Something that is solved in a moment. ``table`` is the name of its CSV file."""

    table: ClassVar[str]

    @abstractmethod
    def solve(self, interrupted: Callable[[], bool] = lambda: False) -> Outcome:
        """Do what is to be done; everything below is asked afterwards."""

    @abstractmethod
    def rows(self) -> list[dict[str, float]]:
        """The table, in order; its first column is the number of the row's step."""

    @abstractmethod
    def figures(self) -> dict[str, float]:
        """The ``metrics`` of ``result.json``; what is not finite is written as null."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What else ``result.json`` says of it, as plain data."""

    @abstractmethod
    def draw(self, folder: Path) -> list[str]:
        """Draw the pictures into ``folder``; returns their names, the PNG files first."""
