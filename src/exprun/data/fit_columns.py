"""Fit the preprocessing of each column on the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from exprun.common.elementary import Numbers
from exprun.common.errors import UsageError, list_override
from exprun.common.threads import mapped
from exprun.data.columns import Categorical, Datetime, Numeric
from exprun.data.datetimes import periods_of
from exprun.data.encoding import (
    FREQUENCY,
    ONE_HOT,
    Encoding,
    Supervision,
    cross_fitted,
    encoding_of,
    target_means,
)
from exprun.data.frame import Frame, Rows
from exprun.data.scaling import (
    NONE,
    STANDARDIZE,
    UNIT,
    Linear,
    fit_scaling,
)

AT_ONCE = 2**20
"""Numbers that are copied at once, 8 MiB, which bounds the temporary memory."""

MEDIAN, MOST_FREQUENT, OWN_CATEGORY = "median", "most_frequent", "own_category"


def fit_numeric(frame: Frame, rows: Rows, scaling: str, impute: str) -> list[Numeric | Datetime]:
    """The preprocessing of the numeric columns and of those of dates."""
    numeric = [name for name in frame.places if name not in frame.datetimes]
    dates = [name for name in frame.places if name in frame.datetimes]
    largest = _largest(frame, rows, numeric) if scaling == UNIT else 1.0
    step = max(1, AT_ONCE // max(1, len(rows)))

    def fit(names: Sequence[str]) -> list[Numeric | Datetime]:
        block = frame.block(names, rows, order="F")  # contiguous columns are faster here
        gaps = np.isnan(block)
        if gaps.all(axis=0).any():
            raise UsageError(_empty(names[int(np.argmax(gaps.all(axis=0)))]))
        of = _median if impute == MEDIAN else _most_frequent
        if gaps.any():
            fills = np.array([of(block[~gaps[:, k], k]) for k in range(len(names))])
            block = np.where(gaps, fills, block)
        else:
            fills = np.array([of(block[:, k]) for k in range(len(names))])
        of_dates = names[0] in frame.datetimes
        method = STANDARDIZE if of_dates and scaling in (UNIT, NONE) else scaling
        fitted = zip(
            names,
            fills.tolist(),
            fit_scaling(method, np.asfortranarray(block), largest),
            block.T,
            strict=True,
        )
        if not of_dates:
            return [Numeric(name, fill, scaled) for name, fill, scaled, _ in fitted]
        return [
            Datetime(name, fill, scaled, periods_of(values), name in frame.zoned)
            for name, fill, scaled, values in fitted
        ]

    groups = [
        names[first : first + step]
        for names in (numeric, dates)
        for first in range(0, len(names), step)
    ]
    return [column for columns in mapped(fit, groups) for column in columns]


def _largest(frame: Frame, rows: Rows, names: Sequence[str]) -> float:
    """The divisor of the scaling ``unit``: 255 for bytes, such as images; otherwise the largest
    absolute value of the columns in these rows."""
    if frame.numbers.dtype == np.uint8:
        return 255.0
    step = max(1, AT_ONCE // max(1, len(names)))
    parts = (frame.block(names, rows[k : k + step]) for k in range(0, len(rows), step))
    found = max(float(np.fmax.reduce(np.abs(part), axis=None, initial=0)) for part in parts)
    return found or 1.0


def _median(values: Numbers) -> float:
    """The median for values without NaN, like ``np.median`` but without importing numpy.ma, which
    is slow."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    ordered = np.partition(values, (low, high))
    return float((ordered[low] + ordered[high]) / 2)


def _most_frequent(values: Numbers) -> float:
    """The most frequent number; the smallest one of several."""
    distinct, counts = np.unique(values, return_counts=True)
    return float(distinct[np.argmax(counts)])


def fit_categorical(
    name: str, frame: Frame, rows: Rows, impute: str, unseen: Literal["ignore", "error"]
) -> Categorical:
    column = frame.categorical[name]
    codes = column.codes[rows]
    counts = np.bincount(codes[codes >= 0], minlength=len(column.words))
    levels = sorted(word for word, count in zip(column.words, counts, strict=True) if count)
    if not levels:
        raise UsageError(_empty(name))
    if impute == OWN_CATEGORY:
        gap = [None] if (codes < 0).any() else []
        return Categorical(name, (*levels, *gap), None, unseen)
    frequent = min(word for word, n in zip(column.words, counts, strict=True) if n == counts.max())
    return Categorical(name, tuple(levels), frequent, unseen)


def encoded(
    column: Categorical, frame: Frame, rows: Rows, method: str, supervision: Supervision | None
) -> Categorical:
    """The column with its encoding, whose inputs are standardised by the training rows."""
    levels = len(column.levels)
    method = encoding_of(method, levels)
    if method == ONE_HOT:
        return column
    places = column.places(frame, rows)
    if method == FREQUENCY:
        of: tuple[str, ...] = ("frequency",)
        values = np.bincount(places, minlength=levels)[:, None] / len(rows)
        unseen, trained = np.zeros(1), values[places]
    else:
        assert supervision is not None
        of = supervision.of
        values, unseen = target_means(places, levels, supervision.y)
        trained = cross_fitted(places, levels, supervision)
    scaling = [s for s in fit_scaling(STANDARDIZE, trained) if isinstance(s, Linear)]
    numbers = tuple(map(tuple, values.tolist()))
    return replace(
        column, encoding=Encoding(method, of, numbers, tuple(unseen.tolist()), tuple(scaling))
    )


def _empty(name: str) -> str:
    drop = list_override("data.drop", [name])
    return f"column {name!r} has no value in any training row; leave it out with {drop}"
