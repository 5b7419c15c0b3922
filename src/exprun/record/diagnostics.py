"""Write ``diagnostics.csv`` and ``initialization.csv``, and the same for TensorBoard."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from exprun.diagnostics.initialization import COLUMNS, laboratory
from exprun.diagnostics.measure import (
    ACTIVATION_GRADIENTS,
    FIGURES,
    Layer,
    figures,
    layer_name,
    measured_rows,
    observe,
)
from exprun.diagnostics.settings import Diagnostics
from exprun.diagnostics.signal_propagation import verdict
from exprun.record.files import write_atomic
from exprun.record.tensorboard import EventFile
from exprun.training.callbacks import Callback
from exprun.training.training import Training

TABLE, INITIALIZATION = "diagnostics.csv", "initialization.csv"

BUCKETS = 30
"""Number of buckets of a histogram."""


class DiagnosticsRecorder(Callback):
    """Callback that measures the layers before the training and after epochs, in separate
    passes."""

    def __init__(
        self, folder: Path, settings: Diagnostics, training: Training, events: EventFile
    ) -> None:
        """Rows of completed epochs in an existing table of the folder are kept."""
        self.settings = settings
        self.events = events
        self.part = measured_rows(training, settings.rows)
        self.before: dict[str, Tensor] | None = None
        columns = ["epoch", "layer", *FIGURES]
        columns += ACTIVATION_GRADIENTS if settings.histograms else ()
        text = io.StringIO(newline="")
        csv.writer(text).writerows([columns, *_earlier(folder / TABLE, training.epoch, columns)])
        write_atomic(folder / TABLE, text.getvalue().encode())
        self.file = (folder / TABLE).open("a", newline="")
        self.table = csv.DictWriter(self.file, columns)
        self.initialization: list[dict[str, Any]] = []  # rows, for a new training
        if not training.epoch:
            self.initialization = laboratory(training, self.part)
            self._write_initialization(folder)

    def close(self) -> None:
        self.file.close()

    def on_start(self, training: Training) -> None:
        if not training.epoch:
            self._measure(training)
        self._remember_weights(training)

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        if self.settings.due(training.epoch):
            self._measure(training)
        self._remember_weights(training)

    def _remember_weights(self, training: Training) -> None:
        """Copy the weights, for the ``update_ratio`` of the next epoch."""
        self.before = None
        if self.settings.due(training.epoch + 1):
            modules = training.model.named_modules()
            linear = {layer_name(name): m for name, m in modules if isinstance(m, nn.Linear)}
            self.before = {name: m.weight.detach().clone() for name, m in linear.items()}

    def _write_initialization(self, folder: Path) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(self.initialization)
        write_atomic(folder / INITIALIZATION, text.getvalue().encode())
        self.events.text("initialization", _markdown(self.initialization))

    def _measure(self, training: Training) -> None:
        layers = observe(training.model, training.loss, self.part)
        iterations, full = training.iterations_per_epoch, self.settings.histograms
        rows = figures(layers, self.before, iterations, full=full)
        self.table.writerows({"epoch": training.epoch} | row for row in rows)
        self.file.flush()
        points = {
            f"{figure}/{row['layer']}": value
            for row in rows
            for figure, value in row.items()
            if figure != "layer" and value is not None
        }
        self.events.scalars(points, training.epoch)
        if full:
            self._write_histograms(layers, training.epoch)

    def _write_histograms(self, layers: list[Layer], epoch: int) -> None:
        for layer in layers:
            kinds = {
                "weights": layer.linear.weight.detach(),
                "pre-activations": layer.z,
                "activations": layer.a,
                "gradients": layer.d_z,
                "activation gradients": layer.d_a,
            }
            for kind, tensor in kinds.items():
                if tensor is not None:
                    self.events.histogram(f"{kind}/{layer.name}", buckets(tensor), epoch)


def _earlier(path: Path, until: int, columns: list[str]) -> list[list[str]]:
    """The complete rows of an existing table up to epoch ``until``; empty if that is 0."""
    if not until or not path.exists():
        return []
    with path.open(newline="") as file:
        head, *rows = csv.reader(file)
    whole = [row for row in rows if len(row) == len(columns)]
    return [row for row in whole if int(row[0]) <= until] if head == columns else []


def buckets(tensor: Tensor) -> list[tuple[float, float, float]]:
    """BUCKETS of equal width from the smallest to the largest finite number, as (left edge, right
    edge, count); empty if no number is finite."""
    numbers = tensor.flatten().double().cpu().numpy()  # float32 neighbours need distinct edges
    low, high = float(numbers.min()), float(numbers.max())
    if not math.isfinite(low + high):
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            return []
    counts, edges = np.histogram(numbers, BUCKETS)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True))


def _markdown(rows: list[dict[str, Any]]) -> str:
    """The rows of the initialisation laboratory as a Markdown table, with their verdict."""
    lines = [list(COLUMNS), ["---"] * len(COLUMNS)]
    for row in rows:
        values = (row[column] for column in COLUMNS)
        lines.append([f"{v:.3g}" if isinstance(v, float) else str(v or "") for v in values])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{verdict(rows)}"
