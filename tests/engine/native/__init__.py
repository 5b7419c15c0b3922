"""The native engine; skipped where it was not built."""

from __future__ import annotations

import pytest

from exprun.engine.native import library


def _why_not() -> str | None:
    try:
        library.load()
    except library.Unavailable as why:
        return str(why)
    return None


WHY_NOT = _why_not()

needs_native = pytest.mark.skipif(WHY_NOT is not None, reason=f"no native engine: {WHY_NOT}")
