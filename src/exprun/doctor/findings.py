"""The facts about a run, as plain data, and the diagnoses that rules make from them."""

from __future__ import annotations

import csv
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from exprun.common.constants import COMPLETED
from exprun.common.errors import UsageError
from exprun.config.paths import conf_dir
from exprun.config.schema import leaves

Row = Mapping[str, Any]


@dataclass(frozen=True)
class DataFacts:
    """Facts about the rows: the number of training rows, the share of each class, and the root mean
    square of each scaled input by name.

    ``recall`` is the share of each class's validation rows that the model predicts correctly, None
    for a class without rows; ``class_weight`` the weight of a row of each class in the training
    loss; ``underconfidence`` the model's accuracy minus its mean probability of the predicted
    class: about 0 for a model that fits its rows, however noisy, and 0 if its outputs are not
    probabilities.
    """

    rows: int
    shares: tuple[float, ...] = ()
    scales: Mapping[str, float] = field(default_factory=dict)
    recall: tuple[float | None, ...] = ()
    compared: Comparison | None = None
    targets: Targets | None = None
    class_weight: tuple[float, ...] | None = None
    underconfidence: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """The kept model and the best of a few baselines (``baselines``) on the same rows.

    The errors are shares of wrong classes, each row weighted by its class, or mean absolute errors
    of the scaled target: of the best constant on the training rows (``trivial``), of the model and
    of the baseline on training and validation rows, and on the validation rows alone. ``z`` and
    ``z_val`` are the standard errors by which the model is worse, with rows as pairs;
    ``association`` is the number of standard deviations by which its ``rows`` validation
    predictions agree better with the targets than permuted ones, ``attainable`` the same for the
    best of the baselines.
    """

    name: str
    trivial: float
    model: float
    baseline: float
    z: float
    model_val: float
    baseline_val: float
    z_val: float
    association: float
    attainable: float
    rows: int

    @property
    def missed(self) -> float:
        """Share of the baseline's gain over the constant that the model does not achieve."""
        return (self.model - self.baseline) / max(self.trivial - self.baseline, 1e-9)

    @property
    def missed_val(self) -> float:
        """The same on the validation rows."""
        return (self.model_val - self.baseline_val) / max(self.trivial - self.baseline_val, 1e-9)

    @property
    def behind(self) -> bool:
        """Whether the baseline is better, both significantly and by a relevant amount."""
        return self.z > SURE and self.missed > TRIFLE

    @property
    def behind_val(self) -> bool:
        """The same on the validation rows, where a network that over-fits is behind."""
        return self.z_val > SURE and self.missed_val > TRIFLE

    @property
    def at_chance(self) -> bool:
        """Whether the validation predictions may be independent of the targets."""
        return self.rows >= 20 and self.association < CHANCE_Z


HESITANT = 0.1
"""Accuracy minus mean confidence above which a model is underconfident."""

SURE = 2.6
"""Standard errors from which a difference is significant: one-sided 0.5 %."""

TRIFLE = 0.1
"""Share of a baseline's gain that a model must miss to count as behind."""

CHANCE_Z = 2.0
"""Standard deviations below which an association may be chance: one-sided 2.3 %."""


@dataclass(frozen=True)
class Targets:
    """Facts about the scaled targets: outliers, for regression, and the distance between both
    parts.

    ``largest`` is the largest share of a single training row in the sum of squares about the mean,
    and ``value`` that row's target in its original unit; ``largest_val`` and ``value_val`` are the
    same for the validation rows. ``distance``, 0 to 1, is that between the distributions of the
    training and the validation rows: Kolmogorov and Smirnov's, or total variation for classes;
    ``p`` bounds the probability of such a distance by chance.
    """

    distance: float
    p: float
    largest: float = 0.0
    value: float = 0.0
    largest_val: float = 0.0
    value_val: float = 0.0


@dataclass(frozen=True)
class Findings:
    """A run: its config by full keys, like ``optimizer.lr``, the chosen ``options`` of the groups,
    and its ``status`` with the ``reason``.

    ``curve`` holds the rows of ``metrics.csv``, ``layers`` those of ``diagnostics.csv``, with epoch
    0 before the training. ``classes`` is 0 for regression and None if unknown, ``usual_lr`` the
    learning rate of the optimizer's option in ``conf/``, ``data`` None if the data were not
    examined.
    """

    config: Mapping[str, Any]
    options: Mapping[str, str]
    status: str = COMPLETED
    reason: str = ""
    parameters: int | None = None
    curve: Sequence[Mapping[str, float]] = ()
    layers: Sequence[Row] = ()
    classes: int | None = None
    usual_lr: float | None = None
    data: DataFacts | None = None

    @cached_property
    def chance(self) -> float | None:
        """The loss of a model that knows only the class shares; None for regression, custom losses
        and unknown classes.

        Without the data all classes count as equally frequent. With class weights it is that of the
        weighted loss, None without the data.
        """
        if not self.classes:
            return None
        shares = self.data.shares if self.data else (1 / self.classes,) * self.classes
        counted = 1.0
        if self.weighted:
            if not self.data or not self.data.class_weight:
                return None
            shares = tuple(p * w for p, w in zip(shares, self.data.class_weight, strict=True))
            counted = sum(shares)
            shares = tuple(p / counted for p in shares)
        entropy = -sum(p * math.log(p) for p in shares if p)
        per_output = -sum(q * math.log(q) for p in shares for q in (p, 1 - p) if q)
        losses = {
            "exprun.techniques.losses.auto": entropy,
            "exprun.techniques.losses.CrossEntropy": entropy,
            "exprun.techniques.losses.BinaryCrossEntropy": entropy
            if self.classes == 2
            else per_output,
            "exprun.techniques.losses.SquaredError": sum(p * (1 - p) for p in shares) / len(shares),
            "exprun.techniques.losses.AbsoluteError": sum(min(p, 1 - p) for p in shares)
            / len(shares),
        }
        chance = losses.get(self.config.get("loss._target_", ""))
        return None if chance is None else counted * chance

    @property
    def weighted(self) -> bool:
        """Whether the training minimises a loss with class weights."""
        return self.config.get("loss.class_weight") is not None

    @property
    def behind(self) -> bool:
        """Whether simple baselines do better on all examined rows. Without the data there is no
        comparison, and a training loss far from 0 is used instead."""
        if self.data and self.data.compared:
            return self.data.compared.behind
        return not self.fits

    @property
    def hesitant(self) -> bool:
        """Whether the model is underconfident: its accuracy is far above its confidence, so that
        its loss could fall even if its errors may not. False with label smoothing and class
        weights, which cause this intentionally."""
        meant = self.weighted or "label_smoothing" in self.options.get("reg", "")
        return not meant and self.data is not None and self.data.underconfidence > HESITANT

    def relative(self, part: str) -> list[float]:
        """The curve of a part, ``train`` or ``val``, in multiples of the chance loss: 1 is no
        better than chance, 0 is perfect. For classes by the loss that the training minimises,
        including class weights; for numbers 1 - R². Empty if there is no such curve."""
        if self.classes == 0:
            return [1 - row[f"{part}_r2"] for row in self.curve if f"{part}_r2" in row]
        if not self.chance:
            return []
        loss = f"{part}_weighted_loss" if self.weighted else f"{part}_loss"
        return [row[loss] / self.chance for row in self.curve if loss in row]

    @cached_property
    def train(self) -> list[float]:
        """``relative("train")``."""
        return self.relative("train")

    @cached_property
    def val(self) -> list[float]:
        """``relative("val")``, or ``relative("train")`` without a validation part."""
        return self.relative("val") or self.train

    @property
    def fits(self) -> bool:
        """Whether the network has learned its training rows well, by its training loss alone."""
        return bool(self.train) and min(self.train[-3:]) < FITTED

    @property
    def batch_size(self) -> int | None:
        """Rows of a batch; None for the full batch."""
        size = self.config.get("batching.batch_size")
        return size if isinstance(size, int) else None

    @property
    def rows(self) -> int | None:
        """Number of training rows; without the data estimated from the iterations of an epoch, to
        within a batch. None if unknown."""
        if self.data:
            return self.data.rows
        if self.batch_size and self.curve and "iteration" in self.curve[0]:
            return int(self.curve[0]["iteration"]) * self.batch_size
        return None

    def measured(self, epoch: int) -> list[Row]:
        """The rows of the hidden layers measured after ``epoch``; -1 is the last one measured."""
        if not self.layers:
            return []
        wanted = max(int(row["epoch"]) for row in self.layers) if epoch < 0 else epoch
        return [
            row for row in self.layers if int(row["epoch"]) == wanted and row["layer"] != "output"
        ]


FITTED = 0.1
"""Multiple of the chance loss below which the training rows count as learned."""


@dataclass(frozen=True)
class Suggestion:
    """Overrides to add to those of the run, the reason why they may help, and the metric that
    judges a trial, which differs from the loss if they change the loss itself (None: what
    ``stopping.monitor`` says)."""

    overrides: tuple[str, ...]
    why: str
    metric: str | None = None

    def __str__(self) -> str:
        """The overrides quoted for a shell."""
        return shlex.join(self.overrides)


def suggest(overrides: str, why: str, metric: str | None = None) -> Suggestion:
    """A suggestion from overrides separated by blanks, like ``init=he norm=batch``."""
    return Suggestion(tuple(overrides.split()), why, metric)


@dataclass(frozen=True)
class Diagnosis:
    """A diagnosis: its name, its evidence (figures, epochs, layers), the slide or paper that
    supports it, and suggestions, the most promising first. Diagnoses of the rules named in
    ``explains`` are effects of this one and are not reported."""

    name: str
    evidence: str
    source: str
    suggestions: tuple[Suggestion, ...] = ()
    explains: frozenset[str] = frozenset()


def read(folder: Path, config: DictConfig, options: Mapping[str, str | None]) -> Findings:
    """The findings from the files of a run's folder; missing files give empty fields. Raises
    UsageError for a damaged file."""
    result = _json(folder / "result.json")
    classes = _json(folder / "preprocess.json").get("task", {}).get("classes")
    chosen = {group: option for group, option in options.items() if option and group in config}
    return Findings(
        config=dict(leaves(config)),
        options=chosen | {"reg": "+".join(config.get("reg", {})) or "none"},
        status=result.get("status", "unfinished"),
        reason=result.get("reason", ""),
        parameters=result.get("parameters"),
        curve=table(folder / "metrics.csv"),
        layers=table(folder / "diagnostics.csv"),
        classes=None if classes is None else len(classes),
        usual_lr=_usual_lr(chosen.get("optimizer")),
    )


def _usual_lr(optimizer: str | None) -> float | None:
    """The learning rate of exprun's optimizer option of that name; None if there is none."""
    path = conf_dir() / "optimizer" / f"{optimizer}.yaml"
    if not path.is_file():
        return None
    lr = OmegaConf.select(OmegaConf.load(path), "lr")
    return None if lr is None else float(lr)


def table(path: Path) -> list[dict[str, Any]]:
    """The complete rows of a CSV file of numbers and names, with None for an empty cell; empty if
    there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {name: _value(text) for name, text in row.items()}
        for row in rows
        if None not in row and None not in row.values()
    ]


def _value(text: str) -> float | str | None:
    try:
        return float(text)
    except ValueError:
        return text or None


def _json(path: Path) -> dict[str, Any]:
    """The content of a JSON file; empty if there is no such file. Raises UsageError if it is
    damaged."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: is damaged")
    return content
