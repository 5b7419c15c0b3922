"""Settings of the diagnostics: how often and on how many rows layers are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from exprun.diagnostics.measure import ROWS


@dataclass(frozen=True)
class Diagnostics:
    """Measure every ``every`` epochs, or with ``"auto"`` after every epoch at first and then each
    time the number of epochs has doubled. ``histograms`` adds histograms in TensorBoard and
    gradients of activations to the table."""

    rows: int = ROWS
    every: int | Literal["auto"] = "auto"
    histograms: bool = False

    def due(self, epoch: int) -> bool:
        """Whether the layers are measured after this epoch; epoch 0 is before the training."""
        if self.every != "auto":
            return epoch % self.every == 0
        following = 0
        while following < epoch:
            following += 1 if following < 4 else following
        return following == epoch
