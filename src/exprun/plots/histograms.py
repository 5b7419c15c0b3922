"""Reads the histograms that ``diagnostics=full`` writes for TensorBoard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

KIND = "pre-activations"
"""The prefix of the tags of pre-activations: ``pre-activations/hidden.1``."""

SHOWN = 5
"""Most epochs that are drawn for a layer."""


@dataclass(frozen=True)
class Histogram:
    """The ``counts`` (n,) of values between consecutive ``edges`` (n + 1,), after an epoch."""

    epoch: int
    edges: NDArray[np.float64]
    counts: NDArray[np.float64]

    @property
    def density(self) -> NDArray[np.float64]:
        """Counts as a probability density, (n,)."""
        found: NDArray[np.float64] = self.counts / (self.counts.sum() * np.diff(self.edges))
        return found


def read_histograms(folder: Path) -> dict[str, list[Histogram]]:
    """The histograms of each layer's pre-activations by the layer's name, at most SHOWN, evenly
    spaced over the epochs measured; empty if the run did not use ``diagnostics=full``."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    accumulator.Reload()
    found: dict[str, list[Histogram]] = {}
    for tag in accumulator.Tags()["tensors"]:
        kind, _, layer = tag.partition("/")
        if kind != KIND:
            continue
        events = accumulator.Tensors(tag)
        places = np.unique(np.linspace(0, len(events) - 1, min(SHOWN, len(events))).round())
        for event in (events[int(place)] for place in places):
            buckets = make_ndarray(event.tensor_proto)  # (n, 3): left edge, right edge, count
            if len(buckets) and buckets[0, 0] < buckets[-1, 1]:
                edges = np.append(buckets[:, 0], buckets[-1, 1])
                found.setdefault(layer, []).append(Histogram(event.step, edges, buckets[:, 2]))
    return found
