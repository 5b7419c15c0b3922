"""Short names for the configurations of a sweep, for charts and TensorBoard's list of runs."""

from __future__ import annotations

from collections.abc import Mapping

from exprun.sweeps.results import Results

DEFAULT = "default"
"""The level of a factor in jobs to which the key was not given."""


def short_names(results: Results) -> dict[str, str]:
    """By the name of each configuration what tells it from the others, as short as it is clear:
    ``adam lr=0.01`` for ``optimizer=adam optimizer.lr=0.01``.

    Words stand alone, numbers and other plain values behind the last part of their key. Where that
    would name two configurations alike, all keep their long names.
    """
    names = {c.name: _short(c.values, c.name) for c in results.configurations}
    return names if len(set(names.values())) == len(names) else {name: name for name in names}


def _short(values: Mapping[str, str], name: str) -> str:
    words = [
        value if _speaks_for_itself(value) else f"{key.rpartition('.')[2]}={value}"
        for key, value in values.items()
    ]
    return " ".join(words) or name


def _speaks_for_itself(value: str) -> bool:
    """Whether a value is the name of an option, and not a number, a list or a switch."""
    return value.isidentifier() and value not in ("true", "false", "null", "auto")
