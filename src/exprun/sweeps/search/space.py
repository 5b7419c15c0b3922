"""The space of a search, in the override grammar of Hydra's sweeper plugins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override

from exprun.common.errors import UsageError
from exprun.config.sweep_overrides import check_values
from exprun.sweeps.results import REPETITION
from exprun.sweeps.search.distributions import Choice, Distribution, Interval


@dataclass(frozen=True)
class Space:
    """The searched keys with their distributions, and the overrides that all jobs share.

    ``repetitions`` are the keys of ``results.REPETITION`` with their values: a configuration is
    trained with each of their combinations, and none of them is searched over.
    """

    overrides: Mapping[str, Distribution | str]  # in the order given; a text is a whole override
    repetitions: tuple[tuple[str, ...], ...]  # overrides of each repetition

    @property
    def searched(self) -> dict[str, Distribution]:
        """The distributions by key."""
        return {k: d for k, d in self.overrides.items() if not isinstance(d, str)}

    def corners(self) -> list[dict[str, str]]:
        """Points in which each value of each choice occurs, so that a key that belongs to one
        option of a group is known to exist even where no drawn point has that option."""
        first = {key: values.at(0) for key, values in self.searched.items()}
        return [
            first | {key: value}
            for key, values in self.searched.items()
            if isinstance(values, Choice)
            for value in values.values
        ]

    def words(self, values: Mapping[str, str]) -> list[str]:
        """The overrides of the configuration with these values of the searched keys."""
        return [
            overrides if isinstance(overrides, str) else f"{key}={values[key]}"
            for key, overrides in self.overrides.items()
        ]


def parse(words: Sequence[str], loader: ConfigLoader) -> Space:
    """The space of a search's overrides; of two for the same key the latter counts.

    Raises UsageError for values that cannot be searched, or if nothing is.
    """
    overrides: dict[str, Distribution | str] = {}
    repetitions: list[tuple[str, ...]] = [()]
    repeated: dict[str, list[str]] = {}
    for override in OverridesParser.create(loader).parse_overrides(list(words)):
        key = override.get_key_element()
        if override.key_or_group in REPETITION:
            repeated[key] = _repetitions(key, override)
            continue
        overrides.pop(key, None)
        values = _distribution(key, override) if override.is_sweep_override() else None
        if isinstance(values, Choice) and len(values.values) == 1:
            overrides[key] = f"{key}={values.values[0]}"
        else:
            overrides[key] = values or str(override.input_line)
    for own in repeated.values():
        repetitions = [(*before, word) for before in repetitions for word in own]
    space = Space(overrides, tuple(repetitions))
    if not space.searched:
        raise UsageError(
            "the search has no key to search: expected some with several values, like "
            "'optimizer.lr=tag(log,interval(1e-4,1))', or space=…"
        )
    return space


def _repetitions(key: str, override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    values = _distribution(key, override)
    if isinstance(values, Interval):
        raise UsageError(
            f"{override.input_line}: makes repetitions, which are not searched over; expected "
            f"values, like {key}=range(3)"
        )
    return [f"{key}={value}" for value in values.values]


def _distribution(key: str, override: Override) -> Distribution:
    """What a key is drawn from. Raises UsageError for values without a meaning."""
    line, value = override.input_line, override.value()
    tags = set(getattr(value, "tags", ()))
    if isinstance(value, IntervalSweep):
        if tags - {"log"}:
            raise UsageError(f"{line}: tag({min(tags - {'log'})}, …): expected tag(log, …) or none")
        low, high = value.start, value.end
        if low is None or high is None or not (math.isfinite(low) and low < high < math.inf):
            raise UsageError(f"{line}: expected interval(low,high) with low < high")
        if "log" in tags and low <= 0:
            raise UsageError(f"{line}: tag(log, …): expected a lower end > 0, not {low:g}")
        return Interval(float(low), float(high), "log" in tags, isinstance(low, int))
    if tags:
        raise UsageError(f"{line}: tag({min(tags)}, …): expected an interval in it")
    check_values(override)
    values = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not values:
        raise UsageError(f"{line}: has no value; expected some, like {key}=a,b")
    return Choice(values)
