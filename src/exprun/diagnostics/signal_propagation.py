"""Describe in words whether signals vanish or explode in a newly initialised network.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KEPT = 0.1, 10.0
"""Range of the factor between first and last mean square within which a signal counts as kept."""


def verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """The verdict on the rows of ``laboratory``, in words: how the mean square of activations
    changes from the first hidden layer to the last (from the inputs, if there is only one), and
    that of gradients from the last to the first."""
    inputs, *hidden = [row for row in rows if row["layer"] == "inputs" or row["verdict"]]
    if not hidden:
        return "no hidden layers: nothing can vanish or explode"
    base, *above = hidden if len(hidden) > 1 else (inputs, *hidden)
    last = above[-1]
    forward = fate(base["act_measured"], last["act_measured"], len(above))
    if len(hidden) == 1:
        return f"activations {forward}"
    backward = fate(last["grad_measured"], base["grad_measured"], len(above))
    return f"activations {forward}, gradients {backward}"


def fate(before: float | None, after: float | None, layers: int = 0) -> str:
    """How a mean square has changed, in words, with the factor per layer if ``layers`` is given."""
    if before is None or after is None:
        return "are not there"
    if not before or not after:
        return "are 0"
    factor, (low, high) = after / before, KEPT
    kept = "keep their size" if low <= factor <= high else "vanish" if factor < low else "explode"
    return f"{kept} (×{factor ** (1 / layers):.3g} a layer)" if layers else kept
