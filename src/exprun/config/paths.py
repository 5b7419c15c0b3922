"""Paths of the configuration files and their documentation."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def conf_dir() -> Path:
    """The folder ``conf/``: the package's in a wheel, the checkout's in an editable install."""
    packaged = PACKAGE / "conf"
    return packaged if packaged.is_dir() else PACKAGE.parents[1] / "conf"


def pages_dir() -> Path:
    """The folder ``docs/options/``: the package's in a wheel, the checkout's in an editable
    install."""
    packaged = PACKAGE / "docs" / "options"
    return packaged if packaged.is_dir() else PACKAGE.parents[1] / "docs" / "options"
