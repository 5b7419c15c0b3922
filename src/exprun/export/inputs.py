"""The inputs of exported models, and rows to test exports with.

``numbers`` (rows, numeric columns) float64 has NaN for a missing value; dates are among them as
seconds since 1970-01-01 00:00. Categorical columns are
``words`` (rows, categorical columns) with an empty word for a missing value, or, for formats
without text, ``codes``: indices of the words among the levels, -1 for a word that is no level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprun.data.columns import Categorical, Datetime, Numeric
from exprun.data.frame import Frame, Words
from exprun.data.preprocess import Preprocessing
from exprun.data.scaling import Quantiles
from exprun.data.spelling import is_whole, places
from exprun.training.prediction import Model, Prediction

TRIED_ROWS = 512
"""Minimum number of rows an export is tested with."""

TOLERANCE = 1e-4
"""Maximum difference from ``predict`` of a probability, or of a number in units of its scale."""

SMALLEST, LARGEST = 1e-300, 1e300
"""Exponentials of outputs beyond these are not told apart."""

UNSEEN = "(a word that no training row has)"


class Disagreement(Exception):
    """The predictions of the exported model differ from those of ``predict``."""


@dataclass(frozen=True)
class Columns:
    """The columns of a preprocessing by their kind."""

    numeric: tuple[Numeric | Datetime, ...]
    categorical: tuple[Categorical, ...]

    @classmethod
    def of(cls, preprocessing: Preprocessing) -> Columns:
        columns = preprocessing.columns
        return cls(
            tuple(column for column in columns if not isinstance(column, Categorical)),
            tuple(column for column in columns if isinstance(column, Categorical)),
        )

    @property
    def datetimes(self) -> tuple[Datetime, ...]:
        """Those of the ``numeric`` ones that are dates."""
        return tuple(column for column in self.numeric if isinstance(column, Datetime))

    def numbers(self, frame: Frame) -> NDArray[np.float64]:
        """The numeric columns, (rows, numeric columns) float64."""
        return frame.block([column.name for column in self.numeric], slice(None))

    def words(self, frame: Frame) -> NDArray[np.object_]:
        """The categorical columns as words; a missing value is an empty word."""
        spelled = [frame[column.name] for column in self.categorical]
        words: NDArray[np.object_] = np.stack(spelled, axis=1)
        words[words == None] = ""  # noqa: E711  # elementwise comparison
        return words

    def codes(self, frame: Frame) -> NDArray[np.int64]:
        """The categorical columns as indices of levels, (rows, categorical columns)."""
        return np.stack([c.places(frame, slice(None)) for c in self.categorical], axis=1)


def input_order(preprocessing: Preprocessing) -> list[int]:
    """For each input of the network its index if numbers and times come first, then the circles of
    the times, then categorical columns, each in their order."""
    columns = Columns.of(preprocessing)
    places = {column.name: [place] for place, column in enumerate(columns.numeric)}
    start = len(places)
    for column in columns.datetimes:
        places[column.name] += range(start, start + column.width - 1)
        start += column.width - 1
    for words in columns.categorical:
        places[words.name] = list(range(start, start + words.width))
        start += words.width
    return [place for column in preprocessing.columns for place in places[column.name]]


def word_places(column: Categorical, missing: Sequence[str]) -> dict[str, int]:
    """The level index of every known word, for a runtime that can only compare words: the levels,
    other spellings of the same value, and the words of a missing value (the empty word, the
    ``missing`` ones, and what None and NaN become in an array of text)."""
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
    """Other spellings of a number or a boolean, as other programs write them."""
    if is_whole(level) and abs(float(level)) < 2**53:
        return [str(int(float(level))), f"{float(level):.1f}", f"{int(float(level)):+d}"]
    lowered = level.lower()
    return [lowered, lowered.title(), lowered.upper()] if lowered in ("true", "false") else []


def description(model: Model) -> dict[str, Any]:
    """The inputs and outputs of the exported model, as plain data for the file's metadata."""
    columns, task = Columns.of(model.preprocessing), model.preprocessing.task
    return {
        "numbers": [column.name for column in columns.numeric],
        "seconds": {column.name: "since 1970-01-01 00:00" for column in columns.datetimes},
        "words": {column.name: list(column.levels) for column in columns.categorical},
        "gaps": ["", *model.preprocessing.reading.missing, "None", "nan", "<NA>"],
        "blanks": "words are compared as they are: strip blanks around them before",
        "targets": list(task.targets),
        "classes": list(task.classes),
    }


def trial(preprocessing: Preprocessing) -> Frame:
    """Random and edge-case rows: missing values, every level, unseen words (unless these are
    errors), every quantile, values between and beyond the quantiles, and very large ones."""
    columns = Columns.of(preprocessing)
    most = [len(c.scaling.values) for c in columns.numeric if isinstance(c.scaling, Quantiles)]
    rows = max(TRIED_ROWS, *most, *(2 * len(column.levels) for column in columns.categorical), 0)
    random = np.random.default_rng(0)
    numbers = (
        np.stack([_numbers(c, rows, random) for c in columns.numeric], axis=1)
        if (columns.numeric)
        else np.empty((rows, 0))
    )
    words = {column.name: _words(column, rows, random) for column in columns.categorical}
    dates = frozenset(column.name for column in columns.datetimes)
    return Frame(preprocessing.features, numbers, words, dates)


def _numbers(
    column: Numeric | Datetime, rows: int, random: np.random.Generator
) -> NDArray[np.float64]:
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
    """The maximum difference between ``predict`` and the exported model's class ids (n,), or None,
    and probabilities or numbers (n, …), or their logarithms if the outputs are these. Raises
    Disagreement above TOLERANCE."""
    own: Prediction = model.predict(frame)
    target = model.preprocessing.target
    unit = 1.0 if own.labels is not None else np.array(target.std)
    theirs, ours = np.asarray(values, dtype=np.float64) / unit, own.values / unit
    if model.output_activation == "exp":
        theirs, ours = (np.log(np.clip(v, SMALLEST, LARGEST)) for v in (theirs, ours))
    apart = np.abs(theirs - ours)
    scale = 1.0 if own.labels is not None else np.maximum(1, np.abs(ours))
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
