"""The figures that the jobs of a sweep are ranked by. Nothing here imports torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from exprun.common.constants import COMPLETED, EARLY_STOPPED, HIGHER_IS_BETTER

COMPARABLE = (
    *("val_accuracy", "val_r2", "val_loss"),
    "f",
    *("train_accuracy", "train_r2", "train_loss"),
)
"""Figures to rank jobs by, in order of priority; the first are comparable between jobs with
different losses, later ones break ties. ``f`` is a test function's value; training figures are used
where there are no others."""

SETS_LOSS = ("loss=", "loss.", "experiment=")
"""Prefixes of overrides that may change the loss."""


def ranking(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the figures that jobs are ranked by, each breaking ties of those before it.
    ``results`` are contents of ``result.json``, of which ``status``, ``monitor`` and ``overrides``
    are read.

    The first is the figure that selected the kept models (``monitor``), if all jobs have the same
    and it is comparable. Losses are not comparable if the jobs minimise different ones: then the
    first is the accuracy, or, if classes are weighted, ``val_balanced_accuracy``, which is low for
    a model that ignores a rare class.
    """
    ended = [result for result in results if ended_well(result)]
    monitors = {str(m) for result in ended if (m := result.get("monitor"))}
    losses = {
        tuple(sorted(word for word in result["overrides"] if word.startswith(SETS_LOSS)))
        for result in ended
    }
    first: list[str] = []
    if len(monitors) == 1 and (len(losses) == 1 or not monitors & {"val_loss", WEIGHTED}):
        first = [*monitors]
    elif WEIGHTED in monitors:
        first = ["val_balanced_accuracy"]
    return list(dict.fromkeys([*first, *COMPARABLE]))


WEIGHTED = "val_weighted_loss"


def ended_well(result: Mapping[str, Any]) -> bool:
    """Whether a run was completed or stopped early, that is, it has figures and did not diverge."""
    return result["status"] in (COMPLETED, EARLY_STOPPED)


def higher_is_better(name: str) -> bool:
    """Whether a figure like ``val_macro_f1`` is to be maximised."""
    return any(f"_{name}".endswith(f"_{metric}") for metric in HIGHER_IS_BETTER)


def cost(metrics: Mapping[str, Any], names: Sequence[str]) -> list[float]:
    """Sort key: the figures of these names, signed so that lower is better; infinite for missing
    ones."""
    values = ((name, metrics.get(name)) for name in names)
    return [
        math.inf if value is None else (-value if higher_is_better(name) else value)
        for name, value in values
    ]
