"""Optuna's samplers: what they are told, and that a resumed search asks for the same."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
from optuna.trial import TrialState

from exprun.cli import main
from exprun.common.errors import UsageError
from exprun.sweeps.search import optuna_samplers
from exprun.sweeps.search.distributions import Choice, Interval
from exprun.sweeps.search.optuna_samplers import (
    ADAPTIVE,
    Told,
    ask,
    check_installed,
    trial_of,
)
from exprun.sweeps.search.space import Space

SPACE = Space(
    {"lr": Interval(1e-4, 1, log=True), "n": Interval(1, 9, integer=True), "c": Choice(("a", "b"))},
    ((),),
)

TPE = ["-m", "hydra/sweeper=search", "hydra.sweeper.sampler=tpe", "hydra.sweep.dir=sweep"]
TPE = [*TPE, "data=iris", "model.hidden=[8]"]


def told() -> list[Told]:
    """The better the nearer to lr = 0.01; every third was stopped, one diverged."""
    grid = itertools.product((1e-4, 1e-3, 8e-3, 0.01, 0.02, 0.1, 1.0), (2, 7), "ab")
    costs = [
        Told(
            {"lr": f"{lr:g}", "n": str(n), "c": c},
            (abs(math.log10(lr) + 2),),
            9,
            stopped=i % 3 == 2,
        )
        for i, (lr, n, c) in enumerate(grid)
    ]
    return [*costs, Told({"lr": "0.5", "c": "a"}, (math.inf,), 1, stopped=True)]


@pytest.mark.parametrize("sampler", ADAPTIVE)
def test_points_lie_in_the_space_and_follow_from_what_is_told(sampler: str) -> None:
    first, again = (list(itertools.islice(ask(SPACE, sampler, 3, told()), 2)) for _ in range(2))
    assert first == again
    for point in first:
        assert 1e-4 <= float(point["lr"]) <= 1
        assert 1 <= int(point["n"]) <= 9
        assert point["c"] in ("a", "b")
        assert len(point["lr"].replace(".", "").strip("0")) <= 4


@pytest.mark.parametrize(
    ("sampler", "count", "most"),
    [("tpe", 60, 0.85), ("gp", 2, 0.3), ("cmaes", 40, 0.5), ("nsga", 60, 0.85)],
)
def test_they_look_where_it_is_better(sampler: str, count: int, most: float) -> None:
    """The mean distance from the best learning rate, in decades; that of random points is 1."""
    points = itertools.islice(ask(SPACE, sampler, 0, told()), count)
    distances = [abs(math.log10(float(point["lr"])) + 2) for point in points]
    assert sum(distances) / count < most


def test_what_optuna_is_told() -> None:
    trials = [trial_of(one, SPACE.searched) for one in told()]
    states = [trial.state for trial in trials]
    assert states[:3] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED]
    assert trials[2].intermediate_values == {9: pytest.approx(2.0)}
    assert states[-1] == TrialState.FAIL
    assert trials[-1].params == {"lr": 0.5, "c": "a"}
    assert trials[0].params == {"lr": 1e-4, "n": 2, "c": "a"}
    several = trial_of(Told({"c": "a"}, (1.0, 2.0), 9, stopped=True), SPACE.searched)
    assert (several.state, several.values) == (TrialState.COMPLETE, [1.0, 2.0])


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(optuna_samplers.NEEDED, "tpe", ["optuna", "no_such_package"])
    with pytest.raises(UsageError, match=r"no_such_package is not installed; expected pip install"):
        check_installed("tpe")


def test_a_search_asks_in_batches_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked in the later batches is asked again after their jobs were lost."""
    monkeypatch.chdir(tmp_path)
    words = ["optimizer=sgd,adam", "optimizer.lr=tag(log,interval(1e-3,1))", "seed=0,1"]
    assert main([*TPE, "trainer.max_epochs=3", "hydra.sweeper.n_trials=13", *words]) == 0
    sweep, found = Path("sweep/sweep.json"), json.loads(Path("sweep/search.json").read_text())
    sizes = [len(r["configurations"]) for r in found["rungs"] if r["number"] == 1]
    assert sizes == [6, 7]
    content = json.loads(sweep.read_text())
    first = next(
        i for i, job in enumerate(content["jobs"]) if i >= 6 and "seed=0" in job["overrides"]
    )
    sweep.write_text(json.dumps(content | {"jobs": content["jobs"][:first]}))
    assert main(["resume", "sweep"]) == 0
    again = json.loads(sweep.read_text())["jobs"]
    assert [job["overrides"] for job in again] == [job["overrides"] for job in content["jobs"]]
    assert json.loads(Path("sweep/search.json").read_text()) == found


def test_a_space_may_have_fewer_configurations_than_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*TPE, "trainer.max_epochs=1", "optimizer=sgd,adam,momentum"]) == 0
    found = json.loads(Path("sweep/search.json").read_text())
    assert len(found["finalists"]) == 3
    assert json.loads(Path("sweep/sweep.json").read_text())["search"]["exhausted"]
    assert main(["resume", "sweep"]) == 0
    assert json.loads(Path("sweep/search.json").read_text()) == found


def test_each_batch_may_have_several_brackets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No job is asked for that no bracket trains."""
    monkeypatch.chdir(tmp_path)
    words = ["hydra.sweeper.stop=hyperband", "optimizer.lr=tag(log,interval(1e-3,1))", "seed=0,1"]
    assert main([*TPE, "trainer.max_epochs=3", "hydra.sweeper.n_trials=8", *words]) == 0
    jobs = json.loads(Path("sweep/sweep.json").read_text())["jobs"]
    found = [json.loads(Path("sweep", job["folder"], "result.json").read_text()) for job in jobs]
    assert {result["status"] for result in found} <= {"completed", "stopped"}
    assert len(json.loads(Path("sweep/search.json").read_text())["finalists"]) >= 4
