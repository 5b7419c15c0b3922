"""What an exported model takes in, and rows to try it with.

``numbers`` (rows, numeric columns) float64 with NaN for a gap, and the categorical columns: as
``words`` (rows, categorical columns) with an empty word for a gap, where there are words, else as
``codes``, the places of the words among the levels, -1 for a word that has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprun.data.frame import Frame, Words
from exprun.data.preprocess import Categorical, Numeric, Preprocessing
from exprun.data.scaling import Quantiles
from exprun.data.spelling import is_whole, places
from exprun.training.prediction import Model, Prediction

TRIED_ROWS = 512
"""Rows that an export is tried with, at least."""

TOLERANCE = 1e-4
"""How far a probability, or a number in units of its scale, may be from ``predict``'s."""

UNSEEN = "(a word that no training row has)"


class Disagreement(Exception):
    """The exported model does not say what ``predict`` says."""


@dataclass(frozen=True)
class Columns:
    """The columns of a preprocessing by their kind."""

    numeric: tuple[Numeric, ...]
    categorical: tuple[Categorical, ...]

    @classmethod
    def of(cls, preprocessing: Preprocessing) -> Columns:
        columns = preprocessing.columns
        return cls(
            tuple(column for column in columns if isinstance(column, Numeric)),
            tuple(column for column in columns if isinstance(column, Categorical)),
        )

    def numbers(self, frame: Frame) -> NDArray[np.float64]:
        """(rows, numeric columns)."""
        return frame.block([column.name for column in self.numeric], slice(None))

    def words(self, frame: Frame) -> NDArray[np.object_]:
        """(rows, categorical columns); a gap is an empty word."""
        spelled = [frame[column.name] for column in self.categorical]
        words: NDArray[np.object_] = np.stack(spelled, axis=1)
        words[words == None] = ""  # noqa: E711  # an element at a time
        return words

    def codes(self, frame: Frame) -> NDArray[np.int64]:
        """(rows, categorical columns)."""
        return np.stack([c.places(frame, slice(None)) for c in self.categorical], axis=1)


def input_order(preprocessing: Preprocessing) -> list[int]:
    """Where each input of the network stands if the numeric columns come first, then the
    categorical ones, each in their order."""
    columns = Columns.of(preprocessing)
    places, start = {}, 0
    first: list[Numeric | Categorical] = [*columns.numeric, *columns.categorical]
    for column in first:
        places[column.name] = range(start, start + column.width)
        start += column.width
    return [place for column in preprocessing.columns for place in places[column.name]]


def word_places(column: Categorical, missing: Sequence[str]) -> dict[str, int]:
    """Every word that has a place among the levels, for a runtime that can only compare words: the
    levels, other spellings of the same value, and what is a gap: the empty word, the ``missing``
    ones, and the words that None and NaN become in an array of text."""
    known = [level for level in column.levels if level is not None]
    found: dict[str, int] = {level: column.levels.index(level) for level in known}
    others = [other for level in known for other in _other_spellings(level)]
    for other, place in zip(others, places(others, column.levels), strict=True):
        if place >= 0 and other not in missing:
            found.setdefault(other, place)
    if column.fill in column.levels:
        gap = column.levels.index(column.fill)
        for word in ("", *missing, "None", "nan", "<NA>"):
            found.setdefault(word, gap)
    return found


def _other_spellings(level: str) -> list[str]:
    """How other programs write a number or a boolean."""
    if is_whole(level) and abs(float(level)) < 2**53:
        return [str(int(float(level))), f"{float(level):.1f}"]
    lowered = level.lower()
    return [lowered, lowered.title(), lowered.upper()] if lowered in ("true", "false") else []


def description(model: Model) -> dict[str, Any]:
    """What goes in and what comes out, as plain data for the file."""
    columns, task = Columns.of(model.preprocessing), model.preprocessing.task
    return {
        "numbers": [column.name for column in columns.numeric],
        "words": {column.name: list(column.levels) for column in columns.categorical},
        "gaps": ["", *model.preprocessing.reading.missing, "None", "nan", "<NA>"],
        "blanks": "words are compared as they are: strip blanks around them before",
        "targets": list(task.targets),
        "classes": list(task.classes),
    }


def trial(preprocessing: Preprocessing) -> Frame:
    """Random and edge rows: gaps, every level, words that are unseen (unless those are refused),
    every quantile, values between and beyond them, and far out."""
    columns = Columns.of(preprocessing)
    most = [len(c.scaling.values) for c in columns.numeric if isinstance(c.scaling, Quantiles)]
    rows = max(TRIED_ROWS, *most, *(2 * column.width for column in columns.categorical), 0)
    random = np.random.default_rng(0)
    numbers = (
        np.stack([_numbers(c, rows, random) for c in columns.numeric], axis=1)
        if (columns.numeric)
        else np.empty((rows, 0))
    )
    words = {column.name: _words(column, rows, random) for column in columns.categorical}
    return Frame(preprocessing.features, numbers, words)


def _numbers(column: Numeric, rows: int, random: np.random.Generator) -> NDArray[np.float64]:
    scaling = column.scaling
    if isinstance(scaling, Quantiles):
        known = np.array(scaling.values)
        spread = np.ptp(known) or 1.0
        between = random.uniform(known[0] - 0.1 * spread, known[-1] + 0.1 * spread, rows)
        values = np.where(
            random.random(rows) < 0.5, random.permutation(np.resize(known, rows)), between
        )
    else:
        values = scaling.center + scaling.scale * random.normal(size=rows) * 3
        values[:4] = scaling.center, 0.0, column.fill, scaling.center + 10 * scaling.scale
    values[random.random(rows) < 0.1] = np.nan
    return values


def _words(column: Categorical, rows: int, random: np.random.Generator) -> Words:
    spelled = tuple(level for level in column.levels if level is not None)
    gap = None in column.levels or column.fill is not None
    low, words = 0, spelled
    if column.unseen == "ignore":
        low, words = -1, (*spelled, UNSEEN)
    elif gap:
        low = -1
    every = np.resize(np.arange(low, len(words), dtype=np.int32), rows)
    return Words(random.permutation(every), words)


def difference(model: Model, frame: Frame, ids: Any, values: Any) -> float:
    """How far the exported model's answers are from ``predict``'s: class ids (n,) or None, and
    probabilities or numbers (n, …). Raises Disagreement if that is too far."""
    own: Prediction = model.predict(frame)
    target = model.preprocessing.target
    unit = 1.0 if own.labels is not None else np.array(target.std)
    apart = np.abs(np.asarray(values, dtype=np.float64) - own.values) / unit
    scale = 1.0 if own.labels is not None else np.maximum(1, np.abs(own.values / unit))
    far = float((apart / scale).max())
    if not far <= TOLERANCE:
        raise Disagreement(f"its answers differ by {far:g}, more than {TOLERANCE:g}")
    if own.labels is not None:
        classes = np.array(own.task.classes, dtype=object)
        wrong = classes[np.asarray(ids)] != own.labels
        ordered = np.sort(own.values.astype(np.float64), axis=1)
        close = ordered[:, -1] - ordered[:, -2] <= TOLERANCE
        if (wrong & ~close).any():
            raise Disagreement("it takes rows for other classes")
    return far
