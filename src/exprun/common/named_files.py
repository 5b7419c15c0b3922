"""The files that a path names: a file, a folder, or a pattern like ``part-*.parquet``."""

from __future__ import annotations

import glob
from pathlib import Path


def is_pattern(path: str | Path) -> bool:
    """Whether the path is no file or folder, but has a ``*``, ``?`` or ``[`` of a pattern."""
    return glob.has_magic(str(path)) and not Path(path).expanduser().exists()


def files_in(path: str | Path) -> list[Path]:
    """What a folder contains or a pattern matches (``**`` stands for folders of any depth), sorted;
    the path itself if it is a file or there is nothing.

    Raises OSError for a folder that cannot be read.
    """
    path = Path(path).expanduser()
    if is_pattern(path):
        found = glob.iglob(str(path), recursive=True)  # noqa: PTH207 (may be absolute)
        return sorted(map(Path, found)) or [path]
    return sorted(path.iterdir()) if path.is_dir() else [path]
