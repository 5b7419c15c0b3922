"""``data.rare``: classes with fewer rows than the parts of the split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from exprun.common.errors import UsageError
from exprun.data import tabular
from exprun.data.files import read_labelled
from exprun.data.prepare import Data, prepare
from exprun.data.preprocess_json import from_json, to_json
from exprun.data.table import Table

SIZES = {"a": 20, "b": 2, "c": 12, "d": 1, "e": 3}
"""Rows of each class; b and d are rare."""


def rows(sizes: dict[str, int]) -> pd.DataFrame:
    labels = [label for label, size in sizes.items() for _ in range(size)]
    return pd.DataFrame({"x": range(len(labels)), "word": labels, "y": labels})


def table(folder: Path, sizes: dict[str, int] = SIZES, test: dict[str, int] | None = None) -> Table:
    rows(sizes).to_csv(folder / "data.csv", index=False)
    if test is None:
        return tabular.csv(str(folder / "data.csv"), "y")
    rows(test).to_csv(folder / "test.csv", index=False)
    return tabular.csv(str(folder / "data.csv"), "y", test_path=str(folder / "test.csv"))


def counted(data: Data) -> list[Counter[str]]:
    """Rows of each label in training, validation and test."""
    classes = data.preprocessing.task.classes
    return [Counter(classes[k] for k in p.y.tolist()) for p in (data.train, data.val, data.test)]


def test_drop_is_pandas_filter_by_the_size_of_the_class(tmp_path):
    data = prepare(table(tmp_path), rare="drop")
    frame = rows(SIZES)
    kept = frame[frame.groupby("y")["y"].transform("size") >= 3]
    assert data.preprocessing.task.classes == ("a", "c", "e")
    assert sum(counted(data), Counter()) == Counter(kept["y"])
    without = prepare(table(tmp_path, {k: n for k, n in SIZES.items() if n >= 3}))
    assert counted(data) == counted(without)
    assert data.notes[-1].endswith("left out: b (2), d (1)")


def test_keep_in_train_trains_on_every_row_of_a_rare_class_and_splits_the_others_as_ever(tmp_path):
    data = prepare(table(tmp_path), rare="keep_in_train")
    train, val, test = counted(data)
    assert data.preprocessing.task.classes == tuple("abcde")
    assert (train["b"], train["d"]) == (2, 1)
    without = counted(prepare(table(tmp_path, {k: n for k, n in SIZES.items() if n >= 3})))
    assert (train - Counter(b=2, d=1), val, test) == tuple(without)


def test_merge_makes_one_class_of_all_of_them_also_when_a_file_is_evaluated(tmp_path):
    data = prepare(table(tmp_path), rare="merge")
    assert data.preprocessing.task.classes == ("a", "c", "e", "other")
    assert sum(counted(data), Counter()) == Counter(a=20, c=12, e=3, other=3)
    assert all(part["other"] == 1 for part in counted(data))
    again = from_json(to_json(data.preprocessing))
    assert again == data.preprocessing
    rows({"d": 1, "c": 1, "b": 2, "other": 1}).to_csv(tmp_path / "new.csv", index=False)
    _, target = read_labelled(str(tmp_path / "new.csv"), again)
    assert target.tolist() == [3, 1, 3, 3, 3]
    damaged = to_json(data.preprocessing)
    damaged["task"]["classes"][3] = "else"
    with pytest.raises(ValueError, match=r"task.merged is damaged: expected a class 'other'"):
        from_json(damaged)


def test_merged_classes_join_one_that_is_called_other(tmp_path):
    data = prepare(table(tmp_path, {"a": 9, "other": 9, "z": 1}), rare="merge")
    assert data.preprocessing.task.classes == ("a", "other")
    assert sum(counted(data), Counter()) == Counter(a=9, other=10)


@pytest.mark.parametrize(("rare", "left"), [("drop", 2), ("merge", 5)])
def test_official_test_rows_do_not_make_a_class_common_but_share_its_fate(tmp_path, rare, left):
    sizes = {"a": 9, "b": 1, "c": 9, "d": 1}
    data = prepare(table(tmp_path, sizes, {"a": 1, "b": 3, "c": 1}), rare=rare)
    assert len(data.test) == left
    assert sum(counted(data)[:2], Counter())["a"] == 9


@pytest.mark.parametrize("rare", ["drop", "keep_in_train", "merge"])
def test_where_no_class_is_rare_the_parts_are_the_same(tmp_path, rare):
    ours, plain = (
        prepare(table(tmp_path, {"a": 9, "b": 7}), **how) for how in ({"rare": rare}, {})
    )
    assert ours.train.x.equal(plain.train.x)
    assert ours.test.y.equal(plain.test.y)
    assert ours.notes == plain.notes


@pytest.mark.parametrize(
    ("sizes", "test", "options", "message"),
    [
        (SIZES, None, {}, r"class 'b' has only 2 row.*expected data.rare=drop, keep_in_train or"),
        ({"1": 9, "2": 9, "3": 2}, None, {}, r"keep_in_train or merge; .*data.task=regression$"),
        ({"a": 9, "b": 2}, None, {"rare": "drop"}, r"data.csv: data.rare=drop leaves 1 class"),
        ({"a": 9, "c": 9, "b": 2}, None, {"rare": "merge"}, r"leaves only 2 row\(s\) of 'other'"),
        ({"a": 2, "b": 2}, None, {"rare": "merge"}, "data.rare=merge leaves no other class"),
        ({"a": 2, "b": 2}, None, {"rare": "keep_in_train"}, "class 'a' has only 2 row"),
        (SIZES, {"d": 2}, {"rare": "drop"}, "leaves no row of the official test part"),
        (SIZES, None, {"rare": "keep_in_train", "split": "last"}, "data.split=last says which"),
    ],
)
def test_too_little_is_left(tmp_path, sizes, test, options, message):
    with pytest.raises(UsageError, match=message):
        prepare(table(tmp_path, sizes, test), **options)
