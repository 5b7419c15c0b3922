"""The groups of the config that each problem without a network uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from exprun.common.errors import UsageError, choices

PARTS: dict[str, tuple[str, ...]] = {
    "exprun.problems.build.descent": ("optimizer", "scheduler"),
    "exprun.problems.build.moving_averages": (),
}
"""Problems that train no network, and the groups they use in addition to ``problem``."""


def parts_of(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The groups and keys that the config's problem uses; None if it trains a network, which uses
    all."""
    groups: tuple[str, ...] | None = PARTS.get(config["problem"]["_target_"])
    return None if groups is None else ("problem", *groups, "seed", "device")


def check_parts(config: Mapping[str, Any], overrides: Iterable[str]) -> None:
    """Raise UsageError for an override that has no effect on the problem."""
    parts = parts_of(config)
    if parts is None:
        return
    for override in overrides:
        key = override.split("=")[0].lstrip("+~").split("@")[0]
        if key.split(".")[0].split("/")[0] not in (*parts, "experiment", "hydra"):
            instead = "problem.iterations" if key == "trainer.max_epochs" else choices(parts)
            raise UsageError(f"{override}: plays no part in this problem; expected {instead}")
