"""Spaces, their samplers, and what is refused."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from scipy import stats

from exprun.common.errors import UsageError
from exprun.config.hydra_internals import VERSION_BASE
from exprun.config.paths import conf_dir
from exprun.sweeps.search.distributions import Choice, Interval
from exprun.sweeps.search.samplers import SAMPLERS
from exprun.sweeps.search.space import Space, parse

LR = "optimizer.lr=tag(log,interval(1e-4,1))"


def space(*words: str) -> Space:
    with initialize_config_dir(str(conf_dir()), job_name="exprun", **VERSION_BASE):
        return parse(words, GlobalHydra.instance().config_loader())


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("a=1,2", Choice(("1", "2"))),
        ("a=choice([64],[64,64])", Choice(("[64]", "[64,64]"))),
        ("a=range(1,9,2)", Choice(("1", "3", "5", "7"))),  # without its end, as in Hydra
        ("a=range(0.5,2)", Choice(("0.5", "1.5"))),
        ("a=interval(1,3)", Interval(1, 3)),
        ("a=int(interval(1,8))", Interval(1, 8, integer=True)),
        ("a=tag(log,interval(1e-4,1))", Interval(1e-4, 1, log=True)),
        ("a=tag(log,int(interval(8,512)))", Interval(8, 512, log=True, integer=True)),
    ],
)
def test_what_a_word_says(word: str, expected: Any) -> None:
    assert space(word, "b=3").searched == {"a": expected}


def test_single_values_are_shared_and_the_last_of_two_counts() -> None:
    found = space("a=1,2", "c=choice(5)", "b=x", "a=3,4")
    assert found.words({"a": "3"}) == ["c=5", "b=x", "a=3"]


def test_repetitions_are_not_searched() -> None:
    found = space(LR, "seed=range(2)", "data.split_seed=7,8")
    assert list(found.searched) == ["optimizer.lr"]
    assert found.repetitions == tuple(
        (f"seed={seed}", f"data.split_seed={split}") for seed in (0, 1) for split in (7, 8)
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a=3"], "no key to search"),
        (["seed=0,1"], "no key to search"),
        (["a=interval(2,1)"], r"a=interval\(2,1\): expected interval\(low,high\) with low < high"),
        (["a=interval(1,1)"], "low < high"),
        (["a=tag(log,interval(0,1))"], "a lower end > 0, not 0"),
        (["a=tag(lin,interval(0,1))"], r"tag\(lin, …\): expected tag\(log, …\)"),
        (["a=tag(log,choice(1,2))"], "expected an interval in it"),
        (["seed=interval(0,3)"], r"expected values, like seed=range\(3\)"),
        (["a=range(3,3)"], "has no value"),
    ],
)
def test_what_is_refused(words: Sequence[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        space(*words)


def test_a_grid_has_every_combination_and_no_interval() -> None:
    points = SAMPLERS["grid"](space("a=1,2", "b=x,y,z"), 0)
    assert [tuple(p.values()) for p in points] == [*itertools.product("12", "xyz")]
    with pytest.raises(UsageError, match=r"optimizer.lr is an interval; expected values, like"):
        next(SAMPLERS["grid"](space(LR), 0))


@pytest.mark.parametrize("sampler", ["random", "sobol"])
def test_points_are_distributed_as_asked(sampler: str) -> None:
    """Kolmogorov-Smirnov for the intervals, χ² for the choices."""
    found = space(LR, "u=interval(-1,3)", "n=int(interval(1,4))", "c=a,b,c")
    points = list(itertools.islice(SAMPLERS[sampler](found, 3), 1024))
    lr = [float(point["optimizer.lr"]) for point in points]
    assert stats.kstest(lr, stats.loguniform(1e-4, 1).cdf).pvalue > 1e-3
    u = [float(point["u"]) for point in points]
    assert stats.kstest(u, stats.uniform(-1, 4).cdf).pvalue > 1e-3
    for key, values in (("n", "1234"), ("c", "abc")):
        counts = [sum(point[key] == value for point in points) for value in values]
        assert sum(counts) == len(points)
        assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("sampler", ["random", "sobol"])
def test_the_first_points_do_not_depend_on_how_many_follow(sampler: str) -> None:
    found = space(LR, "c=a,b,c")
    many = list(itertools.islice(SAMPLERS[sampler](found, 1), 100))
    assert list(itertools.islice(SAMPLERS[sampler](found, 1), 7)) == many[:7]
    assert list(itertools.islice(SAMPLERS[sampler](found, 2), 7)) != many[:7]


def test_sobol_points_are_scipys() -> None:
    u = stats.qmc.Sobol(2, scramble=True, seed=5).random(64)
    points = itertools.islice(SAMPLERS["sobol"](space("a=interval(0,1)", "b=interval(0,1)"), 5), 64)
    for point, own in zip(points, u, strict=True):
        assert [float(point["a"]), float(point["b"])] == pytest.approx(own, abs=1e-4)


@pytest.mark.parametrize("u", [0.0, 0.5, math.nextafter(1, 0)])
@pytest.mark.parametrize(
    "interval",
    [Interval(1e-4, 1, log=True), Interval(1, 3, integer=True), Interval(0.123456, 0.98765)],
)
def test_no_number_lies_outside_of_its_interval(u: float, interval: Interval) -> None:
    value = float(interval.at(u))
    assert interval.low <= value <= interval.high
    assert interval.integer <= value.is_integer()
