"""What is read of a sweep's folders: factors, configurations and their jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from exprun.cli import main
from exprun.sweeps.read_results import read_results
from tests.sweeps.test_ledger import SMALL


def test_a_default_that_is_not_said_later_is_the_same_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep that is extended without a key that it had counts that key's default."""
    monkeypatch.chdir(tmp_path)
    words = [*SMALL, "optimizer=sgd,adam"]
    assert main(["-m", *words, "reg=none,l2", "seed=0", "hydra.sweep.dir=sweep"]) == 0
    assert main(["-m", *words, "seed=1", "sweep.into=sweep"]) == 0
    found = {c.name: len(c.jobs) for c in read_results([Path("sweep")]).configurations}
    assert found == {
        "optimizer=sgd reg=none": 2,
        "optimizer=sgd reg=l2": 1,
        "optimizer=adam reg=none": 2,
        "optimizer=adam reg=l2": 1,
    }
