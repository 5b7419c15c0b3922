"""A suggestion put to the test: a sweep of the run as it was and as suggested, with equal seeds."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from exprun.common.constants import COMPLETED, EARLY_STOPPED, HIGHER_IS_BETTER, INTERRUPTED
from exprun.common.errors import UsageError
from exprun.config.compose import compose_job
from exprun.config.schema import leaves
from exprun.doctor.findings import Suggestion
from exprun.doctor.pairs import Verdict, judge
from exprun.record.files import claim_folder
from exprun.run_folder import Stored, check_config, stored, stored_job
from exprun.sweeps import ledger
from exprun.sweeps.dispatcher import run_stacked
from exprun.sweeps.ranking import ranking


@dataclass(frozen=True)
class Trial:
    """What came of a suggestion: the figure of each seed as it was and with it, None for a run that
    did not end well, and the verdict on their differences."""

    suggestion: Suggestion
    metric: str
    before: tuple[float | None, ...]
    after: tuple[float | None, ...]
    verdict: Verdict


def changed(overrides: Sequence[str], suggestion: Sequence[str]) -> list[str]:
    """The overrides with those of a suggestion in place of what they replace: the same key, and
    the keys of an option that another one takes the place of."""
    chosen = dict(word.split("=", 1) for word in suggestion)
    keys = tuple(chosen)
    replaced = tuple(f"{key}." for key in keys if "." not in key and key != "reg")
    if "reg" in chosen:  # of which there may be several
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
    """Make the sweep: for each seed the run as it was, then each suggestion, composed and checked.
    Returns its folder. Raises UsageError, and leaves nothing, if a job's config will not do."""
    if not run.config.data.val_fraction:
        raise UsageError("data.val_fraction=0: nothing to judge a trial by; expected more")
    plans = [run.overrides, *(changed(run.overrides, s.overrides) for s in suggestions)]
    jobs = [(None, changed(plan, [f"seed={seed}"])) for plan in plans for seed in range(seeds)]
    folder = claim_folder(Path("outputs/sweeps", f"{datetime.now():%Y-%m-%d_%H-%M-%S}"))
    asked = [*(str(s) for s in suggestions), f"seed=range({seeds})"]
    ledger.begin(folder, asked, jobs, run.config_dir, ledger.STACKED)
    try:
        for job in ledger.read(folder)["jobs"]:
            job_folder = folder / job["folder"]
            compose_job(job_folder, job["overrides"], run.config_dir)
            check_config(stored(job_folder), job_folder, trust=trust)
    except (HydraException, OmegaConfBaseException, UsageError) as error:
        shutil.rmtree(folder)
        words = " ".join(job["overrides"])
        raise UsageError(f"{words}: {str(error).splitlines()[0]}") from None
    return folder


def drift(run: Stored, folder: Path) -> list[str]:
    """What the run's overrides mean today and did not when it ran, in words."""
    job = ledger.read(folder)["jobs"][0]
    then, now = (dict(leaves(c)) for c in (run.config, stored(folder / job["folder"]).config))
    return [
        f"{key} has changed from {then.get(key, 'nothing')} to {now.get(key, 'nothing')}"
        for key in sorted({*then, *now} - {"seed"})
        if then.get(key) != now.get(key)
    ]


def train(folder: Path, *, trust: bool) -> tuple[list[dict[str, Any]], int | None]:
    """Train the jobs of the sweep, stacked where they can be; returns their results in order,
    fewer if a signal ended it, and the exit code in that case."""
    content = ledger.read(folder)
    jobs = {
        job["number"]: stored_job(folder / job["folder"], trust=trust, in_sweep=True)
        for job in content["jobs"]
    }
    results, code = run_stacked(folder, jobs, " ".join(content["overrides"]))
    ledger.leaderboard(folder)
    return [results[number] for number in sorted(results)], code


def verdicts(
    run: Stored, suggestions: Sequence[Suggestion], seeds: int, results: Sequence[dict[str, Any]]
) -> list[Trial] | None:
    """What the results say of each suggestion, by validation figures alone; None if some are
    missing. The intervals of several suggestions hold all together (Bonferroni)."""
    wanted = seeds * (1 + len(suggestions))
    if len(results) < wanted or any(r["status"] == INTERRUPTED for r in results):
        return None
    metric = ranking(results)[0]
    parts = [results[i : i + seeds] for i in range(0, len(results), seeds)]
    before, *others = [tuple(figure_of(result, metric) for result in part) for part in parts]
    confidence = 1 - 0.05 / len(suggestions)
    return [
        Trial(s, metric, before, after, judge(differences(before, after, metric), confidence))
        for s, after in zip(suggestions, others, strict=True)
    ]


def figure_of(result: dict[str, Any], metric: str) -> float | None:
    """A run's figure of the kept weights; None if it diverged or failed, or has none."""
    if result["status"] not in (COMPLETED, EARLY_STOPPED):
        return None
    value = result["metrics"].get(metric)
    return None if value is None else float(value)


def differences(
    before: Sequence[float | None], after: Sequence[float | None], metric: str
) -> list[float]:
    """Of each pair, positive if the second is better; infinite if one of them has no figure."""
    sign = 1 if metric.partition("_")[2] in HIGHER_IS_BETTER else -1
    found = []
    for a, b in zip(before, after, strict=True):
        if a is None or b is None:
            found.append(0.0 if a is b else math.inf if a is None else -math.inf)
        else:
            found.append(sign * (b - a))
    return found
