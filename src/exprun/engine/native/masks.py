"""Dropout masks for the other engines on a CPU, drawn by the native engine's kernel."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from exprun.engine.native import library
from exprun.techniques.networks import OPERATIONS, draw_mask

LANES = 16
"""Rows that the kernel draws at a time."""


def draw(mask: Tensor, iteration: Tensor, seed: int, layer: int, p: float) -> None:
    """``networks.draw_mask`` with the same bits."""
    rows, units = mask.shape
    if mask.dtype != torch.float32 or not p:
        draw_mask(mask, iteration, seed, layer, p)
        return
    drawn = torch.empty(units, -(-rows // LANES) * LANES)
    library.load().native_masks(
        0, drawn.data_ptr(), rows, units, p, seed, layer, int(iteration.item())
    )
    mask.copy_(drawn[:, :rows].t())


@cache
def register() -> None:
    """Let ``networks.Dropout`` draw with the kernel from now on, if the library is there."""
    try:
        library.load()
    except library.Unavailable:
        return
    OPERATIONS.impl("dropout_mask", draw, "CPU")
