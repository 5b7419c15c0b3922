"""A bar while a large file is read."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LARGE = 2**25
"""Bytes, 32 MiB, of a file that takes more than a moment."""


@contextmanager
def bar(path: str, bytes_: int) -> Iterator[Callable[[int], None]]:
    """Draws the share of the file that has been read, on a terminal; gives the function to be told
    how many bytes that is. A worker of a stack is silent: the panel of the stack is drawn there."""
    if bytes_ < LARGE or multiprocessing.parent_process() is not None:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("reading {task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(Path(path).name, total=bytes_)
        yield lambda done: progress.update(task, completed=done)
