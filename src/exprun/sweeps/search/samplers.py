"""Samplers: the points of a space at which configurations are tried."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from exprun.common.errors import UsageError
from exprun.sweeps.search.distributions import Choice
from exprun.sweeps.search.space import Space

Point = dict[str, str]
"""A value, as the text of an override, for each searched key."""


def grid(space: Space, _seed: int) -> Iterator[Point]:
    """Every combination of the values, the last key's varying fastest. Raises UsageError for an
    interval."""
    for key, values in space.searched.items():
        if not isinstance(values, Choice):
            raise UsageError(
                f"hydra.sweeper.sampler=grid: {key} is an interval; expected values, like "
                f"{key}={values.at(0.25)},{values.at(0.75)}, or sampler random or sobol"
            )
    lists = [values.values for values in space.searched.values() if isinstance(values, Choice)]
    for point in itertools.product(*lists):
        yield dict(zip(space.searched, point, strict=True))


def random(space: Space, seed: int) -> Iterator[Point]:
    """Independent points without end (Bergstra & Bengio 2012). The first n do not depend on how
    many are taken."""
    import numpy as np  # a tenth of a second

    generator = np.random.default_rng(seed)
    while True:
        yield _point(space, generator.random(len(space.searched)))


def sobol(space: Space, seed: int) -> Iterator[Point]:
    """Points of a scrambled Sobol sequence (Sobol 1967; Owen 1998), which fill the space more
    evenly than random ones; as many as the sequence has."""
    from scipy.stats import qmc

    sequence = qmc.Sobol(len(space.searched), scramble=True, seed=seed)
    for power in range(4, 30):
        for u in sequence.random(2**power if power == 4 else 2 ** (power - 1)):
            yield _point(space, u)


SAMPLERS = {"grid": grid, "random": random, "sobol": sobol}


def _point(space: Space, u: Iterable[float]) -> Point:
    """The point at u, a vector in [0, 1) with a number for each searched key."""
    pairs = zip(space.searched.items(), u, strict=True)
    return {key: values.at(float(x)) for (key, values), x in pairs}
