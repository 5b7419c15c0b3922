"""Compares a preset's published figures with the measured ones, which are read from the jobs'
folders, and writes the result to ``published.json``.

The ``published`` node of a preset states the source of its figures and the definition of each, so
no figure needs code. Nothing here imports torch.
"""

from __future__ import annotations

import csv
import difflib
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from exprun.common.constants import COMPLETED, EARLY_STOPPED, HIGHER_IS_BETTER, LOWER_IS_BETTER
from exprun.common.errors import UsageError, choices, nearest
from exprun.record.files import write_json
from exprun.sweeps.ledger import state_of

COMPARISON = "published.json"

OF_THE_RUN = ("best_epoch", "epochs", "parameters", "seconds")
"""Figures of ``result.json`` in addition to its metrics."""

METRICS = [
    f"{part}_{metric}"
    for part in ("train", "val", "test", "train_ema", "val_ema")
    for metric in sorted(HIGHER_IS_BETTER | LOWER_IS_BETTER)
]
"""Names of a network's figures. Figures of one of several targets have its name as a suffix; a test
function has other figures."""

NO_CHANGE = ("experiment", "data.path", "data.test_path", "device", "seed", "trainer.threads")
"""Keys that may be overridden in a preset without changing the published experiment."""


@dataclass(frozen=True)
class Figure:
    """A published number, ``value``, and how to find the measured one.

    The measured one is the mean of the ``metric`` of the model (``result.json``), of the curve
    after an ``epoch`` (``metrics.csv``) or of a ``layer`` (``diagnostics.csv``), over the jobs of a
    ``variant``, or over all jobs without one. ``within`` is the largest accepted deviation of that
    mean from ``value``, or a pair of bounds; without it there is no verdict. ``spread`` is the
    published standard deviation, ``label`` names the origin of the number.
    """

    metric: str
    value: float
    label: str | None = None
    variant: str | None = None
    epoch: int | None = None
    layer: str | None = None
    spread: float | None = None
    within: float | list[float] | None = None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The interval of means that agree with the published number; None without ``within``."""
        if self.within is None:
            return None
        if isinstance(self.within, list):
            return self.within[0], self.within[1]
        return self.value - self.within, self.value + self.within

    @property
    def title(self) -> str:
        """The figure's name for a table, like ``adam train_accuracy, epoch 15``."""
        words = [self.metric, self.layer, f"epoch {self.epoch}" if self.epoch is not None else ""]
        named = f"{self.variant or ''} {', '.join(filter(None, words))}".lstrip()
        return f"{named} ({self.label})" if self.label else named

    @property
    def spelled(self) -> str:
        """The published number as text, like ``0.4985 ± 0.003``."""
        spread = f" ± {self.spread:g}" if self.spread is not None else ""
        return f"{self.value:.10g}{spread}"

    @property
    def source(self) -> str:
        """The name of the file in a job's folder that contains the figure."""
        if self.layer is not None:
            return "diagnostics.csv"
        return "result.json" if self.epoch is None else "metrics.csv"


@dataclass(frozen=True)
class Comparison:
    """A published figure with the measured one: ``mean`` and ``std`` over the number of ``jobs``
    that have it, out of ``of`` requested ones. ``outside`` is the signed distance of the mean from
    the bounds, 0 if it lies within and None without bounds; ``missing`` is the reason if no job has
    the figure."""

    figure: Figure
    jobs: int
    of: int
    mean: float | None = None
    std: float | None = None
    outside: float | None = None
    missing: str | None = None


@dataclass(frozen=True)
class Published:
    """The comparisons of all figures, their source, and the overrides that ``changed`` the
    preset."""

    source: str
    comparisons: tuple[Comparison, ...]
    changed: tuple[str, ...] = ()


def check_published(node: DictConfig, variants: Iterable[str]) -> None:
    """Raise UsageError if the ``published`` node or a figure in it lacks a key, or a figure has a
    misspelt metric or an unknown variant. Single values are checked by ``config.schema``."""
    known = list(variants)
    for needed in ("source", "figures"):
        if needed not in node:
            raise UsageError(f"published.{needed} is missing")
    for number, figure in enumerate(node.figures):
        key = f"published.figures[{number}]"
        for needed in ("metric", "value"):
            if needed not in figure:
                raise UsageError(f"{key}.{needed} is missing")
        if figure.get("layer") is not None and figure.get("epoch") is None:
            raise UsageError(f"{key}.epoch is missing: the figures of a layer are of an epoch")
        if figure.get("layer") is None and (hint := _misspelt(str(figure.metric))):
            raise UsageError(f"{key}.metric={figure.metric}: no such metric; did you mean {hint}?")
        variant = figure.get("variant")
        if variant is not None and variant not in known:
            expected = choices(known) if known else "none, for hydra.sweeper.variants has none"
            raise UsageError(
                f"{key}.variant={variant}: no such variant{nearest(variant, known)} "
                f"(expected {expected})"
            )


def _misspelt(metric: str) -> str | None:
    """The known metric that a misspelt name resembles; None if the name is known or resembles
    none."""
    if metric in METRICS or any(metric.startswith(f"{name}_") for name in METRICS):
        return None
    return next(iter(difflib.get_close_matches(metric, METRICS, n=1, cutoff=0.85)), None)


def compare(
    node: Mapping[str, Any], jobs: Sequence[tuple[str | None, Path]], asked: Sequence[str]
) -> Published:
    """Compare every figure of the ``published`` node with that of the ``jobs``, given as pairs of
    variant and folder; ``asked`` are the overrides of the command line."""
    comparisons = []
    for words in node["figures"]:
        figure = Figure(**words)
        mine = [path for variant, path in jobs if figure.variant in (None, variant)]
        comparisons.append(_compare(figure, mine))
    changed = tuple(word for word in asked if word.lstrip("+").split("=")[0] not in NO_CHANGE)
    return Published(node["source"], tuple(comparisons), changed)


def judge(
    folder: Path,
    node: Mapping[str, Any],
    jobs: Sequence[tuple[str | None, Path]],
    asked: Sequence[str],
) -> Published:
    """Run ``compare`` and write the result to ``published.json``, with ``within`` as bounds."""
    published = compare(node, jobs, asked)
    content = asdict(published)
    for comparison, written in zip(published.comparisons, content["comparisons"], strict=True):
        written["figure"]["within"] = comparison.figure.bounds
    write_json(folder / COMPARISON, content)
    return published


def stored(folder: Path) -> Published:
    """Read the ``published.json`` that ``judge`` wrote."""
    content = json.loads((folder / COMPARISON).read_text())
    comparisons = tuple(
        Comparison(**row | {"figure": Figure(**row["figure"])}) for row in content["comparisons"]
    )
    return Published(content["source"], comparisons, tuple(content["changed"]))


def _compare(figure: Figure, folders: Sequence[Path]) -> Comparison:
    results = {path: result for path in folders if (result := _result(path))}
    tables = [_figures(path, result, figure) for path, result in results.items()]
    found = [table[figure.metric] for table in tables if figure.metric in table]
    if not found:
        return Comparison(figure, 0, len(folders), missing=_why(figure, tables))
    mean = statistics.fmean(found)
    std = statistics.stdev(found) if len(found) > 1 else None
    outside = None
    if figure.bounds is not None:
        low, high = figure.bounds
        outside = min(mean - low, 0.0) + max(mean - high, 0.0)
    return Comparison(figure, len(found), len(folders), mean, std, outside)


def _result(folder: Path) -> dict[str, Any] | None:
    """The content of ``result.json`` of a job that ended well, else None."""
    result = state_of(folder)
    return result if result["status"] in (COMPLETED, EARLY_STOPPED) else None


def _figures(folder: Path, result: Mapping[str, Any], figure: Figure) -> dict[str, float]:
    """All numbers of a job in the same file, and row, as the figure."""
    found: Mapping[str, Any]
    if figure.source == "result.json":
        found = {name: result.get(name) for name in OF_THE_RUN} | result["metrics"]
    else:
        wanted = {"epoch": str(figure.epoch)}
        if figure.layer is not None:
            wanted["layer"] = figure.layer
        found = _row(folder / figure.source, wanted)
    return {k: float(v) for k, v in found.items() if k != "layer" and v not in (None, "")}


def _row(path: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """The first row of a CSV file that has the ``wanted`` cells; empty if there is none."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return next((row for row in csv.DictReader(file) if wanted.items() <= row.items()), {})


def _why(figure: Figure, tables: Sequence[Mapping[str, float]]) -> str:
    """The reason why no job has the figure."""
    if not tables:
        return "no job came to its end"
    where = figure.source
    if figure.epoch is not None:
        where += f", epoch {figure.epoch}"
    if figure.layer is not None:
        where += f", {figure.layer}"
    names = [name for table in tables[:1] for name in table]
    return f"there is none in {where}{nearest(figure.metric, names)}"
