"""Where the configuration files and the pages about them lie."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def conf_dir() -> Path:
    """The package's own ``conf/`` in a wheel, the checkout's in an editable install."""
    packaged = PACKAGE / "conf"
    return packaged if packaged.is_dir() else PACKAGE.parents[1] / "conf"


def pages_dir() -> Path:
    """The pages about the options, ``docs/options/``: the package's own in a wheel, else the
    checkout's."""
    packaged = PACKAGE / "docs" / "options"
    return packaged if packaged.is_dir() else PACKAGE.parents[1] / "docs" / "options"
