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

WHOLE = ("cmaes", "nsga")
"""Those that learn from complete trials alone, and from so many that stopped ones must be told as
such, with their objectives at the rung that stopped them."""

WARM = 10
"""Trials that a warm start of CMA-ES needs, whose best tenth it takes."""

GENERATION = "NSGAIISampler:generation"
"""Optuna's attribute of a trial of NSGA-II, without which it is no possible parent."""

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
    trials = [trial_of(one, searched, whole=sampler in WHOLE) for one in told]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            directions=["minimize"] * objectives,
            sampler=_sampler(sampler, seed * 1000 + len(told), trials, searched),
        )
        for trial in trials:
            study.add_trial(trial)
        distributions = {key: distribution_of(values) for key, values in searched.items()}
        while True:
            params = study.ask(distributions).params
            yield {key: _text(values, params[key]) for key, values in searched.items()}


def _sampler(
    name: str, seed: int, trials: Sequence[FrozenTrial], space: Mapping[str, Distribution]
) -> BaseSampler:
    """The sampler after these trials, all of earlier batches: it learns from however few they are.

    NSGA-II and CMA-ES remember what they have asked for in attributes of its trials, which a study
    that is rebuilt does not have: NSGA-II gets the trials as its first generation, of which the
    better half are parents, CMA-ES a warm start from them (Nomura et al. 2021)."""
    from optuna import samplers
    from optuna.trial import TrialState

    if name == "tpe":  # grouped: some keys belong to one option alone
        return samplers.TPESampler(
            seed=seed, n_startup_trials=1, multivariate=True, group=True, constant_liar=True
        )
    if name == "gp":
        return samplers.GPSampler(seed=seed, n_startup_trials=1)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if name == "cmaes":
        sources = [*filter(None, (_numbers_of(trial, space) for trial in complete))]
        return samplers.CmaEsSampler(
            seed=seed,
            warn_independent_sampling=False,
            source_trials=sources if len(sources) >= WARM else None,
        )
    for trial in complete:
        trial.system_attrs = {GENERATION: 0}
    return samplers.NSGAIISampler(seed=seed, population_size=max(len(complete) // 2, 2))


def _numbers_of(trial: FrozenTrial, space: Mapping[str, Distribution]) -> FrozenTrial | None:
    """A trial with its numbers alone, of which CMA-ES is about; None if it has not all of them."""
    from optuna.trial import create_trial

    keys = [key for key, values in space.items() if not isinstance(values, Choice)]
    if not keys or not set(keys) <= set(trial.params):
        return None
    return create_trial(
        params={key: trial.params[key] for key in keys},
        distributions={key: trial.distributions[key] for key in keys},
        value=trial.value,
    )


def distribution_of(values: Distribution) -> BaseDistribution:
    """Optuna's distribution of the values of a key."""
    from optuna import distributions

    if isinstance(values, Choice):
        return distributions.CategoricalDistribution(values.values)
    if values.integer:
        return distributions.IntDistribution(int(values.low), int(values.high), log=values.log)
    return distributions.FloatDistribution(values.low, values.high, log=values.log)


def trial_of(told: Told, space: Mapping[str, Distribution], *, whole: bool = False) -> FrozenTrial:
    """A result as Optuna's finished trial. A stopped configuration is a pruned one, or, if
    ``whole`` or with several objectives, for which Optuna has no pruning, a complete one; one
    without objectives has failed, because an infinite value would mislead the sampler."""
    from optuna.trial import TrialState, create_trial

    params: dict[str, Any] = {
        key: value if isinstance(values := space[key], Choice) else values.number(value)
        for key, value in told.point.items()
    }
    own = {key: distribution_of(space[key]) for key in params}
    if not all(map(math.isfinite, told.objectives)):
        return create_trial(state=TrialState.FAIL, params=params, distributions=own)
    if told.stopped and not whole and len(told.objectives) == 1:
        reported = {told.epochs: told.objectives[0]}
        return create_trial(
            state=TrialState.PRUNED, params=params, distributions=own, intermediate_values=reported
        )
    return create_trial(values=told.objectives, params=params, distributions=own)


def _text(values: Distribution, value: Any) -> str:
    return str(value) if isinstance(values, Choice) else values.text(value)
