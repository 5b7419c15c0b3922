"""A comparison as the terminal shows it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from exprun.display.summary import MAX_WIDTH, say
from exprun.display.text import NONE, default_console, figure, p_value, printable
from exprun.statistics.sequential import ANYTIME, FIXED
from exprun.sweeps.comparison.compare import Comparison
from exprun.sweeps.comparison.figures import AT_LEAST_0
from exprun.sweeps.comparison.levels import Level
from exprun.sweeps.comparison.pairs import (
    BETTER,
    DATA_SETS,
    EQUAL,
    INCONCLUSIVE,
    NOT_COMPARABLE,
    UNPAIRED,
    WORSE,
    Pair,
)

STYLES = {
    BETTER: "green",
    WORSE: "green",
    EQUAL: "cyan",
    INCONCLUSIVE: "yellow",
    NOT_COMPARABLE: "dim",
}

SHOWN = 10
"""Levels and sentences that are shown at most; comparison.json has all."""

PER_CENT = ("accuracy", "balanced_accuracy")
"""Figures whose differences are spoken of as points, hundredths."""


def show(comparison: Comparison, console: Console | None = None) -> None:
    """The table of the levels, what is said of each pair, and what to run next."""
    console = console or default_console()
    console.print()
    console.print(_levels(comparison, console), width=min(console.width, MAX_WIDTH))
    if len(comparison.levels) > SHOWN:
        say(console, "", f"the best {SHOWN} of {len(comparison.levels)} by {comparison.validation}")
    for by in comparison.by_factor:
        _say_answer(by, console)
    console.print()
    for sentence, style in sentences(comparison)[:SHOWN]:
        say(console, "", sentence, style)
    if len(comparison.pairs) > SHOWN:
        say(console, "", f"and {len(comparison.pairs) - SHOWN} more pairs, all in comparison.json")
    for sentence in _ranks(comparison):
        say(console, "ranks", sentence)
    for effect in comparison.effects[:3]:
        what = " with ".join(effect.factors)
        text = f"{what}: {100 * effect.share:.0f} % of the variance, {p_value(effect.p)}"
        say(console, "factor", f"{text} (F({effect.df}, {effect.df_error}) {effect.f:.1f})")
    for note in comparison.notes:
        say(console, "note", note)
    advise(comparison, console)


def _ranks(comparison: Comparison) -> list[str]:
    """Average ranks over the data sets, Friedman's test and Nemenyi's critical difference."""
    ranks = comparison.ranks
    if ranks is None:
        return []
    named = (f"{_short(n, comparison.by)} {rank:.2f}" for n, rank in ranks.mean_ranks.items())
    return [
        f"{', '.join(named)} on {len(ranks.data_sets)} data sets; Friedman {p_value(ranks.p)} "
        f"(χ²({ranks.df}) {ranks.chi2:.1f}); critical difference {ranks.critical_difference:.2f} "
        "(Nemenyi)"
    ]


def advise(comparison: Comparison, console: Console) -> None:
    """What can be seen with so many seeds, and the commands for more."""
    seen = comparison.visible_difference
    unclear = [pair for pair in comparison.pairs if pair.verdict == INCONCLUSIVE]
    if unclear and seen is not None:
        n = min(pair.n for pair in comparison.pairs if pair.p is not None)
        say(
            console,
            "power",
            f"{n} seeds see a difference of {seen:.1f} standard deviations four times in five",
        )
    if not comparison.commands:
        return
    if comparison.shortlist:
        say(
            console,
            "next",
            f"{len(comparison.levels)} are too many to tell apart on the figures that they were "
            f"chosen by: the best {len(comparison.shortlist)} on fresh seeds",
        )
    else:
        more = max(pair.more_seeds for pair in comparison.pairs)
        few = all(pair.verdict == NOT_COMPARABLE for pair in comparison.pairs)
        jobs = more * len(comparison.results.configurations) * comparison.splits
        text = f"{more} more seeds, {jobs} jobs"
        if few:
            text = "five seeds, for nothing can be said about chance"
        if comparison.plan and not few and any(p.method == FIXED for p in unclear):
            half = f"± {comparison.delta:g}" if comparison.delta else "half as wide"
            text += f", for intervals {half}"
        say(console, "next", text)
    for command in comparison.commands:
        say(console, "", command, "cyan", to_copy=True)


def _levels(comparison: Comparison, console: Console) -> Table:
    """Best by validation first: n, mean and interval of the metric."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", overflow="fold")
    shown = comparison.levels[:SHOWN]
    columns = {comparison.metric: [figure(level.summary()[0]) for level in shown]}
    if any(level.n > 1 for level in shown):
        columns = {"n": [str(level.n) for level in shown]} | columns
        columns["95 %"] = [_interval(level, comparison.metric) for level in shown]
    columns[comparison.validation] = [figure(level.validation) for level in shown]
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for level, *cells in zip(shown, *columns.values(), strict=True):
        name = f"{level.name} ({level.diverged} diverged)" if level.diverged else level.name
        table.add_row(Text(printable(name, console)), *cells)
    return table


def _interval(level: Level, metric: str) -> str:
    _, low, high = level.summary()
    if low is None or high is None:
        return NONE
    if metric.endswith(AT_LEAST_0):  # Student's does not know that these are shares
        low, high = max(low, 0.0), min(high, 1.0)
    return f"{figure(low)} – {figure(high)}"


def sentences(comparison: Comparison) -> list[tuple[str, str]]:
    """What is said of each pair, with its colour: the clear ones first."""
    order = [BETTER, WORSE, EQUAL, INCONCLUSIVE, NOT_COMPARABLE]
    pairs = sorted(comparison.pairs, key=lambda pair: order.index(pair.verdict))
    return [(sentence(pair, comparison), STYLES[pair.verdict]) for pair in pairs]


def sentence(pair: Pair, comparison: Comparison) -> str:
    """``adam beats sgd by 0.70 points (95 % 0.34 to 1.05, 8 paired seeds, p = .005 adjusted for 3
    pairs; for this split of the data)``."""
    a, b = _short(pair.a, comparison.by), _short(pair.b, comparison.by)
    if pair.verdict == NOT_COMPARABLE:
        return f"{a} and {b} are not comparable: {pair.why}"
    assert pair.difference is not None
    first, second, sign = a, b, 1
    if (pair.difference > 0) != comparison.higher:
        first, second, sign = b, a, -1
    if not comparison.higher:
        sign = -sign
    size, unit = sign * pair.difference, ""
    ends = sorted(sign * x for x in (pair.low, pair.high) if x is not None)
    if comparison.metric.partition("_")[2] in PER_CENT:
        size, ends, unit = 100 * size, [100 * x for x in ends], " points"
    amount = f"{_number(size)}{unit}"
    span = f"95 % {_number(ends[0])} to {_number(ends[1])}" if len(ends) == 2 else "no interval yet"
    tests = sum(other.p is not None for other in comparison.pairs)
    assert pair.p_adjusted is not None
    p = p_value(pair.p_adjusted) + (f" adjusted for {tests} pairs" if tests > 1 else "")
    if pair.method == ANYTIME:
        p += ", right at any time"
    if pair.skewed:
        p += f", skewed: {pair.wins} higher, {pair.ties} equal, {pair.losses} lower"
    if pair.verdict == EQUAL and pair.p_equal is not None:
        p = p_value(pair.p_equal)
    details = f"({span}, {_repeated(pair, comparison)}, {p}; {comparison.scope})"
    if pair.method == DATA_SETS:
        details = f"(mean of {_repeated(pair, comparison)}, {p} of signed ranks)"
    if pair.diverged:
        details = f"({_repeated(pair, comparison)}, {p}; runs diverged: the difference has no size)"
    if pair.verdict in (BETTER, WORSE):
        if pair.diverged:
            return f"{first} beats {second} {details}"
        return f"{first} beats {second} by {amount} {details}"
    if pair.verdict == EQUAL:
        return f"{a} and {b} are practically equal, within ± {comparison.delta:g} {details}"
    because = f": {pair.why}" if pair.why else ""
    if pair.wins == pair.losses == 0 < pair.ties:
        even = f"are equal in each of the {pair.n} pairs"
        return f"inconclusive: {a} and {b} {even} {details}{because}"
    if pair.diverged:
        return f"inconclusive: {first} is better than {second} on average {details}{because}"
    if abs(size) < ROUNDING:
        return f"inconclusive: {a} and {b} are equal on average {details}{because}"
    return f"inconclusive: {first} is {amount} better than {second} {details}{because}"


def _repeated(pair: Pair, comparison: Comparison) -> str:
    """``8 paired seeds``: what the difference is a mean over."""
    if pair.method == DATA_SETS:
        return f"{pair.n} data sets, {pair.wins} higher, {pair.ties} equal, {pair.losses} lower"
    if pair.method == UNPAIRED:
        return f"{pair.n} and {pair.n_b} seeds, none in common"
    return f"{pair.n} {'random splits' if comparison.splits > 1 else 'paired seeds'}"


ROUNDING = 1e-7
"""Points, or units of the metric, below which a mean difference is one of float32's rounding."""


def _short(name: str, by: Sequence[str]) -> str:
    """Without the key, if there is only one."""
    return name.partition("=")[2] or name if len(by) == 1 else name


def _number(value: float) -> str:
    """Two decimals, or two digits of what is small; 0.695 is 0.70, whatever its last bit says."""
    if value == 0:
        return "0"
    value *= 1 + 1e-9
    return f"{value:.2f}" if 0.05 <= abs(value) < 1000 else f"{value:#.2g}"


def answer(comparison: Comparison, folder: str, console: Console) -> None:
    """The end of a sweep: the configurations by their means over seeds, what can't be told apart
    from the best, and what to run to tell."""
    console.print()
    console.print(_levels(comparison, console), width=min(console.width, MAX_WIDTH))
    console.print()
    if len(comparison.levels) > SHOWN:
        say(
            console,
            "",
            f"the best {SHOWN} of {len(comparison.levels)} by {comparison.validation}, all in "
            "configurations.csv",
        )
    for by in (comparison, *comparison.by_factor):
        _say_answer(by, console)
    for note in comparison.notes:
        say(console, "note", note)
    advise(comparison, console)
    if comparison.by_chance and len(comparison.levels) > 1:
        say(console, "more", f"exprun compare {shlex.quote(folder)}", "cyan", to_copy=True)


def _say_answer(comparison: Comparison, console: Console) -> None:
    """What the best is better than, what it can't be told apart from, and so on."""
    best = comparison.levels[0]
    for verdict, others in _beside(best, comparison.pairs).items():
        if verdict == NOT_COMPARABLE:  # advise says what it takes
            continue
        names = [_short(other, comparison.by) for other in others]
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        say(console, "answer", f"{best.name} is {WORDS[verdict]} {shown}", STYLES[verdict])
        if verdict == WORSE:
            chosen = f"the best is chosen by {comparison.validation}, and judged by"
            say(console, "note", f"{chosen} {comparison.metric}: another figure, on other rows")


WORDS = {
    BETTER: "better than",
    WORSE: "worse on the test part than",
    EQUAL: "practically equal to",
    INCONCLUSIVE: "not to be told apart from",
    NOT_COMPARABLE: "not comparable with",
}


def _beside(best: Level, pairs: Sequence[Pair]) -> dict[str, list[str]]:
    """The other levels by what can be said of the best and them."""
    turned = {BETTER: WORSE, WORSE: BETTER}
    found: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.a == best.name:
            found.setdefault(pair.verdict, []).append(pair.b)
        elif pair.b == best.name:
            found.setdefault(turned.get(pair.verdict, pair.verdict), []).append(pair.a)
    return {verdict: found[verdict] for verdict in WORDS if verdict in found}
