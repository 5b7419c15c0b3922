"""Caveats about the figures of a comparison, which are printed with its verdicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exprun.sweeps.comparison.figures import Figures
from exprun.sweeps.comparison.levels import Level
from exprun.sweeps.results import Results, name_of

NAMED = 4
"""Maximum number of levels that a note names."""


def notes_on(
    levels: Sequence[Level],
    read: Figures,
    tuned: Sequence[str],
    sweep: Path,
    across: Sequence[str] = (),
) -> list[str]:
    """Notes on the metric, on runs that diverged or are missing, on the tuning of the factors
    ``tuned``, and on the data sets, defined by the factors ``across``, that they are compared
    across; ``sweep`` is the folder for ``exprun resume`` in the text."""
    notes = []
    if across:
        notes.append(
            f"each data set ({', '.join(across)}) counts once, with the mean over its seeds"
        )
    if read.metric.startswith(("train_", "val_")):
        notes.append(f"{read.metric} had a say in the training: it flatters what was tuned most")
    key = next((k for one in levels if (k := read.differ_in(levels[0].values, one.values))), None)
    if key:
        notes.append(f"figures of different data ({key}) cannot be compared, whatever they are")
    diverged = {level.name: level.diverged for level in levels if level.diverged}
    if diverged:
        words = ", ".join(f"{count} of {name}" for name, count in [*diverged.items()][:NAMED])
        worst = read.worst[read.metric]
        value = "no figure at all" if worst is None else f"{read.metric} {worst:.4g}, the worst"
        notes.append(f"diverged: {words}; counted as {value}")
    missing = sum(level.missing for level in levels)
    if missing:
        notes.append(
            f"{missing} {'job has' if missing == 1 else 'jobs have'} no result yet, or failed "
            f"(exprun resume {sweep} trains them): "
            "only common seeds are compared"
        )
    return [*notes, _on_tuning(levels, read, tuned)] if tuned else notes


def on_search(results: Results, by: Sequence[str]) -> list[str]:
    """A note on the jobs that a search has stopped, which have no test figures, and on what it
    spent on each level of the factors ``by``."""
    if not results.stopped:
        return []
    note = (
        f"{len(results.stopped)} jobs were stopped by the search before their end and are left "
        "out: their epochs and ranks are in search.json"
    )
    epochs: dict[str, int] = defaultdict(int)
    configurations: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for job in (*results.jobs, *results.stopped):
        level = name_of({key: job.overrides[key] for key in by if key in job.overrides})
        own = (f"{k}={v}" for k, v in job.overrides.items() if k not in results.repetition)
        configurations[level].add(tuple(own))
        epochs[level] += int(job.metrics.get("epochs") or 0)
    if 1 < len(epochs) <= NAMED:
        spent = {
            level: f"{count:,} epochs of {len(configurations[level])} configurations"
            for level, count in sorted(epochs.items(), key=lambda pair: -pair[1])
        }
        note += f"; it spent {_listed(spent)}"
    return [note]


def _on_tuning(levels: Sequence[Level], read: Figures, tuned: Sequence[str]) -> str:
    """A note on the tuning budget of each level; if budgets differ, with the expected best
    validation figure at an equal budget."""
    text = f"{', '.join(tuned)} tuned for each by {read.validation} on the other seeds"
    counts = {level.name: len(level.configurations) for level in levels}
    least = min(counts.values())
    if least < max(counts.values()):
        expected = {
            level.name: f"{level.expected_best:.4g}"
            for level in levels
            if level.expected_best is not None
        }
        return (
            f"{text}; unequally: {_listed(counts)} configurations; expected best {read.validation} "
            f"of {least}: {_listed(expected)}"
        )
    text += f", {least} configurations each"
    epochs = {level.name: level.epochs for level in levels}
    if max(epochs.values()) > 1.1 * min(epochs.values()):
        text += f"; epochs in all: {_listed(epochs)}"
    return text


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
