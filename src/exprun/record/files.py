"""Atomic writes of files, and creation and locking of folders."""

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
    """Replace the content of ``path`` atomically: after a crash it is the old or the new one.

    The previous file is kept as ``old``, if given; ``path`` is then missing for a moment between
    two renames. Without ``settle`` the folder is not synced, so a crash may undo the write until
    another file in it is settled. Raises OSError if the write fails; the old file is then
    unchanged.
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
    """Write plain data as indented JSON atomically; raises ValueError for a number that is not
    finite."""
    write_atomic(path, as_json(data))


def as_json(data: Any) -> bytes:
    """Plain data as the bytes of a JSON file; raises ValueError for a number that is not finite."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def folder_name(overrides: Sequence[str]) -> str:
    """The name of a run's folder from its overrides: ``optimizer=adam,model.hidden=256-128``.

    Safe in every file system and shell, and at most LONGEST_NAME characters: the rest of a longer
    name is replaced by a hash of all overrides.
    """
    words = [re.sub(r"[\[\](){}'\"\s]", "", word) for word in overrides]
    safe = [re.sub(r"[^A-Za-z0-9_.=+~-]+", "-", word).strip("-.") for word in words]
    name = ",".join(word for word in safe if word) or "default"
    if len(name) > LONGEST_NAME:
        digest = hashlib.sha256("\0".join(overrides).encode()).hexdigest()[:8]
        name = f"{name[: LONGEST_NAME - 9]}-{digest}"
    return name


def claim_folder(wanted: Path) -> Path:
    """Create a folder that did not exist: ``wanted``, or ``wanted_2``, ``wanted_3``, …"""
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
