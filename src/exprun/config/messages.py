"""Turn Hydra's errors into messages of one line, with a suggestion."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from exprun.common.errors import choices, list_override, nearest
from exprun.common.override_value import override_value
from exprun.config.hydra_internals import Hydra, main_hydra
from exprun.config.paths import conf_dir
from exprun.config.rules import rule_for
from exprun.config.sweep_overrides import expand


def explain(error: Exception, overrides: list[str], config_dir: str | None, sweep: bool) -> str:
    """A message on what is wrong with the overrides for which Hydra raised ``error``.

    ``config_dir`` is the user's ``--config-dir``. Falls back to Hydra's message.
    """
    if isinstance(error, OverrideParseException):
        return _unparsable(error.override)
    if isinstance(error, UnicodeDecodeError) and config_dir and _unreadable(config_dir):
        return f"{_unreadable(config_dir)}: is not UTF-8 text"
    GlobalHydra.instance().clear()
    hydra = main_hydra(str(conf_dir()), config_dir)
    try:
        return _reason(hydra, overrides, sweep) or _one_line(error)
    except (HydraException, OmegaConfBaseException, YAMLError):
        return _one_line(error)  # the error that stops the search is the cause
    finally:
        GlobalHydra.instance().clear()


def _reason(hydra: Hydra, overrides: list[str], sweep: bool) -> str | None:
    """A message on the first invalid override; None if none is found."""
    parser = OverridesParser.create(hydra.config_loader)
    every = parser.parse_overrides(overrides)
    if "hydra/sweeper=search" in overrides:
        overrides = [*map(_without_interval, every)]
    for override in every:
        reason = _wrong_group(override, sweep)
        if reason:
            return reason

    @functools.cache
    def compose(*chosen: str) -> DictConfig:
        mode, quiet = RunMode.RUN, {"from_shell": False, "with_log_configuration": False}
        return hydra.compose_config("config", [*chosen], run_mode=mode, **quiet)

    reasons: dict[str, str | None] = {}  # by key; None if some job has it
    for job in expand(overrides) if sweep else [overrides]:
        parsed = parser.parse_overrides(job)
        config = compose(*(o.input_line or "" for o in parsed if _is_group(o.key_or_group)))
        for override in (o for o in parsed if not _is_group(o.key_or_group)):
            reason, key = _wrong_key(override, config), override.key_or_group
            reasons[key] = reasons.get(key, reason) and reason
    return next(filter(None, reasons.values()), None)


def _without_interval(override: Override) -> str:
    """The override, with the lower end of an interval, whose key it has, for a value."""
    value, key = override.value(), override.key_or_group
    if isinstance(value, IntervalSweep) and not _is_group(key):
        return f"{key}={value.start}"
    return override.input_line or key


def _unparsable(override: str) -> str:
    if "=" not in override:
        return f"{override!r} is not of the form key=value"
    key, value = override.split("=", 1)
    called = re.match(r"(\w+)\(", value)
    if called and called[1] not in FUNCTIONS:
        hint = nearest(called[1], FUNCTIONS)
        return (
            f"{override}: there is no function {called[1]}{hint}; expected values, like "
            f"{key}=1,2,3, or {choices(f'{name}(…)' for name in SWEEPS)}"
        )
    if called and called[1] in FORMS:
        return f"{override!r} cannot be read; expected {key}={FORMS[called[1]]}"
    rule = rule_for(key.lstrip("+~"))
    advised = [f"'{key}=\"{value}\"'", shlex.quote(f"{key}={override_value(value)}")]
    if value.startswith("[") and value.endswith("]"):
        advised.append(list_override(key, (item.strip(" \"'") for item in value[1:-1].split(","))))
    for quoted in advised:
        with suppress(HydraException, ValueError):  # quotes that are not closed
            parsed = OverridesParser.create().parse_override(shlex.split(quoted)[0])
            if rule is None or rule.accepts(parsed.value()):
                return (
                    f"{override!r} cannot be read; expected quotes around special characters: "
                    f"{quoted}"
                )
    expected = f"; expected {rule.expected}" if rule else ""
    return f"{override!r} cannot be read{expected}"


SWEEPS = ("range", "interval", "choice", "tag", "sort", "shuffle", "glob")
FORMS = {
    "range": "range(start,stop)",
    "interval": "interval(low,high)",
    "choice": "choice(a,b)",
    "tag": "tag(log,interval(low,high))",
}
FUNCTIONS = (*SWEEPS, "int", "float", "str", "bool", "json_str", "extend_list")
"""Functions allowed in values; those of SWEEPS define the values of a sweep."""


def _wrong_group(override: Override, sweep: bool) -> str | None:
    """A message on an invalid choice of options of a group; None if it is valid or no choice."""
    key = override.key_or_group
    if override.is_sweep_override() and not sweep:
        line = override.input_line or key
        joined = f"'{key}=[{line.split('=', 1)[1]}]'"
        rule = rule_for(key)
        if rule and override.is_choice_sweep() and rule.accepts(list(override.sweep_iterator())):
            return f"{line}: expected {rule.expected}; did you mean {joined}? (a sweep needs -m)"
        together = f" (all of them together: {joined})" if key == "reg" else ""
        return f"{line}: several values are a sweep; expected exprun -m …{together}"
    if not _is_group(key) or override.is_delete():
        return None
    options = _options(key)
    if isinstance(override.value(), IntervalSweep):
        return f"{override.input_line}: expected options, like {key}={','.join(options[:2])}"
    for chosen in _chosen(override):
        if chosen not in options:
            return f"{key}={chosen}: no such option{nearest(chosen, options)} ({choices(options)})"
    return None


def _chosen(override: Override) -> Iterator[str]:
    """Yield the options that an override names, all of them for a sweep."""
    values: list[Any] = (
        list(override.sweep_iterator()) if override.is_discrete_sweep() else [override.value()]
    )
    for value in values:
        for option in value if isinstance(value, list) else [value]:
            yield "null" if option is None else str(option)


def _wrong_key(override: Override, config: DictConfig) -> str | None:
    """A message on a key that does not exist in the config, with a suggestion; None if it does."""
    if override.is_add() or override.is_force_add():
        return None
    node: Any = config
    walked: list[str] = []
    for word in override.key_or_group.split("."):
        if not isinstance(node, DictConfig):
            return f"{override.key_or_group}: {'.'.join(walked)} is a value, not a group of keys"
        keys = [str(name) for name in node]  # `in` leaves out keys whose value is missing
        names = [name for name in keys if not name.startswith("_")]
        if word not in keys:
            parent = ".".join(walked)
            if parent == "reg" and word in _options(parent):
                return f"{override.key_or_group}: reg={word} is not chosen; add reg={word}"
            group = parent.replace(".", "/")  # hydra.launcher has its options in hydra/launcher
            having = [name for name in _options(group) if _has_key(group, name, word)]
            if parent and having:
                return f"{override.key_or_group}: no such key; expected {group}={choices(having)}"
            if not parent:
                names = sorted({*names, *_groups()} - {"hydra", "experiment"})
            known = f"it has {', '.join(names)}" if names else "it has no keys"
            hint = nearest(word, names) or _same_name_elsewhere(word, config)
            return f"{override.key_or_group}: no such key{hint} ({known})"
        walked.append(word)
        node = node._get_node(word) if OmegaConf.is_missing(node, word) else node[word]
    return None


def _has_key(group: str, option: str, key: str) -> bool:
    """Whether an option's file has a key at its top level."""
    path = conf_dir() / group / f"{option}.yaml"
    return path.is_file() and key in OmegaConf.load(path)


def _same_name_elsewhere(word: str, config: DictConfig) -> str:
    """The hint ``"; did you mean optimizer.lr?"`` for ``lr``, or an empty text."""
    keys = [key for key in _keys(config) if not key.startswith("hydra.") and "._target_" not in key]
    same = [key for key in keys if key.rpartition(".")[2] == word]
    close = [key for key in keys if key.rpartition(".")[2].endswith(f"_{word}")]
    return f"; did you mean {choices(same or close)}?" if same or close else ""


def _keys(config: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield the keys of all values, also where it is missing."""
    for name in config:
        node = config._get_node(name)
        if isinstance(node, DictConfig) and not node._is_missing():
            yield from _keys(node, f"{prefix}{name!s}.")
        else:
            yield f"{prefix}{name!s}"


def _unreadable(config_dir: str) -> Path | None:
    """The first file of the user's own options that is not UTF-8; None if there is none."""
    for path in sorted(Path(config_dir).rglob("*.yaml")):
        try:
            path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return path
    return None


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
