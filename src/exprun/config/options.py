"""Find the files of the groups' options and read their text.

Nothing is composed here; each YAML file is read by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from exprun.common.errors import UsageError
from exprun.config.paths import conf_dir


def groups(folders: Sequence[Path]) -> list[str]:
    """All groups with options in the folders, in alphabetical order, without ``hydra``."""
    found = {path.parent.name for folder in folders for path in folder.glob("*/*.yaml")}
    return sorted(found - {"hydra"})


def options(group: str, folders: Sequence[Path]) -> dict[str, Path]:
    """The options of a group with their files; later folders take precedence."""
    found = {p.stem: p for folder in folders for p in (folder / group).glob("*.yaml")}
    return dict(sorted(found.items()))


def check_names(folder: Path) -> None:
    """Raise UsageError if a user's option in ``folder`` has the name of one of exprun's, which
    Hydra would read instead, unless their contents are equal."""
    for path in sorted(folder.rglob("*.yaml")):
        taken = conf_dir() / path.relative_to(folder)
        if taken.is_file() and taken.read_bytes() != path.read_bytes():
            raise UsageError(
                f"{path}: is not read, for exprun has a {path.relative_to(folder)} of its own; "
                "expected another name, or a preset: experiment/NAME.yaml, and experiment=NAME"
            )


def head(path: Path) -> list[str]:
    """The comment lines at the beginning of a file, without ``#`` and the ``@package`` line."""
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.removeprefix("#").removeprefix(" ").rstrip())
    return lines


def is_global(path: Path) -> bool:
    """Whether an option's keys belong to the whole config instead of its group (``@package
    _global_``)."""
    return "# @package _global_" in path.read_text(encoding="utf-8", errors="replace")


def is_sweep(preset: Path) -> bool:
    """Whether a preset's file makes it a sweep without ``-m``, through ``hydra.mode``."""
    try:
        content = yaml.safe_load(preset.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):  # composing it reports the error
        return False
    hydra = content.get("hydra") if isinstance(content, dict) else None
    return isinstance(hydra, dict) and hydra.get("mode") == "MULTIRUN"


def first_comment(path: Path) -> str:
    """An option's line in ``--help``: the first line of its head."""
    return next(iter(head(path)), "")
