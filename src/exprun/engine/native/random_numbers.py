"""Dropout masks and initial weights for all engines on a CPU, from the native engine's kernels."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from exprun.common.operations import OPERATIONS
from exprun.common.random_numbers import BLOCK
from exprun.engine.native import library
from exprun.techniques.networks import draw_mask

LANES = 16
"""Rows that the kernel generates at a time."""


def draw_masks(mask: Tensor, iteration: Tensor, seed: int, layer: int, p: float) -> None:
    """Fill ``mask`` (n, units) like ``networks.draw_mask``, with the same bits but faster."""
    rows, units = mask.shape
    if mask.dtype != torch.float32 or not p:
        draw_mask(mask, iteration, seed, layer, p)
        return
    drawn = torch.empty(units, -(-rows // LANES) * LANES)
    library.load().native_masks(
        0, drawn.data_ptr(), rows, units, p, seed, layer, int(iteration.item())
    )
    mask.copy_(drawn[:, :rows].t())


def normal_of_uniform(x: Tensor, mean: float, std: float) -> None:
    """``common.random_numbers.normal_of_uniform``, with the same bits but faster."""
    library.load().native_normal(0, x.data_ptr(), x.numel() // BLOCK, mean, std)


@cache
def register() -> None:
    """Make the kernels the CPU implementation of these operations, if available."""
    try:
        library.load()
    except library.Unavailable:
        return
    OPERATIONS.impl("dropout_mask", draw_masks, "CPU")
    OPERATIONS.impl("normal_of_uniform", normal_of_uniform, "CPU")
