"""Reads the folders of sweeps, and of single runs, into ``Results``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from exprun.common.constants import STOPPED
from exprun.common.errors import UsageError
from exprun.sweeps import ledger
from exprun.sweeps.resolved_values import ResolvedValues
from exprun.sweeps.results import (
    MEASURES,
    REPETITION,
    VARIANT,
    Batch,
    Configuration,
    JobResult,
    Results,
    name_of,
)


def read_results(folders: Sequence[Path]) -> Results:
    """Read the sweeps in ``folders``; the seeds of a configuration in several sweeps are combined.
    Jobs that a search has stopped are kept apart.

    Raises UsageError if one of them is not a sweep's folder or is damaged.
    """
    found: list[tuple[JobResult, list[str]]] = []
    batches: list[Batch] = []
    for folder in folders:
        check_sweep(folder, str(folder))
        with ledger.read_from(folder):
            content = ledger.read(folder)
            own = [
                Batch(folder, batch["asked"], list(batch["overrides"]))
                for batch in content.get("batches", [])
            ] or [Batch(folder, None, list(content["overrides"]))]
            first = [batch["first"] for batch in content.get("batches", [])] or [0]
            for job in content["jobs"]:
                which = sum(job["number"] >= number for number in first) - 1
                words = [str(word) for word in job["overrides"]]
                found.append((_job(folder, job, words, len(batches) + which), words))
            batches += own
    kept = [(job, words) for job, words in found if job.status != STOPPED]
    stopped = [job for job, _ in found if job.status == STOPPED]
    if len(batches) > 1:
        kept = _with_defaults(kept)
    return replace(_tabulate([*folders], batches, kept), stopped=stopped)


def _with_defaults(
    found: list[tuple[JobResult, list[str]]],
) -> list[tuple[JobResult, list[str]]]:
    """The jobs with the keys that only other batches set, at the values of their own resolved
    configs, so that ``reg=none`` and the default of the same value are one configuration."""
    given: dict[int, dict[str, None]] = {}
    for job, _ in found:
        given.setdefault(job.batch, {}).update(dict.fromkeys(job.overrides))
    keys = list(dict.fromkeys(key for own in given.values() for key in own))
    filled = []
    for job, words in found:
        resolved = ResolvedValues(job.folder)
        values = {
            key: value
            for key in keys
            if key not in given[job.batch]
            and key not in REPETITION
            and job.counts
            and (value := resolved.get(key)) is not None
        }
        more = [f"{key}={value}" for key, value in values.items()]
        filled.append((replace(job, overrides=job.overrides | values), [*words, *more]))
    return filled


def read_run(folder: Path) -> Results:
    """A single run as the only job of ``Results``. Raises UsageError if its result is damaged."""
    job = _job(folder.parent, {"folder": folder.name, "number": 0}, None, 0)
    words = [f"{key}={value}" for key, value in job.overrides.items()]
    return _tabulate([folder], [Batch(folder, None, words)], [(job, words)])


COMPARED = "one run cannot be compared with anything"


def check_sweep(folder: Path, given: str, *, single: str = COMPARED) -> None:
    """Raise UsageError if ``folder`` is not a sweep's; the message begins with ``given``, the text
    that the user entered, and says ``single`` of the folder of a single run."""
    if (folder / "sweep.json").is_file():
        return
    if not folder.is_dir():
        raise UsageError(f"{given}: there is no such folder; expected one like outputs/sweeps/…")
    hint = ""
    if (folder.parent / "sweep.json").is_file():
        hint = f"; did you mean {folder.parent}?"
    elif (folder / "result.json").is_file() or (folder / ".hydra").is_dir():
        hint = f", it is a single run's: {single}"
    elif inner := sorted(path.parent for path in folder.glob("*/sweep.json")):
        hint = f"; did you mean {inner[-1]}?"
    raise UsageError(f"{given}: is no folder of a sweep{hint}; expected one like outputs/sweeps/…")


def _job(folder: Path, job: Mapping[str, Any], words: list[str] | None, batch: int) -> JobResult:
    """A job from its entry in ``sweep.json`` and its folder; without ``words``, the overrides of
    its result are used. Raises UsageError if ``result.json`` is damaged."""
    path = folder / str(job["folder"])
    result: dict[str, Any] = {}
    try:
        result = json.loads((path / "result.json").read_text())
    except FileNotFoundError:
        pass  # the job has not ended yet
    except ValueError:
        raise UsageError(
            f"{path / 'result.json'}: is damaged; delete it, and exprun resume {folder}"
        ) from None
    words = result.get("overrides", []) if words is None else words
    overrides = dict(word.lstrip("+").partition("=")[::2] for word in words)
    known = overrides | {"seed": str(result.get("seed", overrides.get("seed", 0)))}
    block = [_followed(known.get(key, ""), known) for key in REPETITION]
    metrics = dict(result.get("metrics", {}))
    metrics |= {name: result[name] for name in MEASURES if result.get(name) is not None}
    return JobResult(
        sweep=folder,
        folder=path,
        number=job["number"],
        batch=batch,
        overrides=overrides,
        variant=job.get("variant"),
        block=tuple(block),
        status=result.get("status", ledger.PENDING),
        reason=result.get("reason", ""),
        metrics=metrics,
        rows=result.get("rows") or {},
        monitor=result.get("monitor"),
    )


def _followed(value: str, overrides: Mapping[str, str]) -> str:
    """A value of a repetition key; an interpolation like ``${seed}`` is replaced by the value of
    the key it names."""
    key = re.fullmatch(r"\$\\?\{([\w.]+)\\?\}", value)
    return overrides.get(key[1], value) if key else value


def _tabulate(
    sweeps: list[Path], batches: list[Batch], found: list[tuple[JobResult, list[str]]]
) -> Results:
    """Sort jobs by the time of their batch, find the factors, remove duplicate jobs, and group jobs
    with equal values of the factors into configurations."""
    order = sorted(range(len(batches)), key=lambda i: batches[i].asked or "")
    position = {old: new for new, old in enumerate(order)}
    jobs, seen = [], set()
    factors = _factors([job for job, _ in found])
    for job, _ in sorted(found, key=lambda pair: position[pair[0].batch]):
        given = {VARIANT: job.variant} if VARIANT in factors else job.overrides
        values = {k: _level(given | job.overrides, k) for k in factors}
        kept = {k: v for k, v in values.items() if v is not None}
        rest = frozenset((k, v) for k, v in job.overrides.items() if k not in REPETITION)
        identity = (rest, job.block)
        if identity in seen:  # requested again: the first job counts
            continue
        seen.add(identity)
        jobs.append(replace(job, batch=position[job.batch], values=kept))
    varying = tuple(k for i, k in enumerate(REPETITION) if len({job.block[i] for job in jobs}) > 1)
    words = [
        [w for w in own if w.lstrip("+").partition("=")[0] not in REPETITION] for _, own in found
    ]
    shared = [w for w in (words[0] if words else []) if all(w in own for own in words)]
    groups: dict[tuple[tuple[str, str], ...], list[JobResult]] = {}
    for job in jobs:
        groups.setdefault(tuple(job.values.items()), []).append(job)
    configurations = [
        Configuration(
            name_of(dict(values)),
            dict(values),
            [f"{k}={v}" for k, v in group[0].overrides.items() if k not in REPETITION],
            group,
        )
        for values, group in groups.items()
    ]
    return Results(
        sweeps, [batches[i] for i in order], factors, varying, shared, jobs, configurations
    )


def _factors(jobs: Sequence[JobResult]) -> dict[str, list[str]]:
    """The keys that have several values or are set by only some jobs, with their values."""
    if not jobs:
        return {}
    keys = dict.fromkeys(key for job in jobs for key in job.overrides if key not in REPETITION)
    variants = list(dict.fromkeys(job.variant for job in jobs))
    found: dict[str, list[str]] = {}
    if len(variants) > 1 and None not in variants:
        found[VARIANT] = [str(name) for name in variants]
    for key in keys:
        levels = list(dict.fromkeys(_level(job.overrides, key) for job in jobs))
        if len(levels) < 2:
            continue
        if VARIANT in found:
            pairs = {(job.variant, _level(job.overrides, key)) for job in jobs}
            if len(pairs) == len(variants):  # determined by the variant
                continue
        found[key] = [level for level in levels if level is not None]
    return found


def _level(overrides: Mapping[str, str | None], key: str) -> str | None:
    """The value of a key, with numbers in one format so that 1e-2 and 0.01 are one level."""
    value = overrides.get(key)
    if value is None:
        return None
    try:
        return f"{float(value):.12g}"
    except ValueError:
        return value
