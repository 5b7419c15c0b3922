"""Hydra's errors in one line, with the nearest right answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

from exprun.config.paths import conf_dir
from exprun.config.schema import leaves
from exprun.errors import choices, nearest
from exprun.sweep import expand


def explain(error: Exception, overrides: list[str], config_dir: str | None, sweep: bool) -> str:
    """What is wrong with the overrides that made Hydra raise ``error``.

    ``config_dir`` is the user's ``--config-dir``. Falls back on Hydra's own words.
    """
    if isinstance(error, OverrideParseException):
        return _unparsable(error.override)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="exprun"):
        search_path = [] if config_dir is None else [f"hydra.searchpath=[file://{config_dir}]"]
        for override in OverridesParser.create().parse_overrides(overrides):
            reason = _wrong_group(override, sweep)
            if reason:
                return reason
        for job in expand(overrides) if sweep else [overrides]:
            parsed = OverridesParser.create().parse_overrides(job)
            chosen = [o.input_line or "" for o in parsed if _is_group(o.key_or_group)]
            try:
                config = compose("config", [*search_path, *chosen])
            except HydraException:
                return _one_line(error)
            for override in parsed:
                reason = _wrong_key(override, config)
                if reason:
                    return reason
    return _one_line(error)


def _unparsable(override: str) -> str:
    if "=" not in override:
        return f"{override!r} is not of the form key=value"
    key, value = override.split("=", 1)
    quoted = f"'{key}=\"{value}\"'"
    return f"{override!r} cannot be read; expected quotes around special characters: {quoted}"


def _wrong_group(override: Override, sweep: bool) -> str | None:
    """What is wrong with an override that chooses options of a group, if it is one."""
    key = override.key_or_group
    if override.is_sweep_override() and not sweep:
        line = override.input_line or key
        joined = (
            f" (all of them together: '{key}=[{line.split('=', 1)[1]}]')" if key == "reg" else ""
        )
        return f"{line}: several values are a sweep; expected exprun -m …{joined}"
    if not _is_group(key):
        return None
    options = _options(key)
    for chosen in _chosen(override):
        if chosen not in options:
            return f"{key}={chosen}: no such option{nearest(chosen, options)} ({choices(options)})"
    return None


def _chosen(override: Override) -> Iterator[str]:
    """The options that an override names, of a sweep all of them."""
    values: list[Any] = (
        list(override.sweep_iterator()) if override.is_discrete_sweep() else [override.value()]
    )
    for value in values:
        for option in value if isinstance(value, list) else [value]:
            if option is not None and not isinstance(option, dict):
                yield str(option)


def _wrong_key(override: Override, config: DictConfig) -> str | None:
    """Where the path of a key leaves the config, and what it could have been."""
    if override.is_add() or override.is_force_add():
        return None
    node: Any = config
    walked: list[str] = []
    for word in override.key_or_group.split("."):
        if not isinstance(node, DictConfig):
            return f"{override.key_or_group}: {'.'.join(walked)} is a value, not a group of keys"
        names = [str(name) for name in node if not str(name).startswith("_")]
        if word not in node:
            parent = ".".join(walked)
            if parent and word in _options(parent):
                return (
                    f"{override.key_or_group}: {parent}={word} is not chosen; add {parent}={word}"
                )
            if not parent:
                names = sorted({*names, *_groups()})
            known = f"it has {', '.join(names)}" if names else "it has no keys"
            hint = nearest(word, names) or _same_name_elsewhere(word, config)
            return f"{override.key_or_group}: no such key{hint} ({known})"
        walked.append(word)
        node = node._get_node(word) if OmegaConf.is_missing(node, word) else node[word]
    return None


def _same_name_elsewhere(word: str, config: DictConfig) -> str:
    """``"; did you mean optimizer.lr?"`` for ``lr``."""
    keys = [key for key, _ in leaves(config) if "._target_" not in key]
    same = [key for key in keys if key.rpartition(".")[2] == word]
    close = [key for key in keys if key.rpartition(".")[2].endswith(f"_{word}")]
    return f"; did you mean {choices(same or close)}?" if same or close else ""


def _one_line(error: Exception) -> str:
    cause = f": {error.__cause__}" if error.__cause__ else ""
    return " ".join(f"{error}{cause}".split())


def _groups() -> list[str]:
    return [g for g in GlobalHydra.instance().config_loader().list_groups("") if g != "hydra"]


def _options(group: str) -> list[str]:
    loader = GlobalHydra.instance().config_loader()
    return list(loader.get_group_options(group, ObjectType.CONFIG))


def _is_group(key: str) -> bool:
    return bool(_options(key.split("@")[0]))
