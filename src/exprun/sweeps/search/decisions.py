"""What a search has decided, derived from the folders of its jobs alone.

The decisions are a function of ``sweep.json`` and of the jobs' learning curves up to the epochs of
each rung, which resuming reproduces bit for bit. So a search that was killed goes on to the same
decisions, and nothing else has to be stored.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from exprun.common.constants import FAILED, FINISHED, INTERRUPTED, STOPPED
from exprun.common.errors import UsageError, choices, nearest
from exprun.sweeps import ledger
from exprun.sweeps.ranking import SETS_LOSS, ended_well, higher_is_better
from exprun.sweeps.results import REPETITION, read_curve
from exprun.sweeps.search.distributions import Distribution, stored_distribution
from exprun.sweeps.search.pareto import Costs, fronts, pareto_order
from exprun.sweeps.search.schedule import Bracket, Rung, survivors
from exprun.sweeps.search.settings import PARAMETERS, USUAL_TRIALS, SearchSettings

ACCURACIES = ("val_accuracy", "val_r2")
"""Figures that are comparable between configurations with different losses."""


@dataclass(frozen=True)
class Trial:
    """A configuration of a search: its overrides without those of repetitions, and the numbers of
    its jobs by the overrides of their repetition."""

    overrides: tuple[str, ...]
    jobs: dict[tuple[str, ...], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """A trial at a rung: ``scores`` are the means over repetitions of the objectives at the best
    epoch so far, with ``n`` repetitions that have one; ``rank`` counts from 1."""

    trial: Trial
    rank: int
    scores: tuple[float, ...]
    n: int

    @property
    def sound(self) -> bool:
        """Whether it has scores: it neither diverged nor failed."""
        return all(map(math.isfinite, self.scores))


@dataclass(frozen=True)
class RungResult:
    """A rung that all its trials have reached, ranked; the first ``kept`` of them go on."""

    number: int  # from 1, within its bracket
    rungs: int
    rung: Rung
    ranked: tuple[Judged, ...]
    kept: int


@dataclass(frozen=True)
class Needed:
    """Trials to be trained up to a rung; ``title`` says which. The sampler has to be asked for
    ``new`` ones first."""

    rung: Rung
    trials: tuple[Trial, ...]
    title: str
    new: int = 0


@dataclass(frozen=True)
class Decisions:
    """``chosen`` are the trials trained to the end, best first; ``stopped`` the others in the order
    in which they would be trained further, each with the rung that stopped it. ``needed`` is what
    has to be trained next, None at the end of the search. ``metrics`` are the objectives."""

    metrics: tuple[str, ...]
    rungs: tuple[RungResult, ...]
    chosen: tuple[Judged, ...]
    stopped: tuple[tuple[Judged, RungResult], ...]
    needed: Needed | None


@dataclass(frozen=True)
class Stored:
    """The entry ``search`` of ``sweep.json``: the settings, the ``space`` of the searched keys, the
    budget of ``epochs``, the overrides of each repetition, and the ``overrides`` of Hydra itself
    that the search was started with."""

    settings: SearchSettings
    space: dict[str, Distribution]
    epochs: int
    repetitions: tuple[tuple[str, ...], ...]
    overrides: tuple[str, ...] = ()
    exhausted: bool = False

    def as_written(self) -> dict[str, Any]:
        """The entry as plain data."""
        return {
            "settings": asdict(self.settings),
            "space": {key: asdict(values) for key, values in self.space.items()},
            "epochs": self.epochs,
            "repetitions": [list(own) for own in self.repetitions],
            "overrides": list(self.overrides),
            "exhausted": self.exhausted,
        }

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Stored:
        """The search from the content of ``sweep.json``."""
        entry = content["search"]
        return cls(
            SearchSettings.read(entry["settings"]),
            {key: stored_distribution(values) for key, values in entry["space"].items()},
            entry["epochs"],
            tuple(tuple(own) for own in entry["repetitions"]),
            tuple(entry["overrides"]),
            entry["exhausted"],
        )

    def count(self, trials: int) -> int:
        """The number of configurations of the search, of which it has ``trials``."""
        settings = self.settings
        wanted = settings.adaptive and not self.exhausted
        return settings.n_trials or USUAL_TRIALS if wanted else trials

    def brackets(self, trials: int) -> list[Bracket]:
        """The brackets of the search, which has ``trials`` configurations so far."""
        repetitions = len(self.repetitions)
        return self.settings.brackets(self.count(trials), self.epochs, repetitions)

    def trials(self, jobs: Sequence[Mapping[str, Any]]) -> list[Trial]:
        """The trials among the ``jobs`` of ``sweep.json``, in the order asked; jobs with other
        repetitions were added to the sweep later and do not belong to the search."""
        found: dict[tuple[str, ...], Trial] = {}
        for job in jobs:
            own, repetition = _parted(job["overrides"])
            if repetition in self.repetitions:
                found.setdefault(own, Trial(own)).jobs.setdefault(repetition, job["number"])
        return list(found.values())

    def added(self, jobs: Sequence[Mapping[str, Any]], trial: Trial) -> list[int]:
        """The numbers of a trial's jobs with other repetitions than the search's."""
        parted = [(_parted(job["overrides"]), job["number"]) for job in jobs]
        return [
            number
            for (own, repetition), number in parted
            if own == trial.overrides and repetition not in self.repetitions
        ]


def title_of(trial: Trial, stored: Stored) -> str:
    """The overrides of the searched keys in a configuration, as a text."""
    return " ".join(w for w in trial.overrides if w.partition("=")[0] in stored.space)


def _parted(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The overrides of a job, without those of its repetition, and these."""
    repeats = [word.partition("=")[0] in REPETITION for word in words]
    return (
        tuple(word for word, repeated in zip(words, repeats, strict=True) if not repeated),
        tuple(word for word, repeated in zip(words, repeats, strict=True) if repeated),
    )


def reached(folder: Path, rung: Rung, budget: int) -> bool:
    """Whether the job in ``folder`` has been trained up to a rung, or has ended before it. The rung
    at the ``budget`` of epochs is reached by a job's end only."""
    result = ledger.state_of(folder)
    if result["status"] in (*FINISHED, FAILED):
        return True
    paused = result["status"] in (STOPPED, INTERRUPTED) and rung.epochs < budget
    return paused and result["epochs"] >= rung.epochs


class Curves:
    """The objectives of a sweep's jobs, read when they are needed, all signed to be minimised."""

    def __init__(self, folder: Path, content: Mapping[str, Any], metrics: tuple[str, ...]) -> None:
        self.folders = {job["number"]: folder / job["folder"] for job in content["jobs"]}
        self.metrics = metrics

    def costs(self, number: int, epochs: int) -> list[Costs]:
        """The objectives after each epoch up to ``epochs``; empty for a job that diverged or failed
        before. Raises UsageError if the curve has no such figure."""
        folder = self.folders[number]
        curve = read_curve(folder)
        result = ledger.state_of(folder)
        columns = [self._values(metric, curve, result)[:epochs] for metric in self.metrics]
        if len(columns[0]) < epochs and not ended_well(result):
            return []
        return [signed(self.metrics, figures) for figures in zip(*columns, strict=True)]

    def _values(
        self, metric: str, curve: Mapping[str, list[float]], result: Mapping[str, Any]
    ) -> list[float]:
        """A figure after each epoch; that of a network's size is the same after all."""
        if metric == PARAMETERS:
            epochs = len(next(iter(curve.values()), []))
            return [float(result.get(PARAMETERS) or math.inf)] * epochs
        if curve and metric not in curve:
            known = [name for name in curve if name.startswith("val_")]
            check_metrics(self.metrics, known)
        averaged = f"ema_{metric}"  # with averaging=ema, the figure of the averaged weights
        return curve.get(averaged, curve.get(metric, []))

    def sound(self, number: int, epochs: int) -> list[Costs]:
        """The finite ones of ``costs``."""
        return [own for own in self.costs(number, epochs) if all(map(math.isfinite, own))]

    def judge(self, trial: Trial, rung: Rung, repetitions: Sequence[tuple[str, ...]]) -> _Score:
        """The score of a trial at a rung; infinite if one of its jobs has none."""
        numbers = [trial.jobs[own] for own in repetitions[: rung.repetitions]]
        curves = [curve for number in numbers if (curve := self.sound(number, rung.epochs))]
        if len(curves) < len(numbers):
            return _Score((math.inf,) * len(self.metrics), math.inf, len(curves))
        means = map(statistics.fmean, zip(*map(best_of, curves), strict=True))
        firsts = (statistics.fmean(own[0] for own in curve) for curve in curves)
        return _Score(tuple(means), statistics.fmean(firsts), len(curves))


def check_metrics(metrics: Sequence[str], known: Sequence[str]) -> None:
    """Raise UsageError if an objective is none of the ``known`` figures of a learning curve."""
    several = [PARAMETERS] * (len(metrics) > 1)
    for metric in metrics:
        if metric not in (*known, PARAMETERS):
            raise UsageError(
                f"hydra.sweeper.metric={metric}: the learning curve has no such figure"
                f"{nearest(metric, known)} (expected {choices([*known, *several])})"
            )


def signed(metrics: Sequence[str], figures: Sequence[float]) -> Costs:
    """Figures as costs, which are to be minimised; or costs as figures."""
    return tuple(
        -value if higher_is_better(metric) else value
        for metric, value in zip(metrics, figures, strict=True)
    )


def front_of(judged: Sequence[Judged], metrics: Sequence[str]) -> list[Judged]:
    """The Pareto front: those than which no other is better in one objective and at least as good
    in all."""
    sound = [own for own in judged if own.sound]
    members = fronts([signed(metrics, own.scores) for own in sound])[:1]
    return [sound[i] for front in members for i in front]


def best_of(curve: Sequence[Costs]) -> Costs:
    """The objectives after the best epoch by the first of them, so that they belong to one
    model."""
    return min(curve, key=lambda own: own[0])


@dataclass(frozen=True)
class _Score:
    best: Costs
    average: float
    n: int


def metrics_of(stored: Stored, folder: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    """The figures that a search minimises or maximises, its objectives."""
    if stored.settings.metric:
        return stored.settings.metric
    if not any(f"{key}=".startswith(SETS_LOSS) for key in stored.space):
        return ("val_loss",)
    for job in content["jobs"]:
        if curve := read_curve(folder / job["folder"]):
            return (next((name for name in ACCURACIES if name in curve), "val_loss"),)
    return ACCURACIES[:1]


def decide(folder: Path) -> Decisions:
    """The decisions of the search in ``folder`` so far. Raises UsageError if the curves lack the
    metric or ``sweep.json`` is damaged."""
    with ledger.read_from(folder):
        content = ledger.read(folder)
        stored = Stored.of(content)
    trials = stored.trials(content["jobs"])
    curves = Curves(folder, content, metrics_of(stored, folder, content))
    rungs: list[RungResult] = []
    chosen: list[Trial] = []
    stopped: list[tuple[Judged, RungResult]] = []
    start = 0
    brackets = stored.brackets(len(trials))
    for place, bracket in enumerate(brackets, 1):
        which = f"bracket {place}/{len(brackets)}, " * (len(brackets) > 1)
        alive = trials[start : start + bracket.size]
        start += bracket.size
        if len(alive) < bracket.size:
            title = f"{which}{bracket.size - len(alive)} more configurations"
            new = Needed(bracket.rungs[0], tuple(alive), title, bracket.size - len(alive))
            return _decisions(curves, rungs, chosen, stopped, new, stored)
        for number, rung in enumerate(bracket.rungs, 1):
            if _needed(curves, alive, rung, stored):
                title = f"{which}rung {number}/{len(bracket.rungs)}: {len(alive)} configurations"
                still = Needed(rung, tuple(alive), f"{title} to epoch {rung.epochs}")
                return _decisions(curves, rungs, chosen, stopped, still, stored)
            result = _judge(curves, alive, rung, number, len(bracket.rungs), stored)
            rungs.append(result)
            stopped += [(judged, result) for judged in result.ranked[result.kept :]]
            alive = [judged.trial for judged in result.ranked[: result.kept]]
        chosen += alive
    stopped.sort(key=lambda pair: (not pair[0].sound, -pair[1].rung.epochs, pair[0].rank))
    sound = [judged.trial for judged, _ in stopped if judged.sound]  # the others diverged
    more = sound[: stored.settings.more]
    end = Rung(stored.epochs, len(stored.repetitions), None)
    if _needed(curves, more, end, stored):
        title = f"{len(more)} of the stopped configurations, to the end"
        needed = Needed(end, tuple(more), title)
        return _decisions(curves, rungs, chosen, stopped, needed, stored)
    return _decisions(curves, rungs, [*chosen, *more], stopped[len(more) :], None, stored)


def _needed(curves: Curves, trials: Sequence[Trial], rung: Rung, stored: Stored) -> bool:
    """Whether any job is missing, or has not reached the rung."""
    return any(
        own not in trial.jobs or not reached(curves.folders[trial.jobs[own]], rung, stored.epochs)
        for trial in trials
        for own in stored.repetitions[: rung.repetitions]
    )


def _judge(
    curves: Curves,
    trials: Sequence[Trial],
    rung: Rung,
    number: int,
    rungs: int,
    stored: Stored,
) -> RungResult:
    scores = [curves.judge(trial, rung, stored.repetitions) for trial in trials]
    best = [score.best for score in scores]
    kept = survivors(rung, best, [score.average for score in scores])
    others = [i for i in pareto_order(best) if i not in kept]
    ranked = tuple(
        Judged(trials[i], rank, signed(curves.metrics, best[i]), scores[i].n)
        for rank, i in enumerate([*kept, *others], 1)
    )
    return RungResult(number, rungs, rung, ranked, len(kept))


def _decisions(
    curves: Curves,
    rungs: Sequence[RungResult],
    chosen: Sequence[Trial],
    stopped: Sequence[tuple[Judged, RungResult]],
    needed: Needed | None,
    stored: Stored,
) -> Decisions:
    end = Rung(stored.epochs, len(stored.repetitions), len(chosen))
    final = _judge(curves, chosen, end, 0, 0, stored).ranked if chosen else ()
    return Decisions(curves.metrics, tuple(rungs), final, tuple(stopped), needed)
