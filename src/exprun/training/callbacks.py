"""Who is told of a training, and how it ended. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exprun.training.training import Training


class Callback:
    """Told what happens in a training; does nothing by itself.

    ``iteration`` counts from 1, and jumps where many are replayed in one go; ``row`` is the epoch's
    row of the learning curve: ``epoch``, ``iteration``, ``lr``, then ``train_loss``, ``val_loss``,
    ``train_accuracy``, … Figures of the validation part are missing if there is none.
    """

    def on_start(self, training: Training) -> None: ...

    def on_iteration(self, training: Training, iteration: int) -> None: ...

    def on_epoch(self, training: Training, row: dict[str, float]) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """How a training ended. ``samples_per_second`` counts the training rows that went forward and
    backward, and not the time of evaluation and logging; ``engine`` is ``replayed``, or says why
    the iterations ran as they are written; ``signal`` names the signal that interrupted it, if one
    did."""

    status: str
    reason: str
    samples_per_second: float = 0.0
    engine: str | None = None
    signal: str | None = None
