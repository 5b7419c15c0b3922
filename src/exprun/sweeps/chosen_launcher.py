"""Checks the launcher that ``hydra/launcher`` chooses, its keys and their values."""

from __future__ import annotations

import re
from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from exprun.common.errors import UsageError, choices, nearest
from exprun.config.hydra_internals import BASIC_LAUNCHER
from exprun.config.rules import (
    Rule,
    boolean,
    either,
    integer,
    list_of,
    null,
    one_of,
    pattern,
    positive,
    text,
)
from exprun.config.schema import spelled
from exprun.sweeps import slurm
from exprun.sweeps.launcher import LauncherSettings

COUNT = either(one_of("auto"), integer(1))
TASKS = {"jobs_per_task": COUNT}
LAUNCHERS: dict[str, dict[str, Rule]] = {
    "hydra_plugins.exprun_sweeps.StackedLauncher": {"size": COUNT, "workers": COUNT},
    "hydra_plugins.exprun_sweeps.LocalLauncher": {"jobs": COUNT},
    "hydra_plugins.exprun_sweeps.SlurmLauncher": {
        **TASKS,
        "array_parallelism": either(null, integer(1)),
        "partition": either(null, text),
        "time": Rule(
            lambda v: v is None or (slurm.seconds(str(v)) or 0) >= slurm.LEAST_TIME,
            "null or a time of at least 3 minutes, like 90, 1:30:00 or 2-12",
        ),
        "cpus_per_task": integer(1),
        "mem": Rule(
            lambda v: v is None or bool(re.fullmatch(r"\d+[KMGT]?", str(v))),
            "null or a size like 4G",
        ),
        "sbatch": list_of(
            pattern("-.*", "an option"), "a list of options of sbatch, like [--account=lab]"
        ),
        "wait": boolean,
    },
    "hydra_plugins.exprun_sweeps.DaskLauncher": {
        **TASKS,
        "scheduler": Rule(
            lambda v: v is None or (isinstance(v, str) and "://" in v),
            "null or an address like tcp://node1:8786",
        ),
        "workers": COUNT,
    },
}
"""exprun's launchers with their own keys, in addition to LAUNCHER_KEYS, and allowed values."""

LAUNCHER_KEYS = {
    "timeout": Rule(lambda v: v is None or positive.accepts(v), "null or a number of seconds > 0"),
    "retries": integer(0),
}
ONE_BY_ONE = {
    "_target_": "hydra_plugins.exprun_sweeps.LocalLauncher",
    "jobs": 1,
    "timeout": None,
    "retries": 0,
}
"""Replaces Hydra's basic launcher, which composes each job only when it starts."""


def is_basic(config: DictConfig) -> bool:
    """Whether a sweep's ``config`` has Hydra's basic launcher, whose place ONE_BY_ONE takes."""
    return bool(config.hydra.launcher._target_ == BASIC_LAUNCHER)


def replace_basic(config: DictConfig) -> None:
    """Put ONE_BY_ONE into the place of Hydra's basic launcher; call it when all jobs are composed:
    Hydra 1.4 composes none whose launcher differs from the sweep's."""
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.launcher = ONE_BY_ONE


def chosen_launcher(config: DictConfig, *, grid: bool) -> LauncherSettings:
    """The settings of the launcher in a sweep's ``config``; ``grid`` is whether all jobs are known
    in advance. Raises UsageError for invalid settings and for launchers that are not exprun's,
    which would compose jobs again when they start."""
    launcher: Any = OmegaConf.create(ONE_BY_ONE) if is_basic(config) else config.hydra.launcher
    if launcher._target_ not in LAUNCHERS:
        name = config.hydra.runtime.choices["hydra/launcher"]
        own = choices(["stacked", "local", "slurm", "dask"])
        raise UsageError(
            f"hydra/launcher={name}: composes jobs anew when they begin; expected {own}"
        )
    expected = LAUNCHERS[launcher._target_] | LAUNCHER_KEYS
    for name, value in launcher.items():
        if name == "_target_":
            continue
        key = f"hydra.launcher.{name}"
        if name not in expected:
            raise UsageError(f"{key}: no such key{nearest(str(name), [*expected])}")
        if not expected[str(name)].accepts(value):
            raise UsageError(f"{key}={spelled(value)}: expected {expected[str(name)].expected}")
    if "wait" in launcher and not (launcher.wait or grid):
        sweeper = config.hydra.runtime.choices["hydra/sweeper"]
        raise UsageError(
            f"hydra.launcher.wait=false: hydra/sweeper={sweeper} asks for jobs when it knows the "
            "results of others; expected hydra.launcher.wait=true"
        )
    try:
        settings: LauncherSettings = hydra.utils.instantiate(launcher).settings
    except InstantiationException as error:
        if isinstance(error.__cause__, UsageError):  # what it needs is not installed
            raise error.__cause__ from None
        raise
    return settings
