"""Validate a configuration: its keys, their values by the rules, and combinations of values.

A user's own options may have further keys, which are validated by their targets.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue

from exprun.common.errors import UsageError, nearest, refuse_remote
from exprun.config.parts import parts_of
from exprun.config.rules import RULES, rule_for


def plain(config: DictConfig) -> dict[str, Any]:
    """The config as dicts, lists and values with interpolations resolved, without ``hydra``."""
    return {str(key): plain_value(config[key]) for key in config if key != "hydra"}


def plain_value(value: Any) -> Any:
    """A value of a config as dicts, lists and values with interpolations resolved."""
    if isinstance(value, DictConfig | ListConfig):
        return OmegaConf.to_container(value, resolve=True)
    return value


def without_index(key: str) -> str:
    """``published.figures.value`` for ``published.figures[0].value``."""
    return re.sub(r"\[\d+\]", "", key)


def check(config: DictConfig) -> None:
    """Raise UsageError at the first key that is unused, missing, or has an invalid value.

    A node with a ``_target_`` may have keys without a rule, which its target takes; any other node
    has exactly the keys of RULES.
    """
    for group in TARGETED:
        if not isinstance(config.get(group), DictConfig) or "_target_" not in config[group]:
            raise UsageError(f"{group} has no _target_; expected one in the YAML of {group}=…")
    for key in NEEDED:
        parent, _, name = key.rpartition(".")
        node = config.get(parent, {}) if parent else config
        if isinstance(node, dict | DictConfig) and name not in node:
            raise UsageError(f"{key} is missing; expected {RULES[key].expected}")
    _check_nodes(config)
    check_values(config)
    check_together(config)


def _check_nodes(config: DictConfig, path: str = "") -> None:
    """Raise UsageError for a node with a ``_target_`` where none is used. Within a node with a
    ``_target_`` everything belongs to its target."""
    for name in config:
        node = config._get_node(name)
        key = f"{path}{name!s}"
        if key == "hydra" or not isinstance(node, DictConfig) or key in TARGETED or path == "reg.":
            continue
        if node._is_none() or node._is_missing() or node._is_interpolation():
            continue
        if "_target_" in node:
            raise UsageError(
                f"{key}: nobody reads a group of that name{nearest(key, (*TARGETED, 'reg'))}"
            )
        _check_nodes(node, f"{key}.")


def check_values(config: DictConfig) -> None:
    """Raise UsageError at the first key that is unused, missing, or has an invalid value; unlike
    ``check``, ``config`` may be a part of a config."""
    elsewhere = None
    for key, value in leaves(config):
        parent, _, name = key.rpartition(".")
        has_target = bool(parent) and "_target_" in OmegaConf.select(config, parent)
        rule = rule_for(key) if has_target else RULES.get(without_index(key))
        if rule is None and not has_target:
            inside = [known for known in RULES if known.startswith(f"{key}.")]
            within = without_index(parent)
            siblings = [k.rpartition(".")[2] for k in RULES if k.rpartition(".")[0] == within]
            hint = f"; expected {inside[0]}=…" if inside else nearest(name, siblings)
            if parent == "reg":
                hint = f"; expected one of its keys, see exprun --cfg job reg={name}"
            raise UsageError(f"{key}={spelled(value)}: no such key{hint}")
        if rule is None or rule.accepts(value):
            continue
        if name in PATHS and isinstance(value, str):
            refuse_remote(value, f"{key}=")
        shown = OmegaConf.to_container(value) if isinstance(value, ListConfig) else value
        if isinstance(shown, float) and shown.is_integer() and rule.accepts(int(shown)):
            hint = f"; did you mean {int(shown)}?"
        elif not isinstance(shown, list) and rule.accepts([shown]):
            hint = f"; did you mean [{shown}]?"
        else:
            words = (*rule.words, *rule.near(shown)) if isinstance(shown, str) else ()
            hint = nearest(str(shown), words)
        expected = rule.expected
        if isinstance(shown, float) and not math.isfinite(shown):
            expected = expected.replace("a number", "a finite number")
        is_text = isinstance(shown, str) and re.fullmatch(r"[-+.\deE]+", shown)
        given = f"{shown!r} (text)" if is_text else spelled(shown)
        taken = OmegaConf.is_interpolation(OmegaConf.select(config, parent) or config, name)
        if taken and is_text:
            written: Any = OmegaConf.to_container(OmegaConf.select(config, parent) or config)
            raw = written[name]
            hint = f"; did you mean '{key}=\"${{oc.decode:{raw}}}\"', quotes included?"
        error = UsageError(f"{key}={given}: expected {expected}{hint}")
        if not taken:
            raise error
        elsewhere = elsewhere or error  # prefer the key that an interpolation refers to
    if elsewhere:
        raise elsewhere


PATHS = ("path", "test_path")
"""Keys whose values are paths."""

TARGETED = (
    "problem",
    "data",
    "model",
    "init",
    "norm",
    "optimizer",
    "scheduler",
    "loss",
    "stopping",
    "averaging",
)
"""Groups whose chosen option names a class or function."""

NEEDED = (
    "seed",
    "device",
    "trainer.max_epochs",
    "trainer.threads",
    "trainer.engine",
    "checkpoint.every",
    "batching.batch_size",
)
"""Keys that are needed with all options."""


def check_together(config: Mapping[str, Any]) -> None:
    """Raise UsageError for values that are valid alone but not together; ``config`` may be plain
    data, too."""
    if parts_of(config) and str(config["device"]).startswith("cuda"):
        raise UsageError(f"device={config['device']}: this problem is for the CPU; expected cpu")
    val, test = (config["data"].get(f"{part}_fraction", 0.0) for part in ("val", "test"))
    folds, fold = config["data"].get("folds"), config["data"].get("fold")
    if folds is None and fold is not None:
        raise UsageError(f"data.fold={fold}: expected data.folds=…, the number of folds, too")
    if folds is not None and (fold is None or fold >= folds):
        given = "" if fold is None else f" data.fold={fold}"
        raise UsageError(
            f"data.folds={folds}{given}: expected data.fold=0 to {folds - 1}, or all of them: "
            f"exprun -m data.folds={folds} 'data.fold=range({folds})'"
        )
    if folds is None and val + test >= 1:
        raise UsageError(
            f"data.val_fraction={val:g} and data.test_fraction={test:g} leave nothing to train on; "
            "expected a sum below 1"
        )
    if config["stopping"].get("patience") is not None and val == 0:
        raise UsageError(
            "stopping=early looks at a validation part and data.val_fraction=0 leaves none; "
            "expected stopping=none, or a larger data.val_fraction"
        )
    if (
        config["norm"]["_target_"] == "torch.nn.BatchNorm1d"
        and config["batching"]["batch_size"] == 1
    ):
        raise UsageError(
            "norm=batch: a batch of one row has no variance; expected norm=layer, or "
            "batching.batch_size of at least 2"
        )
    p, hidden = config["reg"].get("dropout", {}).get("p"), config["model"].get("hidden", [])
    if isinstance(p, list | ListConfig) and len(p) != len(hidden):
        raise UsageError(
            f"reg.dropout.p has {len(p)} values for {len(hidden)} hidden layers of "
            f"model.hidden={spelled(list(hidden))}; expected one for all, or one each"
        )


class NotGiven(UsageError):
    """A value that must be given is not; ``node`` is the part of the config with its ``key``."""

    def __init__(self, text: str, key: str, node: DictConfig) -> None:
        super().__init__(text)
        self.key, self.node = key, node


LISTS = ("published.figures",)
"""Keys with a list of mappings, whose keys all have a rule."""


def leaves(config: DictConfig, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield every key and its value with interpolations resolved, without ``hydra``; keys in LISTS
    look like ``published.figures[0].value``. Raises UsageError for a missing value."""
    for name in config:
        if name == "hydra" and not prefix:
            continue
        key = f"{prefix}{name!s}"
        try:
            value = config[name]
        except MissingMandatoryValue:
            rule = rule_for(key)
            expected = f"; expected {rule.value or rule.expected}" if rule else ""
            raise NotGiven(f"{key} is not given{expected}: add {key}=…", key, config) from None
        except InterpolationKeyError as error:
            raise UsageError(f"{key}: {str(error).splitlines()[0]}") from None
        if key == "loss.class_weight" and isinstance(value, DictConfig):  # its keys are labels
            yield key, OmegaConf.to_container(value)
        elif isinstance(value, DictConfig):
            yield from leaves(value, f"{key}.")
        elif key in LISTS and isinstance(value, ListConfig) and _of_mappings(value):
            for number, item in enumerate(value):
                yield from leaves(item, f"{key}[{number}].")
        else:
            yield key, value


def _of_mappings(values: ListConfig) -> bool:
    return bool(values) and all(isinstance(item, DictConfig) for item in values)


def spelled(value: Any) -> str:
    """A value as written on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | ListConfig):
        return f"[{','.join(map(spelled, value))}]"
    return str(value)
