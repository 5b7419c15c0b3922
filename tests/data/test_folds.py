"""``data.folds``: cross-validation, with scikit-learn's splitters beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, TimeSeriesSplit

from exprun.common.errors import UsageError
from exprun.common.streams import stream
from exprun.data.folds import split_fold
from exprun.data.frame import Frame
from exprun.data.prepare import prepare
from exprun.data.split import Split
from exprun.data.table import Table
from exprun.data.task import Task


def table(sizes: list[int], **fields) -> Table:
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    task = Task(("y",), tuple("abcdefg"[: len(sizes)]))
    x = np.arange(len(y), dtype=np.float64)[:, None]
    return Table("made", Frame(("x",), x), y, task, **fields)


def all_folds(made: Table, folds: int, val_fraction: float = 0.2, **how) -> list[Split]:
    return [
        split_fold(made, folds, fold, val_fraction, stream(3, "split"), **how)
        for fold in range(folds)
    ]


def assert_is_partition(made: Table, splits: list[Split], untested: int = 0) -> None:
    """Every row is tested once, and is in exactly one part of each split."""
    tested = np.concatenate([split.test for split in splits])
    assert sorted(tested) == list(range(untested, len(made)))
    for split in splits:
        parts = np.concatenate([split.train, split.val, split.test])
        assert len(np.unique(parts)) == len(parts)
        assert all((np.diff(part) > 0).all() for part in (split.train, split.val, split.test))


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
@pytest.mark.parametrize("sizes", [[10, 10], [37, 11, 52], [23]])
def test_stratified_folds_have_the_sizes_of_scikit_learns(sizes, folds):
    made = table(sizes)
    splits = all_folds(made, folds)
    assert_is_partition(made, splits)
    counts = np.array([np.bincount(made.y[s.test], minlength=len(sizes)) for s in splits])
    theirs = StratifiedKFold(folds, shuffle=True, random_state=0).split(made.y, made.y)
    expected = np.array([np.bincount(made.y[t], minlength=len(sizes)) for _, t in theirs])
    assert np.sort(counts, axis=0).tolist() == np.sort(expected, axis=0).tolist()
    assert np.ptp(counts.sum(axis=1)) <= 1
    for split in splits:
        assert len(split.train) + len(split.val) + len(split.test) == len(made)
        rest = len(made) - len(split.test)
        assert abs(len(split.val) - 0.2 * rest) <= len(sizes)
        assert set(made.y[split.train]) == set(made.y[split.val]) == set(made.y)


def test_numbers_are_dealt_out_evenly():
    y = np.random.default_rng(0).normal(size=(47, 1))
    x = Frame(("x",), y)
    made = Table("made", x, y, Task(("y",)))
    splits = all_folds(made, 4, val_fraction=0)
    assert_is_partition(made, splits)
    assert sorted(len(split.test) for split in splits) == [11, 12, 12, 12]
    assert all(len(split.val) == 0 for split in splits)


def test_groups_stay_together_and_are_as_even_as_scikit_learns():
    made = table([60, 40])
    groups = np.random.default_rng(1).integers(0, 25, len(made))
    made = table([60, 40], groups=groups)
    splits = all_folds(made, 5)
    assert_is_partition(made, splits)
    for split in splits:
        parts = [set(groups[rows]) for rows in (split.train, split.val, split.test)]
        assert sum(map(len, parts)) == len(set.union(*parts))

    def uneven(tests):
        return np.std([np.bincount(made.y[t], minlength=2) for t in tests], axis=0).sum()

    theirs = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(made.y, made.y, groups)
    assert uneven([s.test for s in splits]) <= 1.5 * uneven([t for _, t in theirs])


@pytest.mark.parametrize("rows", [24, 25, 29])
def test_rows_in_order_are_scikit_learns_time_series_split(rows):
    made = table([rows])
    splits = all_folds(made, 5, method="last")
    assert_is_partition(made, splits, untested=rows - 5 * (rows // 6))
    theirs = TimeSeriesSplit(5).split(made.y)
    for split, (train, test) in zip(splits, theirs, strict=True):
        assert split.test.tolist() == test.tolist()
        assert [*split.train, *split.val] == train.tolist()
        assert len(split.val) == round(0.2 * len(train))


def test_equal_times_are_not_parted():
    times = np.repeat(np.arange(12.0), 5)
    made = table([60], time=Frame(("t",), times[:, None]))
    splits = all_folds(made, 4, method="time")
    assert_is_partition(made, splits, untested=10)
    for split in splits:
        assert times[split.train].max() < times[split.val].min()
        assert times[split.val].max() < times[split.test].min()


@pytest.mark.parametrize(("split", "untested"), [("last", 12), ("time", 10)])
def test_rows_that_are_in_no_fold_are_told(split: str, untested: int) -> None:
    times = np.repeat(np.arange(12.0), 5)
    made = table([60], time=Frame(("t",), times[:, None]) if split == "time" else None)
    said = f"folds in order: the first {untested} rows are in no fold, only trained on"
    assert said in prepare(made, folds=4, fold=0, split=split).notes
    in_fold = [prepare(made, folds=4, fold=k, split=split).test_rows for k in range(4)]
    assert min(map(min, in_fold)) == untested
    at_random = prepare(table([60]), folds=4, fold=0)
    assert not any("in no fold" in note for note in at_random.notes)


def test_another_split_seed_draws_other_folds_and_the_same_one_the_same():
    made = table([50, 50])
    first, again = (split_fold(made, 5, 0, 0.2, stream(1, "split")) for _ in range(2))
    other = split_fold(made, 5, 0, 0.2, stream(2, "split"))
    assert first.test.tolist() == again.test.tolist() != other.test.tolist()


def test_rare_classes_are_dropped_or_never_tested():
    made = table([30, 4, 30])
    data = prepare(made, folds=5, fold=2, rare="drop")
    assert data.preprocessing.task.classes == ("a", "c")
    kept = np.flatnonzero(made.y != 1)
    tested = [prepare(made, folds=5, fold=k, rare="drop").test_rows for k in range(5)]
    assert sorted(np.concatenate([rows for rows in tested if rows is not None])) == kept.tolist()
    splits = all_folds(made, 5, rare="keep_in_train")
    assert all((made.y[split.train] == 1).sum() == 4 for split in splits)
    with pytest.raises(UsageError, match=r"class 'b' has only 4 row.* split into 5 folds"):
        all_folds(made, 5)


def test_test_rows_are_the_numbers_of_the_rows_of_the_test_part():
    data = prepare(table([20, 20]), folds=4, fold=1, standardize=False)
    assert data.test_rows is not None
    assert data.test.x[:, 0].tolist() == data.test_rows.tolist()
    assert prepare(table([20, 20])).test_rows is None


@pytest.mark.parametrize(
    ("made", "how", "said"),
    [
        (table([10, 10], test_rows=4), {}, "expected data.folds=null, or data without a test part"),
        (table([4]), {"method": "last"}, "too few rows, or different times, for data.folds=5"),
        (table([20], groups=np.arange(20) % 3), {}, "there are only 3 group"),
        (table([20, 20], groups=np.arange(40)), {"method": "last"}, "keeps no groups together"),
    ],
)
def test_what_cannot_be_folded(made, how, said):
    with pytest.raises(UsageError, match=said):
        split_fold(made, 5, 0, 0.2, torch.Generator(), **how)
