"""Names for the configurations of a sweep, as short as is clear: for the terminal, for charts and
TensorBoard's list of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from exprun.sweeps.results import Results, name_of

DEFAULT = "default"
"""The level of a factor in jobs to which the key was not given."""


def short_names(results: Results) -> dict[str, str]:
    """By the name of each configuration what tells it from the others, as short as it is clear:
    ``adam lr=0.01`` for ``optimizer=adam optimizer.lr=0.01``."""
    return shorter_names({c.name: c.values for c in results.configurations})[-1]


def shorter_names(named: Mapping[str, Mapping[str, str]]) -> list[dict[str, str]]:
    """Ways to name the same, by its name and its values, each shorter than the one before: the
    names themselves, with the last part of each key alone (``optimizer=adam lr=0.01``), and without
    the keys of words, too, which stand alone (``adam lr=0.01``). Two keys with the same last part
    stay whole, and a way that would name two alike is left out."""
    keys = {key for values in named.values() for key in values}
    ends = Counter(key.rpartition(".")[2] for key in keys)
    last = {key: end if ends[end := key.rpartition(".")[2]] == 1 else key for key in keys}
    ways = [{name: name for name in named}]
    for alone in (False, True):
        way = {}
        for name, values in named.items():
            words = [
                value if alone and _speaks_for_itself(value) else name_of({last[key]: value})
                for key, value in values.items()
            ]
            way[name] = " ".join(words) or name
        ways.append(way)
    return [way for way in ways if len(set(way.values())) == len(named)]


def _speaks_for_itself(value: str) -> bool:
    """Whether a value is the name of an option, and not a number, a list or a switch."""
    return value.isidentifier() and value not in ("true", "false", "null", "auto")
