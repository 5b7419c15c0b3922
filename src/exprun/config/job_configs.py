"""What a sweep records of its jobs' configs: resolved and checked, and as the texts of ``.hydra/``.

Jobs that override the same keys and differ only in numbers are alike: what is recorded of them
differs by these numbers, by the values of interpolations, and by their names. Two of them are made
by Hydra and OmegaConf, and the others after the second, in a fiftieth of the time. Nothing here
imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from exprun.common.errors import UsageError
from exprun.config import hydra_internals
from exprun.config.compose import (
    NUMBER,
    Composer,
    enter,
    number_of,
    overrides_of,
    take_sweep,
)
from exprun.config.hydra_files import (
    ConfigText,
    HydraText,
    Keys,
    hydra_files,
    with_value,
    yaml_of_overrides,
)
from exprun.config.parts import check_parts
from exprun.config.rules import RULES, rule_for
from exprun.config.schema import check, check_together, plain, plain_value

Number = int | float

Alike = tuple[str | tuple[str], ...]
"""What jobs that are alike have in common: their overrides, of those that set a number the key."""


@dataclass(frozen=True)
class JobConfig:
    """The resolved ``config`` of a job, without the ``hydra`` node; its overrides; the chosen
    options of the groups; its folder within the sweep's; and the texts of its ``.hydra/`` by file
    name. Jobs that are alike share parts of them, which must not be changed."""

    config: dict[str, Any]
    overrides: list[str]
    choices: Mapping[str, str | None]
    subdir: str
    files: Mapping[str, str]


class JobConfigs:
    """Makes the configs of the jobs of the sweep in ``folder``."""

    def __init__(self, composer: Composer, folder: Path) -> None:
        self.composer, self.folder = composer, folder
        self.templates: dict[Alike, _Template | None] = {}
        self.seen: set[Alike] = set()

    def config(self, words: list[str], number: int, name: str) -> JobConfig:
        """The config of job ``number`` with the overrides ``words``; ``name`` is ``hydra.job.id``.
        Raises UsageError if it is invalid, and what Hydra raises if it cannot be composed."""
        alike, numbers = self._parted(words)
        if template := self.templates.get(alike):
            try:
                if made := template.config(numbers, words, number, name):
                    return made
            except (UsageError, OmegaConfBaseException):
                pass  # composing the job raises the error in the usual order
        config, made = self.composed(words, number, name)
        if alike in self.seen and alike not in self.templates:
            self.templates[alike] = self._template(config, made, numbers)
        self.seen.add(alike)
        return made

    def composed(self, words: list[str], number: int, name: str) -> tuple[DictConfig, JobConfig]:
        """The same, made by Hydra and OmegaConf, and the composed config."""
        try:
            config = self.composer.config(words)
        except ValueError as error:  # a number, or null, as the option of a group
            raise ConfigCompositionException(str(error)) from error
        take_sweep(config)
        with open_dict(config.hydra):
            config.hydra.job.id, config.hydra.job.num = name, number
        subdir = _enter(config, self.folder)
        check(config)
        check_parts(config, words)
        resolved = plain(config)
        given, chosen = overrides_of(config.hydra), dict(config.hydra.runtime.choices)
        return config, JobConfig(resolved, given, chosen, subdir, hydra_files(config, resolved))

    def _parted(self, words: Sequence[str]) -> tuple[Alike, dict[str, Number]]:
        """What the job has in common with those that are alike, and its own numbers by key."""
        alike: list[str | tuple[str]] = []
        numbers: dict[str, Number] = {}
        for word in words:
            match = NUMBER.fullmatch(word)
            if match and not self.composer.is_group(match["key"]):
                alike.append((match["key"],))
                numbers[match["key"]] = number_of(match)
            else:
                alike.append(word)
        return tuple(alike), numbers

    def _template(
        self, config: DictConfig, made: JobConfig, numbers: Mapping[str, Number]
    ) -> _Template | None:
        """The template of the jobs that are alike to this one; None if one of their overrides may
        change more than the value of its key."""
        raw: Any = OmegaConf.to_container(config)
        overrides = [self.composer.parsed(word) for word in made.overrides]
        keys = [o.key_or_group.split(".") for o in overrides if self.composer.is_value(o)]
        if not numbers or any(_passes_interpolation(raw, key) for key in keys):
            return None
        for key, number in numbers.items():
            own = key.split(".")
            alone = sum(_overlap(own, other) for other in keys) == 1
            if not (alone and _holds(config, own, number)):
                return None
        changing = [k for k, value in raw.items() if k != "hydra" and _has_interpolation(value)]
        return _Template(self, config, made, [*numbers], changing)


class _Template:
    """A job after which others are made that are alike. Interpolations are resolved by OmegaConf in
    the template's own config, which is changed into the other's."""

    def __init__(
        self,
        configs: JobConfigs,
        config: DictConfig,
        made: JobConfig,
        keys: Sequence[str],
        changing: Sequence[str],
    ) -> None:
        """The numbers of ``keys`` differ between the jobs; the values of the top-level keys
        ``changing`` contain interpolations."""
        self.composer, self.folder = configs.composer, configs.folder
        self.made, self.changing = made, changing
        self.paths: dict[str, Keys] = {key: tuple(key.split(".")) for key in keys}
        self.dirname = hydra_internals.override_dirname(config)
        raw: Any = OmegaConf.to_container(config)
        self.dirname_of_all = raw["hydra"]["job"]["override_dirname"]
        self.names_subdir = raw["hydra"]["sweep"]["subdir"] != "${hydra.job.id}"
        self.reads_hydra = not all(_is_within_task(raw[key]) for key in changing)
        self.changed = config if changing or self.names_subdir else None
        self.config_text = ConfigText(made.config, self.paths.values(), changing)
        self.hydra_text = HydraText(config.hydra)

    def config(
        self, numbers: Mapping[str, Number], words: list[str], number: int, name: str
    ) -> JobConfig | None:
        """The config of a job that is alike; None if one of its values is refused. Raises
        UsageError if they do not go together, and what OmegaConf raises."""
        config, subdir = self.made.config, name
        for key, value in numbers.items():
            if not (isfinite(value) and _accepts(config, self.paths[key], value)):
                return None
            config = with_value(config, self.paths[key], value)
        dirname = self.dirname_of_all
        if self.dirname:
            dirname = self.dirname([self.composer.parsed(word) for word in words])
        if self.changed is not None:
            for key, value in numbers.items():
                OmegaConf.update(self.changed, key, value)
            if self.reads_hydra or self.names_subdir:
                subdir = self._change_hydra(self.changed, (words, dirname, name, number))
            config |= {key: plain_value(self.changed[key]) for key in self.changing}
            before = self.made.config
            if not all(
                _differs_as_allowed(before[key], config[key], config, (key,))
                for key in self.changing
            ):
                return None
        check_together(config)
        folder = str((self.folder / subdir).absolute())
        files = {
            "config": self.config_text(config, numbers.values()),
            "hydra": self.hydra_text(words, dirname, name, number, folder),
            "overrides": yaml_of_overrides(words),
        }
        return JobConfig(config, words, self.made.choices, subdir, files)

    def _change_hydra(self, config: DictConfig, own: tuple[list[str], str, str, int]) -> str:
        """Change the ``hydra`` node into that of a job, and return the job's folder."""
        OmegaConf.copy_cache(from_config=self.composer.master, to_config=config)
        with read_write(config.hydra), open_dict(config.hydra):
            for (group, key), one in zip(HydraText.OWN, own, strict=False):
                config.hydra[group][key] = one
        return _enter(config, self.folder)


def _enter(config: DictConfig, folder: Path) -> str:
    """Make ``${hydra:…}`` refer to a job's config in the sweep's ``folder``; returns the job's
    folder within it."""
    enter(config, folder)
    subdir = str(config.hydra.sweep.subdir)
    enter(config, folder / subdir)
    return subdir


def _overlap(keys: Sequence[str], others: Sequence[str]) -> bool:
    """Whether one of two paths leads to the other's value or into it."""
    return all(a == b for a, b in zip(keys, others, strict=False))


def _passes_interpolation(raw: Any, keys: Sequence[str]) -> bool:
    """Whether a path leads through an interpolation, to a value elsewhere."""
    for key in keys:
        if isinstance(raw, str) or not isinstance(raw, dict):
            return isinstance(raw, str)
        raw = raw.get(key)
    return False


def _holds(config: DictConfig, keys: Sequence[str], number: Number) -> bool:
    """Whether a path without interpolations leads to this number, through mappings without a
    type."""
    node: Any = config
    for key in keys:
        if not isinstance(node, DictConfig) or OmegaConf.get_type(node) is not dict:
            return False
        node = node.get(key)
    return type(node) is type(number) and node == number


def _strings(value: Any) -> Iterator[str]:
    """All strings among the values of nested mappings and lists."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
    elif isinstance(value, str):
        yield value


REFERENCE = re.compile(r"\$\{\.*\w+(\.\w+)*\}")
"""An interpolation that is the value of another key."""


def _has_interpolation(value: Any) -> bool:
    return any("${" in text for text in _strings(value))


def _is_within_task(value: Any) -> bool:
    """Whether the interpolations in a value depend only on values outside of the ``hydra`` node."""
    return not any("${" in REFERENCE.sub("", x) or "hydra" in x for x in _strings(value))


def _accepts(config: Mapping[str, Any], keys: Keys, value: Any) -> bool:
    """Whether the rule of a key of a valid config accepts a value."""
    parent: Any = config
    for key in keys[:-1]:
        parent = parent[key]
    name = ".".join(keys)
    if len(keys) > 1 and "_target_" in parent:
        rule = rule_for(name)
        return rule is None or rule.accepts(value)
    return name in RULES and RULES[name].accepts(value)


def _differs_as_allowed(old: Any, new: Any, config: Mapping[str, Any], keys: Keys) -> bool:
    """Whether the part of a ``config`` at a path, ``new``, has the keys of that of a valid one,
    ``old``, and all values in it that differ are accepted."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [*old] == [*new] and all(
            _differs_as_allowed(old[key], new[key], config, (*keys, key)) for key in new
        )
    return repr(old) == repr(new) or _accepts(config, keys, new)
