"""Prints a comparison in the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from exprun.display.summary import MAX_WIDTH, say
from exprun.display.text import NONE, default_console, figure, p_value, printable, wrap
from exprun.statistics.sequential import FIXED
from exprun.sweeps.comparison.compare import Comparison
from exprun.sweeps.comparison.levels import Level
from exprun.sweeps.comparison.next_commands import jobs_of
from exprun.sweeps.comparison.pairs import (
    BETTER,
    EQUAL,
    INCONCLUSIVE,
    NOT_COMPARABLE,
    WORSE,
    Pair,
)
from exprun.sweeps.comparison.sentences import amount, sentences, short
from exprun.sweeps.names import shorter_names

STYLES = {
    BETTER: "green",
    WORSE: "green",
    EQUAL: "cyan",
    INCONCLUSIVE: "yellow",
    NOT_COMPARABLE: "dim",
}

SHOWN = 10
"""Maximum number of levels and of sentences printed; comparison.json has all."""

GAP = 2
"""Width of the gap between table columns, in characters."""

INTERVAL = "95 %"

DIVERGED = "diverged"


def show(comparison: Comparison, console: Console | None = None) -> None:
    """Print the table of the levels, the sentence for each pair, and the commands to run next."""
    console = console or default_console()
    _show_levels(comparison, console)
    _say_best(comparison, console)
    for by in comparison.by_factor:
        say(console, "answer", f"by {by.by[0]}, {', '.join(by.tuned)} tuned for each:")
        _say_pairs(by, [p for p in by.pairs if by.levels[0].name in (p.a, p.b)], console)
    if comparison.by_chance:
        _say_pairs(comparison, comparison.pairs, console)
    if len(comparison.pairs) > SHOWN:
        say(console, "", f"and {len(comparison.pairs) - SHOWN} more pairs, all in comparison.json")
    for sentence in _ranks(comparison):
        say(console, "ranks", sentence)
    for effect in comparison.effects[:3]:
        what = " × ".join(effect.factors)
        means = "mean over the others" if len(effect.factors) == 1 else "interaction"
        text = f"{what}, {means}: {100 * effect.share:.0f} % of the variance, {p_value(effect.p)}"
        say(console, "factor", f"{text}, F({effect.df}, {effect.df_error}) {effect.f:.1f}")
    for note in comparison.notes:
        say(console, "note", note)
    advise(comparison, console)


def _ranks(comparison: Comparison) -> list[str]:
    """A sentence with average ranks over the data sets, Friedman's test and Nemenyi's critical
    difference; empty without ranks."""
    ranks = comparison.ranks
    if ranks is None:
        return []
    named = (f"{short(n, comparison.by)} {rank:.2f}" for n, rank in ranks.mean_ranks.items())
    return [
        f"{', '.join(named)} on {len(ranks.data_sets)} data sets; Friedman {p_value(ranks.p)} "
        f"(χ²({ranks.df}) {ranks.chi2:.1f}); critical difference {ranks.critical_difference:.2f} "
        "(Nemenyi)"
    ]


def advise(comparison: Comparison, console: Console) -> None:
    """Print the difference that is detectable with the present seeds, and the commands for more."""
    seen = comparison.visible_difference
    unclear = [pair for pair in comparison.pairs if pair.verdict == INCONCLUSIVE]
    what = "splits" if comparison.splits > 1 else "seeds"
    if unclear and seen is not None:
        n = min(pair.n for pair in comparison.pairs if pair.p is not None)
        say(
            console,
            "power",
            f"with {n} {what} a true difference of {seen:.1f} standard deviations (of the paired "
            "differences) is seen four times in five",
        )
    if not comparison.commands:
        return
    if comparison.shortlist:
        say(
            console,
            "next",
            f"{len(comparison.levels)} configurations are too many to tell apart on the figures "
            f"that they were chosen by: the best {len(comparison.shortlist)} on fresh {what}",
        )
    else:
        more = max(pair.more_seeds for pair in comparison.pairs)
        text = f"{more} more {what}, {jobs_of(comparison.results, more)} jobs"
        few = all(pair.verdict == NOT_COMPARABLE for pair in comparison.pairs)
        if few:
            text = f"five {what} in all, for nothing can be said about chance"
        if comparison.plan and not few and any(p.method == FIXED for p in unclear):
            delta = comparison.delta
            half = f"± {amount(delta, comparison)}" if delta else "half as wide"
            text += f", for intervals {half}"
        say(console, "next", text)
    for command in comparison.commands:
        say(console, "", command, "cyan", to_copy=True)


def _show_levels(comparison: Comparison, console: Console) -> None:
    """Print the table of the levels, best by validation first: n, mean and confidence interval of
    the metric.

    If the table is too wide, keys are shortened or left out of the names, then the validation
    figure is left out, then names are wrapped between words; words are never broken.
    """
    shown = comparison.levels[:SHOWN]
    named = {level.name: level.values for level in shown}
    ways = [[printable(w, console) for w in way.values()] for way in shorter_names(named)]
    columns = _columns(comparison, shown)
    fewer = {k: cells for k, cells in columns.items() if k != comparison.validation}
    width = min(console.width, MAX_WIDTH)
    choices = [(names, chosen) for chosen in (columns, fewer or columns) for names in ways]
    names, chosen = next(
        (one for one in choices if max(map(cell_len, one[0])) <= _room(one[1], width)),
        (ways[-1], fewer or columns),
    )
    console.print()
    for line in _lines(names, chosen, _room(chosen, width)):
        console.print(line, soft_wrap=True)
    console.print()
    count = len(comparison.levels)
    if count > SHOWN:
        ranked = f"the best {SHOWN} of {count} by {comparison.validation}"
        say(console, "", f"{ranked}, all in configurations.csv")
    elif count > 1 and comparison.validation != comparison.metric:
        say(console, "", f"best by {comparison.validation} first")


def _columns(comparison: Comparison, shown: Sequence[Level]) -> dict[str, list[str]]:
    """The cells of each column by heading. A level of which every run diverged is shown without
    figures, because it has only the worst figure that it counts as."""
    metric, validation = comparison.metric, comparison.validation
    columns: dict[str, list[str]] = {}
    several = any(level.n > 1 for level in shown)
    if several:
        columns["n"] = [str(level.n) for level in shown]
    if any(level.diverged for level in shown):
        columns[DIVERGED] = [str(level.diverged or "") for level in shown]
    means = [None if level.only_diverged else level.summary(metric)[0] for level in shown]
    columns[metric] = [figure(mean) for mean in means]
    if several:
        columns[INTERVAL] = [_interval(level, metric) for level in shown]
    best = [None if level.only_diverged else level.validation for level in shown]
    return columns | ({} if validation == metric else {validation: [figure(x) for x in best]})


def _widths(columns: Mapping[str, Sequence[str]]) -> list[int]:
    return [max(map(cell_len, [heading, *cells])) for heading, cells in columns.items()]


def _room(columns: Mapping[str, Sequence[str]], width: int) -> int:
    """The width that the columns leave for the names."""
    return width - sum(GAP + own for own in _widths(columns))


def _lines(names: Sequence[str], columns: Mapping[str, Sequence[str]], room: int) -> Iterator[Text]:
    """Yield the heading and a row for each name; the figures are next to the last line of the name,
    or below it if that line is too long."""
    folded = [wrap(name, room) for name in names]
    folded = [[*lines, ""] if cell_len(lines[-1]) > room else lines for lines in folded]
    width = max(cell_len(lines[-1]) for lines in folded)
    widths = _widths(columns)

    def row(name: str, cells: Sequence[str], style: str = "") -> Text:
        padded = (f"{'':{GAP + w - cell_len(c)}}{c}" for c, w in zip(cells, widths, strict=True))
        return Text(f"{name}{'':{width - cell_len(name)}}{''.join(padded)}", style)

    yield row("", [*columns], "dim")
    for lines, *cells in zip(folded, *columns.values(), strict=True):
        yield from map(Text, lines[:-1])
        yield row(lines[-1], cells)


def _interval(level: Level, metric: str) -> str:
    _, low, high = level.summary(metric)
    if low is None or high is None or level.only_diverged:
        return NONE
    return f"{figure(low)} – {figure(high)}"


def answer(comparison: Comparison, folder: str, console: Console) -> None:
    """Print the answer at the end of a sweep: the configurations with their means over seeds, how
    the others compare with the best, and the commands for a clearer answer."""
    _show_levels(comparison, console)
    _say_best(comparison, console)
    for by in (comparison, *comparison.by_factor):
        _say_answer(by, console)
    for note in comparison.notes:
        say(console, "note", note)
    advise(comparison, console)
    if comparison.by_chance and len(comparison.levels) > 1:
        say(console, "more", f"exprun compare {shlex.quote(folder)}", "cyan", to_copy=True)


def _say_best(comparison: Comparison, console: Console) -> None:
    """Print the best level if there are no tests to report: without randomness (a test function) or
    with a shortlist."""
    best, *others = comparison.levels
    if not others or best.validation is None or best.only_diverged:
        return
    if not comparison.by_chance:
        value = f"{comparison.metric} {figure(best.summary(comparison.metric)[0])}"
        say(console, "answer", f"{best.name} is best, {value}; there is no chance in it", "green")
    elif comparison.shortlist:
        value = f"{comparison.validation} {figure(best.validation)}"
        ask = "whether it beats the others, fresh seeds tell"
        say(console, "answer", f"{best.name} is best by {value}: {ask}", "yellow")


def _say_pairs(comparison: Comparison, pairs: Sequence[Pair], console: Console) -> None:
    for sentence, verdict in sentences(pairs, comparison)[:SHOWN]:
        say(console, "", sentence, STYLES[verdict])


def _say_answer(comparison: Comparison, console: Console) -> None:
    """Print, for each verdict, the levels that the best level has it with."""
    best = comparison.levels[0]
    tuned = f" ({', '.join(comparison.tuned)} tuned for each)" if comparison.tuned else ""
    failed = [level.name for level in comparison.levels if level.only_diverged]
    for verdict, others in _beside(best, comparison.pairs).items():
        names = [short(other, comparison.by) for other in others if other not in failed]
        if verdict == NOT_COMPARABLE or not names:  # advise prints what is needed
            continue
        text = f"{best.name} is {WORDS[verdict]} {_listed(names)}{tuned}"
        say(console, "answer", text, STYLES[verdict])
        if verdict == WORSE:
            chosen = f"the best is chosen by {comparison.validation}, and judged by"
            say(console, "note", f"{chosen} {comparison.metric}: another figure, on other rows")
    if failed:
        say(console, "answer", f"every run of {_listed(failed)} diverged", "red")


NAMED = 4
"""Maximum number of levels that an answer names."""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


WORDS = {
    BETTER: "better than",
    WORSE: "worse on the test part than",
    EQUAL: "practically equal to",
    INCONCLUSIVE: "not to be told apart from",
    NOT_COMPARABLE: "not comparable with",
}


def _beside(best: Level, pairs: Sequence[Pair]) -> dict[str, list[str]]:
    """The names of the other levels, grouped by the verdict on the best level and each of them."""
    turned = {BETTER: WORSE, WORSE: BETTER}
    found: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.a == best.name:
            found.setdefault(pair.verdict, []).append(pair.b)
        elif pair.b == best.name:
            found.setdefault(turned.get(pair.verdict, pair.verdict), []).append(pair.a)
    return {verdict: found[verdict] for verdict in WORDS if verdict in found}
