"""Rules of the doctor about layers, data, and comparison with baselines."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from exprun.doctor import data, layers, learning, overrides_to_try
from exprun.doctor.diagnose import diagnose
from exprun.doctor.findings import (
    FITTED,
    Comparison,
    DataFacts,
    Findings,
    Targets,
)
from tests.doctor.made_up import CONFIG, HEALTHY, OPTIONS, REST, findings, layer, tried

# --- the layers ---


@pytest.mark.parametrize("init", ["zeros", "constant"])
def test_symmetric_weights(init: str) -> None:
    rows = [layer("hidden.1", grad_norm=0.0), layer("output", grad_norm=0.5)]
    found = diagnose(findings([1.0] * 12, options={"init": init}, layers=rows))
    assert list(found) == ["symmetric_weights"]
    assert "before training that of hidden.1 is exactly 0" in found["symmetric_weights"].evidence
    assert tried(found["symmetric_weights"]) == ["init=he"]


def test_symmetry_that_does_no_harm_is_not_told() -> None:
    constant = {"init": "constant"}
    assert layers.symmetric_weights(findings(options=constant)) is None  # it learned
    linear = findings([1.0] * 9, options=constant, config={"model.hidden": []})
    assert layers.symmetric_weights(linear) is None  # one layer has no symmetry
    sigmoid = findings([1.0] * 9, options=constant, config={"model.activation": "tanh"})
    assert tried(layers.symmetric_weights(sigmoid)) == ["init=xavier"]


@pytest.mark.parametrize(
    ("first", "rule"),
    [(0.0099, "vanishing_gradient"), (0.0101, None), (99.0, None), (101.0, "exploding_gradient")],
)
def test_gradients_along_the_layers(first: float, rule: str | None) -> None:
    middle = math.sqrt(first)
    rows = [
        layer("hidden.1", grad_std=first),
        layer("hidden.2", grad_std=middle),
        layer("hidden.3", grad_std=1.0),
    ]
    f = findings(
        [1.1, 1.06, 1.02, 1.0, 0.99, 0.99],
        layers=rows,
        config={"model.activation": "sigmoid"},
    )
    found = {
        r.__name__: d for r in (layers.vanishing_gradient, layers.exploding_gradient) if (d := r(f))
    }
    assert list(found) == ([rule] if rule else [])
    if rule:
        evidence = found[rule].evidence
        assert f"hidden.1 is {first:.2g} times that of hidden.3" in evidence
        assert f"times {middle:.2g} per layer" in evidence
        assert tried(found[rule])[0] == "init=xavier"
    learned = findings(HEALTHY, layers=rows)
    assert diagnose(learned) == {}


@pytest.mark.parametrize(("share", "sick"), [(0.49, False), (0.5, True)])
def test_dead_units(share: float, sick: bool) -> None:
    rows = [
        layer("hidden.1", 0, dead=0.0),
        layer("hidden.2", 0, dead=0.1),
        layer("hidden.1", 9, dead=0.2),
        layer("hidden.2", 9, dead=share),
        layer("output", 9, dead=None),
    ]
    found = layers.dead_units(findings([0.8] * 9, layers=rows))
    assert bool(found) == sick
    if found:
        expected = "50% of the units of hidden.2 are dead after epoch 9, 10% before training"
        assert found.evidence == expected
        assert tried(found) == ["optimizer.lr=0.0001", "model.activation=leaky_relu", "norm=batch"]


@pytest.mark.parametrize(("share", "sick"), [(0.49, False), (0.5, True)])
def test_saturated_units(share: float, sick: bool) -> None:
    rows = [layer("hidden.1", 0, saturated=share, pre_std=8.0), layer("hidden.1", 9, saturated=0.3)]
    f = findings([0.8] * 9, layers=rows, config={"model.activation": "tanh"})
    found = layers.saturated_units(f)
    assert bool(found) == sick
    if found:
        assert "50% of the activations of hidden.1 are saturated before training" in found.evidence
        assert "±8" in found.evidence
        assert tried(found) == ["init=xavier", "model.activation=relu init=he", "norm=batch"]


@pytest.mark.parametrize(("least", "sick"), [(FITTED - 0.001, False), (FITTED + 0.001, True)])
def test_what_has_learned_is_not_ill(least: float, sick: bool) -> None:
    rows = [layer("hidden.1", 9, dead=0.9)]
    assert bool(layers.dead_units(findings([0.8, 0.5, least], layers=rows))) == sick


# --- the data ---


@pytest.mark.parametrize(
    ("scales", "sick"),
    [
        ({"a": 1.0, "b": 29.9}, False),
        ({"a": 1.0, "b": 30.1}, True),
        ({"a": 0.101, "b": 0.05}, False),
        ({"a": 0.099, "b": 0.05}, True),
        ({"a": 0.1, "b": 0.1, "c": 9.9}, False),
        ({"a": 0.1, "b": 0.1, "c": 10.1}, True),
        ({"a": 0.0, "b": 1.0}, False),  # a constant column
        ({}, False),
    ],
)
def test_inputs_not_standardized(scales: dict[str, float], sick: bool) -> None:
    f = findings(data=DataFacts(300, (0.5, 0.5), scales), config={"data.standardize": False})
    found = data.inputs_not_standardized(f)
    assert bool(found) == sick
    if found:
        assert tried(found) == ["data.standardize=true"]


@pytest.mark.parametrize(
    ("shares", "recall", "sick"),
    [
        ((0.9, 0.1), (1.0, 0.61), False),  # accuracy .961, balanced .805: .156 apart
        ((0.9, 0.1), (1.0, 0.0), True),
        ((0.74, 0.26), (1.0, 0.0), False),  # the majority has less than 1.5 / 2
        ((0.76, 0.24), (1.0, 0.0), True),
        ((0.9, 0.1), (1.0, None), False),  # no row of the small class to look at
    ],
)
def test_class_imbalance(
    shares: tuple[float, ...], recall: tuple[float | None, ...], sick: bool
) -> None:
    facts = DataFacts(300, shares, recall=recall)
    found = data.class_imbalance(findings(data=facts))
    if recall == (1.0, 0.61):  # just above the threshold of .15; .63 is below
        assert found is not None
        facts = DataFacts(300, shares, recall=(1.0, 0.63))
        found = data.class_imbalance(findings(data=facts))
    assert bool(found) == sick


def test_class_imbalance_names_both_accuracies() -> None:
    facts = DataFacts(300, (0.9, 0.1), recall=(1.0, 0.0))
    found = data.class_imbalance(findings(data=facts, config={"loss.class_weight": None}))
    assert found is not None
    assert "accuracy is about 0.900, balanced accuracy 0.500" in found.evidence
    assert tried(found) == ["loss.class_weight=balanced"]


# --- beside baselines ---

COMPARED = Comparison(
    name="a linear model", trivial=0.5, model=0.3, baseline=0.1, z=5.0, model_val=0.3,
    baseline_val=0.3, z_val=0.0, association=4.0, attainable=8.0, rows=60,
)  # fmt: skip


SHARES = (0.5, 0.5)


def beside(**changes: Any) -> DataFacts:
    return DataFacts(300, SHARES, compared=replace(COMPARED, **changes))


@pytest.mark.parametrize(
    ("changes", "sick"),
    [
        ({}, True),
        ({"z": 2.5}, False),  # may be luck
        ({"baseline": 0.28, "z": 9.0}, False),  # certain, and a trifle: .02 of .22
        ({"model": 0.09, "z": -1.0}, False),
    ],
)
def test_noise_that_no_baseline_predicts_is_no_illness(
    changes: dict[str, float], sick: bool
) -> None:
    """A loss at rest at .4, with each of what used to be blamed for it."""
    facts = beside(**changes)
    penalty = findings(REST, config={"reg.l1.strength": 0.1}, options={"reg": "l1"}, data=facts)
    few = findings(REST, parameters=9, config={"model.hidden": [4]}, data=facts)
    dead = findings(REST, layers=[layer("hidden.1", 9, dead=0.9)], data=facts)
    jumping = findings([0.5] + [0.4, 0.6] * 6, data=facts)
    for f in (penalty, few, dead, jumping):
        assert bool(diagnose(f)) == sick


def test_what_is_seen_and_not_explained_is_told_last() -> None:
    facts = beside()
    found = diagnose(findings(REST, data=facts))
    assert list(found) == ["behind_baseline"]
    assert "30.0% of the rows are wrong, 10.0% by a linear model" in found[
        "behind_baseline"
    ].evidence  # fmt: skip
    assert diagnose(findings(REST, data=beside(model=0.2))) == {}  # a quarter of the gain


@pytest.mark.parametrize(
    ("association", "attainable", "sick"),
    [(1.9, 2.9, True), (2.1, 2.9, False), (1.9, 3.1, False)],
)
def test_nothing_to_learn(association: float, attainable: float, sick: bool) -> None:
    facts = beside(association=association, attainable=attainable)
    jumping = [0.5, 0.9, 1.5, 0.6, 1.6, 0.4, 1.2, 0.5]
    found = diagnose(findings(jumping, data=facts))
    assert ("nothing_to_learn" in found) == sick
    if sick:  # and no learning rate is blamed
        assert list(found) == ["nothing_to_learn"]


@pytest.mark.parametrize(("largest", "sick"), [(0.49, False), (0.51, True)])
def test_target_outlier(largest: float, sick: bool) -> None:
    facts = DataFacts(300, targets=Targets(0.1, 1.0, largest, 1e6))
    rows = [{"train_r2": 0.0, "val_r2": -5.0}] * 8
    f = Findings(CONFIG, OPTIONS, classes=0, curve=rows, data=facts)
    found = data.target_outlier(f)
    assert bool(found) == sick
    if found:
        assert "1e+06" in found.evidence
        assert found.suggestions[0].metric == "val_mae"


@pytest.mark.parametrize(
    ("distance", "p", "association", "sick"),
    [(0.9, 1e-9, 0.0, True), (0.3, 1e-9, 0.0, False), (0.9, 1e-3, 0.0, False),
     (0.9, 1e-9, 5.0, False)],
)  # fmt: skip
def test_ordered_rows(distance: float, p: float, association: float, sick: bool) -> None:
    facts = replace(beside(association=association), targets=Targets(distance, p))
    f = findings(data=facts, config={"data.split": "last"})
    found = data.ordered_rows(f)
    assert bool(found) == sick
    if found:
        assert tried(found) == ["data.split=random"]


def test_a_weighted_loss_is_judged_by_its_own_curve() -> None:
    """9 % positives, balanced: the weighted chance loss is ln 2, the unweighted one .30."""
    shares, weights = (0.91, 0.09), (0.5 / 0.91, 0.5 / 0.09)
    facts = DataFacts(300, shares, class_weight=weights)
    config = {"loss.class_weight": "balanced"}
    curve = [{"train_loss": 0.2 + 0.1 * i, "train_weighted_loss": 0.6 - 0.05 * i} for i in range(8)]
    f = findings(data=facts, config=config)
    assert f.chance == pytest.approx(math.log(2))
    weighted = replace(f, curve=curve)
    assert weighted.train == pytest.approx([(0.6 - 0.05 * i) / math.log(2) for i in range(8)])
    without = replace(f, curve=[{"train_loss": 0.2 + 0.1 * i} for i in range(8)])
    assert without.train == []
    assert learning.learning_rate_too_high(without) is None


@pytest.mark.parametrize(("factor", "sick"), [(0.1, True), (0.19, True), (0.21, False)])
def test_a_schedule_that_leaves_nothing(factor: float, sick: bool) -> None:
    curve = [row | {"lr": 0.001 * factor} for row in findings(REST).curve]
    f = replace(findings(REST, options={"scheduler": "step"}), curve=curve)
    assert bool(learning.decayed_schedule(f)) == sick


@pytest.mark.parametrize(
    ("lr", "usual", "smaller", "larger"),
    [
        (1e6, 0.02, "0.02", "1e+07"),
        (0.3, 0.001, "0.001", "3"),
        (0.005, 0.001, "0.0005", "0.05"),
        (1e-6, 0.001, "1e-07", "0.001"),
        (2.0, None, "0.2", "20"),
    ],
)
def test_steps_go_towards_the_usual_learning_rate(
    lr: float, usual: float | None, smaller: str, larger: str
) -> None:
    f = findings(config={"optimizer.lr": lr}, usual_lr=usual)
    assert str(overrides_to_try.smaller_steps(f)[0]) == f"optimizer.lr={smaller}"
    assert str(overrides_to_try.larger_steps(f)[0]) == f"optimizer.lr={larger}"
    if usual and lr > overrides_to_try.FAR * usual:  # never further away
        assert all(float(str(s).split("=")[1]) < lr for s in overrides_to_try.other_steps(f))


def test_adam_is_not_suggested_to_adam() -> None:
    slow = [1.0 - 0.01 * i for i in range(12)]
    assert "optimizer=adam" in tried(
        learning.learning_rate_too_low(findings(slow, options={"optimizer": "sgd"}))
    )
    for adaptive in overrides_to_try.ADAPTIVE:
        f = findings(slow, options={"optimizer": adaptive})
        assert "optimizer=adam" not in tried(learning.learning_rate_too_low(f))
