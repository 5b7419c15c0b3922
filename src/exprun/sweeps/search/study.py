"""A search as a study: the results that samplers are told, the importance of the searched keys, and
a file that optuna-dashboard opens. Optuna is imported when it is used."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from exprun.common.errors import UsageError
from exprun.sweeps import ledger
from exprun.sweeps.ranking import higher_is_better
from exprun.sweeps.read_results import check_sweep
from exprun.sweeps.search.decisions import Decisions, Judged, Stored, decide
from exprun.sweeps.search.distributions import point_of
from exprun.sweeps.search.importance import importance as importance_of
from exprun.sweeps.search.optuna_samplers import Told, trial_of

LEAST = 20
"""Configurations that an importance needs."""


def results_of(decisions: Decisions, stored: Stored) -> list[tuple[Judged, Told]]:
    """The result of every configuration that has been trained to the end or stopped, best first,
    with its objectives as they are."""
    ended = [
        *((judged, stored.epochs, False) for judged in decisions.chosen),
        *((judged, result.rung.epochs, True) for judged, result in decisions.stopped),
    ]
    results = []
    for judged, epochs, stopped in ended:
        point = point_of(judged.trial.overrides, stored.space)
        results.append((judged, Told(point, judged.scores, epochs, stopped)))
    return results


def importance(decisions: Decisions, stored: Stored) -> dict[str, float]:
    """The importance of the searched keys, most important first; empty for a single key, or for
    fewer than LEAST configurations. They are ordered as the search left them: those that came
    further are better."""
    results = [told for _, told in results_of(decisions, stored)]
    if len(results) < LEAST or len(stored.space) < 2:
        return {}
    return importance_of([told.point for told in results], stored.space)


def write_study(folder: Path, path: Path) -> int:
    """Write the search in ``folder`` as a study in the form of Optuna's journal files; returns the
    number of its trials. Raises UsageError if the folder holds no search, or without Optuna."""
    if find_spec("optuna") is None:
        raise UsageError("--format optuna: optuna is not installed; expected pip install .[search]")
    content = _content(folder)
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    stored, decisions = Stored.of(content), decide(folder)
    names = {job["number"]: job["folder"] for job in content["jobs"]}
    ranked = {judged.trial.overrides: r for r in decisions.rungs for judged in r.ranked}
    trials = []
    for judged, told in results_of(decisions, stored):
        trial = trial_of(told, stored.space)
        rung = ranked[judged.trial.overrides]
        trial.user_attrs = {
            "jobs": [names[number] for number in judged.trial.jobs.values()],
            "rung": rung.number,
            "rank": judged.rank,
        }
        trials.append((min(judged.trial.jobs.values()), trial))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as beside:
        written = Path(beside) / path.name
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(written))),
            study_name=folder.resolve().name,
            directions=[
                "maximize" if higher_is_better(metric) else "minimize"
                for metric in decisions.metrics
            ],
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([*decisions.metrics])
        for _, trial in sorted(trials, key=lambda pair: pair[0]):
            study.add_trial(trial)
        written.replace(path)
    return len(trials)


def _content(folder: Path) -> Mapping[str, Any]:
    """The content of ``sweep.json`` of a search."""
    check_sweep(folder, str(folder), single="a study is exported from a search")
    with ledger.read_from(folder):
        content: Mapping[str, Any] = ledger.read(folder)
    if "search" not in content:
        raise UsageError(f"{folder}: is no search; expected one by hydra/sweeper=search")
    return content
