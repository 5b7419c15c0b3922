"""What tests of stacks need."""

from __future__ import annotations

import pytest

from exprun.fit import stack


@pytest.fixture
def stacked_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks are for GPUs, and tested where there is none."""
    monkeypatch.setattr(stack, "STACKED_ON", ("cpu",))
