"""One seed, several independent random streams.

Each purpose has its own generator, so that changing one technique does not change the random
numbers of others, and runs with equal seeds are paired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def derive(seed: int, purpose: str) -> int:
    """The seed of the stream ``purpose``: 63 bits of BLAKE2b of purpose and seed."""
    digest = hashlib.blake2b(f"{purpose}/{seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def stream(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A new generator for one purpose (``init``, ``order``, ``dropout``, ``split``, …)."""
    return torch.Generator(device).manual_seed(derive(seed, purpose))


class MaskStream:
    """Random words for dropout masks, each a function of seed, layer, iteration, row and unit.

    They are those of Philox4x32-10, a counter-based generator (Salmon, Moraes, Dror & Shaw 2011,
    "Parallel random numbers: as easy as 1, 2, 3"), with the seed as key and the counter
    (row, unit // 4, layer, iteration); a unit uses word unit % 4 of its four. So every engine,
    device and member of a stack draws the same masks. The only state is the iteration, a tensor,
    so that recorded operations can read and increment it.
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.seed = seed
        self.iteration = torch.zeros((), dtype=torch.int64, device=device)
        self.layers = 0

    def new_layer(self) -> int:
        """Register a layer; returns its number, counted from 0."""
        self.layers += 1
        return self.layers - 1

    def advance(self, iterations: int = 1) -> None:
        """Advance by ``iterations``, after which masks differ."""
        if self.layers:
            self.iteration += iterations


WORD = 0xFFFFFFFF


def key_of(seed: int) -> tuple[int, int]:
    """A 64-bit seed as Philox's key of two 32-bit words, the low word first."""
    return seed & WORD, seed >> 32


def mask_words(
    key: Sequence[int | Tensor], layer: int, iteration: Tensor, rows: int, units: int
) -> Tensor:
    """The random words of a ``MaskStream``, (rows, units) int64 from 0 to 2³² - 1, for the key of
    its seed and an ``iteration`` (1, 1). For k streams, with both words of the key and the
    iteration as tensors (k, 1, 1), the result is (k, rows, units)."""
    device = iteration.device
    groups = -(-units // 4)
    counter = (
        torch.arange(rows, device=device)[:, None],
        torch.arange(groups, device=device)[None, :],
        torch.full((1, 1), layer, device=device),
        iteration,
    )
    words = torch.stack(philox(counter, key), -1)
    return words.view(*words.shape[:-2], 4 * groups)[..., :units]


def philox(counter: Sequence[Tensor], key: Sequence[int | Tensor]) -> list[Tensor]:
    """The four random words for a counter of four words and a key of two, int64 tensors with shapes
    that broadcast."""
    c0, c1, c2, c3 = counter
    for i in range(10):
        key0, key1 = (key[0] + i * 0x9E3779B9) & WORD, (key[1] + i * 0xBB67AE85) & WORD
        even, odd = c0 * 0xD2511F53, c2 * 0xCD9E8D57  # 64 bits including the sign bit
        c0, c2 = (odd >> 32 & WORD) ^ c1 ^ key0, (even >> 32 & WORD) ^ c3 ^ key1
        c1, c3 = odd & WORD, even & WORD
    return [c0, c1, c2, c3]


@dataclass(frozen=True)
class Streams:
    """The random streams that a training draws from.

    ``init`` and ``order`` are on the CPU, so that initial weights and batches are the same on every
    device; ``dropout`` is on the device of the training.
    """

    init: torch.Generator
    order: torch.Generator
    dropout: MaskStream

    @classmethod
    def from_seed(cls, seed: int, device: torch.device | str = "cpu") -> Streams:
        dropout = MaskStream(derive(seed, "dropout"), device)
        return cls(stream(seed, "init"), stream(seed, "order"), dropout)

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"order": self.order.get_state(), "dropout": self.dropout.iteration.clone()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.order.set_state(state["order"])
        self.dropout.iteration.copy_(state["dropout"])
