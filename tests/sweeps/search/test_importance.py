"""The importance of the searched keys is Optuna's."""

from __future__ import annotations

import warnings

import numpy as np
import optuna
import pytest

from exprun.sweeps.search.distributions import Choice, Distribution, Interval
from exprun.sweeps.search.importance import importance
from exprun.sweeps.search.optuna_samplers import Told, trial_of

SPACE: dict[str, Distribution] = {
    "optimizer": Choice(("sgd", "momentum", "adam")),
    "optimizer.lr": Interval(1e-4, 1, log=True),
    "optimizer.momentum": Interval(0.5, 0.99),
    "width": Interval(1, 300, log=True, integer=True),
    "depth": Interval(1, 4, integer=True),
    "batch": Interval(8, 500, integer=True),
}


def points(count: int, seed: int) -> list[dict[str, str]]:
    """Random points, of which those with a high learning rate and Adam come first; momentum belongs
    to one optimizer alone."""
    draws = np.random.default_rng(seed)
    found = [
        {key: values.at(draws.random()) for key, values in SPACE.items()} for _ in range(count)
    ]
    found.sort(key=lambda p: (p["optimizer"] != "adam") * draws.random() - float(p["optimizer.lr"]))
    for point in found:
        if point["optimizer"] != "momentum":
            del point["optimizer.momentum"]
    return found


@pytest.mark.parametrize(("count", "seed"), [(20, 0), (30, 1), (70, 2), (400, 3), (1000, 4)])
def test_it_is_that_of_optuna(count: int, seed: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    some = points(count, seed)
    study = optuna.create_study()
    for place, point in enumerate(some):
        study.add_trial(trial_of(Told(point, (float(place),), 1, stopped=False), SPACE))
    best = max(0.1, 5 / count)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about keys that few configurations have
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=best)
        expected = optuna.importance.get_param_importances(study, evaluator=evaluator)
    found = importance(some, SPACE)
    assert found == pytest.approx({k: v for k, v in expected.items() if k in found}, rel=1e-9)
    assert all(v == 0 for k, v in expected.items() if k not in found)
    assert list(found) == sorted(found, key=found.__getitem__, reverse=True)
    assert sum(found.values()) == pytest.approx(1)


def test_what_is_the_same_in_all_sets_nothing_apart() -> None:
    space: dict[str, Distribution] = {"a": Choice(("x", "y")), "b": Interval(0, 1)}
    assert importance([{"a": "x", "b": "0.5"}] * 5, space) == {}
