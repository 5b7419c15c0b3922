"""Tell the formats of files apart by their first bytes."""

from __future__ import annotations

import re
from pathlib import Path

ARFF = rb"(\xef\xbb\xbf)?(%[^\n]*\n|\s)*@relation\b"
"""How an ARFF file begins: comments, then its relation."""

SEEN_BYTES = 4096


def option_for(head: bytes) -> str | None:
    """The option of ``data`` that reads a file with these first bytes, like ``csv``; None if there
    is none. SEEN_BYTES of them are enough."""
    if head.startswith(b"ARROW1"):
        return "arrow"
    if re.match(ARFF, head, re.IGNORECASE):
        return "arff"
    if head.startswith(b"PK") and re.search(rb"\[Content_Types\]\.xml|xl/|docProps/|_rels/", head):
        return "xlsx"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PK") and b".npy" in head:
        return "npz"
    if head.startswith((b"\x00\x00\x08\x01", b"\x00\x00\x08\x03")):
        return "idx"
    return "csv" if head.strip() and b"\x00" not in head and _is_text(head) else None


def first_bytes(path: str | Path) -> bytes:
    """The first SEEN_BYTES of a file. Raises OSError."""
    with Path(path).open("rb") as file:
        return file.read(SEEN_BYTES)


def instead(head: bytes) -> str:
    """``; expected data=…``, the end of a message on a file that another option reads."""
    option = option_for(head)
    return f"; expected data={option}" if option else ""


def _is_text(head: bytes) -> bool:
    """Whether the bytes have no control characters but blanks, which all text encodings that
    contain ASCII avoid."""
    return all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
