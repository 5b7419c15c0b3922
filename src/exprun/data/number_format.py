"""How a text file writes numbers: the sign of the decimals, and that of the thousands."""

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
"""Names of the signs, the values of ``data.decimal`` and ``data.thousands``."""

CLASSES = {"": "", ",": ",", ".": r"\.", " ": "[ \u00a0\u202f]", "'": "['\u2019]"}
"""Patterns of the signs; a blank may be one at which no line breaks."""


@dataclass(frozen=True)
class NumberFormat:
    """``decimal`` is ``.`` or ``,``; ``thousands`` stands between groups of three digits, or is
    empty."""

    decimal: str = "."
    thousands: str = ""

    @cached_property
    def pattern(self) -> str:
        """A pattern of numbers in this format."""
        group, point = CLASSES[self.thousands], CLASSES[self.decimal]
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
            column = pc.replace_substring_regex(column, CLASSES[self.thousands], "")
        return pc.replace_substring(column, self.decimal, ".") if self.decimal != "." else column

    def _replaced(self, word: str) -> str:
        if self.thousands:
            word = re.sub(CLASSES[self.thousands], "", word)
        return word.replace(self.decimal, ".")

    def __str__(self) -> str:
        """The overrides for it."""
        named = (("decimal", DECIMALS, self.decimal), ("thousands", THOUSANDS, self.thousands))
        return " ".join(
            f"data.{key}={name}"
            for key, names, own in named
            for name, sign in names.items()
            if sign == own and (sign != getattr(NumberFormat, key) or self.is_plain)
        )


SIGNED = (
    r"(?P<before>[$€£¥₹₽₩]?) ?[+-]?\d[\d.,' \u00a0\u202f]*? ?"
    r"(?P<after>[$€£¥₹₽₩%‰°]|[^\W\d]{1,4}(/[^\W\d]{1,3})?|)"
)
"""A number with a sign before or after it."""

SIGNS = "[,' \u00a0\u202f\u2019]"
"""Signs of which a number that is not plain has one, or two points."""

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
    """The format in which the most of these columns are numbers throughout, of those with this
    ``decimal`` and ``thousands``, if given; the plain one if there is no such column.

    Each column has the cells that are not gaps. Of several such formats, the simplest one, if all
    give the same numbers. Raises Ambiguous if they do not.
    """
    candidates = [
        found
        for found in FORMATS
        if decimal in (None, found.decimal) and thousands in (None, found.thousands)
    ]
    if candidates[0].is_plain:
        signed = [cells for cells in columns if re.search(SIGNS, "\n".join(cells))]
        if not any(_numbers_by_column(signed, found) for found in candidates):
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


def sign_of(words: Sequence[str]) -> str | None:
    """The sign that all words, which are numbers in some format besides, have: a currency, a
    percent sign, a unit. None if they have not the same, and for letters at integers without a
    blank between, which may be codes."""
    found = [re.fullmatch(SIGNED, word) for word in words]
    signs = {(match["before"], match["after"]) if match else ("", "") for match in found}
    if len(signs) != 1:
        return None
    ((before, after),) = signs
    if after.isalpha() and not any(re.search(r"[., ]", word) for word in words):
        return None
    return before or after or None


def _numbers_by_column(
    columns: Sequence[Sequence[str]], found: NumberFormat
) -> dict[int, list[float]]:
    """The numbers of each column that has no other cells in this format."""
    return {
        place: [float(found.plain(cell)) for cell in cells]
        for place, cells in enumerate(columns)
        if cells and all(map(found.is_number, cells))
    }
