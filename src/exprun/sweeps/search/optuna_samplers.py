"""Samplers of Optuna, which learn from the configurations of earlier batches.

The study is rebuilt from the jobs' own results for every batch, with a sampler seeded for it, so
that a search that was killed asks for the same configurations. Optuna is imported when it is used.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from exprun.common.errors import UsageError
from exprun.sweeps.search.distributions import Choice, Distribution
from exprun.sweeps.search.samplers import Point
from exprun.sweeps.search.space import Space

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
    """The result of a configuration: its point, and its objectives after some ``epochs``; infinite
    if it diverged or failed. ``stopped``: before its end."""

    point: Point
    objectives: tuple[float, ...]
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


def ask(
    space: Space, sampler: str, seed: int, told: Sequence[Told], objectives: int = 1
) -> Iterator[Point]:
    """Points without end that the sampler suggests after the results ``told``, whose objectives, as
    many as ``objectives``, are to be minimised; those of a batch do not depend on how many are
    taken."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    searched = space.searched
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            directions=["minimize"] * objectives,
            sampler=_sampler(sampler, seed * 1000 + len(told)),
        )
        for one in told:
            study.add_trial(trial_of(one, searched))
        distributions = {key: distribution_of(values) for key, values in searched.items()}
        while True:
            params = study.ask(distributions).params
            yield {key: _text(values, params[key]) for key, values in searched.items()}


def _sampler(name: str, seed: int) -> BaseSampler:
    from optuna import samplers

    if name == "tpe":  # grouped: some keys belong to one option alone
        return samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
    if name == "gp":
        return samplers.GPSampler(seed=seed)
    if name == "cmaes":
        return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return samplers.NSGAIISampler(seed=seed)


def distribution_of(values: Distribution) -> BaseDistribution:
    """Optuna's distribution of the values of a key."""
    from optuna import distributions

    if isinstance(values, Choice):
        return distributions.CategoricalDistribution(values.values)
    if values.integer:
        return distributions.IntDistribution(int(values.low), int(values.high), log=values.log)
    return distributions.FloatDistribution(values.low, values.high, log=values.log)


def trial_of(told: Told, space: Mapping[str, Distribution]) -> FrozenTrial:
    """A result as Optuna's finished trial. A stopped configuration is a pruned one, or, with
    several objectives, for which Optuna has no pruning, a complete one; one without
    objectives has failed, because an infinite value would mislead the sampler."""
    from optuna.trial import TrialState, create_trial

    params: dict[str, Any] = {
        key: value if isinstance(values := space[key], Choice) else values.number(value)
        for key, value in told.point.items()
    }
    own = {key: distribution_of(space[key]) for key in params}
    if not all(map(math.isfinite, told.objectives)):
        return create_trial(state=TrialState.FAIL, params=params, distributions=own)
    if told.stopped and len(told.objectives) == 1:
        reported = {told.epochs: told.objectives[0]}
        return create_trial(
            state=TrialState.PRUNED, params=params, distributions=own, intermediate_values=reported
        )
    return create_trial(values=told.objectives, params=params, distributions=own)


def _text(values: Distribution, value: Any) -> str:
    return str(value) if isinstance(values, Choice) else values.text(value)
