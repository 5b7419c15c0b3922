"""What becomes of the signal in a network that has just been initialised, in words.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KEPT = 0.1, 10.0
"""What a mean square may be multiplied by through the whole network and still count as kept."""


def verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the initial weights do to the signal, in words: to activations from the first hidden
    layer to the last (to a single one from the inputs), to gradients back from the last to the
    first."""
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
    """What has become of a mean square, and by how much in each of so many ``layers``, if any."""
    if before is None or after is None:
        return "are not there"
    if not before or not after:
        return "are 0"
    factor, (low, high) = after / before, KEPT
    kept = "keep their size" if low <= factor <= high else "vanish" if factor < low else "explode"
    return f"{kept} (×{factor ** (1 / layers):.3g} a layer)" if layers else kept
