"""Words that mean the same value: ``1`` and ``1.0``, ``True`` and ``true``.

Formats spell a value differently (an integer column of pandas becomes ``1.0`` once it had a gap),
so categories and labels are compared by value where their spellings differ.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
"""What a number looks like in a file."""


def is_number(word: str) -> bool:
    """Whether the word is a number as files write them; infinities and NaN are none."""
    return re.fullmatch(NUMBER, word) is not None


def is_whole(word: str) -> bool:
    """Whether the word is a whole number, however it is spelled: ``3``, ``3.0``, ``3e0``."""
    return is_number(word) and float(word).is_integer()


def value(word: str) -> float | str:
    """What two spellings of one value have in common: the number, the lower-cased boolean, else the
    word itself."""
    if is_number(word):
        return float(word)
    lowered = word.lower()
    return lowered if lowered in ("true", "false") else word


def shortest(word: str) -> str:
    """A number without needless digits: ``1`` for ``1.0``, ``0.5`` for ``0.50``. Digits alone are
    kept as they are, for ``01`` may be a code."""
    if re.fullmatch(r"[+-]?\d+", word):
        return word
    number = float(word)
    if math.isinf(number):
        return word
    if number.is_integer() and abs(number) < 2**53:
        return str(int(number))
    return repr(number)


def spellings(words: Sequence[str]) -> list[str]:
    """The words of a column; if all of them are numbers, each in its shortest spelling."""
    return [shortest(word) for word in words] if all(map(is_number, words)) else list(words)


def places(words: Iterable[str], known: Sequence[str | None]) -> list[int]:
    """Where each word stands among the ``known`` ones: the same spelling, else the only one of the
    same value, else -1."""
    spelled = {word: k for k, word in enumerate(known)}
    values = [None if word is None else value(word) for word in known]
    once = {v for v, times in Counter(values).items() if times == 1 and v is not None}
    valued = {v: k for k, v in enumerate(values) if v in once}
    return [spelled.get(word, valued.get(value(word), -1)) for word in words]
