"""The cores of a CPU, and threads that wait. Nothing here imports torch."""

from __future__ import annotations

import os

SPINS = "2000"
"""Turns of a waiting thread before it sleeps: microseconds."""


def let_threads_sleep() -> None:
    """OpenMP's threads wait for each other by spinning, for milliseconds. If another program takes
    one of the cores, they spin away the time of the very thread that they wait for, and a training
    with two threads takes 30 times as long. torch's OpenMP reads this when it is loaded."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
