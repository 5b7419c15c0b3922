"""CPU cores, threads of NumPy, and OpenMP's waiting threads. Nothing here imports torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

SPINS = "2000"
"""Iterations that a waiting thread spins before it sleeps, some microseconds."""


def let_threads_sleep() -> None:
    """Limit how long OpenMP's threads spin while they wait for each other; call it before torch is
    imported, which reads the setting.

    By default they spin for milliseconds. If another program uses one of the cores, they take the
    time of the thread that they wait for, and a training with two threads takes 30 times as long.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def cores() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def mapped(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """``[*map(function, items)]`` with a thread for each core, for functions that mostly wait for
    NumPy to go through large arrays."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(cores()) as pool:
        return [*pool.map(function, items)]
