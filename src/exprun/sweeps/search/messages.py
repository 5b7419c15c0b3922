"""What a search prints: its plan, and a line for each rung."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from os.path import relpath
from pathlib import Path

from exprun.display.text import duration, figure, shorten_keys
from exprun.statistics.power import visible
from exprun.sweeps import ledger
from exprun.sweeps.search.decisions import RungResult, Stored, front_of, title_of
from exprun.sweeps.search.schedule import MEDIAN, NONE, Bracket
from exprun.sweeps.search.timings import seconds_per_epoch

ENDS_WITH_BUDGET = ("scheduler=cosine", "scheduler=one_cycle")
"""Schedules that end at ``trainer.max_epochs``, before which the learning rate is still large."""


def plan(folder: Path, stored: Stored, processes: int) -> list[tuple[str, str]]:
    """What is printed before a search trains in so many ``processes``, as labels and texts: its
    size and duration, and what to know about it."""
    content = ledger.read(folder)
    settings, trials = stored.settings, stored.count(len(stored.trials(content["jobs"])))
    repetitions = len(stored.repetitions)
    seeds = f" × {repetitions} repetitions" if repetitions > 1 else ""
    lines = [("search", f"{trials} configurations{seeds}, up to {stored.epochs} epochs each")]
    epochs, whole = 0, trials * repetitions * stored.epochs
    rungs: Counter[str] = Counter()
    for bracket in stored.brackets(trials):
        own, text = _planned(bracket)
        epochs += own
        rungs[text] += 1
    if settings.stop != NONE:
        for text, times in rungs.items():
            lines.append(("rungs", text + f", {times} times" * (times > 1)))
        share = f"{epochs:,} of the {whole:,} epochs of all of them (1/{whole / epochs:.1f})"
        lines.append(("budget", "at most " * (settings.stop == MEDIAN) + share))
        if any(word.startswith(ENDS_WITH_BUDGET) for word in _words(content)):
            lines.append(
                (
                    "note",
                    "a schedule that ends with the budget (cosine, one_cycle) is judged before its "
                    "end: compare such configurations with hydra.sweeper.min_epochs raised",
                )
            )
    shared = ledger.shared_words([job["overrides"] for job in content["jobs"]])
    if known := seconds_per_epoch(folder, shared, stored.space):
        seconds, sweep = known
        time = duration(epochs * seconds / processes)
        at_once = f", {processes} at once" * (processes > 1)
        by = f"{1000 * seconds:.3g} ms an epoch in {relpath(sweep)}"
        lines.append(("time", f"about {time}, by {by}{at_once}"))
    note = "one seed: a configuration may win by luck; expected some, like 'seed=range(3)'"
    if repetitions > 1:
        note = (
            f"{repetitions} repetitions show differences of {visible(repetitions):.2g} standard "
            "deviations or more between two finalists (paired t test, p < .05, power .8)"
        )
    return [*lines, ("note", note)]


def _planned(bracket: Bracket) -> tuple[int, str]:
    """The epochs that a bracket trains, at most, and its rungs as text."""
    epochs, alive, before, having, steps = 0, bracket.size, 0, 0, []
    for rung in bracket.rungs:
        old, new = having, rung.repetitions - having
        epochs += alive * (old * (rung.epochs - before) + new * rung.epochs)
        steps.append(f"{alive} to epoch {rung.epochs}")
        alive = rung.kept if rung.kept is not None else alive
        before, having = rung.epochs, rung.repetitions
    return epochs, ", ".join(steps)


def _words(content: dict[str, object]) -> set[str]:
    jobs = content["jobs"]
    assert isinstance(jobs, list)
    return {str(word) for job in jobs for word in job["overrides"]}


def rung_lines(
    result: RungResult, metrics: Sequence[str], stored: Stored, width: int | None
) -> list[str]:
    """The lines about a rung: how many configurations there were and go on, and the best one, in a
    line of its own if there are fewer columns than the ``width`` of both; with several objectives
    the number of those in the Pareto front."""
    goes = "" if result.rung.epochs == stored.epochs else f", {result.kept} go on"
    line = (
        f"rung {result.number}/{result.rungs}  epoch {result.rung.epochs}: {len(result.ranked)} "
        f"configurations{goes}"
    )
    if len(metrics) > 1:
        front = front_of(result.ranked, metrics)
        return [f"{line}; {len(front)} on the Pareto front of {', '.join(metrics)}"]
    best = result.ranked[0]
    line += f"; best {metrics[0]} {figure(best.scores[0]) if best.sound else 'none'}"
    title = title_of(best.trial, stored)
    if width is None or len(line) + 2 + len(title) <= width:
        return [f"{line}  {title}"]
    return [line, f"        {shorten_keys(title, width - 8)}"]
