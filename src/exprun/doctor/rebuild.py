"""A run rebuilt from its folder and measured afresh: its data, and its layers before the training
and at the last checkpoint. Nothing in the folder is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from exprun.build import target_of
from exprun.common.errors import UsageError
from exprun.config.schema import plain
from exprun.diagnostics.measure import Row, measure
from exprun.doctor.findings import DataFacts, Findings, read
from exprun.record import checkpoint
from exprun.record.model import as_file
from exprun.run_folder import Stored, check_config
from exprun.training.prediction import class_ids, forward
from exprun.training.training import Training


def examine(folder: Path, run: Stored, *, trust: bool = False) -> tuple[Findings, str | None]:
    """The findings from the files of a run's folder and from its training rebuilt, and, if that
    cannot be, why: then they are those of the files alone."""
    findings = read(folder, run.config, run.options)
    try:
        check_config(run.config, folder, trust=trust)
        config = plain(run.config)
        training: Training = target_of("problem", config["problem"])(config)
    except UsageError as error:
        return findings, str(error)
    state, _ = checkpoint.newest(folder)
    if state and state["preprocessing"] != as_file(training.data.preprocessing).sum:
        return findings, "the data are not those that it was trained on"
    return measured(findings, training, state), None


def measured(findings: Findings, training: Training, state: dict[str, object] | None) -> Findings:
    """With the data and the layers of a training that has not begun, and, after that, at the
    ``state`` of a checkpoint; what was recorded before remains."""
    layers: list[Row] = []
    if not findings.layers:
        layers += [{"epoch": 0} | row for row in measure(training)]
    recall: tuple[float | None, ...] = ()
    if state:
        training.load_state_dict(state)
        if not findings.layers:
            layers += [{"epoch": training.epoch} | row for row in measure(training)]
        if training.kept:
            training.model.load_state_dict(training.kept)
            recall = recalls(training)
    classes = training.data.preprocessing.task.classes
    return replace(
        findings,
        layers=[*findings.layers, *layers],
        classes=len(classes),
        data=data_facts(training, recall),
    )


def data_facts(training: Training, recall: tuple[float | None, ...] = ()) -> DataFacts:
    """What there is to know of the training rows."""
    train = training.data.train
    classes = len(training.data.preprocessing.task.classes)
    counts = torch.bincount(train.y, minlength=classes) if classes else train.y.new_zeros(0)
    sizes = train.x.double().square().mean(0).sqrt().tolist()
    names = training.data.preprocessing.input_names
    return DataFacts(
        rows=len(train),
        shares=tuple((counts / max(len(train), 1)).tolist()),
        scales=dict(zip(names, sizes, strict=True)),
        recall=recall,
    )


def recalls(training: Training) -> tuple[float | None, ...]:
    """The share of each class's validation rows that the model, as it is, gets right."""
    part, task = training.data.val, training.data.preprocessing.task
    if not task.classes or not len(part):
        return ()
    predicted = class_ids(forward(training.model, part.x))
    found: list[float | None] = []
    for k in range(len(task.classes)):
        rows = part.y == k
        found.append((predicted[rows] == k).double().mean().item() if rows.any() else None)
    return tuple(found)
