"""Data: sources against scikit-learn, the split and the standardisation."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from exprun.common.errors import UsageError
from exprun.common.streams import stream
from exprun.data import bundled, synthetic
from exprun.data.frame import Frame
from exprun.data.prepare import prepare
from exprun.data.preprocess_json import from_json, to_json
from exprun.data.scaling import Scaling
from exprun.data.split import LAST, split_rows
from exprun.data.table import Table
from exprun.data.task import Task

LOADERS = {
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------------------ bundled


@pytest.mark.parametrize("name", LOADERS)
def test_bundled_classes_are_sklearns(name):
    table, theirs = getattr(bundled, name)(), LOADERS[name]()
    assert table.name == name
    assert np.array_equal(table.features.numbers, theirs.data)
    assert np.array_equal(table.y, theirs.target)
    assert table.y.dtype == np.int64
    assert list(table.task.classes) == [str(label) for label in theirs.target_names]
    names = table.features.names
    assert len(names) == len(set(names)) == theirs.data.shape[1]


def test_bundled_diabetes_is_sklearns_unscaled():
    table, theirs = bundled.diabetes(), datasets.load_diabetes(scaled=False)
    assert np.array_equal(table.features.numbers, theirs.data)
    assert np.array_equal(table.y, theirs.target[:, None])
    assert list(table.features.names) == theirs.feature_names
    assert table.task.kind == "regression"


@pytest.mark.parametrize(
    ("name", "kind"), [("iris", "multiclass"), ("breast_cancer", "binary"), ("wine", "multiclass")]
)
def test_kind_of_task(name, kind):
    assert getattr(bundled, name)().task.kind == kind


# ------------------------------------------------------------------------------ made on the spot


@pytest.mark.parametrize("rows", [10, 101])
def test_moons_are_sklearns(rows):
    x, y = datasets.make_moons(rows, shuffle=False, noise=None)
    table = synthetic.moons(rows, 0.0, generator())
    np.testing.assert_allclose(table.features.numbers, x, atol=1e-12)
    assert np.array_equal(table.y, y)


@pytest.mark.parametrize("rows", [10, 101])
@pytest.mark.parametrize("factor", [0.3, 0.8])
def test_circles_are_sklearns(rows, factor):
    x, y = datasets.make_circles(rows, shuffle=False, noise=None, factor=factor)
    table = synthetic.circles(rows, 0.0, factor, generator())
    np.testing.assert_allclose(table.features.numbers, x, atol=1e-12)
    assert np.array_equal(table.y, y)


@pytest.mark.parametrize(("rows", "arms"), [(100, 2), (101, 3), (10, 4)])
@pytest.mark.parametrize("turns", [0.5, 2.0])
def test_spirals_turn_from_the_centre_to_radius_one(rows, arms, turns):
    table = synthetic.spirals(rows, 0.0, arms, turns, generator())
    assert table.features.numbers.shape == (rows, 2)
    sizes = np.bincount(table.y)
    assert len(sizes) == len(table.task.classes) == arms
    assert sizes.max() - sizes.min() <= 1
    for arm in range(arms):
        points = table.features.numbers[table.y == arm]
        radius = np.hypot(*points.T)
        assert (np.diff(radius) > 0).all()
        assert radius[-1] == pytest.approx(1)
        expected = 2 * math.pi * (turns * radius + arm / arms)
        np.testing.assert_allclose(points[:, 0], radius * np.cos(expected), atol=1e-12)
        np.testing.assert_allclose(points[:, 1], radius * np.sin(expected), atol=1e-12)


@pytest.mark.parametrize(
    ("make", "std"),
    [
        (lambda noise, g: synthetic.moons(4000, noise, g), 0.2),
        (lambda noise, g: synthetic.circles(4000, noise, 0.5, g), 0.2),
        (lambda noise, g: synthetic.spirals(4000, noise, 2, 1.0, g), 0.02),
    ],
    ids=["moons", "circles", "spirals"],
)
def test_noise_is_normal_and_from_the_generator(make, std):
    before = torch.get_rng_state()

    def points(scale: float, seed: int) -> np.ndarray:
        return make(scale, generator(seed)).features.numbers

    noise = points(0.2, 1) - points(0.0, 1)
    assert np.array_equal(points(0.2, 1), points(0.2, 1))
    assert not np.array_equal(points(0.2, 1), points(0.2, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert noise.std(0) == pytest.approx([std, std], rel=0.05)
    assert noise.mean(0) == pytest.approx([0, 0], abs=4 * std / math.sqrt(4000))


# ------------------------------------------------------------------------------ split


def table_of(*sizes: int, test_rows: int = 0) -> Table:
    """Classes of these sizes, mixed; one feature that numbers the rows."""
    y = np.repeat(np.arange(len(sizes)), sizes)
    y = y[torch.randperm(len(y), generator=generator(7)).numpy()]
    x = np.arange(len(y), dtype=np.float64)[:, None]
    task = Task(("class",), tuple(f"c{k}" for k in range(len(sizes))))
    return Table("made up", Frame(("row",), x), y, task, test_rows)


def numbers_table(rows: int, test_rows: int = 0) -> Table:
    rng = np.random.default_rng(0)
    return Table(
        "numbers",
        Frame(("a", "b"), rng.normal(5, 3, (rows, 2))),
        rng.normal(100, 20, (rows, 1)),
        Task(("y",)),
        test_rows,
    )


LATE_CLASS = replace(
    numbers_table(9), y=np.array([0] * 8 + [1]), task=Task(("class",), ("c0", "c1"))
)
FRACTIONS = [(0.15, 0.15), (0.2, 0.0), (0.0, 0.25), (0.0, 0.0), (0.3, 0.6)]


@pytest.mark.parametrize("fractions", FRACTIONS)
@pytest.mark.parametrize(
    "table", [table_of(50, 50, 50), table_of(90, 30, 7), numbers_table(101)], ids=str
)
def test_split_is_disjoint_complete_sorted_and_of_the_sizes_asked_for(table, fractions):
    parts = split_rows(table, *fractions, generator())
    everything = np.concatenate([parts.train, parts.val, parts.test])
    assert np.array_equal(np.sort(everything), np.arange(len(table)))
    assert len(parts.val) == round(len(table) * fractions[0])
    assert len(parts.test) == round(len(table) * fractions[1])
    assert all((np.diff(part) > 0).all() for part in (parts.train, parts.val, parts.test))


@pytest.mark.parametrize("fractions", [(0.15, 0.15), (0.3, 0.1)])
@pytest.mark.parametrize("sizes", [(50, 50, 50), (90, 30, 7), (13, 500), (11,) * 9])
def test_split_is_stratified_within_one_row_a_class(sizes, fractions):
    table = table_of(*sizes)
    parts = split_rows(table, *fractions, generator())
    for part, fraction in zip((parts.val, parts.test), fractions, strict=True):
        counts = np.bincount(table.y[part], minlength=len(sizes))
        assert np.abs(counts - np.array(sizes) * fraction).max() < 1


def test_every_part_has_every_class_though_one_is_rare():
    table = table_of(200, 3)
    parts = split_rows(table, 0.1, 0.1, generator())
    for part in (parts.train, parts.val, parts.test):
        assert set(table.y[part]) == {0, 1}


def test_split_depends_on_its_seed_alone():
    table = table_of(60, 60)
    one, same = (split_rows(table, 0.2, 0.2, stream(0, "split")) for _ in range(2))
    other = split_rows(table, 0.2, 0.2, stream(1, "split"))
    assert all(np.array_equal(getattr(one, p), getattr(same, p)) for p in ("train", "val", "test"))
    assert not np.array_equal(one.test, other.test)


def test_split_mixes_the_rows():
    """Row numbers in the test part are spread over the whole table."""
    parts = split_rows(numbers_table(1000), 0.0, 0.5, generator())
    assert parts.test.mean() == pytest.approx(499.5, abs=40)


@pytest.mark.parametrize("table", [table_of(40, 40, test_rows=20), numbers_table(80, 20)], ids=str)
def test_official_test_rows_are_the_test_part_in_their_order(table):
    parts = split_rows(table, 0.25, 0.15, generator())
    assert np.array_equal(parts.test, np.arange(60, 80))
    assert len(parts.val) == 15
    assert np.array_equal(np.sort(np.concatenate([parts.train, parts.val])), np.arange(60))


@pytest.mark.parametrize("rows", [10, 97, 1000])
def test_the_last_rows_are_those_of_scikit_learn_without_shuffling(rows):
    parts = split_rows(numbers_table(rows), 0.2, 0.1, generator(), LAST)
    rest, test = train_test_split(np.arange(rows), test_size=round(rows * 0.1), shuffle=False)
    train, val = train_test_split(rest, test_size=round(rows * 0.2), shuffle=False)
    for part, expected in zip(("train", "val", "test"), (train, val, test), strict=True):
        assert np.array_equal(getattr(parts, part), expected)


def test_the_last_rows_are_for_validation_if_the_test_rows_are_official():
    parts = split_rows(numbers_table(80, 20), 0.25, 0.15, generator(), LAST)
    assert np.array_equal(parts.val, np.arange(45, 60))
    assert np.array_equal(parts.test, np.arange(60, 80))


@pytest.mark.parametrize(
    ("table", "fractions", "words"),
    [
        (LATE_CLASS, (0.2, 0.2), "class 'c1' has no row to train on, for data.split=last"),
        (numbers_table(4), (0.1, 0.2), "only 4 row.* into 3 parts of these fractions needs more"),
        (numbers_table(3), (0.5, 0.4), "only 3 row.* into 3 parts of these fractions needs more"),
        (replace(numbers_table(50), groups=np.arange(50)), (0.2, 0.2), "keeps no groups together"),
    ],
    ids=["class at the end", "no validation row", "nothing left", "groups"],
)
def test_a_table_whose_last_rows_will_not_do_is_refused(table, fractions, words):
    with pytest.raises(UsageError, match=words):
        split_rows(table, *fractions, generator(), LAST)


@pytest.mark.parametrize(
    ("table", "fractions", "words"),
    [
        (table_of(20, 2), (0.2, 0.2), r"class 'c1' has only 2 row.*3 parts needs at least 3"),
        (table_of(20, 1), (0.2, 0.0), r"class 'c1' has only 1 row.*2 parts needs at least 2"),
        (numbers_table(2), (0.2, 0.2), r"there are only 2 row.*needs at least 3"),
        (numbers_table(50), (0.5, 0.5), r"data.val_fraction=0.5.*data.test_fraction=0.5.*below 1"),
        (numbers_table(50), (0.9, 0.3), r"below 1"),
    ],
    ids=["rare class", "rarer class", "two rows", "nothing left", "more than all"],
)
def test_a_table_that_cannot_be_split_is_refused(table, fractions, words):
    with pytest.raises(UsageError, match=words):
        split_rows(table, *fractions, generator())


# ------------------------------------------------------------------------------ preprocessing


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1.0, 1e12])
@pytest.mark.parametrize("shift", [0.0, 3.0, -1e4])
def test_standardisation_is_sklearns_whatever_the_unit(scale, shift):
    values = (np.random.default_rng(0).normal(size=(50, 3)) + shift) * scale
    expected = StandardScaler().fit_transform(values)
    np.testing.assert_allclose(Scaling.standardize(values).apply(values), expected, rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, -1e-9, 1e15])
def test_a_constant_feature_becomes_zeros_and_does_not_blow_up_new_values(value):
    values = np.full((37, 1), value)
    scaling = Scaling.standardize(values)
    assert np.abs(scaling.apply(values)).max() <= 1e-9 * max(1, abs(value))
    assert scaling.apply(values + 2.0) == pytest.approx(np.full((37, 1), 2.0))
    assert scaling.std == (1.0,)


def test_standardisation_is_fitted_on_the_training_rows_only():
    table = numbers_table(60, test_rows=20)
    x, y = table.features.numbers.copy(), table.y.copy()
    x[40:], y[40:] = 1e6, -1e6
    changed = Table("spoilt", Frame(("a", "b"), x), y, table.task, table.test_rows)
    how = {"val_fraction": 0.2, "standardize_target": True}
    before, after = prepare(table, **how), prepare(changed, **how)
    assert before.preprocessing == after.preprocessing
    assert torch.equal(before.train.x, after.train.x)
    assert torch.equal(before.val.x, after.val.x)
    assert after.test.x.min() > 1e4


def test_standardised_training_rows_have_mean_zero_and_variance_one():
    table = numbers_table(80)
    data = prepare(table, val_fraction=0.2, test_fraction=0.2, standardize_target=True)
    for values in (data.train.x, data.train.y):
        torch.testing.assert_close(values.mean(0), torch.zeros(values.shape[1]), atol=1e-6, rtol=0)
        torch.testing.assert_close(values.var(0, correction=0), torch.ones(values.shape[1]))
    assert data.val.x.mean().abs() > 1e-3


def test_validation_and_test_rows_are_scaled_like_the_training_rows():
    table = numbers_table(80)
    data = prepare(table, split_seed=4, standardize_target=True)
    parts = split_rows(table, 0.2, 0.2, stream(4, "split"))
    scaler = StandardScaler().fit(table.features.numbers[parts.train])
    target = StandardScaler().fit(table.y[parts.train])
    for part, rows in [(data.val, parts.val), (data.test, parts.test)]:
        np.testing.assert_allclose(
            part.x, scaler.transform(table.features.numbers[rows]), rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(part.y, target.transform(table.y[rows]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("standardize_target", [True, False])
def test_targets_can_be_turned_back_into_their_unit(standardize_target):
    table = numbers_table(50)
    data = prepare(table, val_fraction=0, test_fraction=0, standardize_target=standardize_target)
    target = data.preprocessing.target
    back = data.train.y.double().numpy() * target.std + target.mean
    np.testing.assert_allclose(back, table.y, rtol=1e-5)


def test_without_standardisation_inputs_are_as_they_were_read():
    table = bundled.iris()
    data = prepare(table, val_fraction=0, test_fraction=0, standardize=False)
    assert np.array_equal(data.train.x.numpy(), table.features.numbers.astype(np.float32))
    assert np.array_equal(data.train.y.numpy(), table.y)


def test_a_class_with_test_rows_only_is_refused():
    table = table_of(30, 30)
    y = np.sort(table.y)
    late = Table("late", table.features, y, table.task, test_rows=30)
    with pytest.raises(UsageError, match="class 'c1'"):
        prepare(late, val_fraction=0)


@pytest.mark.parametrize(
    "data",
    [prepare(bundled.iris()), prepare(numbers_table(40), standardize_target=True)],
    ids=["classes", "numbers"],
)
def test_preprocessing_survives_json(data):
    text = json.dumps(to_json(data.preprocessing))
    assert from_json(json.loads(text)) == data.preprocessing


def test_preprocessing_of_another_format_is_refused():
    stored = to_json(prepare(bundled.iris()).preprocessing) | {"format": 99}
    with pytest.raises(ValueError, match="format 99"):
        from_json(stored)
