"""Exponential moving averages of a series (slide "Exponential moving average")."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exprun.common.constants import COMPLETED
from exprun.common.errors import UsageError, choices, nearest
from exprun.common.named_files import expanded
from exprun.common.random_numbers import normal_double
from exprun.problems.problem import Problem
from exprun.training.callbacks import Outcome

Series = NDArray[np.float64]


def moving_average(values: Series, beta: float) -> Series:
    """v_t = beta v_(t-1) + (1 - beta) θ_t with v_0 = 0, for t = 1, 2, …; (n,) from (n,)."""
    averages = np.empty_like(values)
    v = 0.0
    for t, value in enumerate(values):
        v = beta * v + (1 - beta) * value
        averages[t] = v
    return averages


def corrected(averages: Series, beta: float) -> Series:
    """Averages without the bias towards v_0 = 0: v_t / (1 - beta^t), a weighted mean of
    θ_1 … θ_t."""
    return averages / (1 - beta ** np.arange(1, len(averages) + 1))


def seasonal(days: int, noise: float, generator: torch.Generator) -> Series:
    """Synthetic daily temperatures in °C, (days,): a wave with a period of a year from 4 to 20 °C,
    coldest on the first day, plus normal noise of standard deviation ``noise``."""
    year = 2 * math.pi * np.arange(days) / 365
    made: Series = 12 - 8 * np.cos(year) + noise * normal_double(days, generator)
    return made


def _is_number(text: str | None) -> bool:
    try:
        return math.isfinite(float(text or ""))
    except ValueError:
        return False


def read_series(path: str, column: str | None) -> tuple[str, Series]:
    """Read a numeric column of a CSV file with a header: its name and values (rows,).

    Without ``column`` it is the only one whose first cell is a number. Raises UsageError, naming
    row and column, for a cell that is not a finite number.
    """
    try:
        with expanded(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text") from None
    except (OSError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    if not rows:
        raise UsageError(f"{path}: there is a header and no rows")
    numeric = [name for name in names if _is_number(rows[0][1][name])]
    if column is None and len(numeric) == 1:
        column = numeric[0]
    if column is None or column not in names:
        said = f"there is no column {column!r}" if column else "which column?"
        raise UsageError(
            f"{path}: {said}{nearest(column or '', numeric)} "
            f"(expected problem.column={choices(numeric or names)})"
        )
    if names.count(column) > 1:
        raise UsageError(f"{path}: the column {column!r} stands twice in the header")
    values = [_number(row[column], f"{path}: row {line}, column {column!r}") for line, row in rows]
    return column, np.array(values, dtype=np.float64)


def _number(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        said = f"{text!r} is not a number" if text else "is empty"
        raise UsageError(f"{where}: {said}; expected a number") from None
    if not math.isfinite(value):
        raise UsageError(f"{where}: {text} is not finite; expected a number")
    return value


@dataclass
class MovingAverages(Problem):
    """Exponential moving averages of ``values`` (n,) for each of ``betas``, with and without bias
    correction."""

    table = "averages.csv"

    name: str
    values: Series
    betas: Sequence[float]

    def solve(self, interrupted: Callable[[], bool] = lambda: False) -> Outcome:
        self.averages = {beta: moving_average(self.values, beta) for beta in self.betas}
        return Outcome(COMPLETED, f"averages of {self.name}, {len(self.values)} values")

    def columns(self) -> dict[str, Series]:
        """The table's columns (n,) by name: the series, and each average uncorrected and
        corrected."""
        columns = {"value": self.values}
        for beta, average in self.averages.items():
            columns[f"ema_{beta:g}"] = average
            columns[f"ema_{beta:g}_corrected"] = corrected(average, beta)
        return columns

    def rows(self) -> list[dict[str, float]]:
        columns = self.columns()
        days = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [
            {"day": day, **dict(zip(columns, values, strict=True))}
            for day, values in enumerate(days, 1)
        ]

    def figures(self) -> dict[str, float]:
        """The last value of each corrected average."""
        columns = self.columns()
        return {f"ema_{b:g}": float(columns[f"ema_{b:g}_corrected"][-1]) for b in self.betas}

    def facts(self) -> dict[str, Any]:
        return {"epochs": 0, "device": "cpu"}
