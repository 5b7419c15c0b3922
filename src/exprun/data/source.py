"""What every reader of files with named columns has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from exprun.data.frame import Frame
from exprun.data.read_options import Reading


class Source(Protocol):
    """A file with named columns; ``note`` tells the user what was detected."""

    path: str
    names: list[str]
    reading: Reading
    note: str

    @property
    def index(self) -> Sequence[str]:
        """Columns that only number the rows; features only if requested."""

    def read(self, wanted: dict[str, str]) -> Frame:
        """Read columns as ``numeric``, ``categorical``, ``auto`` or ``label``; raises
        UsageError."""

    def where(self, row: int) -> str:
        """Path and number of a row for messages; ``row`` counts from 0."""

    def missing_hint(self, name: str) -> str:
        """A hint for the message that a column does not exist."""
