"""A search as it was requested: its space, settings and first configurations.

Nothing here imports torch, NumPy or Rich at its top, because every start of exprun reads it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exprun.common.errors import UsageError
from exprun.job import Job
from exprun.sweeps.search.decisions import Stored, check_metrics
from exprun.sweeps.search.optuna_samplers import ask
from exprun.sweeps.search.samplers import SAMPLERS, Point
from exprun.sweeps.search.settings import PARAMETERS, USUAL_TRIALS, SearchSettings
from exprun.sweeps.search.space import Space

DRAWS = 20
"""Maximum number of draws for each requested configuration, most of which may be equal if the
space has few."""

WithoutConditional = Callable[[Sequence[Sequence[str]]], list[list[str]]]


@dataclass(frozen=True)
class Search:
    """A search as it was requested, with ``epochs`` as its budget for each job, and the overrides
    of Hydra itself. With ``trust``, jobs that are read back from a folder may name code that is
    neither exprun's nor torch's."""

    settings: SearchSettings
    space: Space
    epochs: int
    overrides: tuple[str, ...]
    trust: bool = False

    def __post_init__(self) -> None:
        for key in ("trainer.max_epochs", "data.val_fraction"):
            if key in self.space.searched:
                raise UsageError(
                    f"{key}: configurations are compared at equal epochs and on equal rows; "
                    "expected one value in a search"
                )

    @property
    def stored(self) -> Stored:
        """The entry of ``sweep.json``."""
        space, repetitions = self.space.searched, self.space.repetitions
        return Stored(self.settings, space, self.epochs, repetitions, self.overrides)

    def first_jobs(self, without_conditional: WithoutConditional) -> list[list[str]]:
        """The overrides of the jobs of the first rung: different configurations, each with the
        repetitions of that rung. ``without_conditional`` removes the overrides that a job's other
        overrides make meaningless (``Composer.without_conditional``)."""
        settings, repetitions = self.settings, self.space.repetitions
        whole = settings.n_trials is None and settings.sampler == "grid"
        count = None if whole else settings.n_trials or USUAL_TRIALS
        if settings.adaptive:
            points = ask(self.space, settings.sampler, settings.seed, [], settings.objectives)
            brackets = self.stored.brackets(0)[:1]
            trials = self.distinct(points, brackets[0].size, without_conditional)
        else:
            points = SAMPLERS[settings.sampler](self.space, settings.seed)
            trials = self.distinct(points, count, without_conditional)
            brackets = self.stored.brackets(len(trials))
        jobs, start = [], 0
        for bracket in brackets:
            for trial in trials[start : start + bracket.size]:
                own = repetitions[: bracket.rungs[0].repetitions]
                jobs += [[*trial, *words] for words in own]
            start += bracket.size
        return jobs

    def distinct(
        self,
        points: Iterator[Point],
        count: int | None,
        without_conditional: WithoutConditional,
        known: Collection[tuple[str, ...]] = (),
    ) -> list[tuple[str, ...]]:
        """The overrides of the first ``count`` different configurations that are not ``known``, or
        of all; fewer if the points repeat themselves."""
        found: dict[tuple[str, ...], None] = {}
        corners = [self.space.words(point) for point in self.space.corners()]
        for _ in range(DRAWS):
            chunk = [self.space.words(point) for point in itertools.islice(points, count)]
            kept = without_conditional([*chunk, *corners])[: len(chunk)]
            found |= dict.fromkeys(own for own in map(tuple, kept) if own not in known)
            if not chunk or count is None or len(found) >= count:
                break
        return list(found)[:count]

    def check_metric(self, job: Job) -> None:
        """Raise UsageError if the learning curve of a ``job`` of the search would lack an
        objective, which depends on its data. What every curve has is not looked for."""
        metrics = self.settings.metric or ()
        if set(metrics) - {"val_loss", PARAMETERS}:
            from exprun.sweeps import worker_pool  # importing multiprocessing takes a while

            known = worker_pool.validation_figures(job)
            if known is not None:
                check_metrics(metrics, known)

    def check_same(self, folder: Path, content: Mapping[str, Any]) -> None:
        """Raise UsageError if the sweep in ``folder`` is not this search."""
        if "search" not in content:
            raise UsageError(
                f"sweep.into={folder}: is no search; expected a new sweep for one, or "
                "hydra/sweeper=exprun"
            )
        before, now = Stored.of(content), self.stored
        kept = [replace(s.settings, more=0) for s in (before, now)]
        same = kept[0] == kept[1] and before.space == now.space
        if not (same and (before.epochs, before.repetitions) == (now.epochs, now.repetitions)):
            raise UsageError(
                f"sweep.into={folder}: another search than this is there; expected "
                f"exprun resume {folder}"
            )
