"""A training in a few words."""

from __future__ import annotations

from exprun.techniques import networks
from exprun.training.training import Training


def about(training: Training) -> list[str]:
    """What is trained, on what: data set, task, layers, parameters, device."""
    data, model = training.data, training.model
    parameters = f"{training.parameters:,} parameters"
    task = data.preprocessing.task.description
    return [data.name, task, networks.describe(model), parameters, str(training.device)]
