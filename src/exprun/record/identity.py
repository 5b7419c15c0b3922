"""The identity of a job: equal for equal configs, equal data and the same version of exprun.

Nothing here imports torch.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exprun import __version__
from exprun.common.named_files import expanded, files_in

GROUPS, KEYS = ("data", "problem"), ("path", "test_path")
"""The groups and keys of the config that name data files."""

READ_FROM_FOLDERS = re.compile(r"ubyte|\.parquet$")
"""What is found in the names of the files that ``data=idx`` and ``data=parquet`` read from a
folder."""


def identity(config: Mapping[str, Any], version: str = __version__) -> str:
    """The SHA-256, as 64 hexadecimal digits, of a resolved config, the content of its data files
    (independent of their paths), and exprun's ``version``."""
    content = dict(config)
    for group in GROUPS:
        node = dict(content[group])
        content[group] = node | {
            key: content_hash(Path(path)) or path
            for key in KEYS
            if isinstance(path := node.get(key), str)
        }
    text = json.dumps([content, version], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def content_hash(path: Path) -> str | None:
    """The SHA-256 of a file, or of the names and contents of a folder's IDX or Parquet files or of
    those that match a pattern; None if there is no such file. Cached until the size or the
    modification time of a file changes."""
    path = expanded(path)
    try:
        files = files_in(path)
        if files == [path]:
            return _of_file(path.absolute(), *_changes(path))
        if path.is_dir():
            files = [file for file in files if READ_FROM_FOLDERS.search(file.name)]
        sums = [(file.name, _of_file(file.absolute(), *_changes(file))) for file in files]
    except OSError:
        return None
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()


def _changes(path: Path) -> tuple[int, int]:
    """Size in bytes and modification time in nanoseconds, which show whether a file has changed."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=64)
def _of_file(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
