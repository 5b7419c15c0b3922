"""The learning curve: loss and metrics after each epoch, on training and validation rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from exprun.data.prepare import Part
from exprun.engine.native.training import NativeTraining
from exprun.engine.program import Program
from exprun.engine.tape import Unrecordable, record
from exprun.training import metrics
from exprun.training.divergence import locate
from exprun.training.prediction import rows_at_once
from exprun.training.training import Training

RECORD_AFTER = 20
"""Number of evaluations whose replay saves as much time as recording costs; an evaluation is
recorded only after this many epochs, and if as many may follow."""


class Curve:
    """Evaluates a training after each epoch.

    The operations are the same every time, so they are recorded and replayed like those of the
    iterations (``engine.replay``), with the same bits, as long as the weights keep their storage.
    """

    def __init__(
        self, training: Training, *, replayed: bool, native: NativeTraining | None = None
    ) -> None:
        """``native`` computes the figures if it can; otherwise they are replayed or evaluated
        eagerly.

        They are evaluated eagerly with ``replayed=False``, for parts of more rows than one chunk
        or with inputs kept as codes (replay saves nothing there), and if the monitored figure is
        one whose operations depend on the values (``metrics.full``).
        """
        t = training
        self.training = t
        self.native = native if native and native.measures(t.figures) else None
        parts = {"train": t.measured, "val": t.data.val}
        self.parts = {name: part for name, part in parts.items() if len(part)}
        small = all(
            isinstance(part.x, Tensor) and len(part) <= rows_at_once(part.x.shape[1])
            for part in self.parts.values()
        )
        steady = not set(t.figures) & {*metrics.OF_CLASSES, *metrics.OF_ORDERED_CLASSES}
        self.replayed = replayed and small and steady
        self.names = t.figures
        self.columns = [f"{part}_{name}" for name in self.names for part in self.parts]
        self.values = torch.zeros(len(self.columns) + 1, dtype=torch.float64, device=t.device)
        self.rows = 0
        self.program: Program | None = None
        self.place: list[int] = []  # of the weights that it reads

    def row(self) -> dict[str, float]:
        """The row of the last epoch: training figures, on ``Training.measured``, and validation
        figures. Raises Diverged if a weight or a loss is not finite."""
        t = self.training
        t.set_mode(False)
        if self.native:
            values, broken = self.native.figures(self.parts, self.names)
        else:
            self._measure()
            *values, total = self.values.tolist()
            broken = not math.isfinite(total) and not all_finite(t.model)
        figures = dict(zip(self.columns, values, strict=True))
        for name, part in self.parts.items():
            if broken or not math.isfinite(figures[f"{name}_loss"]):
                first = part.x[: rows_at_once(part.x.shape[1])]
                raise locate(t.model, first, t.epoch, t.iteration, updates=t.iteration)
        return {
            "epoch": t.epoch,
            "iteration": t.iteration,
            "lr": t.optimizer.param_groups[0]["lr"],
            **figures,
        }

    def _measure(self) -> None:
        """Write the figures into ``values``, followed by the sum of all weights."""
        t = self.training
        self.rows += 1
        place = [w.data_ptr() for w in t.tensors.values()]
        if place != self.place:  # somebody has put other weights into their place
            self.program, self.place = None, place
        if self.program:
            self.program.run(self.values[None], self.values[None], [[]])
        elif self.replayed and min(self.rows, t.max_epochs - t.epoch) >= RECORD_AFTER:
            changing = list(t.tensors.values())
            try:
                self.program = record(self._evaluate, self.values, self.values, changing=changing)
            except Unrecordable:
                self.replayed = False
                self._evaluate()
        else:
            self._evaluate()

    @torch.no_grad()
    def _evaluate(self) -> None:
        t = self.training
        figures = [evaluate(t, part) for part in self.parts.values()]
        total = torch.stack([w.sum() for w in t.model.parameters()]).sum().double()
        self.values.copy_(torch.stack([*(of[k] for k in self.names for of in figures), total]))


@torch.no_grad()
def evaluate(training: Training, part: Part) -> dict[str, Tensor]:
    """Mean loss and metrics of one part of the data as float64 scalars; the model's mode is not
    changed."""
    t = training
    chunks = [t.model(x) for x in part.x.split(rows_at_once(part.x.shape[1]))]
    outputs = chunks[0] if len(chunks) == 1 else torch.cat(chunks)
    preprocessing = t.data.preprocessing
    figures = {"loss": t.loss.reported(outputs, part.y, part.weight)}
    activation = t.loss.output_activation
    figures |= metrics.evaluate(outputs, part.y, preprocessing, activation, part.weight)
    if "weighted_loss" in t.figures:
        figures["weighted_loss"] = t.loss.weighted(outputs, part.y, part.weight)
    if not figures.keys() >= set(t.figures):
        full = metrics.full(outputs, part.y, preprocessing, activation, part.weight)
        figures |= {
            name: torch.tensor(full.get(name, math.nan), dtype=torch.float64, device=t.device)
            for name in t.figures
            if name not in figures
        }
    return figures


def all_finite(model: nn.Module) -> bool:
    """Whether all parameters are finite."""
    return all(bool(w.isfinite().all()) for w in model.parameters())


def ema_columns(row: dict[str, float]) -> dict[str, float]:
    """The figures of a row measured with averaged weights, renamed: ``val_loss`` becomes
    ``val_ema_loss``. Columns without a part, such as ``epoch``, are dropped."""
    words = {name: name.partition("_") for name in row}
    return {f"{part}_ema_{what}": row[name] for name, (part, _, what) in words.items() if what}
