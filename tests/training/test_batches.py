"""Batches are the rows that they should be, and lie where the kernels want them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from exprun.training import batches
from exprun.training.batches import ALIGNMENT, blocks

ROWS = 50


def data(inputs: int) -> tuple[Tensor, Tensor]:
    x = torch.arange(ROWS * inputs, dtype=torch.float32).view(ROWS, inputs)
    return x, torch.arange(ROWS)


def several(leading: tuple[int, ...], n: int) -> Tensor:
    """Row numbers (*leading, n) in some order."""
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(ROWS, generator=generator)[:n] for _ in range(max([1, *leading]))]
    return torch.stack(orders) if leading else orders[0]


@pytest.mark.parametrize("at_once", [1, 3, 100])
@pytest.mark.parametrize("leading", [(), (1,), (3,)], ids=["solo", "stack of one", "stack"])
@pytest.mark.parametrize("inputs", [1, 3, 16])
@pytest.mark.parametrize(("n", "size"), [(50, 1), (50, 7), (48, 16), (50, 50), (5, 7)])
def test_batches_are_the_rows_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
    n: int,
    size: int,
    inputs: int,
    leading: tuple[int, ...],
    at_once: int,
) -> None:
    x, y = data(inputs)
    rows = several(leading, n)
    batch_bytes = max([1, *leading]) * size * x[:1].nbytes
    monkeypatch.setattr(batches, "BLOCK_BYTES", at_once * batch_bytes)
    found = list(blocks(x, y, rows, size, 1))
    single = [(xb, yb) for xs, ys in found for xb, yb in zip(xs, ys, strict=True)]
    expected = rows.split(size, dim=-1)
    assert len(single) == len(expected)
    for (xb, yb), wanted in zip(single, expected, strict=True):
        assert torch.equal(xb, x[wanted])
        assert torch.equal(yb, y[wanted])
    full, left_over = divmod(n, size)
    assert [len(xs) for xs, _ in found] == [
        *(min(at_once, full - i) for i in range(0, full, at_once)),
        *[1] * bool(left_over),
    ]


@pytest.mark.parametrize("size", [1, 5, 7, 16])
@pytest.mark.parametrize("inputs", [1, 2, 3, 13, 64])
@pytest.mark.parametrize("leading", [(), (3,)], ids=["solo", "stack"])
def test_each_batch_begins_where_a_new_tensor_would(
    size: int, inputs: int, leading: tuple[int, ...]
) -> None:
    for xs, _ in blocks(*data(inputs), several(leading, ROWS), size, 1):
        for xb in xs:
            assert xb.data_ptr() % ALIGNMENT == 0
            assert xb.is_contiguous()


@pytest.mark.parametrize(("smallest", "left"), [(1, 1), (2, 0)])
def test_a_left_over_batch_may_be_too_small(smallest: int, left: int) -> None:
    x, y = data(2)
    found = list(blocks(x, y, torch.arange(ROWS), 7, smallest))
    assert sum(len(xs) for xs, _ in found) == ROWS // 7 + left
