"""Samplers of Optuna, which learn from the configurations of earlier batches.

The study is rebuilt from the jobs' own results for every batch, with a sampler seeded for it, so
that a search that was killed asks for the same configurations. Optuna is imported when it is used.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from exprun.common.errors import UsageError
from exprun.sweeps.search.samplers import Point
from exprun.sweeps.search.space import Choice, Distribution, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

ADAPTIVE = ("tpe", "gp", "cmaes", "nsga")
"""Values of ``hydra.sweeper.sampler`` that need Optuna."""

NEEDED = {"tpe": ["optuna"], "gp": ["optuna"], "cmaes": ["optuna", "cmaes"], "nsga": ["optuna"]}
"""The packages of each sampler."""


@dataclass(frozen=True)
class Told:
    """The result of a configuration: its values, and its score after some ``epochs``, to be
    minimised; infinite if it diverged or failed. ``stopped``: before its end."""

    point: Point
    cost: float
    epochs: int
    stopped: bool


def check_installed(sampler: str) -> None:
    """Raise UsageError if a package of the sampler is not installed."""
    missing = [name for name in NEEDED[sampler] if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"hydra.sweeper.sampler={sampler}: {missing[0]} is not installed; expected "
            "pip install '.[search]', or random, sobol or grid"
        )


def ask(space: Space, sampler: str, seed: int, told: Sequence[Told]) -> Iterator[Point]:
    """Points without end that the sampler suggests after the results ``told``; those of a batch
    do not depend on how many are taken."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {key: _distribution(values) for key, values in space.searched.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(sampler=_sampler(sampler, seed * 1000 + len(told)))
        for one in told:
            study.add_trial(_trial(one, space, distributions))
        while True:
            params = study.ask(distributions).params
            yield {key: _text(values, params[key]) for key, values in space.searched.items()}


def _sampler(name: str, seed: int) -> BaseSampler:
    from optuna import samplers

    if name == "tpe":  # grouped: some keys belong to one option alone
        return samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
    if name == "gp":
        return samplers.GPSampler(seed=seed)
    if name == "cmaes":
        return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return samplers.NSGAIISampler(seed=seed)


def _distribution(values: Distribution) -> BaseDistribution:
    from optuna import distributions

    if isinstance(values, Choice):
        return distributions.CategoricalDistribution(values.values)
    if values.integer:
        return distributions.IntDistribution(int(values.low), int(values.high), log=values.log)
    return distributions.FloatDistribution(values.low, values.high, log=values.log)


def _trial(told: Told, space: Space, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    """A result as Optuna's finished trial. A stopped configuration is a pruned one; one without a
    score has failed, because an infinite value would mislead the sampler."""
    from optuna.trial import TrialState, create_trial

    params: dict[str, Any] = {
        key: value if isinstance(values := space.searched[key], Choice) else values.number(value)
        for key, value in told.point.items()
    }
    own = {key: distributions[key] for key in params}
    if not math.isfinite(told.cost):
        return create_trial(state=TrialState.FAIL, params=params, distributions=own)
    if told.stopped:
        reported = {told.epochs: told.cost}
        return create_trial(
            state=TrialState.PRUNED, params=params, distributions=own, intermediate_values=reported
        )
    return create_trial(value=told.cost, params=params, distributions=own)


def _text(values: Distribution, value: Any) -> str:
    return str(value) if isinstance(values, Choice) else values.text(value)
