"""The files that a path names: a file, a folder, or a pattern like ``part-*.parquet``."""

from __future__ import annotations

import glob
import os
from pathlib import Path

HIDDEN = (".", "_")
"""How names begin that others write beside data, such as ``_SUCCESS``; Arrow ignores them too."""


def expanded(path: str | Path) -> Path:
    """The path, with ``~`` replaced by the home folder, if there is one of that name."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (Path's raises RuntimeError)


def is_pattern(path: str | Path) -> bool:
    """Whether the path is no file or folder, but has a ``*``, ``?`` or ``[`` of a pattern."""
    return glob.has_magic(str(path)) and not expanded(path).exists()


def is_there(path: str | Path) -> bool:
    """Whether the path is a file or a folder, or a pattern that some file matches."""
    return expanded(path).exists() or files_in(path) != [expanded(path)]


def files_in(path: str | Path) -> list[Path]:
    """The files of a folder but for hidden ones, or those that match a pattern (``**`` stands for
    folders of any depth), each once and sorted; the path itself if it is a file or there is none.

    Raises OSError for a folder that cannot be read.
    """
    path = expanded(path)
    if is_pattern(path):
        matched = glob.iglob(str(path), recursive=True)  # noqa: PTH207 (may be absolute)
        found = sorted((Path(name) for name in matched if not Path(name).is_dir()), reverse=True)
        return sorted({file.resolve(): file for file in found}.values()) or [path]
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if not file.name.startswith(HIDDEN))
