"""Early stopping on made-up curves whose answer is plain to see."""

from __future__ import annotations

import pytest

from exprun.techniques.stopping import Stopping


def follow(stopping: Stopping, values: list[float], monitor: str = "val_loss"):
    """Epochs until it stops, and those whose weights were kept."""
    kept = []
    for epoch, value in enumerate(values, start=1):
        if stopping.update(epoch, {"train_loss": 1.0, monitor: value}):
            kept.append(epoch)
        if stopping.exhausted:
            return epoch, kept
    return None, kept


@pytest.mark.parametrize(
    ("patience", "values", "stopped", "best"),
    [
        (1, [3, 2, 2, 1], 3, 2),
        (2, [3, 2, 2.5, 2.4, 1], 4, 2),
        (2, [3, 2, 2.5, 1.9, 2.0, 2.0, 1], 6, 4),
        (3, [3, 4, 5, 6], 4, 1),
        (3, [3, 4, 5, 2], None, 4),
        (2, [5, 4, 3, 2, 1], None, 5),
        (None, [1, *range(2, 60)], None, 1),
    ],
)
def test_patience_counts_epochs_without_improvement(patience, values, stopped, best):
    stopping = Stopping(patience=patience)
    epoch, kept = follow(stopping, values)
    assert (epoch, stopping.best_epoch, kept[-1]) == (stopped, best, best)


def test_kept_are_the_epochs_that_beat_all_earlier_ones():
    assert follow(Stopping(), [3, 4, 2, 2, 1.5, 9])[1] == [1, 3, 5]


def test_small_improvements_use_up_patience_but_are_kept():
    """Each step of 0.4 is less than min_delta=1; three of them together are more."""
    stopping = Stopping(patience=3, min_delta=1.0)
    assert follow(stopping, [5, 4.6, 4.2, 3.8, 3.4, 3.2]) == (None, [1, 2, 3, 4, 5, 6])
    stopping = Stopping(patience=2, min_delta=1.0)
    assert follow(stopping, [5, 4.6, 4.2, 3.0]) == (3, [1, 2, 3])
    assert stopping.best == pytest.approx(4.2)


def test_an_improvement_of_exactly_min_delta_is_none():
    assert follow(Stopping(patience=1, min_delta=1.0), [5, 4, 3])[0] == 2


@pytest.mark.parametrize("metric", ["val_accuracy", "val_r2"])
def test_accuracy_and_r2_are_followed_upwards(metric):
    stopping = Stopping(patience=2, monitor=metric)
    assert follow(stopping, [0.1, 0.5, 0.4, 0.5, 0.9], metric) == (4, [1, 2])
    assert stopping.best_epoch == 2


@pytest.mark.parametrize("metric", ["val_loss", "val_rmse", "val_mae"])
def test_losses_and_errors_are_followed_downwards(metric):
    stopping = Stopping(patience=2, monitor=metric)
    assert follow(stopping, [0.9, 0.5, 0.6, 0.5, 0.1], metric) == (4, [1, 2])


def test_without_validation_the_last_epoch_is_kept_and_nothing_stops():
    stopping = Stopping(patience=1)
    kept = [stopping.update(epoch, {"train_loss": float(epoch)}) for epoch in range(1, 9)]
    assert all(kept)
    assert (stopping.best_epoch, stopping.exhausted) == (8, False)


def test_without_restore_best_the_last_epoch_is_kept_and_patience_still_counts():
    stopping = Stopping(patience=2, restore_best=False)
    assert follow(stopping, [3, 2, 4, 5, 1]) == (4, [1, 2, 3, 4])
    assert stopping.best_epoch == 2


def test_patience_left():
    stopping = Stopping(patience=3)
    left = []
    for epoch, value in enumerate([3, 4, 4, 2, 5], start=1):
        stopping.update(epoch, {"val_loss": value})
        left.append(stopping.patience_left)
    assert left == [3, 2, 1, 3, 2]
    assert Stopping().patience_left is None


@pytest.mark.parametrize("saved_after", range(1, 6))
def test_state_round_trip_goes_on_exactly(saved_after):
    values = [3, 2, 2.5, 1.9, 2.0, 2.0, 1]
    whole = Stopping(patience=2)
    follow(whole, values)
    first, second = Stopping(patience=2), Stopping(patience=2)
    for epoch, value in enumerate(values[:saved_after], start=1):
        first.update(epoch, {"val_loss": value})
    second.load_state_dict(first.state_dict())
    for epoch, value in enumerate(values[saved_after:6], start=saved_after + 1):
        second.update(epoch, {"val_loss": value})
    assert second.state_dict() == whole.state_dict()
    assert second.exhausted
