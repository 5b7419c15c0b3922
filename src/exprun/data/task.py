"""What is to be predicted."""

from __future__ import annotations

from dataclasses import dataclass

from exprun.data.spelling import is_number

MOST_IN_TABLE = 100
"""Classes whose confusion matrix is written and shown as a table; a larger one nobody reads, and it
takes longer than the training."""


MERGED = "other"
"""The class that rare ones become with ``data.rare=merge``."""


@dataclass(frozen=True)
class Task:
    """The target of a data set: classes, or one or more numbers.

    ``classes`` holds the labels as they were spelled, in the order of their ids; empty for
    regression. ``targets`` names the predicted columns. ``merged`` are labels that count as the
    class MERGED.
    """

    targets: tuple[str, ...]
    classes: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """``binary``, ``multiclass`` or ``regression``."""
        if not self.classes:
            return "regression"
        return "binary" if len(self.classes) == 2 else "multiclass"

    @property
    def width(self) -> int:
        """Number of classes, or of predicted numbers."""
        return len(self.classes) or len(self.targets)

    @property
    def amount_hint(self) -> str:
        """What to add to a message about the classes if they may have been meant as amounts."""
        numbers = bool(self.classes) and all(map(is_number, self.classes))
        return "; if the target is an amount, data.task=regression" if numbers else ""

    @property
    def description(self) -> str:
        """In two words, like ``10 classes``."""
        if self.classes:
            return f"{len(self.classes)} classes"
        return "regression" if len(self.targets) == 1 else f"{len(self.targets)} targets"
