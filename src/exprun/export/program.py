"""A ``torch.export`` program of the network and its preprocessing, which runs without exprun.

It imputes and scales numeric columns; words are passed as codes, because torch has no text.
"""

from __future__ import annotations

import copy
import io
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from exprun.data.builder import missing_numbers
from exprun.data.columns import Datetime
from exprun.data.datetimes import PERIODS
from exprun.data.scaling import BOUND, Linear, Quantiles
from exprun.export.inputs import Columns, description, input_order
from exprun.training.prediction import Model, amounts, class_ids, probabilities


class Pipeline(nn.Module):
    """Preprocessing and network as one module.

    Maps ``numbers`` (n, numeric columns) float64 and ``codes`` (n, categorical columns) int64, each
    only if there are such columns, to class ids (n,) and probabilities (n, classes), or to numbers
    (n, targets) float64.
    """

    center: Tensor
    scale: Tensor
    fill: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = copy.deepcopy(model.network).requires_grad_(False)
        self.columns = Columns.of(model.preprocessing)
        self.gaps = missing_numbers(model.preprocessing.reading.missing)
        self.order = input_order(model.preprocessing)
        self.activation = model.output_activation
        self.of_classes = bool(model.preprocessing.task.classes)
        numeric = self.columns.numeric
        linear = [c.scaling if isinstance(c.scaling, Linear) else Linear() for c in numeric]
        target = model.preprocessing.target
        for name, numbers in {
            "center": [scaling.center for scaling in linear],
            "scale": [scaling.scale for scaling in linear],
            "fill": [column.fill for column in numeric],
            "target_mean": target.mean,
            "target_std": target.std,
            **{
                f"quantiles_{k}": column.scaling.values
                for k, column in enumerate(numeric)
                if isinstance(column.scaling, Quantiles)
            },
        }.items():
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float64))
        for k, words in enumerate(self.columns.categorical):
            if words.encoding:
                self.register_buffer(f"encoding_{k}", torch.from_numpy(words.encoding.inputs))

    def forward(self, *columns: Tensor) -> tuple[Tensor, ...]:
        blocks = []
        if self.columns.numeric:
            numbers = columns[0]
            missed = numbers.isnan()
            for number in self.gaps:
                missed = missed | (numbers == number)
            filled = torch.where(missed, self.fill, numbers)
            scaled = (filled - self.center) / self.scale
            parts = [self._numeric(k, part) for k, part in enumerate(scaled.split(1, dim=1))]
            blocks.append(torch.cat(parts, 1).float())
            for place, column in enumerate(self.columns.numeric):
                if isinstance(column, Datetime):
                    blocks += _circles(filled[:, place : place + 1], column.periods)
        for k, words in enumerate(self.columns.categorical):
            codes = columns[-1][:, k : k + 1]
            if words.encoding:
                table = self.get_buffer(f"encoding_{k}")
                blocks.append(table[torch.where(codes[:, 0] < 0, len(table) - 1, codes[:, 0])])
            else:
                blocks.append((codes == torch.arange(words.width, device=codes.device)).float())
        outputs = self.network(torch.cat(blocks, 1)[:, self.order])
        if self.of_classes:
            return class_ids(outputs), probabilities(outputs, self.activation).float()
        standardized = amounts(outputs, self.activation)
        return (standardized * self.get_buffer("target_std") + self.get_buffer("target_mean"),)

    def _numeric(self, place: int, x: Tensor) -> Tensor:
        """Apply the quantile transform of a numeric column (n, 1), if it has one, as
        ``Quantiles.apply``."""
        if not isinstance(self.columns.numeric[place].scaling, Quantiles):
            return x
        values = self.get_buffer(f"quantiles_{place}")
        if len(values) > 1:
            sides = [_interpolated(x, values, right) for right in (True, False)]
            probability = (sides[0] + sides[1]) / 2
        else:
            probability = torch.zeros_like(x)
        probability = torch.where(x <= values[0], 0.0, probability)
        probability = torch.where(x >= values[-1], 1.0, probability)
        normal: Tensor = torch.special.ndtri(probability.clamp(BOUND, 1 - BOUND))
        return normal


def _circles(x: Tensor, periods: Sequence[str]) -> Iterator[Tensor]:
    """Yield sine and cosine, (n, 1) float32, of the phases of times x (n, 1)."""
    for name in periods:
        turns = x / PERIODS[name]
        angle = (turns - turns.floor()) * (2 * math.pi)
        yield angle.sin().float()
        yield angle.cos().float()


def _interpolated(x: Tensor, values: Tensor, right: bool) -> Tensor:
    """Interpolate the probability of x between quantiles; for a value equal to several quantiles
    the probability of the last (``right``) or the first one."""
    last = len(values) - 1
    place = (torch.searchsorted(values, x.contiguous(), right=right) - 1).clamp(0, last - 1)
    low, high = values[place], values[place + 1]
    share = (x - low) / torch.where(high > low, high - low, 1.0)
    return (place + share) / last


def torch_program(model: Model) -> bytes:
    """The content of a ``.pt2`` file; its ``exprun.json`` describes inputs and outputs."""
    pipeline = Pipeline(model).eval()
    columns = pipeline.columns
    inputs: list[Tensor] = []
    if columns.numeric:
        inputs.append(torch.zeros(3, len(columns.numeric), dtype=torch.float64))
    if columns.categorical:
        inputs.append(torch.zeros(3, len(columns.categorical), dtype=torch.int64))
    rows = torch.export.Dim("rows")
    dynamic: Any = (tuple({0: rows} for _ in inputs),)
    program = torch.export.export(pipeline, tuple(inputs), dynamic_shapes=dynamic)
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={"exprun.json": json.dumps(description(model))})
    return file.getvalue()
