"""Functions in double precision against those of the C library and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from exprun.common.elementary import logarithm, normal_quantile, sine_and_cosine

TURN = np.longdouble("6.28318530717958647692528676655900577")


def test_logarithm_within_3_ulp():
    rng = np.random.default_rng(0)
    wide, near_1 = 10 ** rng.uniform(-300, 300, 50_000), 1 - 10 ** rng.uniform(-16, -1, 50_000)
    x = np.concatenate([rng.uniform(0, 1, 100_000), wide, near_1, 1 / near_1])
    exact = np.log(x.astype(np.longdouble))
    assert np.all(np.abs(logarithm(x) - exact) <= 3 * np.spacing(np.abs(exact.astype(float))))
    assert logarithm(np.array([1.0, 2.0, 0.5])).tolist() == [0, math.log(2), -math.log(2)]


def test_sine_and_cosine_of_turns():
    turns = np.random.default_rng(0).uniform(-3, 3, 200_000)
    sine, cosine = sine_and_cosine(turns)
    angle = TURN * turns.astype(np.longdouble)
    assert np.abs(sine - np.sin(angle)).max() < 3e-16
    assert np.abs(cosine - np.cos(angle)).max() < 3e-16


def test_quarter_turns_are_exact():
    sine, cosine = sine_and_cosine(np.array([-0.25, 0, 0.25, 0.5, 0.75, 1]))
    assert sine.tolist() == [-1, 0, 1, 0, -1, 0]
    assert cosine.tolist() == [0, 1, 0, -1, 0, 1]


def test_normal_quantile_is_scipys():
    tails = 10 ** np.random.default_rng(0).uniform(-10, 0, 50_000)
    p = np.concatenate([np.linspace(1e-7, 1 - 1e-7, 100_001), tails])
    np.testing.assert_allclose(normal_quantile(p), special.ndtri(p), rtol=4e-15, atol=1e-15)
    assert normal_quantile(np.array([0.5, 0.975])).tolist() == pytest.approx([0, 1.959963984540054])
