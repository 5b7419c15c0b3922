"""Normal and uniform numbers: torch's, and the same on every processor."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
import torch

from exprun.common.random_numbers import _fused, fill_normal, fill_uniform, normal_double

COUNTS = [1, 2, 3, 14, 15, 16, 17, 31, 32, 33, 1000, 16_389]

CHECKSUMS = ["340e7404cc9ea42c", "77cc14c1cbae87d2", "9cf0ba9fd281d172"]
"""Of normal and uniform numbers, and of normal ones in double precision."""

torchs_kernels = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="torch's numbers are others without fused multiply-add",
)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torchs_kernels
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.3, 0.7), (0.0, 0.1234567)])
def test_normal_numbers_are_torchs_to_the_bit(count: int, mean: float, std: float):
    ours, theirs = generator(count), generator(count)
    x = torch.empty(count)
    fill_normal(x, ours, mean, std)
    assert torch.equal(x, torch.empty(count).normal_(mean, std, generator=theirs))
    assert torch.equal(torch.rand(3, generator=ours), torch.rand(3, generator=theirs))


@torchs_kernels
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.37, 0.37), (-0.1, 0.4), (2.0, 3.3)])
def test_uniform_numbers_are_torchs_to_the_bit(count: int, low: float, high: float):
    x = torch.empty(count)
    fill_uniform(x, generator(count), low, high)
    assert torch.equal(x, torch.empty(count).uniform_(low, high, generator=generator(count)))


@pytest.mark.parametrize("count", COUNTS)
def test_normal_numbers_in_double_precision_are_torchs(count: int):
    expected = torch.empty(count, dtype=torch.float64).normal_(generator=generator(count))
    found = normal_double(count, generator(count))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-13, atol=1e-14)


def test_checksums_that_hold_on_every_machine():
    normal, uniform = torch.empty(10_005), torch.empty(10_005)
    fill_normal(normal, generator(0), 0.0, 0.1)
    fill_uniform(uniform, generator(0), -0.1, 0.1)
    drawn = normal.numpy(), uniform.numpy(), normal_double(10_005, generator(0))
    assert [hashlib.sha256(x.tobytes()).hexdigest()[:16] for x in drawn] == CHECKSUMS


def nearest_single(x: Fraction) -> float:
    """The single-precision number nearest to x; of two, the one whose last bit is 0."""
    around = np.float32(float(x))
    candidates = [np.nextafter(around, np.float32(to)) for to in (-np.inf, np.inf)] + [around]
    return float(min(candidates, key=lambda c: (abs(Fraction(float(c)) - x), c.view(np.int32) & 1)))


def test_fused_multiply_add_rounds_once():
    """Random numbers, and sums half way between two numbers but for a product's last digits."""
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 2000)).astype(np.float32).astype(np.float64)
    ulp = 2.0**-23
    tiny = np.array([1.0, 1 + ulp, 1 - ulp / 2, 1 + 3 * ulp])
    a = np.concatenate([a, np.repeat(tiny * ulp / 2, 4), np.repeat(tiny * ulp / 2, 4)])
    b = np.concatenate([b, np.tile([1, -1, 1 - ulp / 2, ulp - 1], 8)])
    c = np.concatenate([c, np.ones(16), np.full(16, 1 + ulp)])
    exact = [Fraction(x) * Fraction(y) + Fraction(z) for x, y, z in zip(a, b, c, strict=True)]
    assert _fused(a, b, c).tolist() == [nearest_single(x) for x in exact]
