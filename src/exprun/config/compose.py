"""Compose the configs of a sweep's jobs, equal to Hydra's but faster.

Hydra composes every job from all its YAML files. Jobs that choose the same options of the groups
differ only in values, so one of them is composed and the others are copies with their own values.
Nothing here imports torch.
"""

from __future__ import annotations

import functools
import pickle
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from exprun.config import hydra_internals
from exprun.config.paths import conf_dir
from exprun.config.schema import plain


def overrides_of(hydra: Any, kind: Literal["task", "hydra"] = "task") -> list[str]:
    """The overrides in a ``hydra`` node as given, with interpolations unresolved."""
    words: Any = OmegaConf.to_container(hydra.overrides[kind], resolve=False)
    return [str(word) for word in words]


NOT_DERIVED = {"hydra", "hydra.searchpath"}
"""Keys whose overrides change more than the values below them, so that Hydra must compose."""


NUMBER = re.compile(
    r"(?P<key>[a-zA-Z_]\w*(?:\.[a-zA-Z_]\w*)*)="
    r"(?P<value>[+-]?(?:0|[1-9]\d*)(?P<real>\.\d+)?(?P<exponent>[eE][+-]?\d+)?)",
    re.ASCII,
)
"""An override that sets a key to a number; Hydra's parser takes 1 ms for it."""


class Composer:
    """Composes with Hydra once for all jobs of a sweep that choose the same options."""

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self.loader, self.master = hydra_internals.fast_loader(loader), master
        self.is_group = functools.cache(hydra_internals.is_group(self.loader, master))
        self.parse = functools.cache(OverridesParser.create().parse_override)
        self.base = functools.cache(self._base)
        self.has = functools.cache(self._has)
        self.had: set[str] = set()  # keys that exist in some job's config

    def parsed(self, line: str) -> Override:
        """An override as Hydra parses it; raises what Hydra raises."""
        match = NUMBER.fullmatch(line)
        if match is None:
            return self.parse(line)
        number = number_of(match)
        return Override(OverrideType.CHANGE, match["key"], ValueType.ELEMENT, number, None, line)

    def config(self, job: list[str]) -> DictConfig:
        """The config of a job with these overrides, equal to ``loader.load_sweep_config(master,
        job)``; raises what that raises."""
        with suppress(Exception):  # composing with Hydra below raises the right error
            overrides = [self.parsed(line) for line in job]
            if not any(o.is_sweep_override() or o.key_or_group in NOT_DERIVED for o in overrides):
                return self._derived(overrides)
        return self.loader.load_sweep_config(self.master, job)

    def _derived(self, overrides: list[Override]) -> DictConfig:
        """A copy of Hydra's config without the value overrides, which are then applied to it."""
        values = [override for override in overrides if self.is_value(override)]
        others = [override for override in overrides if not self.is_value(override)]
        config: DictConfig = pickle.loads(self.base(_lines(others)))
        hydra_internals.apply_values(config, values)
        own = [override for override in overrides if not override.is_hydra_override()]
        for line in _lines(own):
            config.hydra.overrides.task.append(line)
        if dirname := hydra_internals.override_dirname(config):
            config.hydra.job.override_dirname = dirname(own)
        OmegaConf.copy_cache(from_config=self.master, to_config=config)
        return config

    def without_conditional(self, jobs: Sequence[Sequence[str]]) -> list[list[str]]:
        """The overrides of every job without those for keys that it lacks but another job has, such
        as ``reg.l2.…`` with ``reg=none``. A key that no job has is kept, because it is an error,
        and so are overrides that cannot be parsed."""
        lacking: list[dict[str, str]] = []
        for job in jobs:
            lacking.append({})
            with suppress(Exception):  # Hydra raises it when it composes the job
                overrides = [self.parsed(line) for line in job]
                others = _lines([o for o in overrides if not self.is_value(o)])
                for override in overrides:
                    if self.is_value(override) and override.type == OverrideType.CHANGE:
                        key = override.key_or_group
                        if self.has(others, key):
                            self.had.add(key)
                        else:
                            lacking[-1][str(override.input_line)] = key
        return [
            [word for word in job if lacks.get(word) not in self.had]
            for job, lacks in zip(jobs, lacking, strict=True)
        ]

    def _has(self, lines: tuple[str, ...], key: str) -> bool:
        """Whether the config composed from the overrides ``lines`` has a key."""
        node: Any = pickle.loads(self.base(lines))
        for word in key.split("."):
            if not isinstance(node, DictConfig) or word not in node:
                return False
            node = node._get_node(word)
        return True

    def is_value(self, override: Override) -> bool:
        """Whether an override only sets a value in the composed config, outside of the ``hydra``
        node, which also contains settings that Hydra reads while composing."""
        if override.is_hydra_override():
            return False
        return isinstance(override.value(), dict) or not self.is_group(override.key_or_group)

    def _base(self, lines: tuple[str, ...]) -> bytes:
        """Hydra's config for the overrides ``lines``, without their list, pickled: unpickling is
        the fastest copy of a config that keeps types and flags."""
        config = self.loader.load_sweep_config(self.master, list(lines))
        for line in lines:
            if not self.parsed(line).is_hydra_override():
                config.hydra.overrides.task.pop()
        return pickle.dumps(config)


def _lines(overrides: list[Override]) -> tuple[str, ...]:
    return tuple(str(override.input_line) for override in overrides)


def number_of(match: re.Match[str]) -> int | float:
    """The number in a match of NUMBER."""
    return float(match["value"]) if match["real"] or match["exponent"] else int(match["value"])


def compose_run(overrides: list[str], config_dir: str | None) -> DictConfig:
    """The config of a single run with these overrides; ``config_dir`` contains the user's own
    options. Raises what Hydra raises."""
    search_path = [f"hydra.searchpath=['file://{config_dir}']"] if config_dir else []
    with initialize_config_dir(str(conf_dir()), job_name="exprun", **hydra_internals.VERSION_BASE):
        config = compose("config", [*overrides, *search_path], return_hydra_config=True)
    take_sweep(config)
    return config


def take_sweep(config: DictConfig) -> str | None:
    """Remove the node ``sweep``, which does not concern jobs; returns ``sweep.into``."""
    with read_write(config), open_dict(config):
        into: str | None = config.pop("sweep").into
    return into


def enter(config: DictConfig, folder: Path) -> None:
    """Make ``${hydra:…}`` refer to this config, with ``folder`` as its output folder."""
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.runtime.output_dir = str(folder.absolute())
    # set_config would copy the whole node, which takes as long as composing a job
    HydraConfig.instance().cfg = config  # type: ignore[assignment]


def resolve(config: DictConfig) -> None:
    """Replace all interpolations outside of the ``hydra`` node by their values, because their
    sources, such as the environment, may differ when the run is resumed."""
    with read_write(config), open_dict(config):
        for key, value in plain(config).items():
            config[key] = value
