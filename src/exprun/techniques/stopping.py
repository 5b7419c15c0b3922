"""Early stopping, and the choice of the best epoch (slide "Early stopping")."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from exprun.common.constants import HIGHER_IS_BETTER


class Stopping:
    """Early stopping on one validation figure.

    An epoch is the best so far if ``monitor`` is better than in all earlier ones. Patience is
    exhausted after ``patience`` epochs without an improvement by more than ``min_delta``;
    ``patience=None`` trains all epochs. With ``restore_best`` the weights of the best epoch become
    the model, otherwise those of the last one.
    """

    def __init__(
        self,
        *,
        patience: int | None = None,
        min_delta: float = 0.0,
        monitor: str = "val_loss",
        restore_best: bool = True,
    ) -> None:
        self.patience = patience
        self.min_delta = min_delta
        self.monitor = monitor
        self.restore_best = restore_best
        self.best_epoch = 0
        self.best = math.inf
        self.reference = math.inf
        self.waited = 0

    def update(self, epoch: int, row: Mapping[str, float]) -> bool:
        """Update with an epoch's row of the learning curve; returns whether to keep its weights.

        Always true without validation figures or without ``restore_best``.
        """
        if self.monitor not in row:
            self.best_epoch = epoch
            return True
        value = self.signed(row[self.monitor])
        improved = value < self.best
        if improved:
            self.best, self.best_epoch = value, epoch
        if value < self.reference - self.min_delta:
            self.reference, self.waited = value, 0
        else:
            self.waited += 1
        return improved or not self.restore_best

    def signed(self, value: float) -> float:
        """The figure, negated if higher is better, so that lower is better."""
        return -value if self.monitor.split("_", 1)[1] in HIGHER_IS_BETTER else value

    @property
    def patience_left(self) -> int | None:
        """Remaining epochs without improvement before stopping; None without a limit."""
        return None if self.patience is None else self.patience - self.waited

    @property
    def exhausted(self) -> bool:
        return self.patience is not None and self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._STATE}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self._STATE:
            setattr(self, name, state[name])

    _STATE = ("best_epoch", "best", "reference", "waited")
