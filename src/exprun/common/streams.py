"""One seed, several independent random streams.

Every purpose has a generator of its own, so that changing one technique leaves the random
numbers of all others untouched, and runs with equal seeds are paired.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch


def derive(seed: int, purpose: str) -> int:
    """The seed of the stream ``purpose``: 63 bits of BLAKE2b over purpose and seed."""
    digest = hashlib.blake2b(f"{purpose}/{seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def stream(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator for one purpose (``init``, ``order``, ``dropout``, ``split``, …)."""
    return torch.Generator(device).manual_seed(derive(seed, purpose))


@dataclass(frozen=True)
class Streams:
    """The random streams that a training draws from.

    ``init`` and ``order`` live on the CPU, so that initial weights and batches are the same on
    every device; ``dropout`` lives where its masks are used.
    """

    init: torch.Generator
    order: torch.Generator
    dropout: torch.Generator

    @classmethod
    def from_seed(cls, seed: int, device: torch.device | str = "cpu") -> Streams:
        return cls(stream(seed, "init"), stream(seed, "order"), stream(seed, "dropout", device))

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"order": self.order.get_state(), "dropout": self.dropout.get_state()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.order.set_state(state["order"])
        self.dropout.set_state(state["dropout"])
