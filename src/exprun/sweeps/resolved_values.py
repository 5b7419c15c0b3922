"""What a job was trained with where nobody said: the values of its resolved config."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from exprun.common.errors import UsageError


class ResolvedValues:
    """The values in ``.hydra/`` of a job's folder, written as in overrides; none without it. Raises
    UsageError if a file there is damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".hydra"

    def get(self, key: str) -> str | None:
        """The option of a group, or the value of a key; None if the config has neither."""
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
"""Groups of which several options may be chosen; Hydra's choices leave them out."""


def _read(path: Path) -> Any:
    import yaml  # only several sweeps together need it

    try:
        return yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        return {}
    except yaml.YAMLError:
        raise UsageError(f"{path}: is damaged") from None


def _written(value: Any) -> str:
    """As in an override: ``null``, ``true``, ``[256,128]``, ``0.01``."""
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
