"""Where the large arrays of a data set lie: in memory, or in temporary files (``data.stream``)."""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from exprun.common.errors import UsageError

LEAST_BYTES, FILE_BYTES = 2**24, 2**28
"""Size of the first temporary file, 16 MiB, and the largest one that arrays share, 256 MiB: each is
as large as all before it, because each keeps a file descriptor."""

IN_MEMORY = ("tmpfs", "ramfs")
"""File systems that take their space from memory."""

Allocate = Callable[[int], memoryview]
"""Returns so many zero bytes, at an address that is a multiple of 8."""


def _anonymous(size: int) -> memoryview:
    """Pages of memory of their own, which the system gets back with the last reference. Raises
    MemoryError."""
    try:
        return memoryview(mmap.mmap(-1, max(8, size)))[:size]
    except OSError as error:
        raise MemoryError(str(error)) from None


class TemporaryFiles:
    """Allocates arrays in temporary files without names, which the system writes and reads as
    memory allows. A file is removed with the last reference to its arrays, or with the process.
    """

    def __init__(self, folder: Path) -> None:
        """Raises UsageError for a folder that cannot be written to, or is kept in memory."""
        self.folder = folder
        self.free = memoryview(b"")
        self.total = 0
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise UsageError(
                f"data.stream=true: {folder}: {error.strerror}; expected the environment variable "
                "TMPDIR to name a folder to write to"
            ) from None
        if file_system_of(folder) in IN_MEMORY:
            raise UsageError(
                f"data.stream=true: {folder} is kept in memory; expected the environment variable "
                "TMPDIR to name a folder on a disk"
            )

    def __call__(self, size: int) -> memoryview:
        size = -(-size // 8) * 8
        if size > len(self.free):
            shared = min(max(LEAST_BYTES, self.total), FILE_BYTES)
            self.free = self._file(max(size, shared))
            self.total += len(self.free)
        found, self.free = self.free[:size], self.free[size:]
        return found

    def _file(self, size: int) -> memoryview:
        """A new file in whole. Its space is reserved at once: a disk that is full when a page is
        written would end the process. Raises UsageError if there is not enough."""
        try:
            with tempfile.TemporaryFile(dir=self.folder) as file:
                if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.truncate(size)
                pages = mmap.mmap(file.fileno(), size)
        except OSError as error:
            raise UsageError(
                f"data.stream=true: no {size / 2**20:.0f} MiB more in {self.folder} "
                f"({error.strerror}); expected the environment variable TMPDIR to name a folder "
                "with more room"
            ) from None
        if hasattr(mmap, "MADV_RANDOM"):  # not on Windows
            # else up to some MiB are read around each page, and drive out others that are needed
            pages.madvise(mmap.MADV_RANDOM)
        return memoryview(pages)


def will_need(array: NDArray[Any]) -> None:
    """Have the system read a contiguous array from its file, while other work goes on."""
    _advise(array, "MADV_WILLNEED")


def read_in_order(array: NDArray[Any]) -> None:
    """Have the system read a contiguous array from its file ahead, for it is gone through from
    front to back."""
    _advise(array, "MADV_SEQUENTIAL")


def _advise(array: NDArray[Any], advice: str) -> None:
    number = getattr(mmap, advice, None)
    if number is not None:  # not on Windows
        first = array.ctypes.data // mmap.PAGESIZE * mmap.PAGESIZE
        size = array.ctypes.data + array.nbytes - first
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), number)


_allocate: ContextVar[Allocate] = ContextVar("_allocate", default=_anonymous)


@contextmanager
def streamed(asked: bool) -> Iterator[None]:
    """Context in which arrays are allocated in temporary files, if that is asked for."""
    # tempfile itself takes another folder if it cannot write to this one
    folder = os.environ.get("TMPDIR") or tempfile.gettempdir()
    token = _allocate.set(TemporaryFiles(Path(folder)) if asked else _anonymous)
    try:
        yield
    finally:
        _allocate.reset(token)


def is_streamed() -> bool:
    """Whether the context says that arrays lie in files."""
    return _allocate.get() is not _anonymous


def allocate(size: int) -> memoryview:
    """So many zero bytes where the context says."""
    return _allocate.get()(size)


def zeros(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array of zeros where the context says."""
    if not is_streamed():
        return np.zeros(shape, dtype)
    count = math.prod(shape)
    return np.frombuffer(allocate(count * np.dtype(dtype).itemsize), dtype, count).reshape(shape)


def file_system_of(folder: Path) -> str:
    """The type of the file system that holds a folder, empty if unknown (as on macOS)."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return ""
    fields = [line.split() for line in mounts.read_text().splitlines()]
    places = {field[1].encode().decode("unicode_escape"): field[2] for field in fields}
    whole = folder.resolve()
    holding = next(place for place in (whole, *whole.parents) if str(place) in places)
    return places[str(holding)]
