"""The pages about the groups and their options, ``docs/options/<group>.md``, with current defaults.

A page has a head, a section ``Shared keys`` if several options have keys in common, and a section
for each option. A key has a line of its own that begins with its override; that line is generated
from the YAML files and the rules of ``config.schema``, so that a default is written only in its
YAML file. An option without a section, such as a user's own, is explained from its YAML file alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from exprun.config.options import first_comment, head, is_global, options
from exprun.config.paths import conf_dir, pages_dir
from exprun.config.rules import RULES, rule_for
from exprun.config.schema import plain, spelled
from exprun.sweeps.published import Figure

CONFIG, PUBLISHED = "config", "published"
"""The pages about keys outside all groups: the keys of every run, and those of presets with
published figures to compare with."""

HYDRA = ("hydra/launcher", "hydra/sweeper")
"""Hydra's groups that contain options of exprun."""

SHARED = "Shared keys"
KEY_LINE = re.compile(r"^- `([\w.]+)[^`]*`.*:$", re.MULTILINE)
ITEM = re.compile(r"^- `([\w.]+)[^`]*`.*:\n((?:  .*\n?)*)", re.MULTILINE)
"""Matches a key's line and the indented text about it."""

Values = Mapping[str, Any]
"""Default values by key, spelled as on the command line: ``optimizer.lr``."""

VARIES = object()
"""Placeholder for the default of a key that differs between options."""


def page(group: str) -> str:
    """The text of the page about a group; empty if there is none."""
    path = pages_dir() / f"{group}.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def sections(text: str) -> dict[str, str]:
    """The sections of a page by their titles; the text before the first title has the key
    ``''``."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {"": parts[0].strip()} | {
        title: content.strip() for title, content in zip(parts[1::2], parts[2::2], strict=True)
    }


def keys_in(text: str) -> list[str]:
    """The keys that have a line in a section."""
    return KEY_LINE.findall(text)


def values_of(group: str, path: Path) -> dict[str, Any]:
    """The keys that an option's file sets, with their values, interpolations unresolved, without
    its defaults list, settings of Hydra and published figures."""
    loaded = OmegaConf.load(path)
    plain = OmegaConf.to_container(loaded) if isinstance(loaded, DictConfig) else {}
    assert isinstance(plain, dict)
    for name in ("defaults", "hydra", PUBLISHED):
        plain.pop(name, None)
    return dict(_leaves(plain, "" if is_global(path) else f"{group.replace('/', '.')}."))


def _leaves(node: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        elif name != "_target_":
            yield f"{prefix}{name}", value


def config_values() -> dict[str, Any]:
    """The keys outside all groups, with their defaults."""
    values = values_of("", conf_dir() / "config.yaml")
    return {key.removeprefix("."): value for key, value in values.items()}


def published_keys() -> dict[str, Any]:
    """The keys of ``published``; they have no defaults, so each value is VARIES."""
    return {key: VARIES for key in RULES if key.startswith(f"{PUBLISHED}.")}


def values_of_page(topic: str, folders: Sequence[Path]) -> dict[str, Any]:
    """All keys that a page may describe, with their defaults."""
    if topic == CONFIG:
        return config_values()
    return published_keys() if topic == PUBLISHED else shared_values(topic, folders)


def shared_values(group: str, folders: Sequence[Path]) -> dict[str, Any]:
    """All keys of a group's options, with their defaults, or VARIES if these differ."""
    values: dict[str, Any] = {}
    for path in options(group, folders).values():
        for key, value in values_of(group, path).items():
            values[key] = value if values.setdefault(key, value) == value else VARIES
    return values


def with_values(text: str, values: Values) -> str:
    """The section with current defaults and allowed values in the lines of its keys."""

    def line(found: re.Match[str]) -> str:
        key = found[1]
        return f"- {key_line(key, values[key])}:" if key in values else found[0]

    return KEY_LINE.sub(line, text)


def key_line(key: str, value: Any) -> str:
    """The text of a key's line: the key, its default and the values that its rule allows."""
    rule = rule_for(key)
    allowed = rule.expected if rule else ""
    if value == "???":
        return f"`{key}=…` (must be given{': ' if allowed else ''}{allowed})"
    override = key if value is VARIES else f"{key}={spelled(value)}"
    return f"`{override}`{f' ({allowed})' if allowed else ''}"


def current(group: str) -> str:
    """A page with its defaults updated from the YAML files, to check or rewrite the stored one."""
    folders = [conf_dir()]
    text = page(group)
    known = values_of_page(group, folders)
    files = options(group, folders)
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    for i, part in enumerate(parts):
        title = part.partition("\n")[0].removeprefix("## ")
        values = values_of(group, files[title]) if title in files else known
        parts[i] = with_values(part, values)
    return "".join(parts)


def of_group(group: str, folders: Sequence[Path]) -> str:
    """The page about a group: its introduction, its options with a line each, and their shared
    keys."""
    parts = sections(page(group))
    files = options(group, folders)
    text = parts[""] or f"# {group}"
    if files:
        lines = [f"- **{name}**: {first_comment(path)}" for name, path in files.items()]
        text += "\n\n## Options\n\n" + "\n".join(lines)
    if SHARED in parts:
        values = values_of_page(group, folders)
        title = SHARED if files else "Keys"
        text += f"\n\n## {title}\n\n{with_values(parts[SHARED], values)}"
    return text


def of_option(group: str, name: str, path: Path) -> str:
    """The page about an option: its section of the group's page and the shared keys that it has;
    without a section, the content of its YAML file ``path``."""
    parts = sections(page(group))
    values = values_of(group, path)
    title = f"# {group}={name}\n\n"
    if name not in parts or not path.is_relative_to(conf_dir()):
        return title + _own_words(path, values)
    text = title + with_values(parts[name], values)
    own = keys_in(parts[name])
    shared = [
        item[0].rstrip()
        for item in ITEM.finditer(parts.get(SHARED, ""))
        if item[1] in values and item[1] not in own
    ]
    if shared:
        text += f"\n\n## {SHARED}\n\n" + with_values("\n".join(shared), values)
    return text


def _own_words(path: Path, values: Values) -> str:
    """The text about an option from its YAML file: head comment, target, chosen options, keys and
    published figures."""
    content = OmegaConf.load(path)
    words = ["  \n".join(head(path))]
    if isinstance(content, DictConfig):
        if "_target_" in content:
            words.append(f"It is `{content['_target_']}`.")
        chosen = [entry for entry in content.get("defaults", []) if isinstance(entry, DictConfig)]
        words.append("\n".join(f"- `{_choice(entry)}`" for entry in chosen))
    words.append("\n".join(f"- {key_line(key, value)}" for key, value in values.items()))
    if isinstance(content, DictConfig) and PUBLISHED in content:
        published = plain(content[PUBLISHED])
        words.append(f"Published: {published['source']}.")
        figures = (Figure(**figure) for figure in published["figures"])
        words.append("\n".join(f"- {figure.title}: {figure.spelled}" for figure in figures))
    return "\n\n".join([*filter(None, words), f"From {path}."])


def _choice(entry: DictConfig) -> str:
    """An entry of a defaults list as an override: ``optimizer=sgd``."""
    ((group, option),) = OmegaConf.to_container(entry).items()  # type: ignore[union-attr]
    return f"{str(group).removeprefix('override ').removeprefix('/')}={spelled(option)}"


def of_key(key: str, folders: Sequence[Path], groups: Sequence[str]) -> str | None:
    """The text about a key, or all keys below it: ``optimizer.lr``, ``lr``, ``reg.l2``,
    ``trainer``; None if there is no such key. If a key has that very name, it alone is meant.
    Options with the same default and text are listed together."""
    found: dict[str, dict[tuple[str, str], list[str]]] = {}
    for group, option, values, text in _all_sections(folders, groups):
        said = {item[1]: item[2] for item in ITEM.finditer(text)}
        for name, value in values.items():
            if f".{name}".endswith(f".{key}") or name.startswith(f"{key}."):
                same = found.setdefault(name, {})
                words = " ".join(said.get(name, "").split())
                of = f"{group}={option}" if option else "default"
                default = "" if value is VARIES else spelled(value)
                same.setdefault((default, words), []).append(of)
    if key in found:
        found = {key: found[key]}
    return "\n\n".join(_about_key(name, same) for name, same in found.items()) or None


def _about_key(key: str, same: Mapping[tuple[str, str], list[str]]) -> str:
    """The text about a key: allowed values, then a line for each default and text, with the options
    that have them."""
    rule = rule_for(key)
    title = f"# {key}\n\n" + (f"Takes {rule.expected}.\n\n" if rule else "")
    lines = []
    for (value, words), having in same.items():
        default = "none, must be given" if value == "???" else f"`{value}`"
        of = f"{', '.join(having)}: {default}. " if value else ""
        lines.append(f"- {of}{words}".rstrip())
    return title + "\n".join(lines)


def _all_sections(
    folders: Sequence[Path], groups: Sequence[str]
) -> Iterator[tuple[str, str | None, Values, str]]:
    """Yields group, option, keys with defaults, and text (the option's own and the shared) of every
    section."""
    for topic in (CONFIG, PUBLISHED):
        yield topic, None, values_of_page(topic, folders), page(topic)
    for group in groups:
        parts = sections(page(group))
        for name, path in options(group, folders).items():
            text = f"{parts.get(SHARED, '')}\n\n{parts.get(name, '')}"  # the last text counts
            yield group, name, values_of(group, path), text


def all_keys(folders: Sequence[Path], groups: Sequence[str]) -> list[str]:
    """Every key, by its full name and by the last part of it."""
    full = [key for *_, values, _ in _all_sections(folders, groups) for key in values]
    return list(dict.fromkeys([*full, *(key.rpartition(".")[2] for key in full)]))
