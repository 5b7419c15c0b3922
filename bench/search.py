"""What a search loses against the whole grid, and how much sooner it ends.

    python -m bench.search --data FOLDER              # the tables of docs/search.md
    python -m bench.search --data FOLDER --part time --sets Satellite

FOLDER has the files of ``bench.search_data``. The grid has 72 configurations (4 optimizers × 6
learning rates × 3 regularizers), three seeds each. What has been trained
stays in ``--work``, so that an interrupted run goes on.

regret: the configuration that the grid's validation losses name and those that ten searches name
(``hydra/sweeper=search``, successive halving, each with three seeds of its own) are trained with
20 fresh seeds. The regret is the difference of the mean test accuracies, in points. So is that of
ten random searches, which train as many configurations to the end, drawn without repetition, as
the search's epochs allow, rounded up; these are jobs of the grid, and their figures are read there.

time: from the start of a process to its end, of one search; of plain PyTorch loops over the grid,
from a share of it; and to the trial from which the best configuration of an Optuna study with its
Hyperband pruner is as good as the search's, by the mean over fresh seeds, but for TOLERANCE.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.search_data import SOURCES
from bench.search_loops import HIDDEN, SPACE, VAL_FRACTION
from bench.side_by_side import ROOT, machine, progress, table, versions
from exprun.statistics.paired import interval
from exprun.sweeps.results import read_curve

Config = tuple[str, ...]
"""The overrides of a configuration, in the order of SPACE."""

FRESH = 1000
"""The first of the fresh seeds."""

GOAL = {27: 8, 81: 18}
"""By epochs of a job: how many times fewer epochs a search is to take than the grid."""

TOLERANCE = 0.15
"""Points of accuracy."""

SHARE = 12
"""One in so many jobs of the grid is trained in plain loops."""

LIMIT = 10.0
"""Time that Optuna has, in times of the search."""

PROCESSES = 2
"""Processes in which searches run side by side where their time is not measured."""


@dataclass(frozen=True)
class Plan:
    """Where data and sweeps are, and how often things are done."""

    data: Path
    work: Path
    space: Mapping[str, Sequence[str]]
    most_epochs: int = 81
    repetitions: int = 3
    searches: int = 10
    fresh: int = 20

    @property
    def configs(self) -> list[Config]:
        values = itertools.product(*self.space.values())
        return [
            tuple(f"{key}={value}" for key, value in zip(self.space, row, strict=True))
            for row in values
        ]

    def seeds(self, number: int) -> str:
        """Those of a search; those of the first are the grid's too."""
        return f"seed=range({number * self.repetitions},{(number + 1) * self.repetitions})"

    def problem(self, name: str, epochs: int) -> list[str]:
        """The overrides of a data set and of what all jobs share."""
        return [
            "data=csv",
            f"data.path={self.data / name}.csv",
            f"data.test_path={self.data / name}_test.csv",
            "data.target=y",
            f"data.val_fraction={VAL_FRACTION}",
            f"model.hidden=[{HIDDEN}]",
            "stopping=none",
            f"trainer.max_epochs={epochs}",
        ]

    def sweeps(self, words: Mapping[str, Sequence[str]]) -> list[Path]:
        """Run ``exprun -m words…`` into folders of ``work``, of those that are not there, by so
        many processes as there are cores; returns the folders."""
        missing = [folder for folder in words if not (self.work / f"{folder}.done").exists()]
        self.work.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(PROCESSES) as pool:
            shares = [missing[i::PROCESSES] for i in range(min(PROCESSES, len(missing)))]
            list(pool.map(partial(self._run, words), shares))
        return [self.work / folder for folder in words]

    def _run(self, words: Mapping[str, Sequence[str]], folders: Sequence[str]) -> None:
        progress(folders[0])
        for folder in folders:
            shutil.rmtree(self.work / folder, ignore_errors=True)
        commands = [["-m", *words[folder], f"hydra.sweep.dir={folder}"] for folder in folders]
        run([sys.executable, "-m", "bench.commands"], self.work, json.dumps(commands))
        for folder in folders:
            (self.work / f"{folder}.done").touch()


def run(words: Sequence[str], folder: Path, given: str = "") -> str:
    """The output of a command that is given a text. Raises RuntimeError with the end of what it
    said if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        words,
        cwd=folder,
        input=given,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise RuntimeError(f"{' '.join(words)[:200]} …: {said[-500:]}")
    return done.stdout


@dataclass(frozen=True)
class Done:
    """A finished job: its configuration, validation losses and test accuracy (0 if it diverged)."""

    config: Config
    losses: list[float]
    test: float


def jobs_of(plan: Plan, sweep: Path) -> list[Done]:
    """The jobs of a sweep, in order."""
    found = []
    for path in sorted(sweep.glob("*/result.json")):
        result = json.loads(path.read_text())
        own = {word.partition("=")[0]: word for word in result["overrides"]}
        config = tuple(own[key] for key in plan.space)
        losses = read_curve(path.parent)["val_loss"]
        found.append(Done(config, losses, result["metrics"].get("test_accuracy") or 0.0))
    return found


Losses = Mapping[Config, Sequence[Sequence[float]]]
"""The validation losses of each configuration, of each repetition."""


def grid(plan: Plan, name: str) -> Losses:
    """The whole grid, trained for the most epochs. With a constant learning rate and without early
    stopping, the first epochs of a job are those of a job that has no more."""
    words = [f"{key}={','.join(values)}" for key, values in plan.space.items()]
    words += [plan.seeds(0), *plan.problem(name, plan.most_epochs)]
    [sweep] = plan.sweeps({f"{name}/grid": words})
    losses: dict[Config, list[list[float]]] = {config: [] for config in plan.configs}
    for job in jobs_of(plan, sweep):
        losses[job.config].append(job.losses)
    return losses


def best(losses: Losses, epochs: int, among: Iterable[Config]) -> Config:
    """The configuration with the least mean of the best losses within the epochs, as a search has
    it; a repetition that diverged before counts as infinite."""

    def score(config: Config) -> float:
        own = [run[:epochs] for run in losses[config]]
        sound = [len(run) == epochs and math.isfinite(run[-1]) for run in own]
        return statistics.fmean(map(min, own)) if all(sound) else math.inf

    return min(among, key=score)


@dataclass(frozen=True)
class Found:
    """What a search has found, the epochs that it and the grid take, and the configurations that
    each rung has stopped, by their place among the rungs, from 1."""

    config: Config
    epochs: int
    grid_epochs: int
    stopped: Mapping[Config, int]

    @classmethod
    def read(cls, plan: Plan, sweep: Path) -> Found:
        content = json.loads((sweep / "search.json").read_text())

        def config(words: Iterable[str]) -> Config:
            own = {word.partition("=")[0]: word for word in words}
            return tuple(own[key] for key in plan.space)

        stopped = {
            config(entry["overrides"]): rung["number"]
            for rung in content["rungs"]
            for entry in rung["configurations"][rung["kept"] :]
        }
        chosen = config(content["chosen"]["overrides"])
        return cls(chosen, content["epochs"], content["grid_epochs"], stopped)


def search_words(plan: Plan, name: str, epochs: int, number: int) -> list[str]:
    return [
        "hydra/sweeper=search",
        "hydra.sweeper.sampler=grid",
        *(f"{key}={','.join(values)}" for key, values in plan.space.items()),
        plan.seeds(number),
        *plan.problem(name, epochs),
    ]


def searches(plan: Plan, name: str, epochs: int) -> list[Found]:
    """The searches, whose time is not measured."""
    words = {
        f"{name}/search_{epochs}_{number}": [
            *search_words(plan, name, epochs, number),
            "hydra.launcher.workers=1",
        ]
        for number in range(plan.searches)
    }
    return [Found.read(plan, sweep) for sweep in plan.sweeps(words)]


def random_search(plan: Plan, losses: Losses, epochs: int, spent: int, number: int) -> Config:
    """The pick of a random search that takes so many epochs, or just more."""
    count = math.ceil(spent / (epochs * plan.repetitions))
    draws = np.random.default_rng(number).permutation(len(plan.configs))[:count]
    return best(losses, epochs, [plan.configs[i] for i in draws])


def accuracies(
    plan: Plan, name: str, epochs: int, configs: Iterable[Config], folder: str
) -> dict[Config, float]:
    """The mean test accuracy of each configuration over the fresh seeds, in percent."""
    variants = {
        f"c{i}": dict(word.split("=") for word in config)
        for i, config in enumerate(dict.fromkeys(configs))
    }
    text = json.dumps(variants).replace('"', "")
    words = [
        f"hydra.sweeper.variants={text}",
        f"seed=range({FRESH},{FRESH + plan.fresh})",
        *plan.problem(name, epochs),
    ]
    [sweep] = plan.sweeps({f"{name}/{folder}_{epochs}": words})
    tests: dict[Config, list[float]] = {}
    for job in jobs_of(plan, sweep):
        tests.setdefault(job.config, []).append(job.test)
    assert all(len(own) == plan.fresh for own in tests.values())
    return {config: 100 * statistics.fmean(own) for config, own in tests.items()}


@dataclass(frozen=True)
class Regret:
    """Of a data set: the regrets of the searches and of the random searches, in points; the share
    of the grid's epochs; and how many searches stopped the grid's pick at each rung."""

    grid_accuracy: float
    searched: list[float]
    random: list[float]
    random_configs: int
    share: float
    stopped: Mapping[int, int]


def regret(plan: Plan, name: str, epochs: int) -> Regret:
    losses = grid(plan, name)
    found = searches(plan, name, epochs)
    spent = max(f.epochs for f in found)
    whole = best(losses, epochs, plan.configs)
    drawn = [random_search(plan, losses, epochs, spent, i) for i in range(plan.searches)]
    picks = [whole, *(f.config for f in found), *drawn]
    tests = accuracies(plan, name, epochs, picks, "fresh")
    return Regret(
        tests[whole],
        [tests[whole] - tests[f.config] for f in found],
        [tests[whole] - tests[config] for config in drawn],
        math.ceil(spent / (epochs * plan.repetitions)),
        spent / found[0].grid_epochs,
        Counter(f.stopped[whole] for f in found if whole in f.stopped),
    )


def with_interval(values: Sequence[float]) -> str:
    """The mean of one value for each data set, with its interval of 95 % (Student's t)."""
    if len(values) < 2:
        return f"{values[0]:.2f}"
    low, high = interval(values)
    return f"{statistics.fmean(values):.2f} ({low:.2f} to {high:.2f})"


def regret_table(regrets: Mapping[str, Regret], epochs: int) -> str:
    searched = {name: statistics.fmean(own.searched) for name, own in regrets.items()}
    drawn = {name: statistics.fmean(own.random) for name, own in regrets.items()}
    rows = []
    for name, own in regrets.items():
        lost = ", ".join(f"{own.stopped[rung]} at rung {rung}" for rung in sorted(own.stopped))
        rows.append(
            [
                name,
                f"{own.grid_accuracy:.2f} %",
                f"1/{1 / own.share:.1f}",
                f"{searched[name]:.2f}",
                f"{max(own.searched):.2f}",
                f"{drawn[name]:.2f} ({own.random_configs})",
                f"{drawn[name] - searched[name]:.2f}",
                lost or "none",
            ]
        )
    both = with_interval([drawn[name] - searched[name] for name in regrets])
    means = [with_interval([*own.values()]) for own in (searched, drawn)]
    rows.append(["mean", "", "", means[0], "", means[1], both, ""])
    head = [
        f"R = {epochs}",
        "the grid's pick",
        "epochs",
        "regret",
        "greatest",
        "random search (configurations)",
        "random less search",
        "searches that stop the grid's pick",
    ]
    return table(head, rows)


@dataclass(frozen=True)
class Times:
    """Wall times in seconds; of Optuna None if it was not as good within its limit."""

    search: float
    loops: float
    optuna: float | None
    limit: float


def timed(words: Sequence[str], folder: Path) -> tuple[str, float]:
    """The output of a command and its wall time in seconds."""
    began = time.perf_counter()
    return run(words, folder), time.perf_counter() - began


def incumbents(plan: Plan, trials: Iterable[Mapping[str, Any]]) -> list[tuple[float, Config]]:
    """The configurations that were the best of the trials so far, and the times from which on."""
    found: list[tuple[float, Config]] = []
    least = math.inf
    for trial in trials:
        if trial["val_loss"] < least:
            least = trial["val_loss"]
            config = tuple(f"{key}={trial['config'][key]}" for key in plan.space)
            found.append((trial["ended"], config))
    return found


def as_good(
    chosen: Config, found: Iterable[tuple[float, Config]], tests: Mapping[Config, float]
) -> float | None:
    """The time from which on a configuration is as good as the chosen one, but for TOLERANCE."""
    target = tests[chosen] - TOLERANCE
    return next((ended for ended, config in found if tests[config] >= target), None)


def times(plan: Plan, name: str, epochs: int, share: int = SHARE) -> Times:
    """Time the contestants one after another."""
    loops = [sys.executable, "-m", "bench.search_loops"]
    path = str((plan.data / f"{name}.csv").absolute())
    with tempfile.TemporaryDirectory() as folder:
        progress(f"{name}: search")
        words = [
            sys.executable,
            "-m",
            "exprun",
            "-m",
            *search_words(plan, name, epochs, 0),
            "hydra.sweep.dir=s",
        ]
        _, seconds = timed(words, Path(folder))
        chosen = Found.read(plan, Path(folder, "s")).config
    progress(f"{name}: plain loops")
    options = [f"--epochs={epochs}", f"--seeds={plan.repetitions}", f"--one-in={share}"]
    output, whole = timed([*loops, "grid", path, *options], ROOT)
    measured = json.loads(output)
    jobs = len(plan.configs) * plan.repetitions
    grid_seconds = whole + measured["seconds"] * (jobs / measured["jobs"] - 1)
    progress(f"{name}: Optuna")
    limit, began = LIMIT * seconds, time.time()
    output = run([*loops, "optuna", path, f"--epochs={epochs}", f"--limit={limit}"], ROOT)
    found = incumbents(plan, json.loads(output))
    configs = [chosen, *(config for _, config in found)]
    tests = accuracies(plan, name, epochs, configs, f"time_{time.time_ns()}")
    ended = as_good(chosen, found, tests)
    return Times(seconds, grid_seconds, ended and ended - began, limit)


def times_table(measured: Mapping[str, Times], epochs: int) -> str:
    rows = []
    for name, own in measured.items():
        ratio = f"{own.optuna / own.search:.1f}×" if own.optuna else f"> {LIMIT:g}×"
        optuna = f"{own.optuna:.0f}" if own.optuna else f"not in {own.limit:.0f}"
        loops = f"{own.loops / own.search:.1f}×"
        rows.append([name, f"{own.search:.1f}", optuna, ratio, f"{own.loops:.0f}", loops])
    head = [
        f"R = {epochs}",
        "search, s",
        "Optuna, s",
        "÷ search",
        f"grid in plain loops, s (from 1/{SHARE})",
        "÷ search",
    ]
    return table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.search", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="files of bench.search_data")
    parser.add_argument("--work", type=Path, help="for the sweeps; default: a temporary folder")
    parser.add_argument("--part", choices=("regret", "time"), action="append")
    parser.add_argument("--sets", choices=SOURCES, nargs="+", default=list(SOURCES))
    parser.add_argument("--epochs", type=int, choices=GOAL, nargs="+", default=list(GOAL))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = (options.work or Path(scratch)).absolute()
        plan = Plan(options.data.absolute(), work, SPACE, max(GOAL))
        print(f"{machine()}; {versions('torch', 'optuna')}", flush=True)
        parts: dict[str, tuple[Callable[..., Any], Callable[..., str]]] = {
            "regret": (regret, regret_table),
            "time": (times, times_table),
        }
        for part in options.part or parts:
            measure, tabulate = parts[part]
            for epochs in options.epochs:
                measured = {name: measure(plan, name, epochs) for name in options.sets}
                progress("")
                print(f"\n{tabulate(measured, epochs)}", flush=True)


if __name__ == "__main__":
    main()
