"""Numbers in half of the memory, without any loss."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exprun.data import arrow_arrays, packed
from exprun.data.packed import Packed

random = settings(max_examples=60)

DECIMALS = st.builds(
    lambda k, digits: k / 10**digits, st.integers(-(10**9), 10**9), st.integers(0, 9)
)
NUMBERS = st.floats(-1e30, 1e30) | DECIMALS | st.floats(width=32, allow_infinity=False)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "AT_ONCE", 16)


@given(st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=40), st.data())
@random
def test_every_number_comes_back(rows: list[list[float]], data: st.DataObject) -> None:
    """Across chunks, in any order of rows and columns, with gaps (NaN)."""
    numbers = np.array(rows)
    table = Packed(3)
    for batch in np.array_split(numbers, data.draw(st.integers(1, 5))):
        table.append(len(batch), batch.T)
    table = table.closed()
    np.testing.assert_array_equal(table, numbers)
    assert table.shape == numbers.shape
    assert table.gaps() == np.isnan(numbers).sum(axis=0).tolist()
    chosen = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)), np.int64)
    places = data.draw(st.lists(st.integers(0, 2), max_size=3))
    np.testing.assert_array_equal(table.block(chosen, places), numbers[chosen][:, places])
    np.testing.assert_array_equal(table.taken(chosen), numbers[chosen])
    np.testing.assert_array_equal(table.only(places), numbers[:, places])
    twice = table.extended(Packed.of(numbers[::-1]))
    np.testing.assert_array_equal(twice, np.concatenate([numbers, numbers[::-1]]))


@pytest.mark.parametrize(
    ("values", "bytes_"),
    [
        ([0.5, -2.25, 3], 4),  # of float32
        ([1.23456, -0.1, np.nan], 4),  # decimals
        ([2_147_483_647, 1, 0], 4),
        ([1_700_000_000, 1_700_086_400, np.nan], 4),  # days as seconds
        ([1 / 3, 2 / 3, 0.1], 8),
        ([2_147_483_648.5, 0.123456789, 1], 8),
    ],
)
def test_decimals_and_single_precision_take_four_bytes(values: list[float], bytes_: int) -> None:
    (chunk,) = Packed.of(np.array(values)[:, None]).chunks
    assert chunk is not None
    assert chunk[0].values.itemsize == bytes_


def test_rows_that_were_given_back_are_not_read() -> None:
    table = Packed.of(np.arange(40.0)[:, None])
    table.release(16)
    np.testing.assert_array_equal(table.block(np.array([0, 39]), [0]), [[0], [39]])
    with pytest.raises(AssertionError, match="released"):
        table.block(np.array([20]), [0])


@given(st.lists(st.none() | st.integers(-9, 9), max_size=40), st.integers(0, 20))
@random
def test_arrow_arrays_are_numpys(cells: list[int | None], first: int) -> None:
    """Also slices, whose validity begins within a byte."""
    column = pa.array(cells, pa.int32()).slice(first)
    expected = [np.nan if cell is None else float(cell) for cell in cells[first:]]
    np.testing.assert_array_equal(arrow_arrays.floats(column), expected)
