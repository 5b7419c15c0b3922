"""Inputs of a network of which most are one-hot, kept as codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class OneHotInputs:
    """Inputs (n, width) float32 in the memory of their columns: ``numbers`` (n, k) float32 are
    those with the indices ``places`` (k,) int64; of the others, ``codes`` (n, columns) int32 are
    the indices of those that are 1, at most one of a column, -1 for none, and all others are 0.

    What reads rows (``x[rows]``, ``split``, ``index_select``) returns dense tensors, as it does
    with a tensor of these inputs, and equal to the last bit.
    """

    numbers: Tensor
    places: Tensor
    codes: Tensor
    width: int

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), self.width))

    @property
    def device(self) -> torch.device:
        return self.codes.device

    def to(self, device: torch.device | str) -> OneHotInputs:
        """The inputs on a device."""
        numbers, places = self.numbers.to(device), self.places.to(device)
        return OneHotInputs(numbers, places, self.codes.to(device), self.width)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Some rows (m, width)."""
        return self._dense(self.numbers[rows], self.codes[rows])

    def split(self, size: int) -> Iterator[Tensor]:
        """All rows in order, ``size`` at a time: (size, width), the last chunk smaller. Of no rows
        one empty chunk, like ``Tensor.split``."""
        for first in range(0, max(1, len(self)), size):
            yield self[first : first + size]

    def index_select(self, dim: int, rows: Tensor) -> Tensor:
        """The rows (m, width) with the numbers ``rows`` (m,); ``dim`` is 0."""
        return self._dense(self.numbers.index_select(dim, rows), self.codes.index_select(dim, rows))

    def taken(self, rows: Tensor) -> OneHotInputs:
        """A copy of the rows with the numbers ``rows`` (m,)."""
        return OneHotInputs(self.numbers[rows], self.places, self.codes[rows], self.width)

    def _dense(self, numbers: Tensor, codes: Tensor) -> Tensor:
        dense = numbers.new_zeros((len(codes), self.width))
        starts = torch.arange(len(codes), device=codes.device) * self.width
        ones = (codes + starts[:, None])[codes >= 0]
        dense.view(-1).index_fill_(0, ones, 1.0)
        return dense.index_copy_(1, self.places, numbers)


Inputs = Tensor | OneHotInputs
"""Inputs (n, width) float32 of a network."""


def tensors_of(x: Inputs) -> list[Tensor]:
    """The tensors (n, …) in which the rows are kept."""
    return [x.numbers, x.codes] if isinstance(x, OneHotInputs) else [x]
