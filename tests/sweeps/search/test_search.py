"""Searches run by the real command."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import signal
import statistics
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exprun.cli import main
from exprun.commands.best_job import best_job
from exprun.common.errors import UsageError
from exprun.sweeps import ledger
from exprun.sweeps.comparison.notes import on_search
from exprun.sweeps.read_results import read_results
from tests.command import EXPRUN

SEARCH = ["-m", "hydra/sweeper=search", "data=iris", "model.hidden=[8]", "device=cpu"]
SMALL = [*SEARCH, "trainer.max_epochs=9", "stopping=none", "hydra.sweeper.n_trials=9"]
SPACE = ["optimizer=sgd,adam,momentum", "optimizer.lr=tag(log,interval(1e-3,1))"]
SEEDS = "seed=range(3)"


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def results(sweep: Path) -> dict[str, dict[str, Any]]:
    """The results of a search's jobs by their overrides."""
    jobs = load(sweep / "sweep.json")["jobs"]
    return {" ".join(job["overrides"]): load(sweep / job["folder"] / "result.json") for job in jobs}


def curve(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["val_loss"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    words = [*SMALL, *SPACE, SEEDS, "hydra.sweep.dir=sweep"]
    done = subprocess.run(
        [*EXPRUN, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (folder / "said").write_text(done.stdout)
    return folder / "sweep"


def test_the_decisions_follow_from_the_curves(searched: Path) -> None:
    """Every rung is judged again from ``metrics.csv`` alone."""
    found = load(searched / "search.json")
    folders = {" ".join(job["overrides"]): searched / job["folder"] for job in jobs_of(searched)}
    assert [(r["epochs"], r["repetitions"]) for r in found["rungs"]] == [(1, 1), (3, 2), (9, 3)]
    assert [len(r["configurations"]) for r in found["rungs"]] == [9, 3, 3]
    alive = None
    for rung in found["rungs"]:
        scores = {}
        for entry in rung["configurations"]:
            words = " ".join(entry["overrides"])
            curves = [curve(folders[f"{words} seed={s}"]) for s in range(rung["repetitions"])]
            scores[words] = statistics.fmean(min(c[: rung["epochs"]]) for c in curves)
            assert entry["scores"] == [pytest.approx(scores[words], rel=1e-12)]
        ranked = [" ".join(entry["overrides"]) for entry in rung["configurations"]]
        assert ranked == sorted(scores, key=scores.__getitem__)
        assert alive is None or set(ranked) == set(alive)
        alive = ranked[: rung["kept"]]
    assert alive
    assert " ".join(found["chosen"]["overrides"]) == alive[0]


def jobs_of(sweep: Path) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = load(sweep / "sweep.json")["jobs"]
    return jobs


def test_what_was_stopped_says_so_and_is_not_tested(searched: Path) -> None:
    rungs = load(searched / "search.json")["rungs"]
    stopped = [r for r in results(searched).values() if r["status"] == "stopped"]
    assert len(stopped) == 6
    assert {(result["rung"], result["epochs"]) for result in stopped} == {(1, 1)}
    assert sorted(result["rank"] for result in stopped) == [4, 5, 6, 7, 8, 9]
    assert stopped[0]["reason"].startswith("stopped at rung 1 of 3 (epoch 1): rank ")
    assert not any(name.startswith("test_") for r in stopped for name in r["metrics"])
    assert rungs[0]["kept"] == 3


def test_pauses_change_no_bit(searched: Path) -> None:
    """The chosen configuration, trained by itself without a pause, has the same files."""
    words = load(searched / "search.json")["chosen"]["overrides"]
    assert main([*words, "seed=2", "hydra.run.dir=alone"]) == 0
    folder = next(
        searched / j["folder"] for j in jobs_of(searched) if j["overrides"] == [*words, "seed=2"]
    )
    for name in ("metrics.csv", "model.safetensors"):
        assert (Path("alone") / name).read_bytes() == (folder / name).read_bytes()
    assert load(Path("alone/result.json"))["metrics"] == load(folder / "result.json")["metrics"]


def test_a_killed_search_goes_on_to_the_same_decisions(searched: Path, tmp_path: Path) -> None:
    words = [*SMALL, *SPACE, SEEDS, "hydra.sweep.dir=sweep", "hydra.launcher.workers=1"]
    process = subprocess.Popen([*EXPRUN, *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if line.startswith("rung 1/3"):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert main(["resume", "sweep"]) == 0
    assert load(Path("sweep/search.json")) == load(searched / "search.json")
    again = (searched / "sweep.json").read_text()
    assert main(["resume", str(searched)]) == 0
    assert (searched / "sweep.json").read_text() == again


def test_more_of_the_stopped_ones_are_trained(searched: Path, capsys: Any) -> None:
    before = load(searched / "search.json")
    assert main(["resume", str(searched), "--more", "2"]) == 0
    after = load(searched / "search.json")
    ranked = before["rungs"][0]["configurations"]
    thawed = [entry["overrides"] for entry in ranked[3:5]]
    assert len(after["finalists"]) == 5
    assert all(w in [entry["overrides"] for entry in after["finalists"]] for w in thawed)
    assert after["rungs"] == before["rungs"]
    done = results(searched)
    for own in thawed:
        assert [done[" ".join([*own, f"seed={s}"])]["epochs"] for s in range(3)] == [9, 9, 9]


def test_fresh_seeds_confirm_the_choice(searched: Path, capsys: Any) -> None:
    said = (searched.parent / "said").read_text()
    line = next(line for line in said.splitlines() if line.startswith("confirm "))
    words = shlex.split(line)[2:]
    assert words[-1] == "seed=range(100,110)"
    words = [word.replace("sweep.into=sweep", f"sweep.into={searched}") for word in words]
    before = load(searched / "search.json")
    assert main([*words[:-1], "seed=100,101"]) == 0
    assert "fresh   test_accuracy" in capsys.readouterr().out
    after = load(searched / "search.json")
    assert after["rungs"] == before["rungs"]
    assert len(after["confirmed"]["figures"]) == 2


@pytest.mark.parametrize("stop", ["none", "hyperband", "median"])
def test_other_rules(stop: str) -> None:
    words = [*SMALL, *SPACE, f"hydra.sweeper.stop={stop}", "hydra.sweep.dir=sweep"]
    assert main([*words, "seed=0,1"]) == 0
    found = load(Path("sweep/search.json"))
    assert found["chosen"]["overrides"] == found["finalists"][0]["overrides"]
    assert (found["epochs"] == found["grid_epochs"]) == (stop == "none")
    tested = [own["metrics"]["test_accuracy"] for own in results(Path("sweep")).values()
              if own["overrides"][:-1] == found["chosen"]["overrides"]]  # fmt: skip
    assert found["chosen"]["test"]["figures"] == tested


def test_a_key_of_one_option_is_searched_for_it_alone() -> None:
    words = [*SEARCH, "trainer.max_epochs=1", "hydra.sweep.dir=sweep", "hydra.sweeper.n_trials=5"]
    assert main([*words, "optimizer=sgd,adadelta", "optimizer.rho=interval(0.5,0.9)"]) == 0
    found = {tuple(w.partition("=")[0] for w in r["overrides"] if "optimizer" in w)
             for r in results(Path("sweep")).values()}  # fmt: skip
    assert found == {("optimizer",), ("optimizer", "optimizer.rho")}
    assert sum(r["overrides"].count("optimizer=sgd") for r in results(Path("sweep")).values()) == 1


def test_a_diverged_configuration_is_not_chosen() -> None:
    """The best figure of an early epoch does not count for a configuration that diverges."""
    words = [*SMALL, "optimizer=sgd", "optimizer.lr=0.1,1e9", "hydra.sweeper.sampler=grid"]
    assert main([*words, "hydra.sweeper.n_trials=null", "hydra.sweep.dir=sweep"]) == 0
    found = load(Path("sweep/search.json"))
    assert "optimizer.lr=0.1" in found["chosen"]["overrides"]
    assert [r["configurations"][-1]["scores"] for r in found["rungs"][:1]] == [None]


CODE = {
    "a target": ["+trainer.x._target_=os.system"],
    "a target in a mapping": ["data.missing={_target_: os.system}"],
    "a callback of Hydra": ["hydra.callbacks.x=1"],
    "Hydra's own settings": ["hydra.searchpath=[file://x]"],
    "another launcher": ["hydra/launcher=mine"],
    "a flag": ["--config-dir=x"],
}


@pytest.mark.parametrize("words", CODE.values(), ids=CODE)
@pytest.mark.parametrize("of", ["overrides", "search"])
def test_a_search_of_somebody_else_is_data(
    words: list[str], of: str, searched: Path, tmp_path: Path, capsys: Any
) -> None:
    """What its ``sweep.json`` makes Hydra read may name no code, unless it is trusted."""
    path = shutil.copytree(searched, tmp_path / "copy") / "sweep.json"
    content = load(path)
    node = content if of == "overrides" else content["search"]
    node["overrides"] = [*node["overrides"], *words]
    path.write_text(json.dumps(content))
    assert main(["resume", "copy"]) == 2
    error = capsys.readouterr().err
    assert f"copy/sweep.json: {words[0]} may name code of somebody's own" in error
    assert error.count("\n") == 1


def test_options_of_ones_own_are_read_if_trusted(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "own" / "space").mkdir(parents=True)
    space = "# @package _global_\nhydra: {sweeper: {params: {optimizer.lr: '0.01,0.1'}}}\n"
    (tmp_path / "own" / "space" / "mine.yaml").write_text(space)
    words = ["--config-dir", "own", *SEARCH, "space=mine", "trainer.max_epochs=1"]
    assert main([*words, "hydra.sweep.dir=sweep", "hydra.sweeper.n_trials=2"]) == 0
    shutil.rmtree(next(Path("sweep").glob("001*")))
    assert main(["resume", "sweep"]) == 2
    assert (
        "--config-dir may name code of somebody's own; expected --trust" in capsys.readouterr().err
    )
    assert main(["resume", "sweep", "--trust"]) == 0
    assert len(results(Path("sweep"))) == 2


def test_a_stored_job_names_no_code_of_somebodys_own(
    searched: Path, tmp_path: Path, capsys: Any
) -> None:
    """The config that is stored for a job without a folder names another function."""
    copy = shutil.copytree(searched, tmp_path / "copy")
    configs = copy / "configs.jsonl"
    text = configs.read_text()
    configs.write_text(text.replace("exprun.build.mlp", "os.abort"))
    shutil.rmtree(copy / jobs_of(copy)[0]["folder"])
    assert main(["resume", "copy"]) == 2
    assert "os.abort is code of somebody's own" in capsys.readouterr().err


def test_the_best_job_is_one_of_the_chosen_configuration(searched: Path, tmp_path: Path) -> None:
    """A single lucky seed of another configuration, first in the leaderboard, is not taken."""
    searched = shutil.copytree(searched, tmp_path / "copy")
    chosen = load(searched / "search.json")["chosen"]["overrides"]
    for job in jobs_of(searched):
        path = searched / job["folder"] / "result.json"
        result = load(path)
        if result["status"] == "completed" and job["overrides"][:-1] != chosen:
            result["metrics"]["val_loss"] = 0.0
            path.write_text(json.dumps(result))
    first, best = ledger.ranked(searched)[0], best_job(searched)[0]
    assert first["overrides"].split(" ")[:-1] != chosen
    assert load(best / "result.json")["overrides"][:-1] == chosen


def test_what_each_level_cost_is_noted(searched: Path) -> None:
    """The epochs and configurations of every optimizer, stopped ones included."""
    [note] = on_search(read_results([searched]), ["optimizer"])
    spent: dict[str, int] = {}
    tried: dict[str, set[str]] = {}
    for words, result in results(searched).items():
        own = words.rpartition(" seed=")[0]
        level = next(word for word in own.split() if word.startswith("optimizer="))
        spent[level] = spent.get(level, 0) + result["epochs"]
        tried.setdefault(level, set()).add(own)
    assert len(spent) > 1
    for level, epochs in spent.items():
        assert f"{level} {epochs} epochs of {len(tried[level])} configurations" in note


def test_a_key_of_which_one_value_is_left_is_not_compared(searched: Path) -> None:
    read = read_results([searched])
    only = replace(read, factors={}, jobs=[read.jobs[0]])
    with pytest.raises(UsageError, match="has one value in all jobs that the search trained"):
        only.check_factor("optimizer")


@pytest.mark.skipif(
    not shutil.which("mount") or os.geteuid() != 0, reason="needs mount, and root rights"
)
def test_a_full_disk_ends_it_and_a_larger_one_goes_on() -> None:
    """Jobs that have failed for want of room are tried again."""
    Path("disk").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", "disk"], check=False
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        words = [*SMALL, *SPACE, "hydra.sweeper.n_trials=12", "hydra.sweep.dir=disk/sweep"]
        assert main(words) == 1
        there = [result["status"] for result in results_there(Path("disk/sweep"))]
        assert there.count("stopped") < 12
        subprocess.run(["mount", "-o", "remount,size=60M", "disk"], check=True)
        assert main(["resume", "disk/sweep"]) == 0
        states = {result["status"] for result in results_there(Path("disk/sweep"))}
        assert states <= {"completed", "stopped", "early_stopped"}
        assert load(Path("disk/sweep/search.json"))["chosen"]
    finally:
        subprocess.run(["umount", "disk"], check=True)


def results_there(sweep: Path) -> list[dict[str, Any]]:
    return [load(path) for path in sweep.glob("*/result.json")]


def test_folds_are_confirmed_with_fresh_seeds(capsys: Any) -> None:
    """The printed command is valid, and trains every fold."""
    words = [*SEARCH, "trainer.max_epochs=2", "optimizer.lr=0.1,0.2", "hydra.sweep.dir=sweep"]
    words = [*words, "hydra.sweeper.sampler=grid", "data.folds=3", "data.fold=range(3)"]
    assert main(words) == 0
    line = next(w for w in capsys.readouterr().out.splitlines() if w.startswith("confirm "))
    assert main(shlex.split(line)[2:]) == 0
    assert load(Path("sweep/search.json"))["confirmed"]
    jobs = [job["overrides"] for job in jobs_of(Path("sweep"))]
    fresh = [words for words in jobs if any(word.startswith("seed=10") for word in words)]
    assert len(fresh) == 12
    assert len({word for words in fresh for word in words if word.startswith("data.fold=")}) == 3


MISTAKES = {
    "optimizer=interval(0,1)": "optimizer=interval(0,1): expected options, like optimizer=",
    "optimizer=1,adam": "optimizer=1: no such option",
    "optimizer=null,adam": "optimizer=null: no such option",
    "optimizer.l=interval(0.1,1)": "did you mean lr?",
    "reg.dropout.p=interval(0,0.5)": "reg=dropout is not chosen",
    "optimizer.lr=tag(log,0.1,1)": "expected optimizer.lr=tag(log,interval(low,high))",
    "optimizer.lr=interval(0.1)": "expected optimizer.lr=interval(low,high)",
    "optimizer.lr=choice()": "expected optimizer.lr=choice(a,b)",
    "optimizer.lr=0.1": "no key to search",
    "optimizer=sgd,adamm": "did you mean adam?",
    "optimizer.lrr=0.1,0.2": "did you mean lr?",
    "optimizer.lr=0.1,0.2 hydra.sweeper.n_trial=3": "did you mean n_trials?",
    "optimizer.lr=0.1,0.2 hydra.sweeper.stop=halvin": "did you mean halving?",
    "optimizer.lr=0.1,0.2 hydra.sweeper.sampler=bayes": "did you mean tpe?",
    "optimizer.lr=0.1,0.2 hydra.sweeper.metric=val_acc": "did you mean val_accuracy?",
    "optimizer.lr=0.1,0.2 hydra.sweeper.metric=r2": "did you mean val_r2?",
    "optimizer.lr=0.1,0.2 hydra.sweeper.metric=val_r2": "(expected val_loss or val_accuracy)",
    "optimizer.lr=0.1,0.2 data=diabetes hydra.sweeper.metric=val_accuracy": "(expected val_loss, ",
    "optimizer.lr=0.1,0.2 hydra.sweeper.metric=[val_loss,params]": "like [val_loss,parameters]",
    "optimizer.lr=0.1,0.2 hydra.sweeper.metric=parameters": "of the validation part first",
    "optimizer.lr=0.1,0.2 hydra.sweeper.metric=[val_r2,val_r2]": "expected each figure once",
    "optimizer.lr=0.1,0.2 hydra.sweeper.metric=[val_loss,parameters] hydra.sweeper.stop=median": (
        "stop=median: compares one figure"
    ),
    "optimizer.lr=0.1,0.2 hydra.sweeper.metric=[val_loss,parameters] hydra.sweeper.sampler=cmaes": (
        "sampler=cmaes: has one objective"
    ),
    "optimizer.lr=0.1,0.2 hydra/launcher=slurm": "hydra/launcher=slurm: ",
    "optimizer.lr=0.1,0.2 problem=rosenbrock": "problem=rosenbrock: a search compares",
    "optimizer.lr=0.1,0.2 data.val_fraction=0": "a search chooses by the validation part",
    "optimizer.lr=0.1,0.2 hydra.sweeper.min_epochs=99": "at most trainer.max_epochs=50",
    "optimizer.lr=0.1,0.2 trainer.max_epochs=3,9": "trainer.max_epochs: configurations are",
    "space=optimizer": "did you mean optimizers?",
    "optimizer.lr=0.1,-0.2": "optimizer.lr=-0.2: expected a number above 0",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(words: str, capsys: Any) -> None:
    assert main(["-m", "hydra/sweeper=search", *words.split()]) == 2
    error = capsys.readouterr().err
    assert MISTAKES[words] in error
    assert error.count("\n") == 1
    assert not any(Path().iterdir())


@pytest.mark.parametrize("word", ["space=optimizers", "hydra/sweeper=search"])
def test_a_single_run_has_no_space(word: str, capsys: Any) -> None:
    assert main([word]) == 2
    assert f"{word}: is for sweeps; expected -m" in capsys.readouterr().err


def test_another_search_does_not_go_into_a_folder(searched: Path, capsys: Any) -> None:
    words = [*SMALL, *SPACE, SEEDS, f"sweep.into={searched}", "hydra.sweeper.stop=none"]
    assert main(words) == 2
    assert f"expected exprun resume {searched}" in capsys.readouterr().err
    for wrong in ("0", "x", "1.5"):
        assert main(["resume", str(searched), "--more", wrong]) == 2
        expected = f"exprun: --more {wrong}: expected a whole number of at least 1\n"
        assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    "space", sorted(path.stem for path in (Path(__file__).parents[3] / "conf/space").glob("*.yaml"))
)
def test_every_space_that_is_shipped(space: str) -> None:
    words = [*SEARCH[:-2], f"space={space}", "trainer.max_epochs=1", "hydra.sweeper.n_trials=4"]
    assert main([*words, "hydra.sweep.dir=sweep"]) == 0
    assert len(results(Path("sweep"))) == 4
