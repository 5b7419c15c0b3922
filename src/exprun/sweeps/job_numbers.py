"""Job numbers as text, the argument of ``exprun resume --jobs``: ``3,5-9``."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from exprun.common.errors import UsageError
from exprun.sweeps.launcher import JOBS_PER_TASK


def parse(words: str, known: Collection[int]) -> list[int]:
    """The job numbers in ``3,5-9``, without duplicates. Raises UsageError for a number that no job
    of the sweep has."""
    last = max(known, default=-1)
    numbers: dict[int, None] = {}
    for word in words.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", word)
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise UsageError(f"--jobs {words}: expected numbers and ranges of them, like 3,5-9")
        first, end = int(match[1]), int(match[2] or match[1])
        if end > last:
            there = f"those of the sweep are 0-{last}" if known else "the sweep has none"
            raise UsageError(f"--jobs {words}: there is no job {max(first, last + 1)}; {there}")
        numbers |= dict.fromkeys(range(first, end + 1))
    return list(numbers)


def shares(numbers: Sequence[int], size: int | None) -> list[str]:
    """The job numbers of each task, in the syntax of ``resume --jobs``."""
    size = size or JOBS_PER_TASK
    return [spelled(numbers[i : i + size]) for i in range(0, len(numbers), size)]


def spelled(numbers: Sequence[int]) -> str:
    """The numbers as text with ranges, like ``3,5-9``."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
