"""Files that are whole or not there, and folders that belong to one run alone."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LONGEST_NAME = 120
"""Characters of a folder's name that describe the overrides; file systems allow 255 bytes."""


def write_atomic(
    path: Path, content: bytes, *, old: Path | None = None, settle: bool = True
) -> None:
    """Replace ``path`` by ``content``: after a crash it holds the old bytes or the new, no mix.

    What was there before is kept as ``old``, if that is given; between two renames of the disk
    ``path`` itself is then missing. Without ``settle`` a crash may take back what was written,
    until something else in the same folder settles. Raises OSError if the disk does not take it;
    the old file is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if old is not None and path.exists():
            path.replace(old)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if not settle:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, data: Any) -> None:
    """Write plain data as indented JSON, atomically; numbers must be finite (ValueError)."""
    write_atomic(path, as_json(data))


def as_json(data: Any) -> bytes:
    """Plain data as a file has it; raises ValueError for a number that is not finite."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def folder_name(overrides: Sequence[str]) -> str:
    """What a run's folder is called after its overrides: ``optimizer=adam,model.hidden=256-128``.

    Safe in every file system and shell, and at most LONGEST_NAME characters long: what does not fit
    is replaced by a hash of the whole.
    """
    words = [re.sub(r"[\[\](){}'\"\s]", "", word) for word in overrides]
    safe = [re.sub(r"[^A-Za-z0-9_.=+~-]+", "-", word).strip("-.") for word in words]
    name = ",".join(word for word in safe if word) or "default"
    if len(name) > LONGEST_NAME:
        digest = hashlib.sha256("\0".join(overrides).encode()).hexdigest()[:8]
        name = f"{name[: LONGEST_NAME - 9]}-{digest}"
    return name


def claim_folder(wanted: Path) -> Path:
    """Make a folder that nobody else has: ``wanted``, or ``wanted_2``, ``wanted_3``, …"""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path
