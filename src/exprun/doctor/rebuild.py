"""Rebuilds a run from its folder and measures it: its data, and its layers before the training and
at the last checkpoint. Nothing in the folder is changed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from exprun.common.errors import UsageError
from exprun.common.streams import stream
from exprun.data.one_hot_inputs import Inputs, OneHotInputs
from exprun.diagnostics.measure import Row, measure
from exprun.doctor.baselines import (
    FEWEST,
    MOST_NUMBERS,
    MOST_TRAIN,
    MOST_VAL,
    Array,
    Sample,
    compare,
)
from exprun.doctor.findings import DataFacts, Findings, Targets, read
from exprun.record import checkpoint
from exprun.record.model import as_file
from exprun.run_folder import Stored, initial_training
from exprun.statistics import kolmogorov_smirnov
from exprun.training.prediction import amounts, class_ids, forward, probabilities
from exprun.training.training import Training

AT_ONCE = 2**20
"""Numbers that are squared at once, 8 MiB, which bounds the temporary memory."""


def examine(folder: Path, run: Stored, *, trust: bool = False) -> tuple[Findings, str | None]:
    """The findings from the files of a run's folder and from its rebuilt training, and None; or, if
    it cannot be rebuilt, those from the files alone, and the reason."""
    findings = read(folder, run.config, run.options)
    try:
        training = initial_training(run, folder, trust=trust)
    except UsageError as error:
        return findings, str(error)
    state, _ = checkpoint.newest(folder)
    if state and state["preprocessing"] != as_file(training.data.preprocessing).sum:
        return findings, "the data are not those that it was trained on"
    return measured(findings, training, state), None


def measured(findings: Findings, training: Training, state: dict[str, object] | None) -> Findings:
    """The findings with facts about the data, and the layers measured before the training and at
    the ``state`` of a checkpoint; recorded layers are kept instead of new measurements."""
    layers: list[Row] = []
    if not findings.layers:
        layers += [{"epoch": 0} | row for row in measure(training)]
    if state:
        training.load_state_dict(state)
        if not findings.layers:
            layers += [{"epoch": training.epoch} | row for row in measure(training)]
    classes = training.data.preprocessing.task.classes
    return replace(
        findings,
        layers=[*findings.layers, *layers],
        classes=len(classes),
        data=data_facts(training),
    )


def data_facts(training: Training) -> DataFacts:
    """Facts about the rows and, if there is a kept model, how well it predicts them."""
    data = training.data
    train, val, task = data.train, data.val, data.preprocessing.task
    classes = len(task.classes)
    counts = torch.bincount(train.y, minlength=classes) if classes else train.y.new_zeros(0)
    sizes = _mean_squares(train.x).sqrt().tolist()
    weight = training.loss.class_weight
    recall: tuple[float | None, ...] = ()
    compared, underconfidence = None, 0.0
    if training.kept:
        training.model.load_state_dict(training.kept)
        compared = compare(_sample(training))
        underconfidence = _underconfidence(training)
        recall = recalls(training)
    return DataFacts(
        rows=len(train),
        shares=tuple((counts / max(len(train), 1)).tolist()),
        scales=dict(zip(data.preprocessing.input_names, sizes, strict=True)),
        recall=recall,
        compared=compared,
        targets=_targets(training) if len(val) and len(train) else None,
        class_weight=None if weight is None else tuple(weight.tolist()),
        underconfidence=underconfidence,
    )


def _mean_squares(x: Inputs) -> Tensor:
    """The mean square of each input over all rows, (width,) float64."""
    if isinstance(x, OneHotInputs):
        squares = torch.bincount(x.codes[x.codes >= 0], minlength=x.width).double() / len(x)
        return squares.index_copy_(0, x.places, _mean_squares(x.numbers))
    squares = x.new_zeros(x.shape[1], dtype=torch.float64)
    for rows in x.split(max(1, AT_ONCE // max(1, x.shape[1]))):
        squares += rows.double().square().sum(0)
    return squares / len(x)


def _sample(training: Training) -> Sample:
    """A sample of rows of both parts, the same for all runs, and the model's predictions for
    them."""
    weight = training.loss.class_weight
    bound = max(FEWEST, MOST_NUMBERS // training.data.train.x.shape[1])
    parts = []
    for part, most in ((training.data.train, MOST_TRAIN), (training.data.val, MOST_VAL)):
        drawn = torch.arange(len(part))
        if len(part) > min(most, bound):
            drawn = torch.randperm(len(part), generator=stream(0, "measured"))[: min(most, bound)]
        drawn = drawn.to(part.x.device)
        x, y = part.x[drawn], part.y[drawn]
        outputs = forward(training.model, x) if len(x) else training.loss.encode(y)
        parts.append((array(x), *_predictions(training, outputs, y)))
    (x_train, y_train, predicted), (x_val, y_val, predicted_val) = parts
    return Sample(
        x=x_train,
        y=y_train,
        predicted=predicted,
        x_val=x_val,
        y_val=y_val,
        predicted_val=predicted_val,
        classes=bool(training.data.preprocessing.task.classes),
        class_weight=None if weight is None else array(weight),
    )


def _underconfidence(training: Training) -> float:
    """Accuracy minus mean confidence on the measured training rows and the validation rows (Guo et
    al. 2017)."""
    activation = training.loss.output_activation
    if not training.data.preprocessing.task.classes or activation == "identity":
        return 0.0
    parts = (training.measured, training.data.val)
    outputs = torch.cat([forward(training.model, part.x) for part in parts])
    y = torch.cat([part.y for part in parts])
    shares = probabilities(outputs, activation)
    confidence, chosen = shares.max(1)
    return float((chosen == y).double().mean() - confidence.mean())


def _predictions(training: Training, outputs: Tensor, y: Tensor) -> tuple[Array, Array]:
    """Targets and predictions (n, K), both one-hot for classes."""
    classes = len(training.data.preprocessing.task.classes)
    if not classes:
        return array(y), array(amounts(outputs, training.loss.output_activation))
    chosen = class_ids(outputs) if len(outputs) else y
    return tuple(array(one_hot(ids, classes)) for ids in (y, chosen))  # type: ignore[return-value]


def array(tensor: Tensor) -> Array:
    return tensor.detach().double().cpu().numpy()


def _targets(training: Training) -> Targets:
    """Outliers of the targets, and the distance between those of both parts."""
    data = training.data
    classes = len(data.preprocessing.task.classes)
    n, m = len(data.train), len(data.val)
    if classes:
        shares = [
            torch.bincount(part.y, minlength=classes).double() / len(part)
            for part in (data.train, data.val)
        ]
        distance = float((shares[0] - shares[1]).abs().sum()) / 2
        # McDiarmid: the distance exceeds its mean, at most √(K / 4)(1/√n + 1/√m), by t with
        # probability exp(-2 t² / (1/n + 1/m))
        mean = math.sqrt(classes / 4) * (n**-0.5 + m**-0.5)
        p = math.exp(-2 * max(distance - mean, 0.0) ** 2 / (1 / n + 1 / m))
        return Targets(distance, p)
    scaling = data.preprocessing.target
    found = []
    for part in (data.train, data.val):
        y = array(part.y)
        squares = (y - y.mean(0)) ** 2
        shares_ = squares / np.maximum(squares.sum(0), 1e-300)
        row, column = np.unravel_index(shares_.argmax(), shares_.shape)
        value = y[row, column] * scaling.std[column] + scaling.mean[column]
        found.append((float(shares_[row, column]), float(value)))
    pairs = zip(array(data.train.y).T, array(data.val.y).T, strict=True)
    distance = max(kolmogorov_smirnov.distance(a, b) for a, b in pairs)
    p = kolmogorov_smirnov.tail(distance, n, m)
    return Targets(distance, p, *found[0], *found[1])


def recalls(training: Training) -> tuple[float | None, ...]:
    """The recall of each class on the validation rows with the model's current weights, None for a
    class without rows; empty for regression."""
    part, task = training.data.val, training.data.preprocessing.task
    if not task.classes or not len(part):
        return ()
    predicted = class_ids(forward(training.model, part.x))
    found: list[float | None] = []
    for k in range(len(task.classes)):
        rows = part.y == k
        found.append((predicted[rows] == k).double().mean().item() if rows.any() else None)
    return tuple(found)
