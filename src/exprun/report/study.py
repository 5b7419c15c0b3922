"""The results of a sweep prepared for drawing: configurations ranked, named and each with a
look."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from exprun.record.mean_curves import Curve
from exprun.report.charts import Key, Look
from exprun.report.drawing import DASHES, SERIES, Drawing
from exprun.sweeps.comparison.compare import Comparison
from exprun.sweeps.comparison.files import as_data
from exprun.sweeps.names import DEFAULT, short_names
from exprun.sweeps.ranking import higher_is_better
from exprun.sweeps.results import Configuration, JobResult, Results

DRAWN = 40
"""Most configurations whose curves are drawn: the best."""


Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """Column names and rows of cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class View:
    """A figure of the report: ``name`` is its file name, ``caption`` says how its values were
    computed, and ``table`` has the numbers that are drawn."""

    name: str
    title: str
    caption: str
    drawing: Drawing
    table: Table

    def _repr_svg_(self) -> str:
        """The SVG that a notebook displays."""
        return self.drawing.svg()


@dataclass
class Study:
    """Results and their comparison in the form of comparison.json: ``comparison`` of the
    configurations, ``by_factor`` the pairs of the levels of each factor with the others tuned.

    ``ranked`` are the configurations, best by validation first. ``curve`` is the column of the
    curves that corresponds to the metric (``val_accuracy`` to ``test_accuracy``), ``step`` the
    column that counts their rows. ``names``, ``looks`` and ``compared`` are keyed by the name of a
    configuration.
    """

    results: Results
    comparison: Mapping[str, Any]
    by_factor: Mapping[str, Sequence[Mapping[str, Any]]]
    curve: str
    step: str
    ranked: list[Configuration]
    names: Mapping[str, str]
    looks: Mapping[str, Look]
    legend: Sequence[Key]

    @property
    def metric(self) -> str:
        """The metric that is compared."""
        return str(self.comparison["metric"])

    @property
    def ranking(self) -> str:
        """The validation figure by which the configurations are ranked."""
        return str(self.comparison["validation"])

    @cached_property
    def compared(self) -> dict[str, Mapping[str, Any]]:
        """The comparison's entry for each configuration, by name."""
        return {row["name"]: row for row in self.comparison["configurations"]}

    @property
    def lower(self) -> bool:
        """Whether lower values of the metric are better."""
        return not higher_is_better(self.metric)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each configuration by name, which a page uses to highlight it."""
        return {c.name: i for i, c in enumerate(self.results.configurations)}

    @cached_property
    def levels(self) -> dict[str, list[str]]:
        """The levels of every factor, in the order given for the sweep."""
        factors = self.results.factors
        return {name: _met(self.results.configurations, name, factors) for name in factors}

    @cached_property
    def curves(self) -> dict[tuple[Path, int], Curve]:
        """The curve of each job of the drawn configurations, by sweep folder and job number."""
        return {
            (job.sweep, job.number): {k: np.array(v) for k, v in job.curve().items()}
            for configuration in self.ranked[:DRAWN]
            for job in configuration.jobs
        }

    @cached_property
    def order(self) -> list[str]:
        """The factors, the most influential first."""
        return by_influence(self.results.factors, self.results.configurations, self.metric)

    @property
    def seeds(self) -> int:
        """The largest number of jobs of a configuration."""
        return max((len(c.jobs) for c in self.ranked), default=0)

    def curves_of(self, configuration: Configuration) -> list[tuple[JobResult, Curve]]:
        """The jobs of a configuration that have a curve, each with its curve."""
        found = [(job, self.curves.get((job.sweep, job.number), {})) for job in configuration.jobs]
        return [(job, curve) for job, curve in found if len(curve.get(self.step, ()))]

    def value(self, configuration: Configuration) -> float:
        """The mean of the metric over the configuration's jobs; nan if none has it."""
        return mean(figures(configuration, self.metric))

    def name(self, configuration: Configuration) -> str:
        """The short name of the configuration in charts."""
        return self.names[configuration.name]

    def look(self, configuration: Configuration) -> Look:
        """The look of the configuration in charts."""
        return self.looks.get(configuration.name, Look())

    def best(self, count: int) -> str:
        """A sentence for captions if only ``count`` of the configurations are shown, else empty."""
        of = len(self.ranked)
        return "" if count >= of else f" The best {count} of {of} configurations by {self.ranking}."


def study_of(whole: Comparison, by_factor: Mapping[str, Comparison]) -> Study:
    """The study from a comparison of all configurations and those of the levels of each factor,
    with short names and looks."""
    results, metric = whole.results, whole.metric
    ranked = whole.ranked
    names = short_names(results)
    order = by_influence(results.factors, ranked, metric)
    looks, legend = _looks(order, results.factors, ranked, names)
    part, _, name = metric.partition("_")
    first = next((curve for job in results.jobs if (curve := job.curve())), {})
    return Study(
        results,
        as_data(whole),
        {factor: [asdict(pair) for pair in found.pairs] for factor, found in by_factor.items()},
        curve=f"val_{name}" if part == "test" and name else metric,
        step="iteration" if first and "epoch" not in first else "epoch",
        ranked=ranked,
        names=names,
        looks=looks,
        legend=legend,
    )


def figures(configuration: Configuration, metric: str) -> list[float]:
    """The metric's values of a configuration's jobs, for those that have one."""
    return list(configuration.figures(metric).values())


def mean(values: Sequence[float]) -> float:
    """The mean; nan without values."""
    return sum(values) / len(values) if values else math.nan


def level(configuration: Configuration, factor: str) -> str:
    """The configuration's level of a factor; DEFAULT if it does not set the factor."""
    return configuration.values.get(factor, DEFAULT)


def by_influence(
    factors: Mapping[str, Sequence[str]], configurations: Sequence[Configuration], metric: str
) -> list[str]:
    """The factors sorted by the range of the mean metrics of their levels, widest first."""

    def spread(factor: str) -> float:
        by_level: dict[str, list[float]] = {}
        for configuration in configurations:
            values = figures(configuration, metric)
            if values:
                by_level.setdefault(level(configuration, factor), []).append(mean(values))
        means = [mean(values) for values in by_level.values()]
        return max(means) - min(means) if means else 0.0

    return sorted(factors, key=spread, reverse=True)


def _looks(
    order: Sequence[str],
    factors: Mapping[str, Sequence[str]],
    ranked: Sequence[Configuration],
    names: Mapping[str, str],
) -> tuple[dict[str, Look], list[Key]]:
    """The look of each configuration in all charts, by name, and their legend.

    With one or two factors, colour marks the more influential one and dash the other, if there are
    enough of both. Otherwise the best configurations have a colour each, and all others are grey.
    """
    pairs: list[tuple[str, str | None]] = []
    if len(order) == 1:
        pairs = [(order[0], None)]
    elif len(order) == 2:
        pairs = [(order[0], order[1]), (order[1], order[0])]
    for colored, dashed in pairs:
        colors = _met(ranked, colored, factors)
        dashes = _met(ranked, dashed, factors) if dashed else [""]
        if len(colors) > len(SERIES) or len(dashes) > len(DASHES):
            continue
        looks = {
            c.name: Look(
                SERIES[colors.index(level(c, colored))],
                dashes.index(level(c, dashed)) if dashed else 0,
            )
            for c in ranked
        }
        legend = [Key(f"{colored}={v}", Look(SERIES[i])) for i, v in enumerate(colors)]
        if dashed:
            legend += [Key(f"{dashed}={v}", Look("ink", i)) for i, v in enumerate(dashes)]
        return looks, legend
    if len(ranked) < 2:
        return {c.name: Look(SERIES[0]) for c in ranked}, []
    best = ranked[: len(SERIES)]
    looks = {c.name: Look(SERIES[i]) for i, c in enumerate(best)}
    legend = [Key(names[c.name], looks[c.name]) for c in best]
    return looks, legend + ([Key("the others", Look())] if len(ranked) > len(best) else [])


def _met(
    configurations: Sequence[Configuration], factor: str, factors: Mapping[str, Sequence[str]]
) -> list[str]:
    """The levels of a factor that occur in the configurations, in the order given for the sweep."""
    there = {level(configuration, factor) for configuration in configurations}
    return [name for name in [*factors[factor], DEFAULT] if name in there]
