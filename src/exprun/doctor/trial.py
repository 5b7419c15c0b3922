"""Tests suggestions by a sweep of the original run and the run with each suggestion, with equal
seeds."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from exprun.common.constants import COMPLETED, EARLY_STOPPED, HIGHER_IS_BETTER, INTERRUPTED
from exprun.common.errors import UsageError
from exprun.config.compose import compose_run, enter
from exprun.config.hydra_files import hydra_files
from exprun.config.schema import leaves, plain
from exprun.doctor.findings import Suggestion
from exprun.record.files import claim_folder
from exprun.record.identity import identity
from exprun.run_folder import Stored, check_config, stored_job
from exprun.statistics import paired
from exprun.statistics.multiplicity import holm
from exprun.statistics.sequential import ALPHA
from exprun.statistics.signs import sign_test
from exprun.sweeps import ledger
from exprun.sweeps.dispatcher import run_jobs
from exprun.sweeps.launcher import LauncherSettings
from exprun.sweeps.ranking import ranking

HELPED, WORSE, SAME = "helped", "made it worse", "no difference that {} pairs can show"


@dataclass(frozen=True)
class Verdict:
    """Summary of the differences, with signs such that positive is better: the numbers of pairs
    that are better, equal and worse; the mean with Student's 95 % interval, None if a run of a pair
    gave no figure; p, adjusted for all suggestions by Holm; and the conclusion in words."""

    wins: paired.Wins
    mean: float | None
    interval: tuple[float, float] | None
    p: float
    conclusion: str


@dataclass(frozen=True)
class Trial:
    """The result of testing a suggestion: the figure of each seed without and with it, None for a
    run that did not end well, and the verdict on their differences."""

    suggestion: Suggestion
    metric: str
    before: tuple[float | None, ...]
    after: tuple[float | None, ...]
    verdict: Verdict


def changed(overrides: Sequence[str], suggestion: Sequence[str]) -> list[str]:
    """The overrides with a suggestion applied: overrides of the same keys are replaced, and those
    of the keys of replaced options removed."""
    chosen = dict(word.split("=", 1) for word in suggestion)
    keys = tuple(chosen)
    replaced = tuple(f"{key}." for key in keys if "." not in key and key != "reg")
    if "reg" in chosen:  # a list: several may be chosen
        names = [word.split(".")[1] for word in overrides if word.startswith("reg.")]
        replaced += tuple(
            f"reg.{n}." for n in names if n not in chosen["reg"].strip("[]").split(",")
        )
    kept = [
        word
        for word in overrides
        if (key := word.lstrip("+").partition("=")[0]) not in keys and not key.startswith(replaced)
    ]
    return [*kept, *suggestion]


def start(run: Stored, suggestions: Sequence[Suggestion], seeds: int, *, trust: bool) -> Path:
    """Create the sweep: for each seed the original run, then each suggestion, composed and checked.
    Returns its folder. Raises UsageError, and leaves no folder, if a job's config is invalid."""
    if not run.config.data.val_fraction:
        raise UsageError("data.val_fraction=0: nothing to judge a trial by; expected more")
    plans = [run.overrides, *(changed(run.overrides, s.overrides) for s in suggestions)]
    jobs = [changed(plan, [f"seed={seed}"]) for plan in plans for seed in range(seeds)]
    folder = claim_folder(Path("outputs/sweeps", f"{datetime.now():%Y-%m-%d_%H-%M-%S}"))
    asked = [*(str(s) for s in suggestions), f"seed=range({seeds})"]
    try:
        shared = ledger.shared_words(jobs)
        names = [
            ledger.job_name(number, [word for word in job if word not in shared], len(jobs))
            for number, job in enumerate(jobs)
        ]
        planned = [
            _planned(name, job, folder, run, trust) for name, job in zip(names, jobs, strict=True)
        ]
        ledger.add(folder, ledger.new(asked, run.config_dir, LauncherSettings()), planned, asked)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return folder


def _planned(
    name: str, overrides: list[str], folder: Path, run: Stored, trust: bool
) -> ledger.Planned:
    """Compose, check and resolve the config of a job. Raises UsageError."""
    try:
        config = compose_run(overrides, run.config_dir)
        enter(config, folder / name)
        check_config(config, name, trust=trust)
        resolved = plain(config)
        files = hydra_files(config, resolved)
    except (HydraException, OmegaConfBaseException, UsageError) as error:
        words = " ".join(overrides)
        raise UsageError(f"{words}: {str(error).splitlines()[0]}") from None
    return ledger.Planned(None, overrides, name, files, identity(resolved))


def drift(run: Stored, folder: Path) -> list[str]:
    """Descriptions of the keys that the run's overrides set to other values today than when it
    ran."""
    today = OmegaConf.create(ledger.Configs(folder).files(0)["config"])
    assert isinstance(today, DictConfig)
    then, now = (dict(leaves(config)) for config in (run.config, today))
    return [
        f"{key} has changed from {then.get(key, 'nothing')} to {now.get(key, 'nothing')}"
        for key in sorted({*then, *now} - {"seed"})
        if then.get(key) != now.get(key)
    ]


def train(folder: Path, *, trust: bool) -> tuple[list[dict[str, Any]], int | None]:
    """Train the jobs of the sweep, stacked where possible; returns their results in order, fewer if
    a signal ended it, and the exit code in that case, else None."""
    content, configs = ledger.read(folder), ledger.Configs(folder)
    jobs = {}
    for job in content["jobs"]:
        job_folder = folder / job["folder"]
        configs.unpack(job["number"], job_folder)
        jobs[job["number"]] = stored_job(job_folder, trust=trust, in_sweep=True)
    progress = ledger.Progress(content["jobs"])
    title, settings = " ".join(content["overrides"]), LauncherSettings.of(content)
    results, code = run_jobs(folder, jobs, title, progress, settings)
    ledger.leaderboard(folder)
    return [results[number] for number in sorted(results)], code


def verdicts(
    run: Stored, suggestions: Sequence[Suggestion], seeds: int, results: Sequence[dict[str, Any]]
) -> list[Trial] | None:
    """The trial of each suggestion, judged by validation figures alone; None if results are
    missing."""
    wanted = seeds * (1 + len(suggestions))
    if len(results) < wanted or any(r["status"] == INTERRUPTED for r in results):
        return None
    monitored = ranking(results)[0]
    before, *others = [results[i : i + seeds] for i in range(0, len(results), seeds)]
    trained = [
        (
            suggestion,
            metric := suggestion.metric or monitored,
            tuple(figure_of(result, metric) for result in before),
            tuple(figure_of(result, metric) for result in after),
        )
        for suggestion, after in zip(suggestions, others, strict=True)
    ]
    found = judge([differences(a, b, metric) for _, metric, a, b in trained])
    return [Trial(*trial, verdict) for trial, verdict in zip(trained, found, strict=True)]


def judge(trials: Sequence[Sequence[float]]) -> list[Verdict]:
    """The verdict on the differences of each trial, where positive is better, and ±inf means that
    one run of a pair has no figure.

    By the paired t test, as in ``exprun compare``. If a run gave no figure there is no mean, and
    the sign test is used, one-sided, because the question is whether the suggestion helps: six
    pairs that agree have p = 1/64 and are enough for three suggestions. Raises ValueError for fewer
    than 2 pairs.
    """
    p = holm([_p_value(d) for d in trials])
    return [_verdict(d, float(adjusted)) for d, adjusted in zip(trials, p, strict=True)]


def _p_value(d: Sequence[float]) -> float:
    if len(d) < 2:
        raise ValueError(f"{len(d)} pair: expected 2 at least")
    if all(map(math.isfinite, d)):
        return float(paired.t_test(d))
    return float(sign_test(d)) / 2


def _verdict(d: Sequence[float], p: float) -> Verdict:
    wins, mean, interval = paired.wins(d), None, None
    if all(map(math.isfinite, d)):
        mean = sum(d) / len(d)
        low, high = paired.interval(d)
        interval = (float(low), float(high))
    conclusion = SAME.format(len(d))
    if p < ALPHA:
        conclusion = HELPED if wins.wins > wins.losses or (mean or 0) > 0 else WORSE
    return Verdict(wins, mean, interval, p, conclusion)


def figure_of(result: dict[str, Any], metric: str) -> float | None:
    """A run's figure of the kept weights; None if it did not end well or has no such figure."""
    if result["status"] not in (COMPLETED, EARLY_STOPPED):
        return None
    value = result["metrics"].get(metric)
    return None if value is None else float(value)


def differences(
    before: Sequence[float | None], after: Sequence[float | None], metric: str
) -> list[float]:
    """The difference of each pair, positive if the second is better; ±∞ if one of them has no
    figure, 0 if both have none."""
    sign = 1 if metric.partition("_")[2] in HIGHER_IS_BETTER else -1
    found = []
    for a, b in zip(before, after, strict=True):
        if a is None or b is None:
            found.append(0.0 if a is b else math.inf if a is None else -math.inf)
        else:
            found.append(sign * (b - a))
    return found
