"""A preset's published figures beside one's own: read off the jobs' folders, judged, written down.

A preset says in its ``published`` node where its figures come from and what each of them is; no
figure needs code. Nothing here imports torch.
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
"""What ``result.json`` says beside its metrics."""

METRICS = [
    f"{part}_{metric}"
    for part in ("train", "val", "test", "train_ema", "val_ema")
    for metric in sorted(HIGHER_IS_BETTER | LOWER_IS_BETTER)
]
"""Figures of a network. Those of one of several targets have its name behind them, and a problem
has others."""

NO_CHANGE = ("experiment", "data.path", "data.test_path", "device", "seed", "trainer.threads")
"""Keys that may be given with a preset, and it is still the same experiment."""


@dataclass(frozen=True)
class Figure:
    """One published number and how to find one's own.

    It is the ``metric`` of the model (``result.json``), or of the curve after an ``epoch``
    (``metrics.csv``), or of a ``layer`` (``diagnostics.csv``), over the jobs of a ``variant``, or
    all if that is not given. ``within`` is how far from ``value`` one's own mean may lie, or a pair
    of bounds; without it nothing is judged. ``spread`` is the published standard deviation,
    ``label`` says whose number it is.
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
        """What agrees with the published number."""
        if self.within is None:
            return None
        if isinstance(self.within, list):
            return self.within[0], self.within[1]
        return self.value - self.within, self.value + self.within

    @property
    def title(self) -> str:
        """``adam train_accuracy, epoch 15``."""
        words = [self.metric, self.layer, f"epoch {self.epoch}" if self.epoch is not None else ""]
        named = f"{self.variant or ''} {', '.join(filter(None, words))}".lstrip()
        return f"{named} ({self.label})" if self.label else named

    @property
    def spelled(self) -> str:
        """``0.4985 ± 0.003``."""
        spread = f" ± {self.spread:g}" if self.spread is not None else ""
        return f"{self.value:.10g}{spread}"

    @property
    def source(self) -> str:
        """The file of a job's folder that has it."""
        if self.layer is not None:
            return "diagnostics.csv"
        return "result.json" if self.epoch is None else "metrics.csv"


@dataclass(frozen=True)
class Comparison:
    """A figure with one's own: ``mean`` and ``std`` over the ``jobs`` that have it, ``of`` so many
    that were asked for. ``outside`` is how far the mean lies from what agrees, 0 if it does, and
    None if nothing is judged; ``missing`` says why there is no figure of one's own."""

    figure: Figure
    jobs: int
    of: int
    mean: float | None = None
    std: float | None = None
    outside: float | None = None
    missing: str | None = None


@dataclass(frozen=True)
class Published:
    """Figures, their source, and what was ``changed`` of the preset."""

    source: str
    comparisons: tuple[Comparison, ...]
    changed: tuple[str, ...] = ()


def check_published(node: DictConfig, variants: Iterable[str]) -> None:
    """Raise UsageError if a figure of the ``published`` node lacks something, or is of a variant
    that the sweep does not have. The values by themselves are checked by ``config.schema``."""
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
    """The metric that is meant by a name that is almost its name."""
    if metric in METRICS or any(metric.startswith(f"{name}_") for name in METRICS):
        return None
    return next(iter(difflib.get_close_matches(metric, METRICS, n=1, cutoff=0.85)), None)


def compare(
    node: Mapping[str, Any], jobs: Sequence[tuple[str | None, Path]], asked: Sequence[str]
) -> Published:
    """Every figure of the ``published`` node beside that of the ``jobs``, each a variant's name and
    a folder; ``asked`` are the overrides of the command line."""
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
    """``compare``, and write it into ``published.json``, with ``within`` as bounds."""
    published = compare(node, jobs, asked)
    content = asdict(published)
    for comparison, written in zip(published.comparisons, content["comparisons"], strict=True):
        written["figure"]["within"] = comparison.figure.bounds
    write_json(folder / COMPARISON, content)
    return published


def stored(folder: Path) -> Published:
    """What ``judge`` has written."""
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
    """The content of ``result.json`` of a job that ended well."""
    result = state_of(folder)
    return result if result["status"] in (COMPLETED, EARLY_STOPPED) else None


def _figures(folder: Path, result: Mapping[str, Any], figure: Figure) -> dict[str, float]:
    """All numbers of a job that stand where the figure does."""
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
    """The row of a table that has the ``wanted`` cells; nothing if there is none."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return next((row for row in csv.DictReader(file) if wanted.items() <= row.items()), {})


def _why(figure: Figure, tables: Sequence[Mapping[str, float]]) -> str:
    """Why no job has a figure."""
    if not tables:
        return "no job came to its end"
    where = figure.source
    if figure.epoch is not None:
        where += f", epoch {figure.epoch}"
    if figure.layer is not None:
        where += f", {figure.layer}"
    names = [name for table in tables[:1] for name in table]
    return f"there is none in {where}{nearest(figure.metric, names)}"
