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
from exprun.sweeps.search.schedule import MEDIAN, NONE
from exprun.sweeps.search.timings import seconds_per_epoch

ENDS_WITH_BUDGET = ("scheduler=cosine", "scheduler=one_cycle")
"""Schedules that end at ``trainer.max_epochs``, before which the learning rate is still large."""


def plan_lines(folder: Path, stored: Stored, processes: int) -> list[str]:
    """The lines printed before a search trains in so many ``processes``: its size and duration, and
    what to know about it."""
    content = ledger.read(folder)
    settings, trials = stored.settings, stored.count(len(stored.trials(content["jobs"])))
    repetitions = len(stored.repetitions)
    whole = trials * repetitions * stored.epochs
    seeds = f" × {repetitions} repetitions" if repetitions > 1 else ""
    lines = [f"search  {trials} configurations{seeds}, up to {stored.epochs} epochs each"]
    planned, ladders = 0, []
    for bracket in stored.brackets(trials):
        alive, before, having, steps = bracket.size, 0, 0, []
        for rung in bracket.rungs:
            old, new = having, rung.repetitions - having
            planned += alive * (old * (rung.epochs - before) + new * rung.epochs)
            steps.append(f"{alive} to epoch {rung.epochs}")
            alive = rung.kept if rung.kept is not None else alive
            before, having = rung.epochs, rung.repetitions
        ladders.append(", ".join(steps))
    shared = ledger.shared_words([job["overrides"] for job in content["jobs"]])
    if settings.stop != NONE:
        most = "at most " * (settings.stop == MEDIAN)
        share = f"{most}{planned:,} of the {whole:,} epochs of all of them"
        for ladder, times in Counter(ladders).items():
            lines.append(f"rungs   {ladder}" + f", {times} times" * (times > 1))
        lines.append(f"budget  {share} (1/{whole / planned:.1f})")
        if any(word.startswith(ENDS_WITH_BUDGET) for word in _words(content)):
            lines.append(
                "note    a schedule that ends with the budget (cosine, one_cycle) is judged before "
                "its end: compare such configurations with hydra.sweeper.min_epochs raised"
            )
    if known := seconds_per_epoch(folder, shared, stored.space):
        seconds, sweep = known
        time = duration(planned * seconds / processes)
        of = f"{1000 * seconds:.3g} ms an epoch in {relpath(sweep)}"
        lines.append(f"time    about {time}, by {of}" + f", {processes} at once" * (processes > 1))
    if repetitions == 1:
        lines.append(
            "note    one seed: a configuration may win by luck; expected some, like 'seed=range(3)'"
        )
    else:
        lines.append(
            f"note    {repetitions} repetitions show differences of {visible(repetitions):.2g} "
            "standard deviations or more between two finalists (paired t test, p < .05, power .8)"
        )
    return lines


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
        return [f"{line}; {len(front)} in the front of {', '.join(metrics)}"]
    best = result.ranked[0]
    line += f"; best {metrics[0]} {figure(best.scores[0]) if best.sound else 'none'}"
    title = title_of(best.trial, stored)
    if width is None or len(line) + 2 + len(title) <= width:
        return [f"{line}  {title}"]
    return [line, f"        {shorten_keys(title, width - 8)}"]
