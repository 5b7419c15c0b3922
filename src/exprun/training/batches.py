"""Shuffle the rows of a data set, and gather the batches of an epoch from them in blocks that fit
into the cache."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from exprun.data.one_hot_inputs import Inputs, tensors_of
from exprun.data.storage import will_need

BLOCK_BYTES = 4 * 2**20
"""Approximate bytes of inputs that are gathered at a time."""

ALIGNMENT = 64
"""Alignment in bytes of a new torch tensor on a CPU."""

BLOCKS = 128
"""Blocks of consecutive rows among which a large data set is shuffled at a time."""


def shuffled(rows: int, buffer: int, generator: torch.Generator) -> Tensor:
    """A random permutation of the rows' numbers, (rows,) int64.

    Of more rows than ``buffer`` it is one that reads a file in pieces: blocks of consecutive rows
    are taken in random order, BLOCKS at a time, of whose rows a random permutation is the next part
    of the whole (as the shuffle buffers of ``tf.data`` and WebDataset, over files in shards). Rows
    further apart than that meet in a batch in another epoch.
    """
    if rows <= buffer:
        return torch.randperm(rows, generator=generator)
    length = max(1, buffer // BLOCKS)
    firsts = torch.randperm(math.ceil(rows / length), generator=generator) * length
    parts = []
    for some in firsts.split(BLOCKS):
        members = (some[:, None] + torch.arange(length)).flatten()
        members = members[members < rows]
        parts.append(members[torch.randperm(len(members), generator=generator)])
    return torch.cat(parts)


class ReadAhead:
    """Has the inputs x (rows, width) of a ``shuffled`` order read from their files before they are
    needed: those of this part of it and of the next."""

    def __init__(self, x: Inputs, order: Tensor, buffer: int) -> None:
        self.length = max(1, buffer // BLOCKS)
        self.arrays = [tensor.numpy() for tensor in tensors_of(x)]
        self.parts = (order // self.length).split(buffer)
        self.buffer, self.read = buffer, 0

    def __call__(self, done: int) -> None:
        """Of the rows in this order ``done`` have been used."""
        for part in self.parts[self.read : done // self.buffer + 2]:
            for block in part.unique().tolist():
                for array in self.arrays:
                    will_need(array[block * self.length : (block + 1) * self.length])
            self.read += 1


def blocks(
    x: Inputs, y: Tensor, rows: Tensor, size: int, smallest: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the ``rows`` (…, n) of ``x`` (all, inputs) and ``y`` (all, …) as batches of ``size``,
    in order, m batches at a time: (m, …, size, inputs) and (m, …, size, …).

    The remaining rows are a last, smaller batch if there are at least ``smallest``, else dropped.
    """
    *members, n = rows.shape
    full, left_over = divmod(n, size)
    if full:
        batches = rows.narrow(-1, 0, full * size).view(*members, full, size).movedim(-2, 0)
        at_once = max(1, BLOCK_BYTES // (batches[0].numel() * x[:1].nbytes))
        for block in batches.split(at_once):
            yield _gathered(x, y, block)
    if left_over >= smallest:
        yield _gathered(x, y, rows.narrow(-1, full * size, left_over).unsqueeze(0))


def _gathered(x: Inputs, y: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The ``rows`` (m, …) of x (all, inputs) and y (all, …).

    Each of the m batches starts at an aligned address, because some kernels round differently at
    others; where necessary there are padding rows between batches.
    """
    fitting = ALIGNMENT // math.gcd(ALIGNMENT, x[:1].nbytes)
    length = rows[0].numel()
    beyond = -length % fitting if len(rows) > 1 else 0
    taken = pad(rows.flatten(1), (0, beyond)) if beyond else rows
    flat = taken.flatten()
    found = []
    for values in (x, y):
        each = values.index_select(0, flat)  # six times as fast as values[flat]
        if beyond:
            each = each.view(*taken.shape, *values.shape[1:]).narrow(1, 0, length)
        found.append(each.view(*rows.shape, *values.shape[1:]))
    return found[0], found[1]
