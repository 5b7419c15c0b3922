"""The curve goes into the files some rows at a time, and never behind a checkpoint."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from exprun.fit.loop import fit
from exprun.record import checkpoint, recorder
from exprun.record.recorder import Recorder, hparams
from exprun.record.tensorboard import read
from exprun.training.callbacks import Callback
from exprun.training.training import Training
from tests.conftest import built


def epochs_in(folder: Path) -> tuple[list[int], list[int]]:
    """The epochs in ``metrics.csv`` and in the event file."""
    with (folder / "metrics.csv").open() as file:
        rows = [int(row["epoch"]) for row in csv.DictReader(file)]
    (events,) = folder.glob("events.*")
    points = [
        event.step
        for event in read(events)
        for value in event.summary.value
        if value.tag == "loss/train"
    ]
    return rows, points


class Reader(Callback):
    """What the files hold after every epoch, and the epoch of the newest checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[tuple[int, int]] = []

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        rows, points = epochs_in(self.folder)
        assert rows == points == list(range(1, len(rows) + 1))
        state, _ = checkpoint.newest(self.folder)
        self.seen.append((len(rows), state["epoch"] if state else 0))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(math.inf, [(1, 0), (1, 0), (3, 3), (3, 3), (3, 3)]), (0.0, [(1, 0), (2, 0), (3, 3)])],
    ids=["short epochs", "long epochs"],
)
def test_rows_are_written_now_and_then_and_before_a_checkpoint(
    seconds: float,
    expected: list[tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(recorder, "CURVE_SECONDS", seconds)
    training = built(f"trainer.max_epochs={len(expected)}")
    made = Recorder(tmp_path, {"checkpoint": {"every": 3}, "seed": 0}, [], {}, training)
    reader = Reader(tmp_path)
    fit(training, [made, reader])
    assert reader.seen == expected
    made.close()
    everything = list(range(1, len(expected) + 1))
    assert epochs_in(tmp_path) == (everything, everything)


def test_hparams_are_values_that_were_asked_for_and_not_derived() -> None:
    config = {"seed": 3, "data": {"split_seed": 3}, "optimizer": {"lr": 0.1}, "reg": {"l2": {}}}
    words = ["optimizer=adam", "+optimizer.lr=0.1", "reg=l2", "data.split_seed=${seed}"]
    row = hparams(config, {"optimizer": "adam"}, words)
    assert row == {"seed": 3, "optimizer": "adam", "optimizer.lr": 0.1, "reg": "l2"}
