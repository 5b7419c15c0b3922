"""Reads values of a job's resolved config, for keys that its overrides do not set."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from exprun.common.errors import UsageError


class ResolvedValues:
    """The values in ``.hydra/`` of a job's folder, in the syntax of overrides; there are none if
    ``.hydra/`` is missing. Raises UsageError if a file in it is damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".hydra"

    def get(self, key: str) -> str | None:
        """The selected option of a group, or the value of a key; None if there is neither."""
        node: Any = self._config
        for name in key.split("."):
            if not isinstance(node, dict) or name not in node:
                return None
            node = node[name]
        if not isinstance(node, dict):
            return _written(node)
        if key in self._choices:
            return _written(self._choices[key])
        if key in LISTS_OF_OPTIONS:
            options = list(node) or ["none"]
            return options[0] if len(options) == 1 else _written(options)
        return None

    @cached_property
    def _config(self) -> Any:
        return _read(self.folder / "config.yaml")

    @cached_property
    def _choices(self) -> dict[str, Any]:
        node = _read(self.folder / "hydra.yaml")
        for name in ("hydra", "runtime", "choices"):
            node = node.get(name, {})
        return dict(node)


LISTS_OF_OPTIONS = ("reg",)
"""Groups that allow several options; Hydra does not record these in its choices."""


def _read(path: Path) -> Any:
    import yaml  # needed only to combine several batches

    try:
        return yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        return {}
    except yaml.YAMLError:
        raise UsageError(f"{path}: is damaged") from None


def _written(value: Any) -> str:
    """The value in the syntax of overrides: ``null``, ``true``, ``[256,128]``, ``0.01``."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
