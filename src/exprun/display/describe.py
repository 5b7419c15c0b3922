"""A short description of a training."""

from __future__ import annotations

from exprun.techniques import networks
from exprun.training.training import Training


def about(training: Training) -> list[str]:
    """Items that describe a training: data set, task, layers, parameters, device."""
    data, model = training.data, training.model
    parameters = f"{training.parameters:,} parameters"
    task = data.preprocessing.task.description
    return [data.name, task, networks.describe(model), parameters, str(training.device)]
