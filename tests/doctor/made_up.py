"""Findings of runs that never were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from exprun.common.constants import COMPLETED
from exprun.doctor.findings import (
    Diagnosis,
    Findings,
)

CONFIG = {
    "loss._target_": "exprun.techniques.losses.auto",
    "optimizer.lr": 0.001,
    "batching.batch_size": 32,
    "model.hidden": [64, 64],
    "model.activation": "relu",
    "trainer.max_epochs": 20,
    "stopping.patience": None,
    "stopping.restore_best": True,
}


OPTIONS = {"init": "he", "norm": "none", "reg": "none", "optimizer": "adam"}


HEALTHY = [0.5, 0.3, 0.2, 0.12, 0.08, 0.05, 0.03, 0.02, 0.015, 0.012, 0.011, 0.01]


REST = [0.9, 0.6, 0.5, 0.45, 0.42, 0.41, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]
"""A loss at rest at .4."""


def findings(
    train: Sequence[float] = HEALTHY,
    val: Sequence[float] | None = None,
    *,
    status: str = COMPLETED,
    config: dict[str, Any] | None = None,
    options: dict[str, str] | None = None,
    **facts: Any,
) -> Findings:
    """A classification of two classes; the curves are in multiples of the chance loss, ln 2."""
    curve = [
        {
            "epoch": i,
            "iteration": 10 * i,
            "train_loss": t * math.log(2),
            "val_loss": v * math.log(2),
        }
        for i, (t, v) in enumerate(zip(train, val or train, strict=True), 1)
    ]
    return Findings(
        **{
            "config": CONFIG | (config or {}),
            "options": OPTIONS | (options or {}),
            "status": status,
            "curve": curve,
            "classes": 2,
            "parameters": 5000,
            **facts,
        }
    )


def layer(name: str, epoch: int = 0, **figures: Any) -> dict[str, Any]:
    return {"layer": name, "epoch": float(epoch), **figures}


def tried(diagnosis: Diagnosis | None) -> list[str]:
    assert diagnosis is not None
    return [str(suggestion) for suggestion in diagnosis.suggestions]
