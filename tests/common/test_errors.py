"""The nearest right answer to a wrong one."""

from __future__ import annotations

import pytest

from exprun.common.errors import nearest

METRICS = ["val_loss", "val_accuracy", "val_balanced_accuracy", "val_mae"]


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("val_bal", "val_balanced_accuracy"),
        ("val_acc", "val_accuracy"),
        ("val_lss", "val_loss"),
        ("VAL_MAE", "val_mae"),
        ("zzz", None),
        ("", None),
    ],
)
def test_nearest(wrong: str, meant: str | None) -> None:
    assert nearest(wrong, METRICS) == (f"; did you mean {meant}?" if meant else "")
