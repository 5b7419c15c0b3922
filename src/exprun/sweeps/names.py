"""Short unambiguous names for the configurations of a sweep, for the terminal, charts and the list
of runs in TensorBoard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from exprun.sweeps.results import Results, name_of

DEFAULT = "default"
"""The level of a factor in jobs whose overrides do not set its key."""


def short_names(results: Results) -> dict[str, str]:
    """The shortest unambiguous name of each configuration, by its full name: ``adam lr=0.01`` for
    ``optimizer=adam optimizer.lr=0.01``."""
    return shorter_names({c.name: c.values for c in results.configurations})[-1]


def shorter_names(named: Mapping[str, Mapping[str, str]]) -> list[dict[str, str]]:
    """Alternative sets of names, each shorter than the one before, as mappings from the full name;
    ``named`` has the values by full name. They are: the full names; names with only the last part
    of each key (``optimizer=adam lr=0.01``); and names also without the keys of values that are
    words (``adam lr=0.01``). Keys with equal last parts are not shortened, and a set with duplicate
    names is left out."""
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
    """Whether a value is the name of an option rather than a number, a list or a switch, so that it
    is clear without its key."""
    return value.isidentifier() and value not in ("true", "false", "null", "auto")
