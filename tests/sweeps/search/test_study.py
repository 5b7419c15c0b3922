"""A search as a study of Optuna, and searches with several objectives."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from exprun.cli import main
from exprun.sweeps import ledger
from exprun.sweeps.search.timings import seconds_per_epoch

SEARCH = ["-m", "hydra/sweeper=search", "data=iris", "device=cpu", "stopping=none", "seed=0,1"]
SEARCH = [*SEARCH, "trainer.max_epochs=4", "hydra.sweeper.reduction_factor=2"]
KEYS = ["optimizer.lr=tag(log,interval(1e-4,1))", "model.hidden=[4],[16],[64]"]


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def search(folder: Path, *words: str) -> Any:
    assert main([*SEARCH, *KEYS, f"hydra.sweep.dir={folder}", *words]) == 0
    return json.loads((folder / "search.json").read_text())


def study_in(path: Path) -> optuna.Study:
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    return optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(backend))


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A search for a good small network."""
    folder = tmp_path_factory.mktemp("front") / "sweep"
    return folder, search(folder, "hydra.sweeper.metric=[val_accuracy,parameters]")


def test_the_front_and_its_best(front: tuple[Path, Any], capsys: Any) -> None:
    """Every figure is read again from the jobs; no finalist dominates a member of the front."""
    folder, found = front
    assert found["metrics"] == ["val_accuracy", "parameters"]
    scores = {tuple(own["overrides"]): own["scores"] for own in found["finalists"]}
    members = [tuple(words) for words in found["front"]]
    for words, (accuracy, size) in scores.items():
        better = [a >= accuracy and s <= size and (a, s) != (accuracy, size)
                  for a, s in scores.values()]  # fmt: skip
        assert (words in members) == (not any(better))
    chosen = tuple(found["chosen"]["overrides"])
    assert scores[chosen][0] == max(scores[words][0] for words in members)
    sizes = {json.loads(file.read_text())["parameters"] for file in folder.glob("*/result.json")}
    assert {own["scores"][1] for own in found["rungs"][0]["configurations"]} == sizes
    assert len(sizes) == 3
    assert main(["resume", str(folder), "--more", "1"]) == 0
    said = capsys.readouterr().out
    assert f"the others on the Pareto front of {', '.join(found['metrics'])}" in said
    assert "at the best epoch by val_accuracy; the lines of the jobs" in " ".join(said.split())


def test_objectives_belong_to_one_epoch(front: tuple[Path, Any]) -> None:
    """That of the best first objective, so that a single model has them."""
    folder = Path("sweep")
    found = search(folder, "hydra.sweeper.metric=[val_loss,val_accuracy]", "seed=0", "model=mlp")
    jobs = {tuple(j["overrides"]): folder / j["folder"] for j in ledger.read(folder)["jobs"]}
    for own in found["finalists"]:
        [job] = [at for words, at in jobs.items() if set(own["overrides"]) < set(words)]
        names, *rows = (line.split(",") for line in (job / "metrics.csv").read_text().splitlines())
        table = [dict(zip(names, row, strict=True)) for row in rows]
        best = min(table, key=lambda row: float(row["val_loss"]))
        expected = [float(best["val_loss"]), float(best["val_accuracy"])]
        assert own["scores"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sampler", ["nsga", "tpe"])
def test_samplers_with_several_objectives(sampler: str) -> None:
    words = [f"hydra.sweeper.sampler={sampler}", "hydra.sweeper.n_trials=8", "seed=0"]
    found = search(Path("sweep"), "hydra.sweeper.metric=[val_loss,parameters]", *words)
    assert sum(len(r["configurations"]) for r in found["rungs"] if r["number"] == 1) == 8


def test_an_exported_study(front: tuple[Path, Any], capsys: Any) -> None:
    folder, found = front
    assert main(["export", str(folder), "--format", "optuna"]) == 0
    path = folder / "exported" / "study.log"
    assert str(path) in capsys.readouterr().out
    study = study_in(path)
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert len(study.trials) == 48
    finalists = {tuple(own["overrides"]): own["scores"] for own in found["finalists"]}
    jobs = {job["folder"]: job["overrides"] for job in ledger.read(folder)["jobs"]}
    for trial in study.trials:
        words = jobs[trial.user_attrs["jobs"][0]]
        assert {f"{key}={value:.12g}" if isinstance(value, float) else f"{key}={value}"
                for key, value in trial.params.items()} < set(words)  # fmt: skip
        own = tuple(word for word in words if not word.startswith("seed="))
        if own in finalists:
            assert trial.values == finalists[own]


def test_stopped_configurations_are_pruned_trials(capsys: Any) -> None:
    found = search(Path("sweep"), "hydra.sweeper.n_trials=8", "optimizer=sgd,adam")
    assert main(["export", "sweep", "--format", "optuna", "-o", "own.log"]) == 0
    study = study_in(Path("own.log"))
    states = [trial.state for trial in study.trials]
    assert states.count(TrialState.COMPLETE) == len(found["finalists"])
    assert found["importance"] == {}  # of too few
    assert states.count(TrialState.PRUNED) == 8 - len(found["finalists"])
    assert study.best_value == pytest.approx(found["chosen"]["scores"][0], rel=1e-15)
    assert main(["export", "sweep", "--format", "optuna", "-o", "own.onnx"]) == 2
    assert "own.onnx" in capsys.readouterr().err


def test_only_a_search_is_a_study(capsys: Any) -> None:
    main(["-m", "data=iris", "trainer.max_epochs=1", "seed=0,1", "hydra.sweep.dir=sweep"])
    capsys.readouterr()
    for folder in ("sweep", next(Path("sweep").glob("000*")), "no"):
        assert main(["export", str(folder), "--format", "optuna"]) == 2
        error = capsys.readouterr().err
        assert str(folder) in error
        assert error.count("\n") == 1
    assert not list(Path().rglob("study.log"))


def test_importance_is_that_of_the_order_in_which_the_search_left_them(
    front: tuple[Path, Any],
) -> None:
    """Compared with a study built by hand from ``search.json``: those that came further, and those
    of a better rank in the same rung, are better."""
    _, found = front
    order: dict[tuple[str, ...], None] = {}
    for configurations in (
        found["finalists"],
        *(r["configurations"] for r in found["rungs"][::-1]),
    ):
        order |= dict.fromkeys(tuple(own["overrides"]) for own in configurations)
    ranges = {
        "optimizer.lr": optuna.distributions.FloatDistribution(1e-4, 1, log=True),
        "model.hidden": optuna.distributions.CategoricalDistribution(["[4]", "[16]", "[64]"]),
    }
    study = optuna.create_study()
    for place, words in enumerate(order):
        values: dict[str, Any] = dict(word.split("=") for word in words)
        params = {
            "optimizer.lr": float(values["optimizer.lr"]),
            "model.hidden": values["model.hidden"],
        }
        trial = optuna.trial.create_trial(params=params, distributions=ranges, value=float(place))
        study.add_trial(trial)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=5 / 48)
    expected = optuna.importance.get_param_importances(study, evaluator=evaluator)
    assert len(order) == 48
    assert found["importance"] == pytest.approx(expected)


def test_the_plan_has_the_time_of_an_earlier_sweep(front: tuple[Path, Any], capsys: Any) -> None:
    folder, _ = front
    damaged = folder.with_name("damaged")
    damaged.mkdir()
    (damaged / "sweep.json").write_text("{")
    search(folder.with_name("again"), "hydra.sweeper.n_trials=4", "seed=0")
    said = capsys.readouterr().out
    assert f"ms an epoch in {os.path.relpath(folder)}" in said
    content = ledger.read(folder)
    shared = ledger.shared_words([job["overrides"] for job in content["jobs"]])
    searched = ["optimizer.lr", "model.hidden"]
    seconds, source = seconds_per_epoch(damaged, shared, searched) or (0.0, None)
    assert seconds > 0
    assert source in (folder, folder.with_name("again"))
    assert seconds_per_epoch(damaged, {*shared, "batching.batch_size=16"}, searched) is None
    assert seconds_per_epoch(damaged, shared, ["optimizer.lr"]) is None
