"""The batches of an epoch, gathered from the rows of a data set, as many as fit into the cache."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor
from torch.nn.functional import pad

BLOCK_BYTES = 2**20
"""Inputs that are gathered at a time, about."""

ALIGNMENT = 64
"""Bytes: where torch puts a new tensor on a CPU."""


def blocks(
    x: Tensor, y: Tensor, rows: Tensor, size: int, smallest: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of ``size`` of the ``rows`` (…, n) in their order, m batches at a time: from inputs
    (all, inputs) and targets (all, …) m times (…, size, inputs) and m times (…, size, …).

    What is left over is a batch of its own, the last one, if it is ``smallest`` rows at least.
    """
    full = rows.shape[-1] // size
    batches = rows[..., : full * size].unflatten(-1, (full, size)).movedim(-2, 0)
    left_over = rows[..., full * size :]
    if full:
        batch_bytes = batches[0].numel() * x[:1].nbytes
        for block in batches.split(max(1, BLOCK_BYTES // batch_bytes)):
            yield _gathered(x, block), _gathered(y, block)
    if left_over.shape[-1] >= smallest:
        yield _gathered(x, left_over.unsqueeze(0)), _gathered(y, left_over.unsqueeze(0))


def _gathered(values: Tensor, rows: Tensor) -> Tensor:
    """The ``rows`` (m, …) of values (all, …).

    Each of the m begins at an address that suits the kernels, for some round differently elsewhere:
    there are rows of no use between them if they do not fit one behind the other.
    """
    each = rows.flatten(1)
    aligned = ALIGNMENT // math.gcd(ALIGNMENT, values[:1].nbytes)
    padded = pad(each, (0, -each.shape[1] % aligned)) if len(rows) > 1 else each
    found = values.index_select(0, padded.flatten())  # six times as fast as values[padded]
    batches = found.view(*padded.shape, *values.shape[1:])[:, : each.shape[1]]
    return batches.view(*rows.shape, *values.shape[1:])
