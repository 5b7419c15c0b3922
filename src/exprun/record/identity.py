"""When two jobs are the same one: equal configs, equal data, the same version of exprun.

Nothing here imports torch.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exprun import __version__

GROUPS, KEYS = ("data", "problem"), ("path", "test_path")
"""Where the config names files of data."""

OF_IDX = "ubyte"
"""What the names of the files in a folder of ``data=idx`` have in common."""


def identity(config: Mapping[str, Any]) -> str:
    """The hash, 64 hexadecimal digits, of a resolved config, of the content of the files that it
    names, whatever their paths are, and of exprun's version."""
    content = dict(config)
    for group in GROUPS:
        node = dict(content[group])
        content[group] = node | {
            key: content_hash(Path(path)) or path
            for key in KEYS
            if isinstance(path := node.get(key), str)
        }
    text = json.dumps([content, __version__], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def content_hash(path: Path) -> str | None:
    """The SHA-256 of a file, or of the names and contents of a folder's IDX files; None if there is
    no such file. A file is read again only if its size or its time of change is another."""
    try:
        if not path.is_dir():
            return _of_file(path.absolute(), *_changes(path))
        files = sorted(file for file in path.iterdir() if OF_IDX in file.name)
        sums = [(file.name, _of_file(file.absolute(), *_changes(file))) for file in files]
    except OSError:
        return None
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()


def _changes(path: Path) -> tuple[int, int]:
    """What another content of a file changes: its size and its time, in nanoseconds."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=64)
def _of_file(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
