"""Restrict the code that a stored config may name, because run folders may be untrusted."""

from __future__ import annotations

import pydoc

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


def check_targets(config: DictConfig, source: str) -> None:
    """Raise UsageError if a ``_target_`` of the config in ``source`` is not in TRUSTED.

    The module in which the object is defined counts, because a path may lead through the imports of
    any module; nothing outside exprun and torch is imported for the check.
    """
    for key, path in leaves(config):
        group, _, name = key.partition(".")
        if name.rpartition(".")[2] != "_target_" or path is None:
            continue
        found = pydoc.locate(path) if path.startswith(("exprun.", "torch.")) else None
        home = f"{getattr(found, '__module__', '')}."
        if not home.startswith(TRUSTED.get(group, ())):
            raise UsageError(
                f"{source}: {key}={path} is code of somebody's own; expected exprun's or torch's, "
                "or --trust if you know it"
            )
