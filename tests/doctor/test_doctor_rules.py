"""Every rule of the doctor on records made by hand: answers known on paper, and values just on
either side of each threshold."""

from __future__ import annotations

import math

import pytest

from exprun.common.constants import DIVERGED, EARLY_STOPPED
from exprun.doctor import capacity, learning
from exprun.doctor.curves import falls, halves, noise, slope
from exprun.doctor.diagnose import RULES, diagnose
from exprun.doctor.findings import (
    DataFacts,
    Findings,
)
from tests.doctor.made_up import CONFIG, OPTIONS, REST, findings, layer, tried

# --- the statistics of a curve ---


def test_a_straight_line_has_no_noise_and_its_slope() -> None:
    line = [5 - 0.5 * i for i in range(10)]
    assert noise(line) == pytest.approx(0, abs=1e-12)
    assert slope(line) == pytest.approx((-0.5, 0))
    assert falls(line)
    assert not falls(line[::-1])
    assert halves([4.0, 3.0, 2.0]) == 1.0


def test_noise_of_an_alternating_curve() -> None:
    """Second differences of a curve that jumps by .2 are all ±.4."""
    assert noise([0.0, 0.2] * 5) == pytest.approx(0.4 / 0.6745 / math.sqrt(6))
    assert noise([0.0, 1.0, 0.0, 1.0]) == 0.0  # too short to tell


def test_noise_is_the_standard_deviation_of_normal_noise() -> None:
    import numpy as np

    drawn = np.random.default_rng(0).normal(0, 0.3, 20000) + np.linspace(5, 0, 20000)
    assert noise(drawn.tolist()) == pytest.approx(0.3, rel=0.03)


def test_slope_and_its_error_are_those_of_scipy() -> None:
    from scipy.stats import linregress

    values = [3.0, 2.5, 2.6, 2.0, 1.2, 1.4]
    expected = linregress(range(6), values)
    assert slope(values) == pytest.approx((expected.slope, expected.stderr))


# --- what findings tell ---


def test_chance_is_the_entropy_of_the_classes() -> None:
    assert findings().chance == pytest.approx(math.log(2))
    shares = DataFacts(100, shares=(0.9, 0.1))
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    assert findings(data=shares).chance == pytest.approx(entropy)


@pytest.mark.parametrize(
    ("target", "classes", "expected"),
    [
        ("exprun.techniques.losses.CrossEntropy", 4, math.log(4)),
        ("exprun.techniques.losses.BinaryCrossEntropy", 2, math.log(2)),
        # three outputs, each right with a third: 3 (ln 3 - 2/3 ln 2)
        ("exprun.techniques.losses.BinaryCrossEntropy", 3, 3 * math.log(3) - 2 * math.log(2)),
        ("exprun.techniques.losses.SquaredError", 2, 0.25),
        ("exprun.techniques.losses.AbsoluteError", 4, 0.25),
        ("mine.Loss", 2, None),
    ],
)
def test_chance_of_each_loss(target: str, classes: int, expected: float | None) -> None:
    found = findings(config={"loss._target_": target}, classes=classes).chance
    assert found == (None if expected is None else pytest.approx(expected))


def test_numbers_are_measured_by_r2() -> None:
    f = Findings(CONFIG, OPTIONS, classes=0, curve=[{"train_r2": 0.75, "val_r2": -0.5}])
    assert (f.train, f.val) == ([0.25], [1.5])


def test_rows_come_from_the_iterations_if_the_data_are_gone() -> None:
    assert findings().rows == 320
    assert findings(data=DataFacts(311)).rows == 311
    assert findings(config={"batching.batch_size": "full"}).rows is None


# --- health ---


def test_a_healthy_curve_has_nothing() -> None:
    assert diagnose(findings()) == {}


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert diagnose(Findings({}, {})) == {}
    assert diagnose(findings(classes=None)) == {}
    assert diagnose(findings(config={"loss._target_": "mine.Loss"})) == {}


def test_every_rule_has_a_docstring_and_a_name_that_others_can_explain() -> None:
    names = {rule.__name__ for rule in RULES}
    assert len(names) == len(RULES)
    assert all(rule.__doc__ for rule in RULES)
    sick = [
        findings([1.0] * 12, options={"init": "zeros"}),
        findings(status=DIVERGED),
        findings([3.0, 0.2, 3.0, 0.2, 3.0]),
        findings([1.0] * 12, config={"reg.l1.strength": 1.0}, options={"reg": "l1"}),
    ]
    for f in sick:
        for rule in RULES:
            diagnosis = rule(f)
            assert diagnosis is None or diagnosis.explains <= names


# --- the learning curve ---


def test_diverged() -> None:
    where = "diverged in epoch 2, iteration 17: the gradient of hidden layer 1 is not finite"
    f = findings([0.9], status=DIVERGED, reason=where, config={"optimizer.lr": 3.0})
    found = diagnose(f)
    assert list(found) == ["diverged"]
    assert found["diverged"].evidence == f"{where}; train_loss was 0.624 after epoch 1"
    assert tried(found["diverged"]) == ["optimizer.lr=0.3", "optimizer.lr=0.9"]
    raw = findings(status=DIVERGED, config={"data.standardize": False}, options={"init": "normal"})
    assert tried(learning.diverged(raw)) == [
        "data.standardize=true",
        "optimizer.lr=0.0001",
        "optimizer.lr=0.0003",
        "init=he",
    ]
    assert learning.diverged(findings()) is None


@pytest.mark.parametrize(("rise", "sick"), [(0.49, False), (0.51, True)])
def test_learning_rate_too_high_by_a_rise(rise: float, sick: bool) -> None:
    train = [0.9, 0.4, 0.3, 0.3 + rise, 0.25, 0.2, 0.18, 0.15]
    found = learning.learning_rate_too_high(findings(train))
    assert bool(found) == sick
    if found:
        assert "in epoch 4, after 0.3" in found.evidence
        assert tried(found) == ["optimizer.lr=0.0001", "optimizer.lr=0.0003"]


@pytest.mark.parametrize(("jitter", "sick"), [(0.049, False), (0.051, True)])
def test_learning_rate_too_high_by_its_jitter(jitter: float, sick: bool) -> None:
    a = jitter * 0.6745 * math.sqrt(6) / 4  # see the noise of an alternating curve
    train = [0.5] + [0.3 - a, 0.3 + a] * 10
    assert bool(learning.learning_rate_too_high(findings(train))) == sick


@pytest.mark.parametrize(("size", "rule"), [(8, "noisy_gradient"), (9, "learning_rate_too_high")])
def test_a_tiny_batch_is_suspected_first(size: int, rule: str) -> None:
    train = [0.5, 0.2, 0.9, 0.2, 0.9, 0.2]
    rows = [layer("hidden.1", 6, grad_noise=400.0)]
    f = findings(train, config={"batching.batch_size": size}, layers=rows)
    found = diagnose(f)
    assert list(found) == [rule]
    if rule == "noisy_gradient":
        assert "noise scale is 400 rows" in found[rule].evidence
        assert tried(found[rule])[0] == "batching.batch_size=32"


def test_learning_rate_too_low() -> None:
    train = [1.0 - 0.01 * i for i in range(12)]
    found = diagnose(findings(train))
    assert list(found) == ["learning_rate_too_low"]
    assert tried(found["learning_rate_too_low"]) == [
        "optimizer.lr=0.01",
        "trainer.max_epochs=80",
    ]


@pytest.mark.parametrize(
    "train",
    [
        [0.6 - 0.01 * i for i in range(12)],  # below POOR at the end
        [0.6 + 0.4 * 0.5**i for i in range(12)],  # at rest
        [0.9] * 12,  # flat
    ],
)
def test_learning_rate_not_too_low(train: list[float]) -> None:
    assert learning.learning_rate_too_low(findings(train)) is None


@pytest.mark.parametrize(("step", "sick"), [(0.008, False), (0.0115, True)])
def test_too_few_epochs(step: float, sick: bool) -> None:
    """The last 5 of 12 epochs bring 4 steps: 10 % of .4 is between 4 * .008 and 4 * .0115."""
    start = 0.4 + 7 * step
    train = [start - step * i for i in range(12)]
    found = learning.too_few_epochs(findings(train))
    assert bool(found) == sick
    if found:
        assert tried(found) == ["trainer.max_epochs=60", "optimizer.lr=0.003"]


def test_more_epochs_are_not_asked_for_when_it_is_good_enough_or_stopped() -> None:
    train = [0.1 - 0.005 * i for i in range(12)]  # falls to .045
    assert learning.too_few_epochs(findings(train)) is None
    falling = [0.5 - 0.02 * i for i in range(12)]
    assert learning.too_few_epochs(findings(falling))
    assert learning.too_few_epochs(findings(falling, status=EARLY_STOPPED)) is None


def test_stopped_too_early_by_patience() -> None:
    train = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    val = [0.9, 0.82, 0.7, 0.62, 0.5, 0.51]
    config = {"stopping.patience": 1}
    found = learning.stopped_too_early(findings(train, val, status=EARLY_STOPPED, config=config))
    assert tried(found) == ["stopping.patience=10"]
    far = [*val[:-1], 0.7]
    assert not learning.stopped_too_early(findings(train, far, status=EARLY_STOPPED, config=config))
    resting = [*train[:-2], 0.5, 0.4951]  # less than 1 % in the last epoch
    assert not learning.stopped_too_early(
        findings(resting, val, status=EARLY_STOPPED, config=config)
    )
    assert not learning.stopped_too_early(findings(train, val, config=config))


@pytest.mark.parametrize(("patience", "sick"), [(5, True), (6, False)])
def test_a_long_patience_is_not_too_short(patience: int, sick: bool) -> None:
    train = [0.9 - 0.05 * i for i in range(13)]
    val = [0.9 - 0.05 * i for i in range(13 - patience)] + [0.9 - 0.05 * (12 - patience)] * patience
    f = findings(train, val, status=EARLY_STOPPED, config={"stopping.patience": patience})
    assert bool(learning.stopped_too_early(f)) == sick


def test_stopped_too_early_by_min_delta() -> None:
    train = [1.0, 0.8, 0.78, 0.76, 0.74, 0.72]
    config = {"stopping.patience": 4, "stopping.min_delta": 0.2}
    found = learning.stopped_too_early(findings(train, status=EARLY_STOPPED, config=config))
    assert tried(found) == ["stopping.min_delta=0"]
    risen = [1.0, 0.7, 0.78, 0.76, 0.74, 0.72]  # the best is before the waiting
    f = findings(train, risen, status=EARLY_STOPPED, config=config | {"stopping.patience": 4})
    assert not (found := learning.stopped_too_early(f)) or "min_delta" not in found.name


@pytest.mark.parametrize(("end", "sick"), [(0.36 * 1.19, False), (0.36 * 1.21, True)])
def test_over_fitting_by_a_rise(end: float, sick: bool) -> None:
    train = [0.5, 0.4, 0.35, 0.3, 0.25, 0.2, 0.2, 0.2]
    val = [0.6, 0.45, 0.36, 0.38, 0.4, end, end, end]
    found = capacity.over_fitting(findings(train, val))
    assert bool(found) == sick
    if found:
        assert found.name == "over-fitting since epoch 3"
        assert tried(found) == ["reg=dropout", "reg=l2", "'model.hidden=[16,16]'"]
    dealt_with = findings(train, val, status=EARLY_STOPPED, config={"stopping.patience": 5})
    assert capacity.over_fitting(dealt_with) is None
    last = {"stopping.patience": 5, "stopping.restore_best": False}
    kept = capacity.over_fitting(findings(train, val, config=last))
    assert tried(kept)[0] == "stopping=early stopping.restore_best=true"


@pytest.mark.parametrize(("gap", "sick"), [(0.19, False), (0.21, True)])
def test_over_fitting_by_a_gap(gap: float, sick: bool) -> None:
    train = [0.5, 0.2, 0.05, 0.03, 0.02]
    val = [0.6, 0.4, 0.02 + gap + 0.03, 0.02 + gap + 0.01, 0.02 + gap]
    assert bool(capacity.over_fitting(findings(train, val))) == sick


def test_what_is_there_already_is_not_suggested() -> None:
    train, val = [0.5, 0.1, 0.02, 0.01, 0.01], [0.6, 0.4, 0.6, 0.8, 0.9]
    chosen = {"reg": "l2+dropout"}
    f = findings(train, val, options=chosen, config={"reg.dropout.p": 0.2, "model.hidden": [8]})
    assert tried(capacity.over_fitting(f)) == ["reg.dropout.p=0.5"]
    f = findings(train, val, options={"reg": "l1"}, config={"model.hidden": []})
    assert tried(capacity.over_fitting(f))[:2] == ["'reg=[l1,dropout]'", "'reg=[l1,l2]'"]


@pytest.mark.parametrize(("parameters", "sick"), [(319, True), (320, False)])
def test_under_fitting_by_few_parameters(parameters: int, sick: bool) -> None:
    f = findings(REST, parameters=parameters, config={"model.hidden": [4]})
    found = capacity.under_fitting(f)
    assert bool(found) == sick
    if found:
        assert "[4] has 319 parameters for 320 training rows" in found.evidence
        assert tried(found) == ["'model.hidden=[32]'"]


@pytest.mark.parametrize(("end", "sick"), [(0.29, False), (0.31, True)])
def test_under_fitting_is_far_from_zero(end: float, sick: bool) -> None:
    train = [end + (loss - 0.4) for loss in REST]
    f = findings(train, config={"model.activation": "identity"})
    assert bool(capacity.under_fitting(f)) == sick
    if sick:
        assert tried(capacity.under_fitting(f)) == ["model.activation=relu"]


def test_over_regularized() -> None:
    f = findings(REST, config={"reg.l1.strength": 0.1}, options={"reg": "l1"})
    found = diagnose(f)
    assert list(found) == ["over_regularized"]
    assert tried(found["over_regularized"]) == ["reg=none", "reg.l1.strength=0.001"]
    assert capacity.over_regularized(findings(REST)) is None


@pytest.mark.parametrize(("least", "sick"), [(0.949, False), (0.951, True)])
def test_chance_level(least: float, sick: bool) -> None:
    found = learning.chance_level(findings([1.0, 1.0, least, 1.0]))
    assert bool(found) == sick
    if found:
        assert tried(found) == ["optimizer.lr=0.01", "optimizer.lr=0.0001"]


@pytest.mark.parametrize(("end", "sick"), [(0.54, False), (0.56, True)])
def test_learning_rate_too_high_by_a_bad_end(end: float, sick: bool) -> None:
    train = [0.9, 0.6, 0.4, 0.45, end, end, end, end]
    assert bool(learning.learning_rate_too_high(findings(train))) == sick


def test_a_failed_run_says_why() -> None:
    found = diagnose(findings([], status="failed", reason="no space left"))
    assert "no space left" in found["failed"].evidence
