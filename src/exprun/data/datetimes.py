"""Dates and times: parse them, and the periods in which a network gets them as points on a circle.

A date or time is a number of seconds since 1970-01-01 00:00, float64 (a microsecond is kept until
2255). Times with a zone are instants, 1970 is in UTC then; others are taken as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from exprun.common.elementary import sine_and_cosine
from exprun.data.arrow_arrays import floats

DAY = 86_400.0
"""Seconds of a day."""

PERIODS = {"time of day": DAY, "day of week": 7 * DAY, "time of year": 365.2425 * DAY}
"""Seconds of each period; the year is the mean one of the Gregorian calendar, so that the phase of
a date differs by a day and a half at most from year to year."""

ZONE = r"(Z|[+-]\d{2}:?\d{2})"
TIME = rf"([T ]\d{{2}}:\d{{2}}(:\d{{2}}(\.\d+)?)?{ZONE}?)?"
DATED = "|".join(
    [
        rf"\d{{4}}-\d{{2}}(-\d{{2}}{TIME})?",
        rf"\d{{4}}/\d{{2}}/\d{{2}}{TIME}",
        rf"\d{{2}}\.\d{{2}}\.\d{{4}}{TIME}",
    ]
)
"""ISO 8601: a month, a date, or date and time, also with slashes; or a date as 31.12.2026."""

REWRITTEN = (
    (r"^(\d{4})-(\d{2})$", r"\1-\2-01"),
    (r"^(\d{4})/(\d{2})/(\d{2})", r"\1-\2-\3"),
    (r"^(\d{2})\.(\d{2})\.(\d{4})", r"\3-\2-\1"),
    (r"(\.\d{6})\d+", r"\1"),
)
"""What Arrow does not read, and how it does."""

UNREAD = r"\d{4}-\d\d?-\d\d?\b|\d\d?[./-]\d\d?[./-]\d{2,4}\b|\d\d?[ -]?[A-Za-z]{3,9}[ -]\d{2,4}\b"
"""The beginning of a date, also in a form that is not read because it may be days or months first,
or depends on a language."""

MOSTLY = 0.9
"""Share of a column's words from which these are dates in such a form."""

EXPECTED = "expected 2026-12-31, 2026-12-31 23:59:00 or 31.12.2026"


class NoDate(Exception):
    """An invalid cell: its ``row`` counts from 0, ``why`` is a phrase like ``is not a date``."""

    def __init__(self, row: int, why: str) -> None:
        super().__init__(why)
        self.row, self.why = row, why


def is_datetime(word: str) -> bool:
    """Whether the word looks like a date or a time of a date."""
    return re.fullmatch(DATED, word) is not None


def mostly_datetimes(words: Sequence[str]) -> bool:
    """Whether at least half of the words, of which there is one, look like dates or times."""
    return bool(words) and 2 * sum(map(is_datetime, words)) >= len(words)


def mostly_unread(words: Sequence[str]) -> bool:
    """Whether nearly all words look like dates, read or not."""
    dates = sum(re.match(UNREAD, word) is not None for word in words)
    return bool(words) and dates >= MOSTLY * len(words)


def has_zones(column: pa.Array) -> bool | None:
    """Whether the first value of a column of texts or timestamps has a time zone; None if there is
    no value."""
    if pa.types.is_timestamp(column.type) and column.type.tz:
        return True
    first = next((cell.as_py() for cell in column.drop_null()), None)
    if first is None:
        return None
    return isinstance(first, str) and re.search(f":.*{ZONE}$", first) is not None


def seconds(column: pa.Array, zones: bool | None = None) -> NDArray[np.float64]:
    """The values (rows,) of a column of texts without surrounding blanks, timestamps or dates; NaN
    for null. ``zones`` says whether times have zones, None that the first value does. Raises
    NoDate."""
    if pa.types.is_string(column.type):
        column = _parsed(column, has_zones(column) if zones is None else zones)
    elif not pa.types.is_temporal(column.type) or pa.types.is_time(column.type):
        raise NoDate(0, f"is of type {column.type}, not a date")
    zone = column.type.tz if pa.types.is_timestamp(column.type) else None
    column = pc.cast(column, pa.timestamp("us", zone), safe=False)
    return floats(pc.cast(column, pa.int64())) / 1e6


def _parsed(column: pa.Array, zones: bool | None) -> pa.Array:
    """Timestamps of texts, in UTC if they have ``zones``."""
    _refuse(column, pc.match_substring_regex(column, f"^({DATED})$"), f"is not a date; {EXPECTED}")
    zoned = pc.match_substring_regex(column, f":.*{ZONE}$")
    fits, article = (zoned, "no") if zones else (pc.invert(zoned), "a")
    _refuse(column, fits, f"has {article} time zone, unlike those before")
    zone = "UTC" if zones else None
    for pattern, replacement in REWRITTEN:
        column = pc.replace_substring_regex(column, pattern, replacement)
    try:
        return pc.cast(column, pa.timestamp("us", zone))
    except pa.ArrowInvalid:
        row = next(row for row, cell in enumerate(column) if not _exists(cell, zone))
        raise NoDate(row, "is a date that does not exist") from None


def _refuse(column: pa.Array, fits: pa.Array, why: str) -> None:
    """Raise NoDate at the first cell that does not fit."""
    row = pc.index(fits, False).as_py()
    if row >= 0:
        raise NoDate(row, why)


def _exists(cell: pa.Scalar, zone: str | None) -> bool:
    try:
        cell.cast(pa.timestamp("us", zone))
    except pa.ArrowInvalid:
        return False
    return True


def periods_of(values: NDArray[np.float64]) -> tuple[str, ...]:
    """The PERIODS that can be seen in the times (rows,): those that these cover twice at least, and
    of which the median step to the next time is half at most. Daily data have no time of day, and
    monthly ones no day of the week."""
    distinct = np.unique(values[~np.isnan(values)])
    if len(distinct) < 2:
        return ()
    step = float(np.median(np.diff(distinct)))
    covered = distinct[-1] - distinct[0] + step
    return tuple(name for name, p in PERIODS.items() if 2 * step <= p <= covered / 2)


def circle(values: NDArray[np.float64], periods: Sequence[str]) -> NDArray[np.float64]:
    """Cyclical encoding of values (rows,): sine and cosine of the phase in each period, (rows, 2 ·
    periods)."""
    parts: list[NDArray[np.float64]] = []
    for name in periods:
        turns = values / PERIODS[name]
        parts += sine_and_cosine(turns - np.floor(turns))
    return np.stack(parts, axis=1) if parts else np.empty((len(values), 0))


def iso(value: float) -> str:
    """A date or time as text, without a time of day that is midnight."""
    written = datetime.fromtimestamp(value, UTC).replace(tzinfo=None).isoformat(" ", "seconds")
    return written.removesuffix(" 00:00:00")
