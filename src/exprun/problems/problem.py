"""What every problem that trains no network has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from exprun.common import font_cache  # noqa: F401  # set before anything imports matplotlib
from exprun.training.callbacks import Outcome


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
