"""Text as the value of an override on the command line."""

from __future__ import annotations

import re
from os import PathLike

UNQUOTED = re.compile(
    r"(?!(?:null|true|false|nan|inf)$)(?:[a-z_]|\.{0,2}/)[\w./:+@%*?-]*", re.ASCII | re.IGNORECASE
)
"""Texts that Hydra reads as they are; others it would refuse, or take for a number or a list."""


def override_value(text: str | PathLike[str]) -> str:
    """The text, in quotes if Hydra's grammar requires them."""
    word = str(text)
    if UNQUOTED.fullmatch(word):
        return word
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", word)
    return f"'{escaped}'"
