"""Scales and round values."""

import math

import numpy as np
import pytest

from exprun.report.axes import log_ticks, nice_ticks, scale, spelled_ticks


def test_known_ticks():
    assert nice_ticks(0, 1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert nice_ticks(0.9413, 0.9711, 4) == [0.95, 0.96, 0.97]
    assert nice_ticks(-7, 12, 4) == [-5, 0, 5, 10]
    assert log_ticks(0.8e-4, 1.2, 5) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1])
    assert log_ticks(0.5, 30, 5) == pytest.approx([1, 3, 10, 30])
    assert log_ticks(1e-12, 1e12, 5) == pytest.approx([1e-12, 1e-7, 1e-2, 1e3, 1e8])


@pytest.mark.parametrize("log", [False, True])
def test_ticks_are_few_ascend_lie_inside_and_differ_in_writing(log):
    rng = np.random.default_rng(0)
    for _ in range(500):
        low = 10 ** rng.uniform(-6, 4) * (1 if log else rng.choice([-1, 1]))
        high = low * 10 ** rng.uniform(0.05, 6) if log else low + 10 ** rng.uniform(-5, 5)
        ticks = (log_ticks if log else nice_ticks)(low, high, 5)
        assert 2 <= len(ticks) <= 12
        assert ticks == sorted(set(ticks))
        room = 1e-3 * (high - low) + 1e-3 * abs(low) * log
        assert low - room <= ticks[0] <= ticks[-1] <= high + room * (1 + 1e3 * log)
        assert len(set(spelled_ticks(ticks))) == len(ticks)
        for tick, words in zip(ticks, spelled_ticks(ticks), strict=True):
            assert float(words) == pytest.approx(tick, rel=1e-2, abs=1e-9 * (high - low))


def test_how_ticks_are_written():
    assert spelled_ticks([0.94, 0.95, 1.0]) == ["0.94", "0.95", "1.00"]
    assert spelled_ticks([-0.5, 0, 0.5]) == ["-0.5", "0.0", "0.5"]
    assert spelled_ticks([1e-4, 1e-3, 1]) == ["1e-4", "1e-3", "1e0"]
    assert spelled_ticks([0.001, 0.1, 10]) == ["0.001", "0.1", "10"]
    assert spelled_ticks([0, 200000.0]) == ["0", "2e5"]


def test_a_scale_maps_linearly_or_by_powers():
    linear, log = scale([0, 10], 0, 100, margin=0), scale([1, 100], 100, 0, log=True, margin=0)
    assert [linear(v) for v in (0, 5, 10)] == [0, 50, 100]
    assert [log(v) for v in (1, 10, 100)] == pytest.approx([100, 50, 0])
    assert math.isnan(log(0))
    assert math.isnan(log(-1))


@pytest.mark.parametrize("values", [[], [0.0], [3.0, 3.0], [math.nan], [math.inf, 1.0], [1e-300]])
@pytest.mark.parametrize("log", [False, True])
def test_a_scale_of_nearly_nothing_has_a_range(values, log):
    made = scale(values, 0, 100, log=log)
    assert made.low < made.high
    assert all(math.isfinite(made(v)) for v in values if math.isfinite(v) and (v > 0 or not log))


@pytest.mark.parametrize("last", [1, 2, 3, 5, 30])
def test_counts_have_whole_ticks(last):
    ticks = scale([1, last], 0, 100, counts=True).ticks()
    assert ticks
    assert all(tick.is_integer() for tick in ticks)
    assert last != 3 or spelled_ticks(ticks) == ["1", "2", "3"]
