"""Compares the levels of a sweep's factors, given its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from exprun.common.errors import UsageError
from exprun.statistics.anova import Effect
from exprun.statistics.power import visible
from exprun.statistics.sequential import ALPHA
from exprun.sweeps.comparison.data_sets import (
    Ranks,
    data_keys,
    levels_across,
    pairs_across,
    ranks_of,
)
from exprun.sweeps.comparison.factor_effects import factor_effects
from exprun.sweeps.comparison.figures import DATA_KEYS, Figures, cost
from exprun.sweeps.comparison.levels import (
    Level,
    baseline_level,
    baseline_values,
    levels_of,
)
from exprun.sweeps.comparison.more_seeds import Planned, stored_plans
from exprun.sweeps.comparison.next_commands import confirmation, more_seeds
from exprun.sweeps.comparison.notes import notes_on, on_search
from exprun.sweeps.comparison.pairs import DATA_SETS, NOT_COMPARABLE, UNPAIRED, Pair, pairs_of
from exprun.sweeps.ranking import higher_is_better
from exprun.sweeps.results import Configuration, Results

MOST = 6
"""Maximum number of levels for which all pairs are compared."""

SHORTLIST = 4
"""Number of best levels, of more than MOST, to be compared on fresh seeds: a test of the best of
many on the figures that selected it claims a difference too often (10 to 24 % of equal
configurations, Holm or not)."""


@dataclass(frozen=True)
class Comparison:
    """A comparison of ``levels``, which are sorted by validation, best first; ``ranked`` are the
    configurations in that order.

    With more than MOST levels and no baseline, ``pairs`` is empty; instead there is a ``shortlist``
    and, in ``by_factor``, a comparison for each factor with the other factors ``tuned``. ``ranks``
    are average ranks over several data sets, ``effects`` the analysis of variance. ``plans`` are
    all plans for more seeds, ``plan`` is the one of this comparison.
    """

    results: Results
    metric: str
    validation: str
    by: list[str]
    tuned: list[str]
    levels: list[Level]
    ranked: list[Configuration]
    pairs: list[Pair]
    baseline: str | None
    delta: float | None
    scope: str
    splits: int
    effects: list[Effect] = field(default_factory=list)
    ranks: Ranks | None = None
    plan: Planned | None = None
    plans: list[Planned] = field(default_factory=list)
    shortlist: list[Level] = field(default_factory=list)
    by_factor: list[Comparison] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def higher(self) -> bool:
        """Whether the metric is to be maximised."""
        return higher_is_better(self.metric)

    @property
    def by_chance(self) -> bool:
        """Whether figures depend on the seed; a test function's descent does not."""
        return "f" not in self.results.metrics

    @property
    def visible_difference(self) -> float | None:
        """The difference, in standard deviations of the paired differences, that the present number
        of seeds detects with power .8 at the level of the strictest test; None without paired
        tests over seeds."""
        tested = [one for one in self.pairs if one.p is not None]
        if not tested or any(one.method in (UNPAIRED, DATA_SETS) for one in tested):
            return None
        return visible(min(one.n for one in tested), ALPHA / len(tested))


def compare(
    results: Results,
    by: Sequence[str] = (),
    metric: str | None = None,
    baseline: str | None = None,
    delta: float | None = None,
) -> Comparison:
    """Compare the levels of the factors ``by``, by default of all factors; in a sweep over several
    data sets, by default of all other factors, across the data sets.

    ``metric`` is the figure that decides (default: the test accuracy, R² or loss). ``baseline`` is
    the level that all others are compared with, as ``key=value`` words separated by blanks or
    commas. ``delta`` is the largest negligible difference, in units of the metric. Raises
    UsageError for factors, levels or metrics that are not in the sweep.
    """
    metric = results.check_metric(metric) if metric else results.default_metric
    wanted = baseline_values(baseline, results) if baseline else {}
    chosen = [results.check_factor(key) for key in by] or [*wanted] or _all_factors(results)
    for key in wanted:
        if key not in chosen:
            keys = ",".join(dict.fromkeys([*chosen, *wanted]))
            raise UsageError(
                f"--baseline {key}=…: is not in --by {','.join(chosen)} (expected --by {keys})"
            )
    read = Figures(results, metric, results.default_validation)
    across = data_keys(results, chosen)
    find = levels_across(results, chosen, across, read) if across else None
    levels = find or levels_of(results, chosen, read)
    against = baseline_level(levels, wanted) if baseline else None
    many = against is None and len(levels) > MOST
    plans = stored_plans(results.sweeps[0])
    plan = None
    if many:
        pairs: list[Pair] = []
    elif across:
        pairs = pairs_across(read, levels, against)
    else:
        pairs, plan = pairs_of(read, levels, against, delta, plans)
    tuned = [key for key in results.factors if key not in (*chosen, *across)]
    of_one_data_set = not any(read.differ_in(levels[0].values, one.values) for one in levels)
    whole = len(chosen) == len(results.factors) > 1
    comparison = Comparison(
        results=results,
        metric=metric,
        validation=read.validation,
        by=chosen,
        tuned=tuned,
        levels=levels,
        ranked=sorted(results.configurations, key=lambda one: _order(read, one)),
        pairs=pairs,
        baseline=against.name if against else None,
        delta=delta,
        scope=_scope(read, across, levels),
        splits=len(read.splits),
        effects=factor_effects(results, read) if whole else [],
        ranks=ranks_of(levels, metric) if across else None,
        plan=plan,
        plans=plans if plan is None or plan in plans else [*plans, plan],
        shortlist=levels[:SHORTLIST] if many and of_one_data_set and not across else [],
        notes=[
            *notes_on(levels, read, tuned, results.sweeps[0], across),
            *on_search(results, chosen),
        ],
    )
    if many and len(chosen) > 1:
        few = [k for k in chosen if len(results.factors[k]) <= MOST and k not in DATA_KEYS]
        comparison.by_factor.extend(compare(results, [key], metric, None, delta) for key in few)
    comparison.commands.extend(_commands(comparison))
    return comparison


def _all_factors(results: Results) -> list[str]:
    """The factors compared by default: all except the data keys, or those if only they vary."""
    factors = [*results.factors]
    return [key for key in factors if key not in DATA_KEYS] or factors


def _order(read: Figures, configuration: Configuration) -> tuple[bool, float]:
    """Sort key: best by validation first, configurations without figures last."""
    values = read.of(configuration.jobs, read.validation).values()
    return (False, cost(fmean(values), read.validation)) if values else (True, 0.0)


def _scope(read: Figures, across: Sequence[str], levels: Sequence[Level]) -> str:
    """The scope of the differences, in words: which data they generalise to."""
    if across:
        return f"across {max(level.n for level in levels)} data sets"
    if len(read.splits) > 1:
        return f"for new data like these, by {len(read.splits)} random splits"
    return "for this split of the data"


def _commands(comparison: Comparison) -> list[str]:
    """The commands to run next; empty if no further seeds are needed, or if nothing can be compared
    because of jobs without a result, which are to be trained first."""
    if not comparison.by_chance:
        return []
    none = all(pair.verdict == NOT_COMPARABLE for pair in comparison.pairs)
    if comparison.pairs and none and any(level.missing for level in comparison.levels):
        return []
    if comparison.shortlist:
        return confirmation(comparison.results, comparison.shortlist, comparison.validation)
    more = max((pair.more_seeds for pair in comparison.pairs), default=0)
    return more_seeds(comparison.results, more, options_of(comparison))


def options_of(comparison: Comparison) -> list[str]:
    """The options of ``exprun compare`` that reproduce this comparison."""
    is_all = comparison.by == _all_factors(comparison.results)
    by = [] if is_all else ["--by", ",".join(comparison.by)]
    is_default = comparison.metric == comparison.results.default_metric
    metric = [] if is_default else ["--metric", comparison.metric]
    base = ["--baseline", comparison.baseline.replace(" ", ",")] if comparison.baseline else []
    delta = ["--delta", f"{comparison.delta:g}"] if comparison.delta else []
    return [*by, *metric, *base, *delta]
