"""The end of a search: ``search.json``, and what is printed about the configuration it chose.

Configurations are chosen by validation figures; the test part is shown for the chosen one alone.
"""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from exprun.common.override_value import override_value
from exprun.display.summary import say
from exprun.display.text import figure
from exprun.record.files import write_json
from exprun.statistics.multiplicity import holm
from exprun.statistics.paired import t_test
from exprun.sweeps import ledger
from exprun.sweeps.comparison.next_commands import CONFIRMED_BY, FRESH
from exprun.sweeps.results import FOLD, REPETITION
from exprun.sweeps.search.chosen import SEARCH_FILE
from exprun.sweeps.search.decisions import (
    Curves,
    Decisions,
    Judged,
    Stored,
    best_of,
    decide,
    front_of,
    signed,
    title_of,
)
from exprun.sweeps.search.pareto import Costs
from exprun.sweeps.search.settings import PARAMETERS
from exprun.sweeps.search.study import importance

TEST_FIGURES = ("test_accuracy", "test_r2", "test_loss")
"""The figures of the test part that are shown, the first that there is."""

ALPHA = 0.05

LISTED = 4
"""Maximum number of configurations listed beside the best."""


def conclude_search(folder: Path, console: Console) -> None:
    """Write ``search.json`` and print the result of a search that has ended; before that, only how
    far it is."""
    content = ledger.read(folder)
    stored, decisions = Stored.of(content), decide(folder)
    spent = sum(_epochs(folder, content, trial.jobs) for trial in stored.trials(content["jobs"]))
    trials = stored.trials(content["jobs"])
    whole = len(trials) * len(stored.repetitions) * stored.epochs
    data = _as_data(decisions, stored, spent, whole)
    front = front_of(decisions.chosen, decisions.metrics)
    console.print()
    share = f"{spent:,} of {whole:,} epochs" + (f" (1/{whole / spent:.1f})" if spent else "")
    say(console, "search", f"{len(trials)} configurations, {share}")
    if decisions.needed is not None:
        say(console, "", f"not at its end: {decisions.needed.title}")
    elif not front:
        say(console, "", "no configuration could be trained to the end", "red")
    else:
        data |= _say_chosen(folder, content, stored, decisions, front, console)
    write_json(folder / SEARCH_FILE, data)


def _say_chosen(
    folder: Path,
    content: Mapping[str, Any],
    stored: Stored,
    decisions: Decisions,
    front: Sequence[Judged],
    console: Console,
) -> dict[str, Any]:
    """Print the chosen configuration with its figures, and the others of a Pareto ``front``;
    returns their entries for ``search.json``. With several objectives the configuration is chosen
    that is best in the first of them."""
    metrics = decisions.metrics
    curves = Curves(folder, content, metrics)
    scores = {j.trial.overrides: _scores(curves, stored, j) for j in decisions.chosen}
    by_first = sorted(decisions.chosen, key=lambda j: signed(metrics, j.scores)[0])
    chosen = min(front, key=by_first.index)
    say(console, "best", title_of(chosen.trial, stored), "bold green")
    say(console, "", _figures(metrics, scores[chosen.trial.overrides]))
    tested = [chosen.trial.jobs[repetition] for repetition in stored.repetitions]
    monitor = _state(folder, content, tested[0]).get("monitor")
    if monitor not in (metrics[0], None):
        say(
            console,
            "",
            f"at the best epoch by {metrics[0]}; the lines of the jobs and the kept models are "
            f"of the best by {monitor} (stopping.monitor={metrics[0]} makes them agree)",
        )
    like: list[Judged] = []
    if len(metrics) > 1:
        others = [judged for judged in by_first if judged in front and judged is not chosen]
        heading = f"the others on the Pareto front of {', '.join(metrics)}:"
        _say_some(console, "front", heading, others, scores, decisions, stored)
    else:
        like = _not_told_apart(by_first, scores)
        if len(stored.repetitions) == 1 and like:
            say(console, "others", "one repetition cannot tell the finalists apart")
        else:
            heading = "not told apart from the best by a paired t test (Holm, p > .05):"
            _say_some(console, "others", heading, like, scores, decisions, stored)
    name, figures = _test_figures(folder, content, tested)
    if figures:
        say(console, "test", f"{name} {_mean(figures)}, of the best, looked at once")
    entry: dict[str, Any] = {
        "chosen": {
            "overrides": list(chosen.trial.overrides),
            "scores": list(chosen.scores),
            "test": {"metric": name, "figures": figures},
            "not_told_apart": [list(judged.trial.overrides) for judged in like],
        },
        "front": [list(judged.trial.overrides) for judged in front],
    }
    fresh = stored.added(content["jobs"], chosen.trial)
    _, confirmed = _test_figures(folder, content, fresh)
    if confirmed:
        say(
            console,
            "fresh",
            f"{name} {_mean(confirmed)} on repetitions without a part in the choice",
        )
        entry["confirmed"] = {"metric": name, "figures": confirmed}
    else:
        say(console, "confirm", confirmation(folder, content, chosen, stored), "cyan", to_copy=True)
    entry["importance"] = shares = importance(decisions, stored)
    if shares:
        words = (f"{key} {share:.0%}" for key, share in [*shares.items()][:LISTED])
        text = f"{'   '.join(words)}   (PED-ANOVA importance, for the best tenth)"
        say(console, "matters", text)
    return entry


def confirmation(folder: Path, content: Mapping[str, Any], chosen: Judged, stored: Stored) -> str:
    """The command that trains the chosen configuration with fresh seeds, which had no part in the
    choice, as more jobs of the same sweep; in all folds of a cross-validation."""
    repeated: dict[str, dict[str, None]] = {}
    for repetition in stored.repetitions:
        for key, _, value in (word.partition("=") for word in repetition):
            repeated.setdefault(key, {})[value] = None
    fresh = next((key for key in reversed(repeated) if key != FOLD), REPETITION[0])
    others = [f"{key}={','.join(values)}" for key, values in repeated.items() if key != fresh]
    count = -(-CONFIRMED_BY // len(repeated.get(FOLD, {"": None})))
    own = ["--config-dir", content["config_dir"]] if content.get("config_dir") else []
    into = f"sweep.into={override_value(folder)}"
    seeds = f"{fresh}=range({FRESH},{FRESH + count})"
    return shlex.join(["exprun", *own, "-m", into, *chosen.trial.overrides, *others, seeds])


def _epochs(folder: Path, content: Mapping[str, Any], jobs: Mapping[Any, int]) -> int:
    """The epochs that some jobs have been trained for."""
    return sum(_state(folder, content, number).get("epochs", 0) for number in jobs.values())


def _state(folder: Path, content: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The result of a job."""
    return ledger.state_of(folder / content["jobs"][number]["folder"])


def _scores(curves: Curves, stored: Stored, judged: Judged) -> list[Costs]:
    """The objectives of each repetition, as figures; of those that have any."""
    numbers = [judged.trial.jobs[own] for own in stored.repetitions]
    sound = [curve for number in numbers if (curve := curves.sound(number, stored.epochs))]
    return [signed(curves.metrics, best_of(curve)) for curve in sound]


def _figures(metrics: Sequence[str], scores: Sequence[Costs]) -> str:
    """The objectives over repetitions, as text."""
    columns = zip(metrics, zip(*scores, strict=True), strict=True)
    return "   ".join(
        f"{metric} {values[0]:,.0f}" if metric == PARAMETERS else f"{metric} {_mean(values)}"
        for metric, values in columns
    )


def _say_some(
    console: Console,
    label: str,
    heading: str,
    some: Sequence[Judged],
    scores: Mapping[tuple[str, ...], Sequence[Costs]],
    decisions: Decisions,
    stored: Stored,
) -> None:
    """Print some configurations with their figures under a heading."""
    if some:
        say(console, label, heading)
    for judged in some[:LISTED]:
        figures = _figures(decisions.metrics, scores[judged.trial.overrides])
        say(console, "", f"{title_of(judged.trial, stored)}   {figures}")
    if len(some) > LISTED:
        say(console, "", f"and {len(some) - LISTED} more, see {SEARCH_FILE}")


def _not_told_apart(
    chosen: Sequence[Judged], scores: Mapping[tuple[str, ...], Sequence[Costs]]
) -> list[Judged]:
    """The finalists whose paired difference from the best is not significant (Student's t with
    Holm's correction)."""
    best, *others = chosen
    others = [judged for judged in others if judged.sound]
    if not others:
        return []
    first = scores[best.trial.overrides]
    p = [
        float(t_test([a[0] - b[0] for a, b in zip(first, scores[j.trial.overrides], strict=True)]))
        for j in others
    ]
    return [j for j, adjusted in zip(others, holm(p), strict=True) if adjusted > ALPHA]


def _test_figures(
    folder: Path, content: Mapping[str, Any], numbers: Sequence[int]
) -> tuple[str, list[float]]:
    """The name of the test figure, and its value in each of these jobs that has one."""
    metrics = [_state(folder, content, number)["metrics"] for number in numbers]
    name = next((n for n in TEST_FIGURES if any(n in own for own in metrics)), TEST_FIGURES[0])
    return name, [float(own[name]) for own in metrics if own.get(name) is not None]


def _mean(values: Sequence[float]) -> str:
    """Mean, standard deviation and number of values, as text."""
    spread = f" ± {figure(statistics.stdev(values))}" if len(values) > 1 else ""
    return f"{figure(statistics.fmean(values))}{spread} (n = {len(values)})"


def _as_data(decisions: Decisions, stored: Stored, spent: int, whole: int) -> dict[str, Any]:
    """The content of ``search.json`` up to the chosen configuration."""

    def entry(judged: Judged) -> dict[str, Any]:
        scores = list(judged.scores) if judged.sound else None
        words = list(judged.trial.overrides)
        return {"rank": judged.rank, "overrides": words, "scores": scores, "n": judged.n}

    return {
        "metrics": list(decisions.metrics),
        "searched": list(stored.space),
        "epochs": spent,
        "grid_epochs": whole,
        "rungs": [
            {
                "number": result.number,
                "epochs": result.rung.epochs,
                "repetitions": result.rung.repetitions,
                "kept": result.kept,
                "configurations": [entry(judged) for judged in result.ranked],
            }
            for result in decisions.rungs
        ],
        "finalists": [entry(judged) for judged in decisions.chosen],
    }
