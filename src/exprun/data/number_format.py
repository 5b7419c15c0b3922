"""How a text file writes numbers: its decimal separator and its thousands separator."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from exprun.data.spelling import is_number

DECIMALS = {"point": ".", "comma": ","}
THOUSANDS = {"none": "", "comma": ",", "point": ".", "blank": " ", "apostrophe": "'"}
"""Names of the separators, the values of ``data.decimal`` and ``data.thousands``."""

PATTERNS = {"": "", ",": ",", ".": r"\.", " ": "[ \u00a0\u202f]", "'": "['\u2019]"}
"""Patterns of the separators; a blank may be one at which no line breaks."""


@dataclass(frozen=True)
class NumberFormat:
    """Decimal separator, ``.`` or ``,``, and thousands separator, which stands between groups of
    three digits, or is empty."""

    decimal: str = "."
    thousands: str = ""

    @cached_property
    def pattern(self) -> str:
        """A pattern of numbers in this format."""
        group, point = PATTERNS[self.thousands], PATTERNS[self.decimal]
        whole = rf"[1-9]\d{{0,2}}({group}\d{{3}})+|\d+" if group else r"\d+"
        return rf"[+-]?(({whole})({point}\d*)?|{point}\d+)([eE][+-]?\d+)?"

    @property
    def is_plain(self) -> bool:
        """Whether numbers are written as in a program."""
        return self == NumberFormat()

    def is_number(self, word: str) -> bool:
        """Whether the word is a number in this format."""
        return re.fullmatch(self.pattern, word) is not None

    def plain(self, word: str) -> str:
        """A number as in a program; other words are unchanged. Raises ValueError for a number in
        another format."""
        if self.is_plain:
            return word
        if self.is_number(word):
            return self._replaced(word)
        if is_number(word):
            raise ValueError(word)
        return word

    def plain_column(self, column: pa.Array) -> pa.Array:
        """A column of texts of numbers in this format as in a program."""
        if self.thousands:
            column = pc.replace_substring_regex(column, PATTERNS[self.thousands], "")
        return pc.replace_substring(column, self.decimal, ".") if self.decimal != "." else column

    def _replaced(self, word: str) -> str:
        if self.thousands:
            word = re.sub(PATTERNS[self.thousands], "", word)
        return word.replace(self.decimal, ".")

    def __str__(self) -> str:
        """The overrides for it."""
        named = (("decimal", DECIMALS, self.decimal), ("thousands", THOUSANDS, self.thousands))
        return " ".join(
            f"data.{key}={name}"
            for key, names, own in named
            for name, separator in names.items()
            if separator == own and (own != getattr(NumberFormat, key) or self.is_plain)
        )


WITH_UNIT = (
    r"(?P<before>[$€£¥₹₽₩]?) ?[+-]?\d[\d.,' \u00a0\u202f]*? ?"
    r"(?P<after>[$€£¥₹₽₩%‰°]|[^\W\d]{1,4}(/[^\W\d]{1,3})?|)"
)
"""A number with a currency, a percent sign or a unit before or after it."""

SEPARATORS = "[,' \u00a0\u202f\u2019]"
"""Characters of which a number that is not plain has one, unless it has several points."""

FORMATS = tuple(
    NumberFormat(decimal, thousands)
    for thousands in ("", ".", ",", " ", "'")
    for decimal in (".", ",")
    if decimal != thousands
)
"""All formats, simple ones first."""


class Ambiguous(Exception):
    """Numbers, like ``cell``, mean something else in each of two ``formats``."""

    def __init__(self, column: int, cell: str, formats: tuple[NumberFormat, NumberFormat]) -> None:
        super().__init__(cell)
        self.column, self.cell, self.formats = column, cell, formats


def detect(
    columns: Sequence[Sequence[str]], decimal: str | None = None, thousands: str | None = None
) -> NumberFormat:
    """The format in which the largest number of columns hold nothing but numbers.

    ``columns`` have the cells that are not missing; ``decimal`` and ``thousands`` are separators to
    choose from, all if None. If several formats fit as many columns, the simplest one is returned;
    Ambiguous is raised if they give different numbers.
    """
    candidates = [
        found
        for found in FORMATS
        if decimal in (None, found.decimal) and thousands in (None, found.thousands)
    ]
    if candidates[0].is_plain:
        separated = [cells for cells in columns if re.search(SEPARATORS, "\n".join(cells))]
        if not any(_numbers_by_column(separated, found) for found in candidates):
            return candidates[0]
    read = {found: _numbers_by_column(columns, found) for found in candidates}
    most = max(map(len, read.values()))
    first, *others = (found for found in candidates if len(read[found]) == most)
    for other in others:
        for place in read[first].keys() & read[other].keys():
            pairs = zip(columns[place], read[first][place], read[other][place], strict=True)
            for cell, a, b in pairs:
                if a != b:
                    raise Ambiguous(place, cell, (first, other))
    return first


def format_of(words: Sequence[str]) -> NumberFormat | None:
    """The simplest format in which all words are numbers; None if there is none."""
    return next((f for f in FORMATS if words and all(map(f.is_number, words))), None)


def unit_of(words: Sequence[str]) -> str | None:
    """The currency, percent sign or unit that all words have beside a number; None if they differ
    in it, or if it is letters beside integers without a blank, which may be codes."""
    found = [re.fullmatch(WITH_UNIT, word) for word in words]
    units = {(match["before"], match["after"]) if match else ("", "") for match in found}
    if len(units) != 1:
        return None
    ((before, after),) = units
    if after.isalpha() and not any(re.search(r"[., ]", word) for word in words):
        return None
    return before or after or None


def _numbers_by_column(
    columns: Sequence[Sequence[str]], number_format: NumberFormat
) -> dict[int, list[float]]:
    """The numbers, by index, of each column that holds nothing else in this format."""
    return {
        place: [float(number_format.plain(cell)) for cell in cells]
        for place, cells in enumerate(columns)
        if cells and all(map(number_format.is_number, cells))
    }
