"""Compare words by value: ``1`` and ``1.0``, ``True`` and ``true`` are the same.

Formats spell values differently (an integer column of pandas becomes ``1.0`` with a missing value),
so categories and labels are compared by value where their spellings differ.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
"""Pattern of a number in a file."""


def is_number(word: str) -> bool:
    """Whether the word is a finite number as written in files; infinities and NaN are not."""
    return re.fullmatch(NUMBER, word) is not None


def is_whole(word: str) -> bool:
    """Whether the word is a whole number in any spelling: ``3``, ``3.0``, ``3e0``."""
    return is_number(word) and float(word).is_integer()


def value(word: str) -> float | str:
    """A key that is equal for spellings of the same value: the number, the lower-cased boolean,
    else the word itself."""
    if is_number(word):
        return float(word)
    lowered = word.lower()
    return lowered if lowered in ("true", "false") else word


def shortest(word: str) -> str:
    """A number without redundant digits: ``1`` for ``1.0`` and ``+1``, ``0.5`` for ``0.50``. Words
    of digits only are unchanged, because ``01`` may be a code."""
    if re.fullmatch(r"[+-]?\d+", word):
        return word.lstrip("+-") if word.startswith("+") or not int(word) else word
    number = float(word)
    if math.isinf(number):
        return word
    if number.is_integer() and abs(number) < 2**53:
        return str(int(number))
    return repr(number)


def spellings(words: Sequence[str]) -> list[str]:
    """The words of a column, in their shortest spelling if all of them are numbers; in lower case
    if all are booleans and some are spelled in several ways."""
    if all(map(is_number, words)):
        return [shortest(word) for word in words]
    lowered = [word.lower() for word in words]
    booleans = set(lowered) <= {"true", "false"}
    return lowered if booleans and len(set(lowered)) < len(set(words)) else list(words)


def places(words: Iterable[str], known: Sequence[str | None]) -> list[int]:
    """The index of each word among the ``known`` ones: that of the same spelling, else of the only
    one with the same value, else -1."""
    spelled = {word: k for k, word in enumerate(known)}
    values = [None if word is None else value(word) for word in known]
    once = {v for v, times in Counter(values).items() if times == 1 and v is not None}
    valued = {v: k for k, v in enumerate(values) if v in once}
    return [spelled.get(word, valued.get(value(word), -1)) for word in words]
