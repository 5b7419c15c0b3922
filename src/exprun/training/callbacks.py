"""Callbacks of a training, and its outcome. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exprun.training.training import Training


class Callback:
    """Base class of callbacks; its methods do nothing.

    ``iteration`` counts from 1 and skips numbers where several iterations run in one call. ``row``
    is the epoch's row of the learning curve: ``epoch``, ``iteration``, ``lr``, then ``train_loss``,
    ``val_loss``, ``train_accuracy``, … Without a validation part its figures are missing.
    """

    def on_start(self, training: Training) -> None: ...

    def on_iteration(self, training: Training, iteration: int) -> None: ...

    def on_epoch(self, training: Training, row: dict[str, float]) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    ``status`` is a constant of ``common.constants``, ``reason`` a text. ``samples_per_second`` is
    the training rows per second of forward and backward passes, without evaluation and logging.
    ``engine`` is the engine used and why no faster one (``loop.describe_engine``). ``signal`` is
    the signal that interrupted the training, if any.
    """

    status: str
    reason: str
    samples_per_second: float = 0.0
    engine: str | None = None
    signal: str | None = None
