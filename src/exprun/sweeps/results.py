"""What the folders of one or several sweeps hold, as plain tables; everything that compares, draws
or exports results begins here, and nothing here imports torch.

``read_results(folders)`` returns ``Results``:

``factors``
    what varies, by its key and in the order asked for, each with its values in the order met:
    ``{"optimizer": ["sgd", "adam"], "reg": ["none", "l2"]}``. A key that makes repetitions
    (``REPETITION``) is none. A sweep of ``hydra.sweeper.variants`` has the factor ``variant``.
``repetition``
    the keys of ``REPETITION`` that vary: what the blocks are made of.
``jobs``
    a ``JobResult`` for each job, in the order asked for. ``values`` has the values of its factors
    (a key that was not given to the job is missing), ``block`` those of all keys of
    ``REPETITION``: equal blocks are pairs. ``metrics`` are the figures of ``result.json``,
    ``None`` where there are none; ``curve(job)`` reads ``metrics.csv``.
``configurations``
    the jobs that differ in their block alone, as ``Configuration``: ``name`` says what
    differs within the sweep (``"optimizer=adam reg=l2"``), ``overrides`` is all that was asked of
    them but the block.
``batches``
    what was asked for together, and when, in order of time; ``job.batch`` is an index into it.
``shared``
    the overrides that all jobs have.

Figures of accuracy are counts of rows, and two that stand for the same count are equal here.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exprun.common.constants import COMPLETED, DIVERGED, EARLY_STOPPED, HIGHER_IS_BETTER
from exprun.common.errors import UsageError, choices, nearest
from exprun.sweeps import ledger
from exprun.sweeps.ranking import ranking

if TYPE_CHECKING:
    import pyarrow as pa

REPETITION = ("seed", "data.split_seed", "data.fold")
"""Keys in which the repetitions of one configuration differ."""

SPLITS = ("data.split_seed", "data.fold")
"""Those that change which rows are tested."""

VARIANT = "variant"
"""The factor of a sweep whose overrides belong together (``hydra.sweeper.variants``)."""

CURVES = ("metrics.csv", "trajectory.csv")
"""Tables with a row for each epoch, or each iteration of a test function."""

MEASURES = ("seconds", "epochs", "parameters")
"""Figures of a run beside its metrics."""


@dataclass(frozen=True)
class Batch:
    """What was asked for at one time: ``asked`` in ISO 8601 with the time zone, None in the
    folders of exprun 0.1, which did not write it down."""

    sweep: Path
    asked: str | None
    overrides: list[str]


@dataclass(frozen=True)
class JobResult:
    """One job; see the head of this module."""

    sweep: Path
    folder: Path
    number: int
    batch: int
    overrides: dict[str, str]
    variant: str | None
    block: tuple[str, ...]
    status: str
    reason: str
    metrics: dict[str, float | None]
    rows: dict[str, int] = field(default_factory=dict)
    monitor: str | None = None
    values: dict[str, str] = field(default_factory=dict)

    @property
    def ended_well(self) -> bool:
        """Whether it has figures."""
        return self.status in (COMPLETED, EARLY_STOPPED)

    @property
    def counts(self) -> bool:
        """Whether it is a result, as a divergence is."""
        return self.ended_well or self.status == DIVERGED

    def figure(self, metric: str) -> float | None:
        """The figure of a run that ended well, rounded to 12 digits: what stands for one count of
        rows is one number then."""
        value = self.metrics.get(metric) if self.ended_well else None
        return None if value is None else float(f"{value:.12g}")

    def curve(self) -> dict[str, list[float]]:
        """The columns of ``metrics.csv``, or of a test function's ``trajectory.csv``; an empty cell
        is NaN. Empty if there is no such file."""
        paths = [self.folder / name for name in CURVES if (self.folder / name).is_file()]
        if not paths:
            return {}
        with paths[0].open(newline="") as file:
            names, *rows = list(csv.reader(file)) or [[]]
        rows = [row for row in rows if len(row) == len(names)]  # a run may be writing its last
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return {
            name: [float(cell) if cell else math.nan for cell in column]
            for name, column in zip(names, columns, strict=True)
        }


@dataclass(frozen=True)
class Configuration:
    """Jobs that differ in nothing but their blocks."""

    name: str
    values: dict[str, str]
    overrides: list[str]
    jobs: list[JobResult]

    def figures(self, metric: str) -> dict[tuple[str, ...], float]:
        """The figures of the jobs that ended well, by their blocks."""
        found = {job.block: job.figure(metric) for job in self.jobs}
        return {block: value for block, value in found.items() if value is not None}


@dataclass(frozen=True)
class Results:
    """The results of sweeps; see the head of this module."""

    sweeps: list[Path]
    batches: list[Batch]
    factors: dict[str, list[str]]
    repetition: tuple[str, ...]
    shared: list[str]
    jobs: list[JobResult]
    configurations: list[Configuration]

    @cached_property
    def metrics(self) -> list[str]:
        """The names of all figures, in the order met."""
        return list(dict.fromkeys(name for job in self.jobs for name in job.metrics))

    @property
    def figures(self) -> list[str]:
        """The metrics but for MEASURES, which a run that diverged has too."""
        return [name for name in self.metrics if name not in MEASURES]

    @cached_property
    def ranking(self) -> list[str]:
        """The figures that a leaderboard is ordered by."""
        return ranking(
            [
                {
                    "status": job.status,
                    "monitor": job.monitor,
                    "overrides": [f"{key}={value}" for key, value in job.overrides.items()],
                }
                for job in self.jobs
            ]
        )

    @property
    def default_metric(self) -> str:
        """What a verdict is about if nobody says: the accuracy, R² or loss of the test part, or
        the value of a test function. Raises UsageError if no job has any figure."""
        wanted = ("test_accuracy", "test_r2", "test_loss", *self.ranking)
        known = self.figures
        if not known:
            names = ", ".join(str(sweep) for sweep in self.sweeps)
            raise UsageError(f"{names}: no job has a figure: there is nothing to compare")
        return next((name for name in wanted if name in known), known[0])

    @property
    def default_validation(self) -> str:
        """What configurations are chosen by: the first of the figures that a leaderboard is ordered
        by, of those that are there."""
        known = self.figures
        return next((name for name in self.ranking if name in known), self.default_metric)

    def check_metric(self, name: str) -> str:
        """The name; raises UsageError if no job has such a figure."""
        if name not in self.metrics:
            shown = [m for m in self.metrics if m.startswith(("test_", "val_"))] or self.metrics
            raise UsageError(
                f"--metric {name}: no such figure{nearest(name, self.metrics)} "
                f"(expected {choices(shown)})"
            )
        return name

    def check_factor(self, key: str, option: str = "--by") -> str:
        """The key; raises UsageError if it does not vary."""
        if key not in self.factors:
            if key in REPETITION:
                raise UsageError(f"{option} {key}: makes repetitions, which are not compared")
            known = list(self.factors)
            expected = choices(known) if known else "none: nothing but repetitions varies here"
            raise UsageError(
                f"{option} {key}: does not vary in this sweep{nearest(key, known)} "
                f"(expected {expected})"
            )
        return key


def higher_is_better(metric: str) -> bool:
    """Whether a figure is to be maximised."""
    return any(f"_{metric}".endswith(f"_{name}") for name in HIGHER_IS_BETTER)


def read_results(folders: Sequence[Path]) -> Results:
    """Read the sweeps in ``folders``: seeds that were asked for in several add up.

    Raises UsageError if one of them is no sweep, or is damaged.
    """
    found: list[tuple[JobResult, list[str]]] = []
    batches: list[Batch] = []
    for folder in folders:
        _check_sweep(folder)
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
    return _tabulate([*folders], batches, found)


def read_run(folder: Path) -> Results:
    """A single run as the only job of ``Results``. Raises UsageError if its result is damaged."""
    job = _job(folder.parent, {"folder": folder.name, "number": 0}, None, 0)
    words = [f"{key}={value}" for key, value in job.overrides.items()]
    return _tabulate([folder], [Batch(folder, None, words)], [(job, words)])


def _check_sweep(folder: Path) -> None:
    if (folder / "sweep.json").is_file():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; expected one like outputs/sweeps/…")
    hint = ""
    if (folder.parent / "sweep.json").is_file():
        hint = f"; did you mean {folder.parent}?"
    elif (folder / "result.json").is_file() or (folder / ".hydra").is_dir():
        hint = ", it is a single run's: one run cannot be compared with anything"
    elif inner := sorted(path.parent for path in folder.glob("*/sweep.json")):
        hint = f"; did you mean {inner[-1]}?"
    raise UsageError(f"{folder}: is no folder of a sweep{hint}; expected one like outputs/sweeps/…")


def _job(folder: Path, job: Mapping[str, Any], words: list[str] | None, batch: int) -> JobResult:
    """A job from its line in ``sweep.json`` and its folder; without ``words`` its overrides are
    those of its result."""
    path = folder / str(job["folder"])
    result: dict[str, Any] = {}
    if (path / "result.json").is_file():
        try:
            result = json.loads((path / "result.json").read_text())
        except ValueError:
            raise UsageError(
                f"{path / 'result.json'}: is damaged; delete it, and exprun resume {folder}"
            ) from None
    words = result.get("overrides", []) if words is None else words
    overrides = dict(word.lstrip("+").partition("=")[::2] for word in words)
    block = [overrides.get(key, "") for key in REPETITION]
    block[0] = str(result.get("seed", block[0] or 0))
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


def _tabulate(
    sweeps: list[Path], batches: list[Batch], found: list[tuple[JobResult, list[str]]]
) -> Results:
    """Order by time, find what varies, and group what does not."""
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
        if identity in seen:  # asked for again: the first result counts
            continue
        seen.add(identity)
        jobs.append(_replaced(job, position[job.batch], kept))
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
            " ".join(v if k == VARIANT else f"{k}={v}" for k, v in values) or "all jobs",
            dict(values),
            [f"{k}={v}" for k, v in group[0].overrides.items() if k not in REPETITION],
            group,
        )
        for values, group in groups.items()
    ]
    return Results(
        sweeps, [batches[i] for i in order], factors, varying, shared, jobs, configurations
    )


def _replaced(job: JobResult, batch: int, values: dict[str, str]) -> JobResult:
    return JobResult(**vars(job) | {"batch": batch, "values": values})


def _factors(jobs: Sequence[JobResult]) -> dict[str, list[str]]:
    """The keys with several values, or that only some jobs have, and their values."""
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
            if len(pairs) == len(variants):  # it says no more than the variant
                continue
        found[key] = [level for level in levels if level is not None]
    return found


def _level(overrides: Mapping[str, str | None], key: str) -> str | None:
    """How a value is written, a number always in one way: 1e-2 and 0.01 are one level."""
    value = overrides.get(key)
    if value is None:
        return None
    try:
        return f"{float(value):.12g}"
    except ValueError:
        return value


def results_table(results: Results) -> pa.Table:
    """A row for each job: ``sweep``, ``number``, ``configuration``, the factors, the repetition
    keys, ``status``, ``reason``, then every figure."""
    import pyarrow as pa

    named = {id(job): c.name for c in results.configurations for job in c.jobs}
    jobs = results.jobs
    columns: dict[str, Any] = {
        "sweep": [str(job.sweep) for job in jobs],
        "number": [job.number for job in jobs],
        "configuration": [named[id(job)] for job in jobs],
    }
    columns |= {k: [job.values.get(k) for job in jobs] for k in results.factors}
    columns |= {
        key: [job.block[i] for job in jobs]
        for i, key in enumerate(REPETITION)
        if key in results.repetition or key == "seed"
    }
    columns |= {"status": [job.status for job in jobs], "reason": [job.reason for job in jobs]}
    columns |= {
        name: pa.array([_float(job.metrics.get(name)) for job in jobs], pa.float64())
        for name in results.metrics
    }
    return pa.table(columns)


def curves_table(results: Results) -> pa.Table:
    """A row for each epoch of each job: ``sweep``, ``number``, ``configuration``, ``seed``, then
    the columns of ``metrics.csv``; null where a run has no such figure."""
    import pyarrow as pa

    named = {id(job): c.name for c in results.configurations for job in c.jobs}
    tables = []
    for job in results.jobs:
        curve = job.curve()
        if not curve:
            continue
        count = len(next(iter(curve.values())))
        head = {
            "sweep": [str(job.sweep)] * count,
            "number": [job.number] * count,
            "configuration": [named[id(job)]] * count,
            "seed": [job.block[0]] * count,
        }
        figures = {name: pa.array(column, pa.float64()) for name, column in curve.items()}
        tables.append(pa.table({**head, **figures}))
    return pa.concat_tables(tables, promote_options="default") if tables else pa.table({})


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
