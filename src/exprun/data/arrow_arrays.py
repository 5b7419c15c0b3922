"""Arrow's arrays as NumPy's, without pandas.

PyArrow's own conversions, and ``pa.scalar``, import pandas if it is installed, which takes half a
second and tens of MB.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def numbers(column: pa.Array) -> NDArray[Any]:
    """The values (rows,) of a column of integers or floats, undefined where one is missing; a
    view, which cannot be written."""
    buffer = column.buffers()[1] or b""  # None if there are no rows
    values = np.frombuffer(buffer, column.type.to_pandas_dtype())
    found: NDArray[Any] = values[column.offset : column.offset + len(column)]
    return found


def missing(column: pa.Array) -> NDArray[np.bool_] | None:
    """Where the values (rows,) of a column are missing; None if none is."""
    if not column.null_count:
        return None
    bits = np.frombuffer(column.buffers()[0], np.uint8)
    valid = np.unpackbits(bits, bitorder="little")
    found: NDArray[np.bool_] = valid[column.offset : column.offset + len(column)] == 0
    return found


def floats(column: pa.Array) -> NDArray[np.float64]:
    """The values (rows,) of a column of integers or floats, NaN where one is missing."""
    values, missed = numbers(column).astype(np.float64), missing(column)
    if missed is not None:
        values[missed] = np.nan
    return values
