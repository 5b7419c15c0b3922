"""What the folder of a problem holds."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from exprun.config.hydra_internals import VERSION_BASE, register_resolver
from exprun.config.paths import conf_dir
from exprun.config.schema import plain
from exprun.problems.build import descent
from exprun.problems.descent import Descent
from exprun.record.files import folder_name


def composed(*overrides: str) -> DictConfig:
    register_resolver("exprun.folder_name", folder_name)
    with initialize_config_dir(str(conf_dir()), job_name="exprun", **VERSION_BASE):
        return compose("config", list(overrides))


def solved(*overrides: str) -> Descent:
    made = descent(plain(composed(*overrides)))
    made.solve()
    return made


Command = Callable[..., tuple[int, Path]]


def trajectory(folder: Path) -> list[dict[str, float]]:
    with (folder / "trajectory.csv").open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def result(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return content
