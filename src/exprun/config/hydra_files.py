"""The texts of ``.hydra/``, equal to those that Hydra writes but faster.

Nothing here imports torch.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from exprun.common.caching import cached_by_content
from exprun.config import hydra_internals

Keys = tuple[str, ...]
"""The path of a value in nested mappings."""


def with_value(content: Mapping[str, Any], path: Keys, value: Any) -> dict[str, Any]:
    """A copy of nested mappings with another value at ``path``; all else is shared."""
    name, *rest = path
    inner = with_value(content[name], tuple(rest), value) if rest else value
    return {**content, name: inner}


def hydra_files(config: DictConfig, resolved: dict[Any, Any]) -> dict[str, str]:
    """The texts of ``.hydra/{config,hydra,overrides}.yaml`` by name, as Hydra writes them: the
    composed config, here ``resolved``, and its ``hydra`` node with interpolations unresolved."""
    hydra: Any = OmegaConf.to_container(config.hydra, enum_to_str=True)
    return {
        "config": _yaml_of_items(resolved) or to_yaml(resolved),
        "hydra": "hydra:\n" + _yaml_of_items(hydra, within="hydra"),
        "overrides": yaml_of_overrides(hydra["overrides"]["task"]),
    }


def write_hydra_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write these texts into the ``.hydra/`` of a job's folder, which is created if necessary."""
    target = folder / ".hydra"
    target.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (target / f"{name}.yaml").write_text(text, encoding="utf-8")


class ConfigText:
    """The text of ``config.yaml`` of configs that are equal except for the numbers at ``paths`` and
    all that the top-level keys ``changing`` contain."""

    def __init__(
        self, config: Mapping[str, Any], paths: Iterable[Keys], changing: Collection[str]
    ) -> None:
        self.changing = changing
        slots = []
        for path in paths:
            slots.append(_slot())
            config = with_value(config, path, slots[-1])
        text = ""
        for key, value in config.items():
            if key in changing:
                slots.append(_slot())
            text += str(slots[-1]) if key in changing else _yaml_of_items({key: value})
        self.text = _with_fields(text, slots)

    def __call__(self, config: Mapping[str, Any], numbers: Iterable[int | float]) -> str:
        """The text of ``config``, which has these numbers at the paths."""
        others = (_yaml_of_items({key: config[key]}) for key in config if key in self.changing)
        return self.text.format(*map(_yaml_of_number, numbers), *others)


class HydraText:
    """The text of ``hydra.yaml`` of jobs that differ in nothing but ``OWN``."""

    OWN = (
        ("overrides", "task"),
        ("job", "override_dirname"),
        ("job", "id"),
        ("job", "num"),
        ("runtime", "output_dir"),
    )

    def __init__(self, hydra: DictConfig) -> None:
        content: Any = OmegaConf.to_container(hydra, enum_to_str=True)
        slots = []
        for group, key in self.OWN:
            slots.append(_slot())
            content[group][key] = slots[-1]
        text = "hydra:\n" + _yaml_of_items(content, within="hydra")
        for (_, key), slot in zip(self.OWN, slots, strict=True):
            text = text.replace(f"    {key}: {slot}\n", str(slot))
        self.text = _with_fields(text, slots)

    def __call__(self, *own: Any) -> str:
        """The text with these values of ``OWN``."""
        return self.text.format(*map(_yaml_within_hydra, self.OWN, own))


def _yaml_within_hydra(path: tuple[str, str], value: Any) -> str:
    """The YAML lines of an item in a mapping of the ``hydra`` node."""
    group, key = path
    if isinstance(value, int) or _is_plain(value):
        return f"    {key}: {value}\n"
    if isinstance(value, list) and all(map(_is_plain, value)):
        return "".join((f"    {key}:\n", *(f"    - {word}\n" for word in value)))
    return to_yaml({"hydra": {group: {key: value}}}).split("\n", 2)[2]


def yaml_of_overrides(words: Sequence[str]) -> str:
    """The text of ``overrides.yaml``."""
    if words and all(map(_is_plain, words)):
        return "".join(f"- {word}\n" for word in words)
    return to_yaml(list(words))


PLAIN = re.compile(r"[\w/](?=.*[=/])[\w./,=+()\[\]{}~$*'\"-]*", re.ASCII)
"""A text that YAML writes without quotes and on one line: ``optimizer=adam``. One without ``=`` and
``/`` might be a number or a reserved word."""


def _is_plain(text: Any) -> bool:
    return isinstance(text, str) and PLAIN.fullmatch(text) is not None


def _yaml_of_number(value: int | float) -> str:
    return to_yaml(value).partition("\n")[0] if isinstance(value, float) else str(value)


def _slot() -> int:
    """A number that stands for a value in a text, and occurs nowhere else."""
    return secrets.randbits(128)


def _with_fields(text: str, slots: Iterable[int]) -> str:
    """The text as a format string with fields in the place of the slots."""
    text = text.replace("{", "{{").replace("}", "}}")
    for i, slot in enumerate(slots):
        text = text.replace(str(slot), f"{{{i}}}")
    return text


def _yaml_of_items(content: dict[Any, Any], within: str | None = None) -> str:
    """The YAML lines of a mapping's items, indented if they are ``within`` another mapping."""
    return "".join(_yaml_of_item(key, value, within) for key, value in content.items())


@cached_by_content
def _yaml_of_item(key: Any, value: Any, within: str | None) -> str:
    """The YAML lines of one item; cached, because most are equal in all jobs of a sweep."""
    if within is None:
        return to_yaml({key: value})
    return to_yaml({within: {key: value}}).removeprefix(f"{within}:\n")


class _Dumper(getattr(yaml, "CDumper", yaml.Dumper)):  # type: ignore[misc]
    """OmegaConf's dumper, in C if PyYAML was built with it."""


_Dumper.add_representer(str, hydra_internals.get_omega_conf_dumper().str_representer)


def to_yaml(content: Any) -> str:
    """The same text as ``OmegaConf.to_yaml`` of a container."""
    text: str = yaml.dump(
        content, default_flow_style=False, allow_unicode=True, sort_keys=False, Dumper=_Dumper
    )
    return text
