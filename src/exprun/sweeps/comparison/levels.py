"""The levels of a comparison, and the selection of the one that ``--baseline`` names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from exprun.common.errors import UsageError, nearest
from exprun.statistics import paired
from exprun.statistics.expected_best import expected_best
from exprun.sweeps.comparison.figures import AT_LEAST_0, Block, Figures, cost
from exprun.sweeps.ranking import higher_is_better
from exprun.sweeps.results import VARIANT, Configuration, Results, name_of


@dataclass(frozen=True)
class Level:
    """One side of a comparison: its ``configurations``, its test ``figures`` and batch numbers by
    block, the best mean ``validation`` figure of its configurations, and the numbers of jobs that
    ``diverged`` (they count as the worst figure) or have no result (``missing``).

    ``expected_best`` is the expected best validation figure among m of its configurations, where m
    is the smallest number of configurations of any level; None where nothing is tuned."""

    name: str
    values: dict[str, str]
    configurations: list[Configuration]
    figures: dict[Block, float]
    batches: dict[Block, int]
    validation: float | None
    diverged: int
    missing: int
    expected_best: float | None = None

    @property
    def n(self) -> int:
        """The number of blocks with a figure."""
        return len(self.figures)

    @property
    def epochs(self) -> int:
        """Total epochs trained by all jobs of the level, a measure of the cost of its tuning."""
        jobs = [job for c in self.configurations for job in c.jobs]
        return int(sum(job.metrics.get("epochs") or 0 for job in jobs))

    @property
    def only_diverged(self) -> bool:
        """Whether runs diverged and none ended well; its figures are then only the worst figure
        that diverged runs count as."""
        jobs = [job for c in self.configurations for job in c.jobs]
        return self.diverged > 0 and not any(job.ended_well for job in jobs)

    def summary(self, metric: str) -> tuple[float | None, float | None, float | None]:
        """The mean of the figures and the ends of Student's 95 % confidence interval (None for
        fewer than two figures), clipped to [0, 1] for metrics with that range."""
        values = list(self.figures.values())
        if not values:
            return None, None, None
        if len(values) == 1:
            return values[0], None, None
        low, high = map(float, paired.interval(values))
        if metric.endswith(AT_LEAST_0):
            low, high = max(low, 0.0), min(high, 1.0)
        return fmean(values), low, high


def levels_of(results: Results, by: Sequence[str], read: Figures) -> list[Level]:
    """A level for each combination of values of the factors ``by``, best by validation first."""
    groups = grouped(results.configurations, by)
    fewest = min(len(group) for group in groups.values())
    tuned = any(len(group) > 1 for group in groups.values())
    return best_first(
        [
            level(dict(values), group, read, fewest if tuned else None)
            for values, group in groups.items()
        ],
        read.validation,
    )


def grouped(
    configurations: Sequence[Configuration], by: Sequence[str]
) -> dict[tuple[tuple[str, str], ...], list[Configuration]]:
    """The configurations grouped by their values of the factors ``by``, given as (key, value)."""
    groups: dict[tuple[tuple[str, str], ...], list[Configuration]] = {}
    for configuration in configurations:
        values = tuple((k, configuration.values[k]) for k in by if k in configuration.values)
        groups.setdefault(values, []).append(configuration)
    return groups


def best_first(levels: Sequence[Level], validation: str) -> list[Level]:
    """The levels sorted by validation figure, best first; levels without one are last."""
    return sorted(
        levels,
        key=lambda one: (one.validation is None, cost(one.validation or 0.0, validation)),
    )


def level(
    values: dict[str, str], group: list[Configuration], read: Figures, budget: int | None = None
) -> Level:
    """The level of a group of configurations; in each block its figure is that of the tuned
    configuration. ``budget`` is the m of ``expected_best``."""
    validations = [read.of(c.jobs, read.validation) for c in group]
    jobs = [job for c in group for job in c.jobs]
    means = [fmean(v.values()) for v in validations if v]
    higher = higher_is_better(read.validation)
    return Level(
        name=name_of(values),
        values=values,
        configurations=group,
        figures=_tuned(group, validations, read),
        batches=read.batches(jobs),
        validation=(max if higher else min)(means, default=None),
        diverged=sum(job.counts and not job.ended_well for job in jobs),
        missing=sum(not job.counts for job in jobs),
        expected_best=expected_best(means, budget, higher=higher)
        if budget and len(means) >= budget
        else None,
    )


def _tuned(
    group: Sequence[Configuration], validations: Sequence[Mapping[Block, float]], read: Figures
) -> dict[Block, float]:
    """For each block, the test figure of the configuration with the best mean validation figure
    over the *other* blocks (ties: the first requested). The randomness of the tuning is thus part
    of the variation between blocks, and the confidence intervals include it."""
    tests = [read.of(c.jobs, read.metric) for c in group]
    if len(group) == 1:
        return tests[0]
    figures = {}
    totals = [sum(v.values()) for v in validations]
    for block in dict.fromkeys(block for test in tests for block in test):
        scores = [
            cost(round((total - v.get(block, 0.0)) / others, 12), read.validation)
            if (others := len(v) - (block in v)) and block in test
            else math.inf
            for v, total, test in zip(validations, totals, tests, strict=True)
        ]
        best = min(range(len(scores)), key=scores.__getitem__)
        if math.isfinite(scores[best]):
            figures[block] = tests[best][block]
    return figures


def best_configuration(level: Level, validation: str) -> Configuration:
    """The level's configuration with the best mean validation figure."""

    def score(configuration: Configuration) -> float:
        values = list(configuration.figures(validation).values())
        return cost(fmean(values), validation) if values else math.inf

    return min(level.configurations, key=score)


def baseline_values(baseline: str, results: Results) -> dict[str, str]:
    """The values of factors that ``--baseline`` names, given like ``optimizer=sgd,reg=none``
    (separated by commas or blanks) or as the name of a variant. Raises UsageError for keys that do
    not vary and values that are not in the sweep."""
    values: dict[str, str] = {}
    for word in re.split(r"[\s,]+(?=[\w.]+=|$)", baseline.strip()):
        key, equals, value = word.partition("=")
        if word and not equals:
            if word in results.factors.get(VARIANT, ()):
                key, value = VARIANT, word
            else:
                raise UsageError(f"--baseline {word}: expected key=value, like optimizer=sgd")
        if word:
            results.check_factor(key, "--baseline")
            if key in values:
                raise UsageError(f"--baseline: {key} twice; expected one value of each key")
            values[key] = _known_value(value, results.factors[key], f"--baseline {key}")
    return values


def _known_value(value: str, known: Sequence[str], option: str) -> str:
    """The value in the spelling of the sweep, so that 1e-2 matches 0.01; raises UsageError if the
    sweep does not have it."""
    if value in known:
        return value
    same = [other for other in known if _number(other) == _number(value) is not None]
    if same:
        return same[0]
    raise UsageError(
        f"{option}={value}: is not in this sweep{nearest(value, known)} "
        f"(expected {', '.join(known)})"
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def baseline_level(levels: Sequence[Level], values: Mapping[str, str]) -> Level:
    """The level with these values; raises UsageError unless there is exactly one."""
    found = [level for level in levels if values.items() <= level.values.items()]
    words = ",".join(f"{k}={v}" for k, v in values.items())
    if not found:
        raise UsageError(f"--baseline {words}: no job of the sweep has all of these")
    if len(found) > 1:
        names = "; ".join(level.name for level in found[:3])
        raise UsageError(f"--baseline {words}: is that of several ({names}); expected one of them")
    return found[0]
