"""Writes a comparison as data to ``comparison.json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from exprun.record.files import write_json
from exprun.statistics.interquartile import interquartile_mean
from exprun.sweeps.comparison.compare import Comparison
from exprun.sweeps.comparison.figures import Figures
from exprun.sweeps.comparison.levels import Level, level
from exprun.sweeps.comparison.more_seeds import COMPARISON


def as_data(comparison: Comparison) -> dict[str, Any]:
    """The content of ``comparison.json``."""
    read = Figures(comparison.results, comparison.metric, comparison.validation)
    configurations = [
        {
            "name": one.name,
            "overrides": one.overrides,
            **_summary(level({}, [one], read), comparison.metric),
        }
        for one in comparison.ranked
    ]
    levels = [
        {
            "name": one.name,
            **_summary(one, comparison.metric),
            "configurations": len(one.configurations),
            "validation": one.validation,
            "expected_best": one.expected_best,
        }
        for one in comparison.levels
    ]
    return {
        "metric": comparison.metric,
        "validation": comparison.validation,
        "higher_is_better": comparison.higher,
        "sweeps": [str(path) for path in comparison.results.sweeps],
        "by": comparison.by,
        "baseline": comparison.baseline,
        "delta": comparison.delta,
        "scope": comparison.scope,
        "configurations": configurations,
        "levels": levels,
        "pairs": [asdict(pair) | {"probability": pair.probability} for pair in comparison.pairs],
        "effects": [effect._asdict() for effect in comparison.effects],
        "ranks": asdict(comparison.ranks) if comparison.ranks else None,
        "shortlist": [level.name for level in comparison.shortlist],
        "plans": [asdict(plan) for plan in comparison.plans],
        "commands": comparison.commands,
        "notes": comparison.notes,
    }


def _summary(one: Level, metric: str) -> dict[str, Any]:
    """The number of figures, their mean with its 95 % confidence interval, their interquartile
    mean, and the number of runs that diverged."""
    mean, low, high = one.summary(metric)
    iqm = interquartile_mean([*one.figures.values()]) if one.n else None
    return {
        "n": one.n,
        "mean": mean,
        "low": low,
        "high": high,
        "iqm": iqm,
        "diverged": one.diverged,
    }


def write(comparison: Comparison, data: dict[str, Any]) -> None:
    """Write the ``data`` of the comparison as ``comparison.json`` into the folder of the last
    sweep."""
    write_json(comparison.results.sweeps[-1] / COMPARISON, data)
