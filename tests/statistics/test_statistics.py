"""The statistics against scipy and statsmodels, and against figures computed elsewhere: the test
accuracies A, B, C of three configurations with eight seeds each."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from exprun.statistics import anytime, paired, power, sequential, stein
from exprun.statistics.anova import blocked_anova
from exprun.statistics.equivalence import posterior, tost
from exprun.statistics.expected_best import expected_best
from exprun.statistics.interquartile import interquartile_mean
from exprun.statistics.multiplicity import holm
from exprun.statistics.performance_profile import scores
from exprun.statistics.ranks import friedman, nemenyi, range_quantile
from exprun.statistics.signs import sign_flip, sign_test, wilcoxon
from exprun.statistics.skew import skew_test
from exprun.statistics.unpaired import welch

A = [0.9733, 0.9689, 0.9711, 0.9778, 0.9644, 0.9756, 0.9711, 0.9733]
B = [0.9622, 0.9667, 0.9600, 0.9711, 0.9622, 0.9644, 0.9689, 0.9644]
C = [0.9711, 0.9689, 0.9733, 0.9756, 0.9667, 0.9733, 0.9733, 0.9711]
AB, AC, CB = (paired.differences(x, y) for x, y in ((A, B), (A, C), (C, B)))
DRAWS = np.random.default_rng(0).normal(0.3, 1, (6, 11))
"""Six times eleven differences."""


def close(value):
    """Equal to the ten digits that the expected figures were written down with."""
    return pytest.approx(value, rel=1e-9, abs=5.1e-11)


def test_the_paired_t_test_and_its_interval():
    assert paired.moments(AB)[1:] == (close(0.00695), close(0.0042098524))
    assert paired.t_statistic(AB) == close(4.6694198982)
    assert paired.t_test(AB) == close(0.002289050777)
    assert paired.interval(AB) == (close(0.0034304753), close(0.0104695247))
    assert paired.t_statistic(AC) == close(0.3520241396)
    assert paired.t_statistic(CB) == close(5.3110952491)
    assert paired.t_test(AC) == close(0.7351796578)
    assert paired.t_test(CB) == close(0.001109929063)
    for d in DRAWS:
        theirs = stats.ttest_1samp(d, 0)
        assert paired.t_test(d) == pytest.approx(theirs.pvalue)
        assert paired.interval(d, 0.1) == pytest.approx(theirs.confidence_interval(0.9))
    assert paired.t_test(DRAWS) == pytest.approx([float(paired.t_test(d)) for d in DRAWS])


def test_differences_without_a_spread_are_judged_by_their_signs():
    equal = paired.differences([0.9, 0.8, 0.7, 0.6], [0.89, 0.79, 0.69, 0.59])
    assert paired.t_test(equal) == 2 / 2**4
    assert paired.t_test([0.0, 0.0, 0.0]) == 1
    assert tost(equal, 0.02) == 1 / 2**4
    assert anytime.p_value(equal) == 1
    assert paired.t_test([0.3]) == 1


def test_ties_are_those_of_counts_and_not_of_decimals():
    a, b = np.array([97, 95, 96, 99, 90, 94]) / 100, np.array([96, 94, 95, 97, 91, 95]) / 100
    d = paired.differences(a, b)
    assert len(set(np.abs(d))) == 2
    counts = stats.wilcoxon([1, 1, 1, 2, -1, -1], method="exact")  # ranks of equal counts are equal
    assert sign_flip([1, 1, 1, 2, -1, -1]) == sign_flip(list(d))
    assert wilcoxon(list(d)) == wilcoxon([1, 1, 1, 2, -1, -1])
    assert wilcoxon(list(d)) == pytest.approx(counts.pvalue, abs=0.1)  # scipy's ignores ties
    assert paired.wins(d) == (4, 0, 2)


def test_effect_sizes():
    assert paired.hedges(7) == close(0.8882029077)
    assert paired.d_z(AB) == close(1.4663246207)
    assert paired.d_z(AB) / paired.hedges(7) == close(1.6508892371)
    assert paired.wins(AB).probability == 1
    assert paired.wins(AC).probability == 0.5625
    assert paired.wins(AC) == (4, 1, 3)


def test_signs_and_ranks():
    assert wilcoxon(list(AB)) == sign_flip(list(AB)) == 2 / 256
    for d in DRAWS:
        assert wilcoxon(list(d)) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)
        positive = int((d > 0).sum())
        assert sign_test(list(d)) == pytest.approx(stats.binomtest(positive, len(d)).pvalue)
    flips = stats.permutation_test(
        (DRAWS[0],), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(list(DRAWS[0])) == pytest.approx(flips.pvalue)


def test_holm():
    from statsmodels.stats.multitest import multipletests

    p = [paired.t_test(d) for d in (AB, AC, CB)]
    assert holm(p) == close([0.0045781016, 0.7351796578, 0.0033297872])
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    many = np.random.default_rng(1).uniform(0, 0.2, (5, 10))
    theirs = [multipletests(row, method="holm")[1] for row in many]
    assert holm(many) == pytest.approx(np.array(theirs))


def test_equivalence():
    from statsmodels.stats.weightstats import DescrStatsW

    assert tost(AC, 0.004) == close(0.0010198353)
    n, mean, sd = paired.moments(AC)
    assert (mean, paired.standard_error(sd, n)) == (close(0.000275), close(0.0007811964))
    other = stats.ttest_1samp(AC, -0.004, alternative="greater").pvalue  # the smaller of the two
    assert other == close(0.0004667506)
    for d in DRAWS:
        assert tost(d, 0.8) == pytest.approx(DescrStatsW(d).ttost_mean(-0.8, 0.8)[0])
    overlap = 0.1 / 0.9  # their ρ = .1
    assert posterior(AB, 0.002, overlap) == (
        pytest.approx(0.0016267016, abs=1e-10),
        pytest.approx(0.0214260313, abs=1e-10),
        pytest.approx(0.9769472671, abs=1e-10),
    )
    assert posterior(AB, 0.002).above == close(0.9936672374)


def test_random_splits_of_one_data_set():
    overlap = 270 / 1257
    assert paired.t_statistic(AB, overlap) == close(2.8320967076)
    assert paired.t_test(AB, overlap) == close(0.02532992568)
    low, high = paired.interval(AB, overlap=overlap)
    assert (high - low) / 2 == close(0.0058028169)


def test_power_is_that_of_statsmodels():
    from statsmodels.stats.power import TTestPower

    assert power.power(9, 40) == 1  # scipy's noncentral t is nan in the far tail
    assert [power.pairs_needed(d) for d in (0.5, 0.8, 1, 1.5, 2)] == [34, 15, 10, 6, 5]
    for d, n, expected in ((0.5, 34, 0.8077775013), (1, 10, 0.8030968566), (0.8, 10, 0.6162327635)):
        assert power.power(d, n) == pytest.approx(expected, rel=1e-7)  # so exact is scipy 1.11
    assert power.power(0.8, 10) == pytest.approx(TTestPower().power(0.8, 10, 0.05))
    seen = [round(power.visible(n), 3) for n in (3, 5, 8, 10, 20)]
    assert seen == [3.264, 1.682, 1.156, 0.996, 0.660]


def test_steins_plan():
    assert stein.pairs_needed(0.004, 5, 0.002) == 31
    assert stein.pairs_needed(0.004, 10, 0.002) == 21
    assert stein.pairs_needed(0.0042098524, 8, 0.002) == 25
    d = np.random.default_rng(2).normal(0, 1, (20_000, 24))
    low, high = stein.interval(d, 6)
    assert np.mean((low < 0) & (high > 0)) == pytest.approx(0.95, abs=0.005)
    assert np.mean(stein.t_test(d, 6) < 0.05) == pytest.approx(0.05, abs=0.005)


def test_the_e_value():
    values = [float(np.exp(anytime.log_e(paired.t_statistic(AB[:n]), n))) for n in range(2, 9)]
    expected = [1.070101, 1.921223, 3.718176, 4.410856, 9.910632, 11.707206, 29.10543001]
    assert values == pytest.approx(expected, rel=1e-6)
    assert np.exp(anytime.log_e(paired.t_statistic(AC), 8)) == close(0.3547719625)
    assert anytime.p_value(AB) == pytest.approx(1 / 29.10543001)
    mean, error, t = anytime.running_t(DRAWS)
    assert t[:, -1] == pytest.approx(paired.t_statistic(DRAWS))
    assert (mean / error)[:, 3] == pytest.approx(paired.t_statistic(DRAWS[:, :5]))


def test_the_e_value_is_a_ratio_of_noncentral_t_densities():
    t, n = 2.3, 7
    effect = np.linspace(-8, 8, 4001)
    density = stats.nct.pdf(t, n - 1, effect * np.sqrt(n)) * stats.norm.pdf(effect)
    ratio = integrate.trapezoid(density, effect) / stats.t.pdf(t, n - 1)
    assert np.exp(anytime.log_e(t, n)) == pytest.approx(ratio, rel=1e-6)


def test_the_anytime_interval():
    assert anytime.t_threshold(4) == np.inf
    assert [anytime.t_threshold(n) for n in (5, 6)] == pytest.approx([8.4532, 5.4498], abs=5e-5)
    assert anytime.t_threshold(8) == close(4.2508934888)
    assert anytime.t_threshold(8) * paired.moments(AB).sd / np.sqrt(8) == close(0.0063270621)
    for n in (8, 12, 30):  # the threshold is where E is 1/α
        assert anytime.log_e(anytime.t_threshold(n, 0.01), n) == pytest.approx(np.log(100))
    for d in DRAWS:
        low, _ = anytime.interval(d)
        assert (low > 0) == (anytime.p_value(d) < 0.05)


def test_the_expected_best():
    for m in (2, 5):
        subsets = itertools.combinations(A, m)
        assert expected_best(A, m) == pytest.approx(np.mean([max(s) for s in subsets]))
    # drawn with replacement (Dodge et al. 2019) it is biased downwards, so that is not used
    with_replacement = [0.9719375, 0.9740640625, 0.9760547638, 0.9768051731]
    for m, theirs in zip((1, 2, 5, 8), with_replacement, strict=True):
        below = (np.arange(9) / 8) ** m
        assert np.diff(below) @ np.sort(A) == close(theirs)
        assert expected_best(A, m) >= theirs
    assert [expected_best(A, m) for m in (1, 2, 5, 8)] == [
        close(0.9719375), close(0.9743678571), close(0.9767285714), close(0.9778)
    ]  # fmt: skip
    assert expected_best(A, 8, higher=False) == min(A)
    with pytest.raises(ValueError, match="1 to 8"):
        expected_best(A, 9)


def test_blocked_anova_of_one_factor_is_that_of_repeated_measures():
    import pandas
    from statsmodels.stats.anova import AnovaRM

    (effect,) = blocked_anova(np.transpose([A, B, C]), ["optimizer"])
    assert (effect.df, effect.df_error) == (2, 14)
    assert effect.f == close(21.0964773602)
    assert effect.p == close(5.958311019e-05)
    columns = zip("ABC", (A, B, C), strict=True)
    rows = [(s, k, x) for k, column in columns for s, x in enumerate(column)]
    theirs = AnovaRM(pandas.DataFrame(rows, columns=["s", "k", "y"]), "y", "s", ["k"]).fit()
    assert effect.f == pytest.approx(theirs.anova_table["F Value"].iloc[0])


def test_blocked_anova_of_two_factors_is_that_of_the_linear_model():
    import pandas
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    y = np.random.default_rng(3).normal(size=(5, 3, 4)) + np.arange(3)[:, None]
    rows = [(f"s{s}", f"a{a}", f"b{b}", v) for (s, a, b), v in np.ndenumerate(y)]
    frame = pandas.DataFrame(rows, columns=["s", "a", "b", "y"])
    theirs = anova_lm(ols("y ~ s + a * b", frame).fit())
    ours = {effect.factors: effect for effect in blocked_anova(y, ["a", "b"])}
    for factors, name in ((("a",), "a"), (("b",), "b"), (("a", "b"), "a:b")):
        assert ours[factors].f == pytest.approx(theirs.F[name])
        assert ours[factors].p == pytest.approx(theirs["PR(>F)"][name])
        assert ours[factors].df == theirs.df[name]


def test_skewness():
    d = np.random.default_rng(4).exponential(size=(6, 12))
    assert skew_test(d) == pytest.approx(stats.skewtest(d, axis=1).pvalue)
    assert (skew_test(d[:, :7]) == 1).all()


def test_a_first_batch_is_judged_as_anybody_would():
    looks = sequential.Looks(8)
    assert sequential.p_value(AB, looks) == paired.t_test(AB)
    assert sequential.interval(AB, looks) == paired.interval(AB)
    assert sequential.equivalence(AC, 0.004, looks) == tost(AC, 0.004)


@pytest.mark.parametrize("method", [sequential.PLANNED, sequential.STEIN, sequential.ANYTIME])
def test_what_later_seeds_add_is_at_most_a_tenth(method):
    d = np.random.default_rng(5).normal(size=(20_000, 20))
    looks = sequential.Looks(5, method)
    claimed = sequential.p_value(d, looks) < sequential.ALPHA
    at_first = paired.t_test(d[:, :5]) < sequential.ALPHA
    low, high = paired.interval(d[:, :5])
    held = (low <= d.mean(-1)) & (d.mean(-1) <= high)
    assert (claimed >= at_first)[held].all()
    assert np.mean(claimed & ~at_first) < 1.1 * sequential.LATER
    low, high = sequential.interval(d, looks)
    assert np.mean((low > 0) | (high < 0)) == pytest.approx(np.mean(claimed), abs=1e-3)


@pytest.mark.parametrize("shift", [-4.0, -1.0, 0.0, 1.0, 4.0])
@pytest.mark.parametrize("method", [sequential.PLANNED, sequential.STEIN, sequential.ANYTIME])
def test_interval_mean_and_p_agree_however_far_later_seeds_are_from_the_first(method, shift):
    d = np.random.default_rng(7).normal(0.5, 1, (2000, 16))
    d[:, 5:] += shift
    looks = sequential.Looks(5, method)
    low, high = sequential.interval(d, looks)
    assert ((low <= d.mean(-1)) & (d.mean(-1) <= high)).all()
    claimed = sequential.p_value(d, looks) < sequential.ALPHA
    assert (claimed == ((low > 0) | (high < 0))).all()
    assert claimed.any() or shift in (-1.0, 0.0)


def test_without_a_first_batch_that_could_claim_anything_there_is_one_test_at_any_time():
    looks = sequential.Looks(1, sequential.ANYTIME)
    assert sequential.p_value(AB, looks) == anytime.p_value(AB)


def test_a_plan_is_made_by_the_spread_alone():
    plan = sequential.plan(10, 1, [0.01, 0.004], 0.004)
    assert plan.pairs == stein.pairs_needed(0.01, 10, 0.004, sequential.LATER)
    assert plan.method == sequential.STEIN
    few = sequential.plan(5, 3, [0.01], 0.005)  # Stein's takes 60 pairs with 4 degrees of freedom
    assert few.method == sequential.ANYTIME
    assert few.pairs < stein.pairs_needed(0.01, 5, 0.005, sequential.LATER / 3)
    assert sequential.plan(5, 3) == sequential.Plan(18, sequential.PLANNED)


def test_groups_without_common_seeds():
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW, ttost_ind

    assert welch(A, B).p == close(0.0033028273)
    assert paired.correlation(A, B) == close(0.4269840370)
    assert paired.correlation(A, [1.0] * 8) is None
    for a, b in itertools.pairwise([*DRAWS, DRAWS[0, :4]]):
        ours, theirs = welch(a, b), stats.ttest_ind(a, b, equal_var=False)
        assert (ours.p, ours.df) == pytest.approx((theirs.pvalue, theirs.df))
        assert ours.interval() == pytest.approx(theirs.confidence_interval())
        assert ours.tost(0.8) == pytest.approx(ttost_ind(a, b, -0.8, 0.8, usevar="unequal")[0])
        means = CompareMeans(DescrStatsW(a), DescrStatsW(b))
        assert ours.error == pytest.approx(means.std_meandiff_separatevar)
    flat = welch([0.9] * 4, [0.8] * 5)  # no spread: as ranks, both extreme orders of 126
    assert (flat.p, flat.tost(0.2)) == (2 / 126, 1 / 126)
    assert welch([0.9] * 4, [0.9] * 5).p == 1


def test_friedman_is_that_of_scipy():
    test = friedman(np.transpose([A, B, C]))
    assert (test.chi2, test.p, test.df) == (close(12.4516129032), close(0.0019777282), 2)
    for draws in (DRAWS.T, np.round(DRAWS.T)):  # without ties, and with many
        test, theirs = friedman(draws), stats.friedmanchisquare(*draws.T)
        assert (test.chi2, test.p) == pytest.approx((theirs.statistic, theirs.pvalue))
        assert test.mean_ranks == pytest.approx(stats.rankdata(-draws, axis=1).mean(0))
    assert friedman([[1, 1, 1], [2, 2, 2]]).p == 1


def test_nemenyis_critical_difference():
    assert range_quantile(4) / math.sqrt(2) == pytest.approx(2.569032, abs=5e-7)
    assert nemenyi(4, 14) == pytest.approx(1.253559, abs=5e-7)
    for k in (2, 3, 10):
        theirs = stats.studentized_range.ppf(0.99, k, np.inf)
        assert range_quantile(k, 0.01) == pytest.approx(theirs, rel=1e-6)


def test_the_interquartile_mean():
    assert (interquartile_mean(A), interquartile_mean(B)) == (close(0.9722), close(0.964425))
    for n in range(1, 12):
        theirs = stats.trim_mean(DRAWS[0, :n], 0.25)
        assert interquartile_mean(DRAWS[0, :n]) == pytest.approx(theirs)


def test_the_score_of_times_to_a_target():
    times = {"a": (10, 12, 15, math.inf), "b": (20, 12, 30, 40)}
    assert scores(times, 4) == pytest.approx({"a": 0.75, "b": 0.8333333333})
    at = np.linspace(1, 4, 300_001)  # the area under the profile
    ratios = np.array([*times.values()]) / np.min([*times.values()], axis=0)
    areas = [(ratio[:, None] <= at).mean() for ratio in ratios]
    assert [*scores(times, 4).values()] == pytest.approx(areas, abs=1e-5)
    assert scores({"a": (math.inf,), "b": (math.inf,)}) == {"a": 0, "b": 0}


@pytest.mark.parametrize("value", [0.0, 0.1, 0.9734])
def test_equal_levels_have_no_analysis_of_variance(value):
    seeds = value + np.arange(3)[:, None, None] / 30
    assert blocked_anova(np.broadcast_to(seeds, (3, 2, 4)), ["a", "b"]) == []
    assert blocked_anova(np.full((3, 2, 4), value), ["a", "b"]) == []
