"""The time a search will take, from the timings that earlier sweeps have stored."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from exprun.common.errors import UsageError
from exprun.sweeps import ledger
from exprun.sweeps.results import REPETITION

DECIDING = ("data", "model", "batching", "norm", "device")
"""Groups whose overrides decide how long an epoch takes."""

SWEEPS, JOBS = 20, 50
"""Maximum number of sweeps that are looked at, the newest first, and of jobs in each."""


def seconds_per_epoch(
    folder: Path, shared: Collection[str], searched: Collection[str]
) -> tuple[float, Path] | None:
    """The median of the seconds per epoch of like jobs in the newest sweep beside ``folder`` that
    has any, and that sweep; None if there is none.

    Like jobs have those overrides of DECIDING groups that are ``shared`` by the search's jobs, and
    others only of keys that are ``searched``.
    """
    own = _deciding(shared, searched)
    others = [path.parent for path in folder.absolute().parent.glob("*/sweep.json")]
    others = [other for other in others if not other.samefile(folder)]
    others.sort(key=lambda other: (other / "sweep.json").stat().st_mtime, reverse=True)
    for other in others[:SWEEPS]:
        seconds = [*_seconds(other, own, searched)]
        if seconds:
            return statistics.median(seconds), other
    return None


def _seconds(other: Path, own: Collection[str], searched: Collection[str]) -> Iterator[float]:
    """The seconds per epoch of the like jobs of a sweep."""
    try:
        with ledger.read_from(other):
            jobs: Sequence[Mapping[str, Any]] = ledger.read(other)["jobs"]
            like = [job for job in jobs if _deciding(job["overrides"], searched) == own]
    except UsageError:
        return  # a damaged sweep beside this one is no reason to stop
    for job in like[:JOBS]:
        result = ledger.state_of(other / job["folder"])
        if result.get("epochs") and result.get("seconds"):
            yield result["seconds"] / result["epochs"]


def _deciding(words: Collection[str], searched: Collection[str]) -> set[str]:
    keys = {word: word.partition("=")[0] for word in words}
    return {
        word
        for word, key in keys.items()
        if key.split(".")[0] in DECIDING and key not in searched and key not in REPETITION
    }
