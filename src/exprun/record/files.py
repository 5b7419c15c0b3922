"""Atomic writes of files, and creation and locking of folders."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

MOST_AT_ONCE = 16
"""Maximum number of files that are settled on the disk at the same time."""

LONGEST_NAME = 120
"""Characters of a folder's name that describe the overrides; file systems allow 255 bytes."""


@dataclass(frozen=True)
class NewFile:
    """The new content of a file; the file before it is kept as ``old``, if given."""

    path: Path
    content: bytes
    old: Path | None = None

    @property
    def temporary(self) -> Path:
        return self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")


def write_atomic(path: Path, content: bytes, *, settle: bool = True) -> None:
    """Replace the content of ``path`` atomically, as ``write_files`` does."""
    write_files([NewFile(path, content)], settle=settle)


def write_files(files: Sequence[NewFile], *, settle: bool = True) -> None:
    """Replace the contents of files, each atomically: after a crash it is the old or the new one,
    and of those in one folder the first so many are new. They are settled on the disk at the same
    time, which takes hardly longer than one of them.

    A file that is kept as ``old`` is missing at its path for a moment between two renames. Without
    ``settle`` the folders are not synced, so a crash may undo the writes until another file in them
    is settled. Raises OSError if a write fails; all old files are then unchanged.
    """
    try:
        _at_once(_write_temporary, files)
        for file in files:
            if file.old is not None and file.path.exists():
                file.path.replace(file.old)
            file.temporary.replace(file.path)
    except BaseException:
        for file in files:
            with suppress(OSError):  # the first error counts
                file.temporary.unlink()
        raise
    if settle:
        _at_once(_settle_folder, list(dict.fromkeys(file.path.parent for file in files)))


def _at_once(work: Callable[[T], None], items: Sequence[T]) -> None:
    """Call ``work`` with each item, in several threads, because it waits for the disk."""
    if len(items) < 2:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(min(len(items), MOST_AT_ONCE)) as pool:
        list(pool.map(work, items))


def _write_temporary(file: NewFile) -> None:
    """Write the content beside the file. Raises OSError with the path of the file itself."""
    try:
        with file.temporary.open("wb") as stream:
            stream.write(file.content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file.path)) from None


def _settle_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
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
