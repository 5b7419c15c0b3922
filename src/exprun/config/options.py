"""The options of the groups, as files: found, and read as far as their text goes.

Nothing here composes: what is read is a YAML file by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from exprun.common.errors import UsageError
from exprun.config.paths import conf_dir


def groups(folders: Sequence[Path]) -> list[str]:
    """All groups that have options in the folders, in alphabetical order, ``hydra`` not counted."""
    found = {path.parent.name for folder in folders for path in folder.glob("*/*.yaml")}
    return sorted(found - {"hydra"})


def options(group: str, folders: Sequence[Path]) -> dict[str, Path]:
    """The options of a group and their files; those of later folders win."""
    found = {p.stem: p for folder in folders for p in (folder / group).glob("*.yaml")}
    return dict(sorted(found.items()))


def check_names(folder: Path) -> None:
    """Raise UsageError if a file of somebody's own options in ``folder`` has the name of one of
    exprun's, which Hydra reads in its place; unless they are the same."""
    for path in sorted(folder.rglob("*.yaml")):
        taken = conf_dir() / path.relative_to(folder)
        if taken.is_file() and taken.read_bytes() != path.read_bytes():
            raise UsageError(
                f"{path}: is not read, for exprun has a {path.relative_to(folder)} of its own; "
                "expected another name, or a preset: experiment/NAME.yaml, and experiment=NAME"
            )


def head(path: Path) -> list[str]:
    """The comment lines that a file begins with, without their ``#`` and the ``@package``."""
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            lines.append(line.removeprefix("#").removeprefix(" ").rstrip())
    return lines


def is_global(path: Path) -> bool:
    """Whether an option's keys are not those of its group but of the whole config."""
    return "# @package _global_" in path.read_text(encoding="utf-8", errors="replace")


def is_sweep(preset: Path) -> bool:
    """Whether a preset's file says that it is a sweep by itself, without ``-m``: ``hydra.mode``."""
    try:
        content = yaml.safe_load(preset.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):  # whoever composes it says what is wrong with it
        return False
    hydra = content.get("hydra") if isinstance(content, dict) else None
    return isinstance(hydra, dict) and hydra.get("mode") == "MULTIRUN"


def first_comment(path: Path) -> str:
    """An option's line in ``--help``: the first of its head."""
    return next(iter(head(path)), "")
