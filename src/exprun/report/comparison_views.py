"""Figures of a comparison: configurations and their differences, with confidence intervals."""

from __future__ import annotations

import math

from exprun.report import charts
from exprun.report.charts import Estimate, Key, Look
from exprun.report.curve_views import ROWS, title
from exprun.report.study import Cell, Study, Table, View, figures
from exprun.sweeps.comparison.pairs import DATA_SETS

VERDICTS = {
    "better": "s2",
    "worse": "s1",
    "practically_equal": "s0",
    "inconclusive": "other",
    "not_comparable": "other",
}
"""The colour of each verdict."""


def configurations(study: Study) -> View | None:
    """The mean of each configuration with its interval and the value of each seed; None without
    configurations."""
    rows = []
    table: list[tuple[Cell, ...]] = []
    for configuration in study.ranked:
        row = study.compared[configuration.name]
        name, singles = study.name(configuration), figures(configuration, study.metric)
        value, low, high = (_number(row[key]) for key in ("mean", "low", "high"))
        if not singles:  # all diverged: the mean is only a substitute
            value = low = high = math.nan
        table.append((name, row["n"], row["mean"], row["low"], row["high"]))
        remark = f"{row['diverged']} diverged" if row["diverged"] else ""
        estimate = Estimate(
            name,
            value,
            low,
            high,
            singles if len(singles) > 1 else (),
            study.look(configuration),
            study.numbers[configuration.name],
            remark,
        )
        rows.append(estimate)
    if not rows:
        return None
    caption = f"{study.metric}, best {study.ranking} first"
    if any(math.isfinite(row.low) for row in rows):
        caption += ": mean, 95 % interval of the mean (Student's t), and each seed as a faint dot. "
        caption += "The intervals of two configurations do not tell whether they differ: their "
        caption += "difference, paired by seed, has an interval of its own"
    drawing = charts.dots(rows[:ROWS], study.metric)
    caption += f".{study.best(len(rows[:ROWS]))}"
    columns = ("configuration", "n", "mean", "low", "high")
    return View("configurations", title(study.metric), caption, drawing, Table(columns, table))


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def differences(study: Study, factor: str | None = None) -> View | None:
    """The differences of the compared pairs of configurations, or of the levels of a factor, paired
    by seed, with their intervals; a pair with diverged runs has no size. None if no pair has a
    difference."""
    pairs = study.by_factor[factor] if factor else study.comparison["pairs"]
    delta = study.comparison["delta"]
    if not any(pair["difference"] is not None for pair in pairs):
        return None
    minuends = {pair["a"] for pair in pairs}
    minuend = _short(study, minuends.pop(), factor) if len(minuends) == 1 else None
    rows = []
    table: list[tuple[Cell, ...]] = []
    for pair in pairs:
        a, b = (_short(study, pair[side], factor) for side in ("a", "b"))
        value, low, high = (_number(pair[key]) for key in ("difference", "low", "high"))
        look = Look(VERDICTS[pair["verdict"]])
        words = pair["verdict"].replace("_", " ")
        if pair["diverged"]:
            value, words = math.nan, f"{words}; runs diverged"
        name = f"{a} - {b}" if minuend is None else b
        rows.append(Estimate(name, value, low, high, (), look, None, words))
        keys = ("n", "difference", "low", "high", "p", "p_adjusted", "verdict")
        table.append((a, b, *(pair[key] for key in keys)))
    legend = [
        Key(verdict.replace("_", " "), Look(VERDICTS[verdict]))
        for verdict in dict.fromkeys(pair["verdict"] for pair in pairs)
    ]
    label = f"{study.metric}: {minuend} minus …" if minuend else f"difference of {study.metric}"
    band = (-delta, delta) if delta else None
    drawing = charts.dots(rows[:ROWS], label, legend=legend, reference=0.0, band=band)
    paired = "paired by seed, and 95 % intervals of each alone"
    if any(pair["method"] == DATA_SETS for pair in pairs):
        paired = "means over the data sets, judged by signed ranks"
    caption = f"Differences, {paired}; p is adjusted for the number of pairs (Holm)."
    caption += f" Shaded: ±{delta:.2g}, practically equal." if delta else ""
    caption += f" The first {ROWS} of {len(rows)} pairs." if len(rows) > ROWS else ""
    columns = ("a", "b", "n", "difference", "low", "high", "p", "p_adjusted", "verdict")
    heading = "Differences"
    if factor:
        heading = f"Differences by {factor}"
        caption += f" At each seed a level of {factor} is the configuration with it that is best "
        caption += f"by {study.ranking} on the other seeds."
    name = f"differences_{factor}" if factor else "differences"
    return View(name, heading, caption, drawing, Table(columns, table))


def _short(study: Study, name: str, factor: str | None) -> str:
    """The short name of a configuration in charts; for a level of ``factor``, the value alone."""
    if factor:
        return name.removeprefix(f"{factor}=")
    return study.names.get(name, name)
