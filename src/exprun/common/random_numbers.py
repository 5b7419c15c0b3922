"""Normal and uniform random numbers with the same bits on every processor.

torch draws the same random integers everywhere, but its kernels for other distributions than the
uniform one from 0 to 1 round differently with and without fused multiply-add. So only
``torch.rand`` is used here, which is exact. The rest is done by operations that IEEE 754 rounds
alike everywhere, and has the bits of torch 2.13 on a processor with AVX2.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from exprun.common.elementary import Numbers, logarithm, sine_and_cosine
from exprun.common.operations import OPERATIONS

BLOCK = 16
"""torch makes this many normal numbers at once, of uniform numbers for 8 radii and 8 angles."""

AT_ONCE = 1024
"""Blocks that are computed at once, so that temporary arrays stay in the cache."""


def fill_normal(x: Tensor, generator: torch.Generator, mean: float, std: float) -> None:
    """``x.normal_(mean, std, generator=generator)`` in single precision."""
    count = x.numel()
    if count < BLOCK:
        drawn = torch.from_numpy(_few(count, generator) * std + mean)
    else:
        blocks = _in_blocks(count, generator, torch.float32)
        torch.ops.exprun.normal_of_uniform(blocks, mean, std)
        drawn = _without_overlap(blocks, count)
    x.copy_(drawn.view_as(x))


def normal_of_uniform(x: Tensor, mean: float, std: float) -> None:
    """Make normal numbers of uniform ones, in place: x (n,) of single precision, whole blocks (Box
    & Muller 1958)."""
    mean, std = _of_single(mean), _of_single(std)
    blocks = x.numpy().reshape(-1, 2, BLOCK // 2)
    for first in range(0, len(blocks), AT_ONCE):
        part = blocks[first : first + AT_ONCE]
        u, turns = part.astype(np.float64).transpose(1, 0, 2)
        radius = _single(np.sqrt(-2 * _single_logarithm(1 - u)))
        sine, cosine = _single_sine_and_cosine(_single(_of_single(2 * math.pi) * turns))
        for k, factor in enumerate((cosine, sine)):
            part[:, k] = _fused(_single(radius * factor), std, mean)


OPERATIONS.define("normal_of_uniform(Tensor(a!) x, float mean, float std) -> ()")
OPERATIONS.impl("normal_of_uniform", normal_of_uniform, "CompositeExplicitAutograd")


def normal_double(count: int, generator: torch.Generator) -> Numbers:
    """``count`` numbers from the standard normal distribution in double precision: those of
    ``torch.normal`` but for the last digits."""
    if count < BLOCK:
        return _few(count, generator)
    drawn = _in_blocks(count, generator, torch.float64)
    blocks = drawn.numpy().reshape(-1, 2, BLOCK // 2)
    radius = np.sqrt(-2 * logarithm(1 - blocks[:, 0]))
    sine, cosine = sine_and_cosine(blocks[:, 1])
    blocks[:, 0], blocks[:, 1] = radius * cosine, radius * sine
    return _without_overlap(drawn, count).numpy()


def fill_uniform(x: Tensor, generator: torch.Generator, low: float, high: float) -> None:
    """``x.uniform_(low, high, generator=generator)`` in single precision."""
    low, high = _of_single(low), _of_single(high)
    drawn = torch.rand(x.shape, generator=generator).double().numpy()
    x.copy_(torch.from_numpy(_fused(drawn, _of_single(high - low), low)))


def _few(count: int, generator: torch.Generator) -> Numbers:
    """Fewer than BLOCK standard normal numbers: pairs of angle and radius."""
    pairs = torch.rand(-(-count // 2), 2, dtype=torch.float64, generator=generator).numpy()
    radius = np.sqrt(-2 * logarithm(1 - pairs[:, 1]))
    sine, cosine = sine_and_cosine(pairs[:, 0])
    return np.stack([radius * cosine, radius * sine], axis=1).ravel()[:count]


def _in_blocks(count: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Uniform numbers for whole blocks; the last block of an incomplete division overlaps the one
    before, whose numbers it replaces."""
    drawn = torch.rand(count, dtype=dtype, generator=generator)
    left = count % BLOCK
    if left:
        last = torch.rand(BLOCK, dtype=dtype, generator=generator)
        drawn = torch.cat([drawn[: count - left], last])
    return drawn


def _without_overlap(blocks: Tensor, count: int) -> Tensor:
    """The ``count`` numbers of blocks of which the last may overlap the one before."""
    if not count % BLOCK:
        return blocks
    return torch.cat([blocks[: count - BLOCK], blocks[-BLOCK:]])


def _single(x: Numbers) -> Numbers:
    """Doubles rounded to single precision. An operation + - * / √ with values of single precision
    that is rounded to double and then to single precision is rounded correctly."""
    return x.astype(np.float32).astype(np.float64)


def _of_single(x: float) -> float:
    """A number rounded to single precision."""
    return float(np.float32(x))


def _fused(a: Numbers, b: Numbers | float, c: Numbers | float) -> Numbers:
    """a b + c of values of single precision, rounded once to single precision.

    The product is exact in double precision. Where the rounded sum is half way between two numbers
    of single precision, its rounding error says which is closer.
    """
    product = a * b
    total = product + c
    half = (total.view(np.int64) & 0x1FFFFFFF) == 0x10000000
    if half.any():
        part = total - product
        error = (product - (total - part)) + (c - part)
        closer = np.nextafter(total, np.copysign(np.inf, error))
        total = np.where(half & (error != 0), closer, total)
    return _single(total)


LOGARITHM = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
SINE = -1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1
COSINE = 2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2
LN2 = 0.693359375, -2.12194440e-4
QUARTER_PI = -0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8
"""Those of Cephes' functions for single precision (Moshier), ln 2 and -π/4 in parts."""


def _single_polynomial(x: Numbers, coefficients: tuple[float, ...]) -> Numbers:
    """Evaluate a polynomial in single precision; coefficients from the highest power."""
    first, *others = map(_of_single, coefficients)
    value = np.full_like(x, first)
    for coefficient in others:
        value = _fused(value, x, coefficient)
    return value


def _single_logarithm(x: Numbers) -> Numbers:
    """Cephes' logf."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < _of_single(math.sqrt(0.5))
    f = np.where(small, 2 * mantissa, mantissa) - 1
    exponent = (exponent - small).astype(np.float64)
    square = _single(f * f)
    y = _single(_single_polynomial(f, LOGARITHM) * f)
    y = _fused(y, square, _single(exponent * _of_single(LN2[1])))
    y = _fused(square, -0.5, y)
    return _fused(exponent, LN2[0], _single(f + y))


def _single_sine_and_cosine(x: Numbers) -> tuple[Numbers, Numbers]:
    """Cephes' sinf and cosf for x from 0 to 8192."""
    octant = _single(x * _of_single(4 / math.pi)).astype(np.int64)
    octant += octant % 2
    for part in QUARTER_PI:
        x = _fused(octant.astype(np.float64), _of_single(part), x)
    square = _single(x * x)
    sine = _fused(_single(_single_polynomial(square, SINE) * square), x, x)
    cosine = _single(_single_polynomial(square, COSINE) * square)
    cosine = _single(_fused(cosine, square, -square / 2) + 1)
    quadrant = octant // 2 % 4
    swapped = quadrant % 2 == 1
    return (
        np.where(quadrant >= 2, -1.0, 1.0) * np.where(swapped, cosine, sine),
        np.where((quadrant == 1) | (quadrant == 2), -1.0, 1.0) * np.where(swapped, sine, cosine),
    )
