"""Averages of the weights over the iterations (slide "Exponential moving average")."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """v = decay * v + (1 - decay) * w after every iteration, for all parameters w; v = 0 at first.

    The average after t iterations is v / (1 - decay^t): without that correction it would be biased
    towards 0 for about 1 / (1 - decay) iterations. (Polyak & Juditsky 1992 average all iterations
    with equal weights; Adam's authors, Kingma & Ba 2015 §7.2, use this average. torch's
    ``AveragedModel`` with ``get_ema_multi_avg_fn`` starts from the first weights instead of 0.)

    Buffers are not averaged. The running statistics of batch normalisation belong to the weights of
    the training: call ``batch_norm.recompute_statistics`` before evaluating the average.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Raises ValueError if ``decay`` is not in [0, 1)."""
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: expected a number in [0, 1)")
        self.decay = decay
        self.weights: list[Tensor] = list(model.parameters())
        self.sums = [torch.zeros_like(w) for w in self.weights]
        self.buffers: list[Tensor] = list(model.buffers())

    @torch.no_grad()
    def update(self) -> None:
        """Add the current weights to the average; to be called after every iteration."""
        torch._foreach_lerp_(self.sums, self.weights, 1 - self.decay)

    @contextmanager
    def applied(self, iterations: int) -> Iterator[None]:
        """Context in which the model's weights are the average after ``iterations``; afterwards its
        own weights and buffers are restored bit by bit."""
        correction = 1 - self.decay**iterations
        changed = [*self.weights, *self.buffers]
        own = [w.detach().clone() for w in changed]
        _write(self.weights, [v / correction for v in self.sums])
        try:
            yield
        finally:
            _write(changed, own)

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        for v, saved in zip(self.sums, state["sums"], strict=True):
            v.copy_(saved)


@torch.no_grad()
def _write(tensors: list[Tensor], values: list[Tensor]) -> None:
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)
