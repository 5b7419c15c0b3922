"""The interface of problems that train no network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from exprun.common import font_cache  # noqa: F401  # must precede any import of matplotlib
from exprun.training.callbacks import Outcome


class Problem(ABC):
    """A problem that is solved without epochs; ``table`` is the name of its CSV file."""

    table: ClassVar[str]

    @abstractmethod
    def solve(self, interrupted: Callable[[], bool] = lambda: False) -> Outcome:
        """Solve the problem; the methods below may be called only afterwards."""

    @abstractmethod
    def rows(self) -> list[dict[str, float]]:
        """The rows of the table; the first column is the step's number."""

    @abstractmethod
    def figures(self) -> dict[str, float]:
        """The ``metrics`` of ``result.json``; numbers that are not finite are written as null."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Further keys of ``result.json``, as plain data."""
