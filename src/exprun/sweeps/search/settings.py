"""The settings of a search, from ``hydra/sweeper=search``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from omegaconf import DictConfig

from exprun.common.errors import UsageError, choices, nearest
from exprun.config.rules import Rule, boolean, either, integer, list_of, null, one_of, pattern
from exprun.config.schema import spelled
from exprun.sweeps.search.optuna_samplers import ADAPTIVE, check_installed
from exprun.sweeps.search.samplers import SAMPLERS
from exprun.sweeps.search.schedule import MEDIAN, NONE, RULES, Bracket, brackets

SEARCH = "hydra_plugins.exprun_sweeps.SearchSweeper"
"""``_target_`` of ``hydra/sweeper=search``."""

METRICS = ("val_loss", "val_accuracy", "val_r2", "val_rmse", "val_mae")
"""The figures of a validation curve; it has others if ``stopping.monitor`` names one."""

PARAMETERS = "parameters"
"""The objective of a small network: the number of trainable parameters, as in ``result.json``."""

_METRIC = pattern(
    f"val_[a-z0-9_]+|{PARAMETERS}", "a figure like val_accuracy", (*METRICS, PARAMETERS)
)

VALUES: dict[str, Rule] = {
    "sampler": one_of(*SAMPLERS, *ADAPTIVE),
    "n_trials": either(null, integer(2)),
    "seed": integer(0),
    "stop": one_of(*RULES),
    "metric": either(
        either(null, _METRIC), list_of(_METRIC, "several like [val_loss,parameters]", shortest=1)
    ),
    "min_epochs": integer(1),
    "reduction_factor": integer(2),
    "more": integer(0),
    "trust": boolean,
}
"""The keys of ``hydra.sweeper`` with their allowed values, in addition to ``params``."""

BATCHES = 4
"""Number of batches of an adaptive sampler's configurations, or fewer if a rung would have none to
stop; each competes within itself, and the sampler learns from those before."""

USUAL_TRIALS = 48
"""Configurations of a search whose number is not given, unless the sampler has fewer."""


@dataclass(frozen=True)
class SearchSettings:
    """See ``docs/options/hydra/sweeper.md``; ``n_trials`` and ``metric``, the objectives, are None
    for the usual ones."""

    sampler: str
    n_trials: int | None
    seed: int
    stop: str
    metric: tuple[str, ...] | None
    min_epochs: int
    reduction_factor: int
    more: int = 0

    @classmethod
    def of(cls, config: DictConfig) -> SearchSettings | None:
        """The settings of a sweep's config; None for other sweepers. Raises UsageError for invalid
        ones."""
        sweeper = config.hydra.sweeper
        if sweeper._target_ != SEARCH:
            return None
        known = [*VALUES, "params"]
        for name, value in sweeper.items():
            key = f"hydra.sweeper.{name}"
            if name not in (*known, "_target_"):
                raise UsageError(f"{key}: no such key{nearest(str(name), known)}")
            rule = VALUES.get(str(name))
            if rule and not rule.accepts(value):
                hint = nearest(str(value), rule.words)
                raise UsageError(f"{key}={spelled(value)}: expected {rule.expected}{hint}")
        settings = cls.read({field.name: sweeper[field.name] for field in fields(cls)})
        _check_metric(settings, config.stopping.monitor)
        if settings.adaptive:
            check_installed(settings.sampler)
        epochs = config.trainer.max_epochs
        if settings.min_epochs > epochs:
            raise UsageError(
                f"hydra.sweeper.min_epochs={settings.min_epochs}: expected at most "
                f"trainer.max_epochs={epochs}"
            )
        if not config.data.get("val_fraction", 1):
            raise UsageError(
                "data.val_fraction=0: a search chooses by the validation part; expected some rows"
            )
        return settings

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> SearchSettings:
        """The settings from plain data, in which a single metric may be without a list."""
        metric = entry["metric"]
        several = (metric,) if isinstance(metric, str) else metric and tuple(metric)
        return cls(**{**entry, "metric": several})

    @property
    def adaptive(self) -> bool:
        """Whether the sampler asks for configurations when it knows the results of others."""
        return self.sampler in ADAPTIVE

    @property
    def objectives(self) -> int:
        """The number of objectives."""
        return len(self.metric) if self.metric else 1

    def brackets(self, count: int, epochs: int, repetitions: int) -> list[Bracket]:
        """The brackets of ``count`` configurations (``schedule.brackets``), for an adaptive sampler
        batch by batch."""
        least = 2 if self.stop == NONE else 2 * self.reduction_factor
        batches = min(BATCHES, max(count // least, 1)) if self.adaptive else 1
        sizes = [count * (i + 1) // batches - count * i // batches for i in range(batches)]
        return [
            bracket
            for size in sizes
            for bracket in brackets(
                self.stop,
                size,
                epochs=epochs,
                least=self.min_epochs,
                factor=self.reduction_factor,
                repetitions=repetitions,
            )
        ]


def _check_metric(settings: SearchSettings, monitor: str) -> None:
    """Raise UsageError if the objectives cannot be used together."""
    metrics = settings.metric or ()
    written = spelled(metrics[0] if len(metrics) == 1 else list(metrics))
    known = [*METRICS, *([monitor] if monitor not in (*METRICS, "auto") else []), PARAMETERS]
    for metric in metrics:
        if metric not in known:
            raise UsageError(
                f"hydra.sweeper.metric={written}: no such figure as {metric}"
                f"{nearest(metric, known)} (expected {choices(known)})"
            )
    if len(set(metrics)) < len(metrics):
        raise UsageError(f"hydra.sweeper.metric={written}: expected each figure once")
    if metrics and metrics[0] == PARAMETERS:
        raise UsageError(
            f"hydra.sweeper.metric={written}: expected a figure of the validation part first, like "
            f"[val_loss,{PARAMETERS}]"
        )
    if len(metrics) > 1 and settings.stop == MEDIAN:
        raise UsageError(
            f"hydra.sweeper.stop={MEDIAN}: compares one figure; expected one in "
            "hydra.sweeper.metric, or halving, hyperband or none"
        )
    if len(metrics) > 1 and settings.sampler == "cmaes":
        raise UsageError(
            "hydra.sweeper.sampler=cmaes: has one objective; expected one in "
            "hydra.sweeper.metric, or nsga, tpe, gp or random"
        )
