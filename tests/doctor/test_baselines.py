"""Baselines against scikit-learn's, permutations and sums written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor

from exprun.doctor.baselines import (
    NEIGHBORS,
    RIDGE,
    Sample,
    association,
    compare,
    neighbors,
    paired_z,
    ridge,
)

RNG = np.random.default_rng(0)


def test_neighbors_are_those_of_scikit_learn() -> None:
    x, y, other = RNG.normal(size=(60, 3)), RNG.normal(size=(60, 2)), RNG.normal(size=(20, 3))
    for k, (own, val) in zip(NEIGHBORS, neighbors(x, y, other), strict=True):
        model = KNeighborsRegressor(k)
        assert own == pytest.approx(cross_val_predict(model, x, y, cv=LeaveOneOut()))
        assert val == pytest.approx(model.fit(x, y).predict(other))


def test_fewer_rows_than_neighbors_are_all_rows() -> None:
    x, y = RNG.normal(size=(9, 2)), RNG.normal(size=(9, 1))
    _, val = neighbors(x, y, x)[2]
    assert val == pytest.approx(np.full((9, 1), y[:8].mean()), abs=2)  # of 8 of them
    assert len({round(float(v), 9) for v in val[:, 0]}) <= 9


@pytest.mark.parametrize("shape", [(40, 5), (15, 40)])
def test_leave_one_out_of_ridge_is_that_of_refitting(shape: tuple[int, int]) -> None:
    n, _ = shape
    x = RNG.normal(size=shape)
    x -= x.mean(0)
    y = x[:, :1] + 0.1 * RNG.normal(size=(n, 1))
    own, val = ridge(x, y, x[:3])
    fits = []
    for penalty in RIDGE:
        model = Ridge(alpha=penalty * n)
        left_out = np.array(
            [
                model.fit(np.delete(x, i, 0), np.delete(y, i, 0)).predict(x[[i]]).ravel()
                for i in range(n)
            ]
        )
        fits.append((((left_out - y) ** 2).mean(), left_out, penalty))
    _, expected, penalty = min(fits, key=lambda f: f[0])
    assert own == pytest.approx(expected, abs=1e-6)
    predicted = Ridge(alpha=penalty * n).fit(x, y).predict(x[:3]).reshape(-1, 1)
    assert val == pytest.approx(predicted)


def test_association_of_classes_is_that_of_permutations() -> None:
    chosen, true = RNG.integers(0, 3, 40), RNG.integers(0, 3, 40)
    right = [(RNG.permutation(chosen) == true).sum() for _ in range(20000)]
    expected = ((chosen == true).sum() - np.mean(right)) / np.std(right)
    one_hot = np.eye(3)
    found = association(one_hot[chosen], one_hot[true], classes=True)
    assert found == pytest.approx(expected, abs=0.05)


def test_association_of_numbers_is_spearmans() -> None:
    a = RNG.integers(0, 5, size=(30, 2)).astype(float)  # with ties
    b = a + RNG.normal(size=(30, 2))
    rho = [stats.spearmanr(a[:, i], b[:, i]).statistic for i in range(2)]
    assert association(a, b, classes=False) == pytest.approx(np.mean(rho) * math.sqrt(29))


def test_a_constant_prediction_has_no_association() -> None:
    y = np.eye(2)[RNG.integers(0, 2, 30)]
    assert association(np.eye(2)[np.zeros(30, int)], y, classes=True) == 0
    assert association(np.ones((30, 1)), RNG.normal(size=(30, 1)), classes=False) == 0


def test_paired_z_is_the_t_statistic() -> None:
    d = RNG.normal(0.3, 1, 50)
    assert paired_z(d) == pytest.approx(stats.ttest_1samp(d, 0).statistic)
    assert paired_z(np.zeros(9)) == 0
    assert paired_z(np.ones(9)) == math.inf


def sample(x: np.ndarray, y: np.ndarray, predicted: np.ndarray) -> Sample:
    n = len(x) * 2 // 3
    return Sample(x[:n], y[:n], predicted[:n], x[n:], y[n:], predicted[n:], False)


def test_a_network_that_knows_nothing_is_behind_where_there_is_something_to_know() -> None:
    x = RNG.normal(size=(150, 3))
    y, nothing = x[:, :1] + 0.3 * RNG.normal(size=(150, 1)), np.zeros((150, 1))
    found = compare(sample(x, y, nothing))
    assert found is not None
    assert found.name == "a linear model"
    assert found.behind
    assert found.behind_val
    knows_all = compare(sample(x, y, x[:, :1]))
    assert knows_all is not None
    assert not knows_all.behind
    noise = compare(sample(x, RNG.normal(size=(150, 1)), nothing))
    assert noise is not None
    assert not noise.behind
    assert noise.at_chance


def test_inputs_in_other_units_are_the_same_to_the_baselines() -> None:
    x = RNG.normal(size=(150, 3))
    y = x[:, :1] + 0.3 * RNG.normal(size=(150, 1))
    a, b = (compare(sample(x * unit, y, 0 * y)) for unit in (1, np.array([1e6, 1, 1e-3])))
    assert a is not None
    assert b is not None
    assert a.baseline == pytest.approx(b.baseline)


def test_too_few_rows_tell_nothing() -> None:
    x = RNG.normal(size=(24, 3))
    assert compare(sample(x, x[:, :1], x[:, :1])) is None
