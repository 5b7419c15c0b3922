"""Files that are written for a message."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exprun.common.errors import UsageError


def said(call: Any, path: Path, *arguments: Any, **options: Any) -> str:
    """The message, with FILE for the path."""
    with pytest.raises(UsageError) as caught:
        call(str(path), *arguments, **options)
    return str(caught.value).replace(str(path), "FILE")


def ubyte(*shape: int, values: bytes | None = None, kind: int = 8) -> bytes:
    """An IDX file of zeros, or of these values."""
    head = struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape)
    return head + (bytes(int(np.prod(shape))) if values is None else values)
