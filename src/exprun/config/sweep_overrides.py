"""Expand the overrides of a sweep into those of its jobs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    OverrideType,
    RangeSweep,
    Sweep,
)

from exprun.common.errors import UsageError
from exprun.config.hydra_internals import basic_sweeper
from exprun.config.schema import spelled


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """Expand a sweep's overrides into the overrides of each job, like Hydra's basic sweeper: of two
    for the same key the latter counts. Hydra must be initialised. Raises UsageError for values that
    cannot be enumerated."""
    loader = GlobalHydra.instance().config_loader()
    parsed = OverridesParser.create(loader).parse_overrides(list(overrides))
    for override in parsed:
        check_values(override)
    (jobs,) = basic_sweeper().split_arguments(parsed, max_batch_size=None)
    return jobs


CONDITIONAL = re.compile(r"([^=]+)=choice\((.*)\)", re.DOTALL)


def with_conditional(words: Sequence[str]) -> list[str]:
    """The words of a sweep, single values of a group that it takes several options of made lists of
    one: Hydra would apply ``reg.l2.strength=0.1`` with ``reg=none,l2`` to a config in which no
    option is chosen yet. ``as_given`` undoes it."""
    parser = OverridesParser.create()
    parsed: list[Override | None] = []
    for word in words:
        try:
            parsed.append(parser.parse_override(word))
        except Exception:  # Hydra says what is wrong with it
            parsed.append(None)
    groups = {
        o.key_or_group for o in parsed if o and o.is_sweep_override() and "." not in o.key_or_group
    }
    return [
        f"{o.key_or_group}=choice({word.partition('=')[2]})"
        if o and _is_conditional(o, groups)
        else word
        for word, o in zip(words, parsed, strict=True)
    ]


def _is_conditional(override: Override, groups: Collection[str]) -> bool:
    group, dot, _ = override.key_or_group.partition(".")
    plain = override.type == OverrideType.CHANGE and not override.is_sweep_override()
    return bool(dot) and group in groups and plain and override.package is None


def as_given(words: Iterable[str]) -> list[str]:
    """The words as they were before ``with_conditional``."""
    given = []
    for word in words:
        match = CONDITIONAL.fullmatch(word)
        one = match and OverridesParser.create().parse_override(word).value()
        alone = isinstance(one, ChoiceSweep) and len(one.list) == 1
        given.append(f"{match[1]}={match[2]}" if match and alone else word)
    return given


def check_values(override: Override) -> None:
    """Raise a UsageError that names the values of a sweep that Hydra does not accept."""
    line, value = override.input_line, override.value()
    if isinstance(value, IntervalSweep):
        raise UsageError(
            f"{line}: an interval has no values to run one by one; expected some, like "
            f"{override.key_or_group}=0.01,0.1, or hydra/sweeper=search"
        )
    if isinstance(value, ChoiceSweep):
        inside = [item for item in value.list if isinstance(item, Sweep | Glob)]
        if inside:
            raise UsageError(
                f"{line}: {_spelled(inside[0])} among other values; expected all of them one by "
                f"one{_one_by_one(override.key_or_group, value.list)}"
            )
    if not override.is_discrete_sweep():
        return
    try:
        list(override.sweep_string_iterator())
    except Exception as error:  # Hydra and Python raise several types for invalid ranges
        raise UsageError(f"{line}: its values cannot be listed: {error}") from error


def _spelled(sweep: Any) -> str:
    if isinstance(sweep, RangeSweep):
        return f"range({sweep.start},{sweep.stop},{sweep.step})"
    name = type(sweep).__name__.removesuffix("Sweep").lower()
    return f"{name}(…)"


def _one_by_one(key: str, items: Sequence[Any]) -> str:
    """The hint ``", like seed=0,1,7"`` with ranges written out; empty for other nested sweeps and
    for more than LISTED values."""
    values: list[Any] = []
    for item in items:
        if isinstance(item, RangeSweep):
            values.extend(islice(item.range(), LISTED + 1))
        elif isinstance(item, Sweep | Glob):
            return ""
        else:
            values.append(item)
    return f", like {key}={','.join(map(spelled, values))}" if len(values) <= LISTED else ""


LISTED = 20
"""Maximum number of values listed in a message."""


def expand_variants(
    variants: Mapping[str, Mapping[str, Any]] | None, overrides: Sequence[str]
) -> list[tuple[str | None, list[str]]]:
    """The jobs of every variant in order, as (name of the variant, overrides): the variant's
    overrides followed by ``overrides``. Without variants the jobs of ``overrides``, with None."""
    if not variants:
        return [(None, job) for job in expand(overrides)]
    return [
        (name, job)
        for name, words in variants.items()
        for job in expand([*(f"{key}={spelled(v)}" for key, v in words.items()), *overrides])
    ]
