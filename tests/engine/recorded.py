"""What recorded iterations work on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Tensors:
    """What an iteration works on: the same at every making."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        self.a = torch.randn(4, 4, generator=random)
        self.b = torch.randn(4, 4, generator=random)
        self.total = torch.zeros(4)
        self.count = torch.zeros(())
        self.out = torch.zeros(4, 4)
        self.random = torch.Generator().manual_seed(7)

    def state(self) -> list[Tensor]:
        return [self.a, self.b, self.total, self.count, self.out, self.random.get_state()]


def batch(number: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1000 + number)
    return torch.randn(3, 4, generator=random), torch.randint(4, (3,), generator=random)


def same(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Equal to the last bit, except that one nan is like another."""
    return all(torch.equal(x.nan_to_num(1e9), y.nan_to_num(1e9)) for x, y in zip(a, b, strict=True))
