"""The overrides of every job that a sweep's overrides ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from exprun.config.hydra_internals import basic_sweeper
from exprun.config.schema import spelled


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of every job that a sweep's overrides ask for, Hydra's basic sweeper's way: of
    two for one key the latter counts. Hydra must be initialised."""
    loader = GlobalHydra.instance().config_loader()
    parsed = OverridesParser.create(loader).parse_overrides(list(overrides))
    (jobs,) = basic_sweeper().split_arguments(parsed, max_batch_size=None)
    return jobs


def expand_variants(
    variants: Mapping[str, Mapping[str, Any]] | None, overrides: Sequence[str]
) -> list[tuple[str | None, list[str]]]:
    """The jobs of every variant in turn, each with its name: the overrides of the variant, then
    ``overrides``. Without variants the jobs of ``overrides``, with None."""
    if not variants:
        return [(None, job) for job in expand(overrides)]
    return [
        (name, job)
        for name, words in variants.items()
        for job in expand([*(f"{key}={spelled(v)}" for key, v in words.items()), *overrides])
    ]
