"""The contents of the report of a sweep: its sections, their order and their texts."""

from __future__ import annotations

import os
import shlex
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from exprun import __version__
from exprun.common.constants import COMPLETED, EARLY_STOPPED, FINISHED
from exprun.report import comparison_views, curve_views, factor_views
from exprun.report.markup import Markup, join, tag
from exprun.report.page import (
    Page,
    Row,
    Section,
    columns_of,
    configurations_table,
    plain_table,
    shown,
)
from exprun.report.provenance import Commands, commands_listed, how_made
from exprun.report.study import Cell, Study, Table, View, figures, mean, study_of
from exprun.sweeps.comparison.compare import MOST, Comparison, compare
from exprun.sweeps.comparison.figures import DATA_KEYS
from exprun.sweeps.comparison.pairs import NOT_COMPARABLE
from exprun.sweeps.comparison.sentences import sentence
from exprun.sweeps.results import JobResult, Results

OTHER_CURVES = ("val_loss", "train_loss", "grad_norm")
"""Columns whose curves are shown in addition to the metric's."""

DECIMALS = {"epochs": 1, "iterations": 1, "seconds": 1}
"""Decimals of columns of the table that differ from the default of four."""

REASONS = 100
"""Most jobs listed with a reason, for each status."""


@dataclass(frozen=True)
class Report:
    """A page, its figures, and its tables by file name."""

    page: Page
    views: list[View]
    tables: dict[str, Table]


def report(
    results: Results,
    folder: str,
    metric: str | None = None,
    baseline: str | None = None,
    delta: float | None = None,
) -> Report:
    """The report of the sweep in ``folder``: a comparison of its configurations (see ``compare``
    for ``metric``, ``baseline`` and ``delta``) and of the levels of each factor with the others
    tuned.

    Raises UsageError for a metric or baseline that does not exist, or if no job has finished.
    """
    folders = [*(os.path.relpath(sweep) for sweep in results.sweeps[:-1]), folder]
    commands = Commands(
        folders,
        {"--metric": metric, "--baseline": baseline, "--delta": f"{delta:g}" if delta else None},
    )
    whole = compare(results, metric=metric, baseline=baseline, delta=delta)
    by_factor = {
        factor: compare(results, by=[factor], metric=metric, delta=delta)
        for factor, levels in results.factors.items()
        if len(results.factors) > 1
        and 2 <= len(levels) <= MOST
        and factor not in DATA_KEYS
        and not (whole.ranks and [factor] == whole.by)
    }
    study = study_of(whole, by_factor)
    answer = _there(
        comparison_views.configurations(study),
        comparison_views.differences(study),
        *(comparison_views.differences(study, factor) for factor in study.by_factor),
    )
    columns = dict.fromkeys([study.curve, *OTHER_CURVES])
    curves = _there(
        *(curve_views.learning_curves(study, column) for column in columns),
        curve_views.paths(study),
    )
    time = _there(
        curve_views.best_so_far(study, "epochs"),
        curve_views.best_so_far(study, "seconds"),
        curve_views.time_to_target(study),
    )
    factors = _there(
        factor_views.main_effects(study),
        *(factor_views.sensitivity(study, name) for name in study.order),
        *factor_views.heat_maps(study),
        factor_views.parallel(study),
    )
    table = configurations(study)
    pairs = {v.name: v.table for v in answer if v.name.startswith("differences")}
    by = {f"differences_{factor}": commands.compare(factor) for factor in by_factor}
    ours, files = commands.compare(), commands.report("--figures", "figures")
    sections = [
        Section("answer", "Answer", views=answer, command=ours, commands=by),
        Section("configurations", "Configurations", _with_controls(study, table), command=ours),
        Section("curves", "Curves", views=curves, command=files),
        Section("time", "Time", views=time, command=files),
        Section("factors", "Factors", _effects(study), factors, ours, _each(factors, files)),
        Section("jobs", "Jobs", html=_jobs(study), command=commands.report()),
        Section("next", "What to run next", html=commands_listed({"": whole.commands})),
        Section("how", "How this was made", html=how_made(study, commands)),
    ]
    page = Page(
        kicker=f"exprun report · {', '.join(folders)} · {datetime.now():%Y-%m-%d %H:%M}",
        question=question(study),
        asked=asked(study),
        verdict=answer_of(study, whole, by_factor),
        warnings=warnings(study, folder),
        sections=sections,
        footer=f"exprun {__version__}. This page is complete in itself and loads nothing.",
    )
    return Report(page, [*answer, *curves, *time, *factors], {"table": table, **pairs})


def _each(views: Sequence[View], command: str) -> dict[str, str]:
    return {view.name: command for view in views}


def _there(*found: View | None) -> list[View]:
    return [view for view in found if view is not None]


def question(study: Study) -> str:
    """The title of the page: the question that a sweep answers, from the factors that it varies."""
    metric = study.metric.replace("_", " ")
    best = f"the {'lowest' if study.lower else 'best'} {metric}"
    *others, last = [*study.levels] or [""]
    if not last:
        return f"How much does {metric} vary?"
    if not others:
        return f"Which {last} gives {best}?"
    if len(others) < 3:
        return f"Which {', '.join(others)} and {last} give {best}?"
    return f"Which of {len(study.ranked)} configurations gives {best}?"


def asked(study: Study) -> str:
    """The design of the sweep in one line: the levels of every factor, the seeds, the number of
    jobs."""
    words = []
    for name, levels in study.levels.items():
        named = ", ".join(levels) if len(levels) <= 8 else f"{levels[0]} … {levels[-1]}"
        words.append(f"{len(levels)} × {name} ({named})")
    words.append("1 seed" if study.seeds == 1 else f"{study.seeds} seeds")
    shared = f" All with {' '.join(study.results.shared)}." if study.results.shared else ""
    return f"{', '.join(words)}: {len(study.results.jobs)} jobs.{shared}"


def answer_of(study: Study, whole: Comparison, by_factor: Mapping[str, Comparison]) -> Markup:
    """The answer to the question: the best configuration and the verdicts on it and the others or,
    if there are too many to compare, on the levels of each factor."""
    best = study.compared[study.ranked[0].name]
    if whole.ranks:
        best = study.comparison["levels"][0]
    value = "none" if best["mean"] is None else f"{best['mean']:#.4g}"
    low, high = best["low"], best["high"]
    interval = f" (95 % {low:#.4g} to {high:#.4g})" if low is not None else ""
    interval = f", mean {whole.scope}" if whole.ranks else interval
    first = f"Best by {study.ranking}: {best['name']}, {study.metric} {value}{interval}."
    said = [tag("p", tag("strong", first))]
    if len(study.ranked) == 1:
        return join(*said)
    if study.step == "iteration":
        chance = "A test function has no chance in it: the figures themselves are the differences."
        return join(*said, tag("p", chance))
    if not whole.shortlist:
        return join(*said, _said_of(whole))
    said.append(
        tag(
            "p",
            f"{len(whole.levels)} configurations are too many to be told apart on the figures that "
            f"they were chosen by: compare the best {len(whole.shortlist)} on ",
            tag("a", "fresh seeds", href="#next"),
            ".",
        )
    )
    for factor, compared in by_factor.items():
        others = ", ".join(name for name in study.levels if name != factor)
        said += [tag("p", tag("strong", f"By {factor}"), f", with {others} tuned for each:")]
        said += [_said_of(compared)]
    return join(*said)


def _said_of(comparison: Comparison) -> Markup:
    """The verdicts on the best level against each other one or, if no two can be compared, the
    reason."""
    why = {pair.why for pair in comparison.pairs if pair.verdict == NOT_COMPARABLE}
    if len(why) == 1 and all(pair.verdict == NOT_COMPARABLE for pair in comparison.pairs):
        return tag("p", f"Nothing can be said about chance: {why.pop()}.")
    best = comparison.levels[0].name
    beside = [pair for pair in comparison.pairs if best in (pair.a, pair.b)]
    return tag("ul", *(tag("li", f"{sentence(pair, comparison)}.") for pair in beside))


def warnings(study: Study, folder: str) -> list[str]:
    """Warnings to show before the figures: notes of the comparison, and jobs without a result."""
    jobs = study.results.jobs
    said = [f"{note[0].upper()}{note[1:]}." for note in study.comparison["notes"]]
    missing = [job for job in jobs if job.status not in FINISHED]
    if not missing:
        return said
    return [
        *said,
        f"{len(missing)} of {len(jobs)} jobs have no result ({_counted(missing)}): "
        f"`exprun resume {shlex.quote(folder)}` runs what is missing.",
    ]


def _counted(jobs: Sequence[JobResult]) -> str:
    """The jobs counted by status: ``3 completed, 1 early stopped``."""
    counts = Counter(job.status for job in jobs)
    return ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in counts.most_common())


def configurations(study: Study) -> Table:
    """The table of configurations, one row each, best first; columns without any value are left
    out."""
    others = [
        name
        for name in dict.fromkeys([study.ranking, study.curve, "test_loss", "val_loss"])
        if name != study.metric and name in study.results.metrics
    ]
    rows: list[tuple[Cell, ...]] = []
    for c in study.ranked:
        compared, values = study.compared[c.name], figures(c, study.metric)
        is_whole = len(values) > 1 and not compared["diverged"]
        sd = statistics.stdev(values) if is_whole else None
        ends = (compared["mean"], sd, compared["low"], compared["high"])
        row: list[Cell] = [c.name, compared["n"], *(ends if values else [None] * len(ends))]
        row += [mean(found) if (found := figures(c, name)) else None for name in others]
        for name in ("epochs", "seconds"):
            there = [v for job in c.jobs if (v := job.metrics.get(name)) is not None]
            row.append(mean(there) if there else None)
        rows.append((*row, _counted(c.jobs)))
    head = ["configuration", "n", study.metric, "sd", "low", "high", *others]
    head += [f"{study.step}s", "seconds", "jobs"]
    filled = [i for i in range(len(head)) if any(row[i] is not None for row in rows)]
    return Table([head[i] for i in filled], [[row[i] for i in filled] for row in rows])


def _with_controls(study: Study, table: Table) -> Markup:
    """The table of configurations as HTML, with filter and highlight controls."""
    rows = []
    for configuration, cells in zip(study.ranked, table.rows, strict=True):
        look = study.look(configuration)
        words = [
            shown(cell, DECIMALS.get(column))
            for cell, column in zip(cells, table.columns, strict=True)
        ]
        number = study.numbers[configuration.name]
        rows.append(Row(number, look.color, look.dash, [study.name(configuration), *words[1:]]))
    caption = (
        f"Best {study.ranking} first. n: seeds; then the mean of {study.metric}, a diverged run "
        "as the worst of all, its standard deviation and 95 % interval; then means over the jobs "
        "that have a figure."
    )
    return configurations_table(columns_of(table), rows, caption)


def _effects(study: Study) -> Markup | None:
    """The analysis of variance of a full grid as a table; None if there is none."""
    effects = study.comparison["effects"]
    if not effects:
        return None
    rows = [
        (" × ".join(e["factors"]), e["share"], e["f"], f"{e['df']}, {e['df_error']}", e["p"])
        for e in effects
    ]
    columns = ("effect", "share of variance", "F", "degrees of freedom", "p")
    return plain_table(
        Table(columns, rows),
        f"Analysis of variance of {study.metric}, the seeds as blocks: main effects and two-way "
        "interactions.",
    )


def _jobs(study: Study) -> Markup:
    """The number of jobs by status, and tables of those that did not end well, with the reasons."""
    jobs = [*study.results.jobs, *study.results.stopped]
    parts = [tag("p", f"{len(jobs)} jobs: {_counted(jobs)}.")]
    for status in dict.fromkeys(job.status for job in jobs):
        of_status = [job for job in jobs if job.status == status]
        if status in (COMPLETED, EARLY_STOPPED):
            continue
        rows = [(job.number, _differs(study, job), job.reason) for job in of_status[:REASONS]]
        table = plain_table(
            Table(("job", "what differs", "reason"), rows),
            f"Jobs that are {status.replace('_', ' ')}"
            + (f", the first {REASONS}" if len(of_status) > REASONS else ""),
        )
        parts.append(tag("details", tag("summary", _counted(of_status)), table))
    return join(*parts)


def _differs(study: Study, job: JobResult) -> str:
    """The overrides of a job that not all jobs share."""
    words = [f"{key}={value}" for key, value in job.overrides.items()]
    return " ".join(word for word in words if word not in study.results.shared)
