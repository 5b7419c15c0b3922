"""Which choice is better, by how much, and is that real? The answer that a sweep's results give.

Compared are *levels*: the configurations themselves, or the values of some factors, each then with
the configuration that is best by validation (``--by``). Every two levels are a pair, or, with a
baseline, each level and that. Runs with equal seeds are paired: Student's t of their differences,
adjusted by Holm for all pairs at once; what later seeds may add is in ``statistics.sequential``.

More than ``MOST`` levels without a baseline are too many to compare all: the best ones by
validation are named, and how to compare these on fresh seeds. To test the best of many against the
others on the data that it was picked on claims a difference too often (10 to 24 %).

Nothing here imports torch.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from exprun.common.constants import HIGHER_IS_BETTER
from exprun.common.errors import UsageError, nearest
from exprun.record.files import write_json
from exprun.statistics import paired, sequential
from exprun.statistics.anova import Effect, blocked_anova
from exprun.statistics.equivalence import Posterior, posterior
from exprun.statistics.expected_best import expected_best
from exprun.statistics.multiplicity import holm
from exprun.statistics.paired import Array
from exprun.statistics.power import visible
from exprun.statistics.sequential import ALPHA, ANYTIME, FEWEST, FIXED, Looks
from exprun.statistics.signs import wilcoxon
from exprun.statistics.skew import skew_test
from exprun.sweeps import ledger
from exprun.sweeps.results import (
    REPETITION,
    VARIANT,
    Configuration,
    JobResult,
    Results,
    higher_is_better,
)

BETTER, WORSE, EQUAL = "better", "worse", "practically_equal"
INCONCLUSIVE, NOT_COMPARABLE = "inconclusive", "not_comparable"
"""What is said of a pair: ``a`` is better or worse than ``b`` (adjusted p < .05), their difference
is within ±δ (two one-sided tests), neither can be said, or they can't be compared."""

COMPARISON = "comparison.json"

MOST = 6
"""Levels of which all pairs are compared."""

SHORTLIST = 4
"""The best of more."""

OF_THE_DATA = (
    "data",
    "data.path",
    "data.test_path",
    "data.target",
    "data.test_fraction",
)
"""Keys that change which rows are tested, and with them what a figure means."""

Block = tuple[str, ...]


@dataclass(frozen=True)
class Level:
    """One side of a comparison: its figure at each block with the job that it is of, how many jobs
    diverged and have the worst figure of all instead, and how many have none."""

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
        return len(self.figures)

    @property
    def epochs(self) -> int:
        """What its tuning cost, all runs together."""
        jobs = [job for c in self.configurations for job in c.jobs]
        return int(sum(job.metrics.get("epochs") or 0 for job in jobs))

    def summary(self) -> tuple[float | None, float | None, float | None]:
        """Mean, and Student's 95 % interval if there are two figures at least."""
        values = list(self.figures.values())
        if not values:
            return None, None, None
        if len(values) == 1:
            return values[0], None, None
        low, high = paired.interval(values)
        return fmean(values), float(low), float(high)


@dataclass(frozen=True)
class Pair:
    """Of two levels: ``difference`` is a - b, ``low`` to ``high`` its 95 % interval, ``p`` that of
    the test and ``p_adjusted`` by Holm; ``p_wilcoxon`` is of the ranks, for comparison;
    ``p_equal`` of a difference within ±δ, by Holm too, ``chances`` those of below, within, above.
    ``method`` is how the looks were paid for (``statistics.sequential``); ``skewed`` if the
    differences are. ``more_seeds`` is how many it takes, 0 if all is said."""

    a: str
    b: str
    n: int
    verdict: str
    why: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    p_wilcoxon: float | None = None
    p_equal: float | None = None
    chances: Posterior | None = None
    effect: float | None = None
    wins: int = 0
    ties: int = 0
    losses: int = 0
    method: str = FIXED
    first: int = 0
    skewed: bool = False
    more_seeds: int = 0

    @property
    def probability(self) -> float | None:
        """P(a > b), half of the ties counted; of figures as they are, higher or not."""
        n = self.wins + self.ties + self.losses
        return (self.wins + self.ties / 2) / n if n else None


@dataclass(frozen=True)
class Planned:
    """How many seeds in all the next look is to have, as it was said at the first look."""

    pairs: int
    method: str
    first: int
    tests: int
    delta: float | None
    made: str


@dataclass(frozen=True)
class Comparison:
    """The answer; ``levels`` are best first by validation, ``ranked`` are the configurations so.
    Where these are too many, ``by_factor`` compares the values of each factor, others tuned."""

    results: Results
    metric: str
    validation: str
    by: list[str]
    levels: list[Level]
    ranked: list[Configuration]
    pairs: list[Pair]
    baseline: str | None
    delta: float | None
    scope: str
    splits: int
    effects: list[Effect] = field(default_factory=list)
    plan: Planned | None = None
    plans: list[Planned] = field(default_factory=list)
    shortlist: list[Level] = field(default_factory=list)
    by_factor: list[Comparison] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def higher(self) -> bool:
        return higher_is_better(self.metric)

    @property
    def by_chance(self) -> bool:
        """Whether seeds have a say; a test function's descent has no chance in it."""
        return "f" not in self.results.metrics


def compare(
    results: Results,
    by: Sequence[str] = (),
    metric: str | None = None,
    baseline: str | None = None,
    delta: float | None = None,
) -> Comparison:
    """Compare what ``by`` names, or all configurations; see the head of this module.

    ``baseline`` is the level that all others are compared with, ``key=value`` words with blanks or
    commas between them; ``delta`` is the difference that does not matter. Raises UsageError for
    what is not there.
    """
    metric = results.check_metric(metric) if metric else results.default_metric
    validation = results.default_validation
    wanted = _words(baseline, results) if baseline else {}
    chosen = [results.check_factor(key) for key in by] or [*wanted] or [*results.factors]
    for key in wanted:
        if key not in chosen:
            raise UsageError(f"--baseline {key}=…: is not in --by {','.join(chosen)}")
    read = _Figures(results, metric, validation)
    levels = _levels(results, chosen, read)
    against = _baseline(levels, wanted) if baseline else None
    ranked = sorted(results.configurations, key=lambda c: _ranking(read, c))
    notes = _notes(results, levels, read, metric, chosen)
    effects = _effects(results, read) if len(chosen) == len(results.factors) > 1 else []
    many = against is None and len(levels) > MOST
    plans = _stored_plans(results.sweeps[0])
    pairs, plan = ([], None) if many else _pairs(read, levels, against, delta, plans)
    comparison = Comparison(
        results=results,
        metric=metric,
        validation=validation,
        by=chosen,
        levels=levels,
        ranked=ranked,
        pairs=pairs,
        baseline=against.name if against else None,
        delta=delta,
        scope=_scope(read),
        splits=len(read.splits),
        effects=effects,
        plan=plan,
        plans=plans if plan is None or plan in plans else [*plans, plan],
        shortlist=levels[:SHORTLIST] if many else [],
        notes=notes,
    )
    if many and len(chosen) > 1:
        few = [key for key in chosen if len(results.factors[key]) <= MOST]
        comparison.by_factor.extend(compare(results, [key], metric, None, delta) for key in few)
    comparison.commands.extend(_commands(comparison, read))
    return comparison


class _Figures:
    """Figures by blocks: those of one split are averaged over its seeds if there are several splits
    with several seeds each, for then the splits are what is repeated."""

    def __init__(self, results: Results, metric: str, validation: str) -> None:
        self.metric, self.validation = metric, validation
        self.data = tuple(key for key in OF_THE_DATA if key in results.factors)
        self.batches_asked = [batch.asked for batch in results.batches]
        jobs = results.jobs
        self.splits = {job.block[1:] for job in jobs}
        whole = {job.block for job in jobs}
        self.crossed = len(self.splits) > 1 and len(whole) > len(self.splits)
        self.worst = {name: self._worst(jobs, name) for name in {metric, validation}}
        self.rows = next((job.rows for job in jobs if job.rows.get("train")), {})

    @staticmethod
    def _worst(jobs: Sequence[JobResult], metric: str) -> float | None:
        """What a run that diverged counts as: 0 of 1, or the worst figure of all."""
        if metric.partition("_")[2] in HIGHER_IS_BETTER - {"r2"}:
            return 0.0
        figures = [f for job in jobs if (f := job.figure(metric)) is not None]
        return (min if higher_is_better(metric) else max)(figures, default=None)

    @property
    def overlap(self) -> float:
        """n_test/n_train of random splits; 0 for one split."""
        if len(self.splits) < 2 or not self.rows:
            return 0.0
        return self.rows.get("test", 0) / self.rows["train"]

    def of(self, jobs: Sequence[JobResult], metric: str) -> dict[Block, float]:
        """The figure of each block; a run that diverged has the worst of all."""
        found: dict[Block, list[float]] = {}
        for job in jobs:
            value = job.figure(metric)
            if value is None and job.counts and not job.ended_well:
                value = self.worst[metric]
            if value is not None:
                found.setdefault(self.block(job), []).append(value)
        return {block: fmean(values) for block, values in found.items()}

    def block(self, job: JobResult) -> Block:
        return job.block[1:] if self.crossed else job.block

    def batches(self, jobs: Sequence[JobResult]) -> dict[Block, int]:
        found: dict[Block, int] = {}
        for job in jobs:
            block = self.block(job)
            found[block] = max(found.get(block, 0), job.batch)
        return found


def _ranking(read: _Figures, configuration: Configuration) -> tuple[bool, float]:
    """Best by validation first, those without figures last."""
    values = read.of(configuration.jobs, read.validation).values()
    if not values:
        return True, 0.0
    return False, _signed(fmean(values), read.validation)


def _signed(value: float, metric: str) -> float:
    """Lower is better."""
    return -value if higher_is_better(metric) else value


def _words(baseline: str, results: Results) -> dict[str, str]:
    words: dict[str, str] = {}
    for word in re.split(r"[\s,]+(?=[\w.]+=|$)", baseline.strip()):
        key, equals, value = word.partition("=")
        if word and not equals:
            if word in results.factors.get(VARIANT, ()):
                key, value = VARIANT, word
            else:
                raise UsageError(f"--baseline {word}: expected key=value, like optimizer=sgd")
        if word:
            results.check_factor(key, "--baseline")
            words[key] = _as_level(value, results.factors[key], f"--baseline {key}")
    return words


def _as_level(value: str, known: Sequence[str], option: str) -> str:
    if value in known:
        return value
    same = [level for level in known if _number(level) == _number(value) is not None]
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


def _baseline(levels: Sequence[Level], wanted: Mapping[str, str]) -> Level:
    found = [level for level in levels if wanted.items() <= level.values.items()]
    words = ",".join(f"{k}={v}" for k, v in wanted.items())
    if not found:
        raise UsageError(f"--baseline {words}: no job of the sweep has all of these")
    if len(found) > 1:
        names = "; ".join(level.name for level in found[:3])
        raise UsageError(f"--baseline {words}: is that of several ({names}); expected one of them")
    return found[0]


def _levels(results: Results, by: Sequence[str], read: _Figures) -> list[Level]:
    """What is compared, best by validation first."""
    groups: dict[tuple[tuple[str, str], ...], list[Configuration]] = {}
    for configuration in results.configurations:
        values = tuple((k, configuration.values[k]) for k in by if k in configuration.values)
        groups.setdefault(values, []).append(configuration)
    fewest = min(len(group) for group in groups.values())
    levels = [
        _level(dict(values), group, read, fewest if len(group) > 1 or fewest > 1 else None)
        for values, group in groups.items()
    ]
    levels.sort(
        key=lambda level: (
            level.validation is None,
            _signed(level.validation or 0.0, read.validation),
        )
    )
    return levels


def _level(
    values: dict[str, str], group: list[Configuration], read: _Figures, budget: int | None
) -> Level:
    """Of several configurations, the figure at a block is that of the one which is best by
    validation on the *other* blocks (of equals the first that was asked for): so the luck of tuning
    is part of what differs between blocks.
    """
    name = " ".join(v if k == VARIANT else f"{k}={v}" for k, v in values.items()) or "all jobs"
    tests = [read.of(c.jobs, read.metric) for c in group]
    figures = tests[0]
    validations = [read.of(c.jobs, read.validation) for c in group]
    if len(group) > 1:
        figures = {}
        totals = [sum(v.values()) for v in validations]
        for block in dict.fromkeys(block for test in tests for block in test):
            scores = [
                _signed(round((total - v.get(block, 0.0)) / others, 12), read.validation)
                if (others := len(v) - (block in v)) and block in test
                else math.inf
                for v, total, test in zip(validations, totals, tests, strict=True)
            ]
            best = min(range(len(scores)), key=scores.__getitem__)
            if math.isfinite(scores[best]):
                figures[block] = tests[best][block]
    jobs = [job for c in group for job in c.jobs]
    means = [fmean(v.values()) for v in validations if v]
    higher = higher_is_better(read.validation)
    best_mean = (max if higher else min)(means, default=None)
    return Level(
        name=name,
        values=values,
        configurations=group,
        figures=figures,
        batches=read.batches(jobs),
        validation=best_mean,
        diverged=sum(job.counts and not job.ended_well for job in jobs),
        missing=sum(not job.counts for job in jobs),
        expected_best=expected_best(means, budget, higher=higher)
        if budget and len(means) >= budget
        else None,
    )


def _pairs(
    read: _Figures,
    levels: Sequence[Level],
    against: Level | None,
    delta: float | None,
    plans: Sequence[Planned],
) -> tuple[list[Pair], Planned | None]:
    """All pairs, or those with the baseline, and the plan for more seeds that was made at the first
    look, or is made now."""
    if against is None:
        sides = list(itertools.combinations(levels, 2))
    else:
        sides = [(level, against) for level in levels if level is not against]
    refused = [_not_comparable(a, b, read) for a, b in sides]
    tested = [pair for pair, why in zip(sides, refused, strict=True) if not why]
    if not tested:
        pairs = [_refused(a, b, why) for (a, b), why in zip(sides, refused, strict=True)]
        return pairs, None
    data = [_differences(a, b) for a, b in tested]
    first = min(count for _, count, _ in data)
    if first < FEWEST:
        plan = None
    else:
        wanted = (first, len(tested), delta)
        plan = next((old for old in plans if (old.first, old.tests, old.delta) == wanted), None)
        if plan is None:
            sds = [float(paired.moments(d[:count]).sd) for d, count, _ in data]
            made = sequential.plan(first, len(tested), sds, delta)
            plan = Planned(made.pairs, made.method, first, len(tested), delta, ledger.now())
    looks = [_looks(d, count, batches, plan, read) for d, count, batches in data]
    p = [float(sequential.p_value(d, look)) for (d, *_), look in zip(data, looks, strict=True)]
    equal: Sequence[float | None] = [None] * len(data)
    if delta:
        one_by_one = [
            float(sequential.equivalence(d, delta, look))
            for (d, *_), look in zip(data, looks, strict=True)
        ]
        equal = [float(x) for x in holm(one_by_one)]
    judged = iter(zip(data, looks, p, holm(p), equal, strict=True))
    pairs = []
    for (a, b), why in zip(sides, refused, strict=True):
        if why:
            pairs.append(_refused(a, b, why))
            continue
        (d, *_), look, raw, adjusted, p_equal = next(judged)
        tests = _Tests(raw, float(adjusted), p_equal)
        pairs.append(_judged(a, b, d, look, tests, read, delta, plan))
    return pairs, plan


class _Tests(NamedTuple):
    """p of one pair, and adjusted for all; p of equivalence, adjusted for all."""

    p: float
    adjusted: float
    equal: float | None


def _differences(a: Level, b: Level) -> tuple[Array, int, list[int]]:
    """Of the common blocks in the order in which they were asked for; how many of them belong to
    the first batch; and the batches."""
    common = [block for block in a.figures if block in b.figures]
    batch = {block: max(a.batches[block], b.batches[block]) for block in common}
    common.sort(key=lambda block: batch[block])
    d = paired.differences([a.figures[k] for k in common], [b.figures[k] for k in common])
    numbers = [batch[block] for block in common]
    return d, numbers.count(min(numbers)), sorted(set(numbers))


def _looks(
    d: Array, first: int, batches: Sequence[int], plan: Planned | None, read: _Figures
) -> Looks:
    """How the seeds after the first were asked for: as it was planned before, or otherwise."""
    if len(batches) == 1:
        return Looks(first, FIXED, read.overlap)
    if len(batches) == 2 and plan and len(d) == plan.pairs and not (read.overlap and plan.delta):
        asked = read.batches_asked[batches[1]]
        if asked and plan.made < asked:
            return Looks(first, plan.method, read.overlap)
    return Looks(first, ANYTIME, read.overlap)


def _not_comparable(a: Level, b: Level, read: _Figures) -> str:
    """Why two levels cannot be compared; nothing if they can."""
    for key in read.data:
        if a.values.get(key) != b.values.get(key):
            return f"different data ({key})"
    common = [block for block in a.figures if block in b.figures]
    if "f" in a.configurations[0].jobs[0].metrics:
        return "there is no chance in them: the figures are what they are"
    if len(common) < FEWEST:
        what = "seed" if len(common) == 1 else "seeds"
        return f"{len(common) or 'no'} {what} in common; {FEWEST} at least"
    if len(read.splits) > 1 and not read.rows:
        return "result.json of these runs does not say how many rows the parts have"
    return ""


def _refused(a: Level, b: Level, why: str) -> Pair:
    common = [block for block in a.figures if block in b.figures]
    more = 5 - len(common) if why.endswith("at least") else 0
    d = [a.figures[k] - b.figures[k] for k in common]
    difference = fmean(d) if d and not why.startswith("different") else None
    return Pair(a.name, b.name, len(common), NOT_COMPARABLE, why, difference, more_seeds=more)


def _judged(
    a: Level,
    b: Level,
    d: Array,
    look: Looks,
    tests: _Tests,
    read: _Figures,
    delta: float | None,
    plan: Planned | None,
) -> Pair:
    mean = float(d.mean())
    low, high = (float(x) for x in sequential.interval(d, look))
    p, adjusted, p_equal = tests
    verdict, why = INCONCLUSIVE, ""
    if adjusted < ALPHA and not sequential.rests_on_few(d):
        up = (mean > 0) == higher_is_better(read.metric)
        verdict = BETTER if up else WORSE
    elif p_equal is not None and p_equal < ALPHA:
        verdict = EQUAL
    elif adjusted < ALPHA:
        why = "the signs alone do not show it"
    more = 0
    if verdict == INCONCLUSIVE:
        more = plan.pairs - len(d) if plan and plan.pairs > len(d) else len(d)
    sides = paired.wins(d)
    return Pair(
        a=a.name,
        b=b.name,
        n=len(d),
        verdict=verdict,
        why=why,
        difference=mean,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        p=p,
        p_adjusted=adjusted,
        p_wilcoxon=wilcoxon([float(x) for x in d]),
        p_equal=p_equal,
        chances=posterior(d, delta, look.overlap) if delta else None,
        effect=effect if math.isfinite(effect := paired.d_z(d)) else None,
        wins=sides.wins,
        ties=sides.ties,
        losses=sides.losses,
        method=look.method,
        first=look.first,
        skewed=bool(skew_test(d) < ALPHA),
        more_seeds=more,
    )


def _stored_plans(sweep: Path) -> list[Planned]:
    """What was planned at earlier looks at the first sweep."""
    path = sweep / COMPARISON
    if not path.is_file():
        return []
    try:
        return [Planned(**plan) for plan in json.loads(path.read_text())["plans"]]
    except (ValueError, TypeError, KeyError):
        raise UsageError(f"{path}: is damaged; delete it, it is made again") from None


def _scope(read: _Figures) -> str:
    """What the differences are about."""
    if len(read.splits) > 1:
        return f"for new data like these, by {len(read.splits)} random splits"
    return "for this split of the data"


def _effects(results: Results, read: _Figures) -> list[Effect]:
    """Of a full grid with all its cells, each block complete."""
    factors = results.factors
    cells = {tuple(c.values.get(k) for k in factors): c for c in results.configurations}
    if math.prod(map(len, factors.values())) != len(cells) or read.data:
        return []
    figures = {key: read.of(c.jobs, read.metric) for key, c in cells.items()}
    blocks = [b for b in next(iter(figures.values())) if all(b in f for f in figures.values())]
    if len(blocks) < 2:
        return []
    shape = [len(levels) for levels in factors.values()]
    grid = itertools.product(*factors.values())
    y = np.array([[figures[key][block] for block in blocks] for key in grid])
    found = blocked_anova(y.T.reshape(len(blocks), *shape), list(factors))
    return sorted(found, key=lambda effect: -effect.share)


def _notes(
    results: Results, levels: Sequence[Level], read: _Figures, metric: str, by: Sequence[str]
) -> list[str]:
    """What has to be known about the figures."""
    notes = []
    if metric.startswith(("train_", "val_")):
        notes.append(f"{metric} had a say in the training: it flatters what was tuned most")
    diverged = {level.name: level.diverged for level in levels if level.diverged}
    if diverged:
        words = ", ".join(f"{count} of {name}" for name, count in [*diverged.items()][:4])
        worst = read.worst[metric]
        value = "no figure at all" if worst is None else f"{metric} {worst:.4g}, the worst"
        notes.append(f"diverged: {words}; counted as {value}")
    missing = sum(level.missing for level in levels)
    if missing:
        notes.append(
            f"{missing} jobs have no result yet, or failed: only common seeds are compared"
        )
    tuned = [key for key in results.factors if key not in by]
    if tuned:
        counts = {level.name: len(level.configurations) for level in levels}
        text = f"{', '.join(tuned)} tuned for each by {read.validation} on the other seeds"
        if len(set(counts.values())) > 1:
            least = min(counts.values())
            text += f"; unequally: {_listed(counts)} configurations"
            expected = {
                level.name: f"{level.expected_best:.4g}"
                for level in levels
                if level.expected_best is not None
            }
            text += f"; expected best {read.validation} of {least}: {_listed(expected)}"
        else:
            text += f", {next(iter(counts.values()))} configurations each"
            epochs = {level.name: level.epochs for level in levels}
            if max(epochs.values()) > 1.1 * min(epochs.values()):
                text += f"; epochs in all: {_listed(epochs)}"
        notes.append(text)
    return notes


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _commands(comparison: Comparison, read: _Figures) -> list[str]:
    """What to run next, so that it can be copied: more seeds, or fresh ones for the shortlist."""
    results = comparison.results
    seeds = sorted({int(job.block[0]) for job in results.jobs if job.block[0].isdigit()})
    key = next((k for k in reversed(results.repetition)), "seed")
    if read.crossed or key != "seed":
        index = REPETITION.index(key)
        seeds = sorted({int(v) for job in results.jobs if (v := job.block[index]).isdigit()})
    if not seeds or not comparison.by_chance:
        return []
    if comparison.shortlist:
        return _confirm(comparison, max(100, seeds[-1] + 1))
    more = max((pair.more_seeds for pair in comparison.pairs), default=0)
    if not more:
        return []
    sweep = results.sweeps[0]
    if len(seeds) == 1:
        return [_again(results, f"{key}=range({f'{seeds[0]},' if seeds[0] else ''}{seeds[0] + 5})")]
    place = _beside(sweep, "more")
    first = f"{key}=range({seeds[-1] + 1},{seeds[-1] + 1 + more})"
    words = [*map(str, results.sweeps), place]
    by = [] if comparison.by == [*results.factors] else ["--by", ",".join(comparison.by)]
    metric = [] if comparison.metric == results.default_metric else ["--metric", comparison.metric]
    base = ["--baseline", comparison.baseline.replace(" ", ",")] if comparison.baseline else []
    delta = ["--delta", f"{comparison.delta:g}"] if comparison.delta else []
    return [
        _again(results, first, place),
        shlex.join(["exprun", "compare", *words, *by, *metric, *base, *delta]),
    ]


def _again(results: Results, repetition: str, place: str | None = None) -> str:
    """The command of the first sweep with other seeds."""
    content = ledger.read(results.sweeps[0])
    key = repetition.partition("=")[0]
    asked = results.batches[0].overrides
    if VARIANT in results.factors and not any(word.startswith("experiment=") for word in asked):
        asked = [_variants(results, results.configurations), *results.shared]
    asked = [w for w in asked if w.lstrip("+").partition("=")[0] != key]
    return shlex.join(_command(content, [*asked, repetition], place))


def _command(content: Mapping[str, Any], words: list[str], place: str | None) -> list[str]:
    own = ["--config-dir", content["config_dir"]] if content.get("config_dir") else []
    launcher = (
        [] if content["launcher"] == ledger.BASIC else [f"hydra/launcher={content['launcher']}"]
    )
    folder = [f"hydra.sweep.dir={place}"] if place else []
    return ["exprun", *own, "-m", *launcher, *words, *folder]


def _beside(sweep: Path, what: str) -> str:
    """A folder's name that is not taken."""
    names = (f"{sweep}_{what}{number}" for number in ["", *range(2, 1000)])
    return next(name for name in names if not Path(name).exists())


def _confirm(comparison: Comparison, first: int) -> list[str]:
    """The shortlist on fresh seeds."""
    results = comparison.results
    content = ledger.read(results.sweeps[0])
    best = [best_configuration(level, comparison.validation) for level in comparison.shortlist]
    place = _beside(results.sweeps[0], "confirm")
    words = [_variants(results, best), *results.shared, f"seed=range({first},{first + 10})"]
    return [shlex.join(_command(content, words, place)), shlex.join(["exprun", "compare", place])]


def _variants(results: Results, configurations: Sequence[Configuration]) -> str:
    """The override that asks for these configurations and no others."""
    entries = []
    for configuration in configurations:
        own = [w.partition("=") for w in configuration.overrides if w not in results.shared]
        name = re.sub(r"[^\w.]+", "_", "_".join(configuration.values.values())).strip("_")
        entries.append(f"{name}: {{{', '.join(f'{key}: {value}' for key, _, value in own)}}}")
    return f"hydra.sweeper.variants={{{', '.join(entries)}}}"


def best_configuration(level: Level, validation: str) -> Configuration:
    """The level's configuration that is best by validation."""

    def score(configuration: Configuration) -> float:
        values = list(configuration.figures(validation).values())
        return _signed(fmean(values), validation) if values else math.inf

    return min(level.configurations, key=score)


def visible_difference(comparison: Comparison) -> float | None:
    """The effect, in standard deviations of the differences, that so many seeds see four times in
    five, at the level of the strictest of the tests."""
    tested = [pair for pair in comparison.pairs if pair.p is not None]
    if not tested:
        return None
    return visible(min(pair.n for pair in tested), ALPHA / len(tested))


def as_data(comparison: Comparison) -> dict[str, Any]:
    """What ``comparison.json`` holds."""
    read = _Figures(comparison.results, comparison.metric, comparison.validation)
    configurations = []
    for configuration in comparison.ranked:
        level = _level({}, [configuration], read, None)
        mean, low, high = level.summary()
        configurations.append(
            {
                "name": configuration.name,
                "overrides": configuration.overrides,
                "n": level.n,
                "mean": mean,
                "low": low,
                "high": high,
                "diverged": level.diverged,
            }
        )
    levels = []
    for level in comparison.levels:
        mean, low, high = level.summary()
        levels.append(
            {
                "name": level.name,
                "n": level.n,
                "mean": mean,
                "low": low,
                "high": high,
                "diverged": level.diverged,
                "configurations": len(level.configurations),
                "validation": level.validation,
                "expected_best": level.expected_best,
            }
        )
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
        "shortlist": [level.name for level in comparison.shortlist],
        "plans": [asdict(plan) for plan in comparison.plans],
        "commands": comparison.commands,
        "notes": comparison.notes,
    }


def write(comparison: Comparison) -> dict[str, Any]:
    """Write ``comparison.json`` into the newest of the sweeps, and return what is in it."""
    data = as_data(comparison)
    write_json(comparison.results.sweeps[-1] / COMPARISON, data)
    return data
