"""A progress bar for reading large files."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LARGE = 2**25
"""Size in bytes (32 MiB) from which a file gets a progress bar."""


@contextmanager
def bar(path: str, bytes_: int) -> Iterator[Callable[[int], None]]:
    """Context that draws the share of a file that has been read, on a terminal; yields a function
    to call with the number of bytes read. Workers of a stack draw nothing, because the stack's
    panel uses the terminal."""
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
