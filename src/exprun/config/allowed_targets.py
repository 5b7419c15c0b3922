"""Restrict the code that a stored config may name, because run folders may be untrusted."""

from __future__ import annotations

import functools
import pydoc
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig

from exprun.common.errors import UsageError
from exprun.config.schema import leaves

TRUSTED = {
    "problem": ("exprun.build.", "exprun.problems."),
    "data": ("exprun.data.",),
    "model": ("exprun.techniques.networks",),
    "init": ("exprun.techniques.initializers",),
    "norm": ("torch.nn.modules.",),
    "optimizer": ("exprun.techniques.optimizers", "torch.optim."),
    "scheduler": ("exprun.techniques.schedules", "torch.optim.lr_scheduler"),
    "reg": ("exprun.techniques.regularizers",),
    "loss": ("exprun.techniques.losses",),
    "stopping": ("exprun.techniques.stopping",),
    "averaging": ("exprun.techniques.averaging",),
}
"""The modules whose classes and functions the ``_target_`` of a group may name."""


@functools.cache
def is_trusted(group: str, path: str) -> bool:
    """Whether a ``_target_`` of a group is one of TRUSTED's."""
    found = pydoc.locate(path) if path.startswith(("exprun.", "torch.")) else None
    home = f"{getattr(found, '__module__', '')}."
    return home.startswith(TRUSTED.get(group, ()))


def names_own_code(config: Mapping[str, Any]) -> bool:
    """Whether a ``_target_`` of a resolved config is none of TRUSTED's."""
    return any(not is_trusted(group, path) for group in config for path in _targets(config[group]))


def _targets(node: Any) -> Iterator[str]:
    if not isinstance(node, Mapping):
        return
    if isinstance(path := node.get("_target_"), str):
        yield path
    for value in node.values():
        yield from _targets(value)


def check_targets(config: DictConfig, source: str) -> None:
    """Raise UsageError if a ``_target_`` of the config in ``source`` is not in TRUSTED.

    The module in which the object is defined counts, because a path may lead through the imports of
    any module; nothing outside exprun and torch is imported for the check.
    """
    for key, path in leaves(config):
        group, _, name = key.partition(".")
        if name.rpartition(".")[2] != "_target_" or path is None:
            continue
        if not is_trusted(group, path):
            raise UsageError(
                f"{source}: {key}={path} is code of somebody's own; expected exprun's or torch's, "
                "or --trust if you know it"
            )
