"""The task: the classes or numbers to predict."""

from __future__ import annotations

from dataclasses import dataclass

from exprun.data.spelling import is_number

MOST_IN_TABLE = 100
"""Maximum number of classes for which a confusion matrix is written and shown; larger ones are
unreadable and take longer than the training."""


MERGED = "other"
"""The class into which rare ones are merged with ``data.rare=merge``."""


@dataclass(frozen=True)
class Task:
    """The target of a data set: classes, or one or more numbers.

    ``classes`` are the labels as spelled in the data, in the order of their ids; empty for
    regression. ``targets`` are the names of the predicted columns. ``merged`` are the labels that
    belong to the class MERGED. The classes of an ``ordered`` task go from the lowest to the
    highest.
    """

    targets: tuple[str, ...]
    classes: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    ordered: bool = False

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
        """A hint for messages about classes that may be meant as numbers."""
        numbers = bool(self.classes) and all(map(is_number, self.classes))
        return "; if the target is an amount, data.task=regression" if numbers else ""

    @property
    def description(self) -> str:
        """A short description, like ``10 classes``."""
        if self.classes:
            return f"{len(self.classes)} {'ordered ' * self.ordered}classes"
        return "regression" if len(self.targets) == 1 else f"{len(self.targets)} targets"
