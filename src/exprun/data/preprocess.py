"""Input preprocessing, fitted on the training rows only, stored as plain data.

It travels with the model in ``preprocess.json``: what a prediction on new rows needs besides the
weights.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprun.data.task import Task

FORMAT = 1


@dataclass(frozen=True)
class Scaling:
    """(value - mean) / std, for each column; a constant column has std 1 here, so it becomes 0."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def standardize(cls, values: NDArray[np.float64]) -> Scaling:
        """The scaling that gives each column of (rows, columns) mean 0 and variance 1."""
        with np.errstate(over="ignore", invalid="ignore"):  # too large: said when it is applied
            mean, std = values.mean(axis=0), values.std(axis=0)
        # Rounding gives a constant column a tiny std; dividing by it would blow up new values.
        constant = std <= 1e-12 * np.abs(mean)
        std = np.where(constant, 1.0, std)
        return cls(tuple(mean.tolist()), tuple(std.tolist()))

    @classmethod
    def identity(cls, columns: int) -> Scaling:
        return cls((0.0,) * columns, (1.0,) * columns)

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled: NDArray[np.float64] = (values - np.array(self.mean)) / np.array(self.std)
        return scaled


@dataclass(frozen=True)
class Preprocessing:
    """From the columns of a file to the inputs of a network, and from its outputs to the target."""

    features: tuple[str, ...]
    inputs: Scaling
    task: Task
    target: Scaling

    def to_json(self) -> dict[str, Any]:
        """Plain data that ``from_json`` reads."""
        return {
            "format": FORMAT,
            "features": [
                {"name": name, "kind": "numeric", "mean": mean, "std": std}
                for name, mean, std in zip(
                    self.features, self.inputs.mean, self.inputs.std, strict=True
                )
            ],
            "task": {"kind": self.task.kind, **asdict(self.task)},
            "target": asdict(self.target),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Preprocessing:
        """Raises ValueError if the data is of another format."""
        if data.get("format") != FORMAT:
            raise ValueError(f"preprocess.json: format {data.get('format')}, expected {FORMAT}")
        features = data["features"]
        return cls(
            tuple(f["name"] for f in features),
            Scaling(tuple(f["mean"] for f in features), tuple(f["std"] for f in features)),
            Task(tuple(data["task"]["targets"]), tuple(data["task"]["classes"])),
            Scaling(tuple(data["target"]["mean"]), tuple(data["target"]["std"])),
        )
