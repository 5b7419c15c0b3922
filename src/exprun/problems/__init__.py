"""What is looked at instead of a network's training: test functions in the plane, moving averages.

All are recorded alike: a table of numbers, pictures, and the figures of ``result.json``.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from exprun.fit import Outcome

# At its first import on a machine matplotlib says that it looks for fonts.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


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
