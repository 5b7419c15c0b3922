"""``data.order``: classes in an order."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from exprun.common.errors import UsageError
from exprun.data import tabular
from exprun.data.files import read_labelled
from exprun.data.prepare import prepare
from exprun.data.preprocess_json import from_json, to_json

SIZES = ["mid", "low", "high", "low", "mid"] * 6


def file(folder: Path, labels: list[str] = SIZES, name: str = "data.csv") -> str:
    pd.DataFrame({"x": range(len(labels)), "y": labels}).to_csv(folder / name, index=False)
    return str(folder / name)


def test_class_ids_are_ranks_in_the_order_given(tmp_path):
    order = ["low", "mid", "high"]
    table = tabular.csv(file(tmp_path), "y", order=order)
    assert table.task.classes == tuple(order)
    assert table.task.description == "3 ordered classes"
    assert [order[k] for k in table.y] == SIZES


@pytest.mark.parametrize("order", [[3, 1, 2.0], ["3", "1.0", "2"]])
def test_labels_of_numbers_are_compared_by_value_and_a_count_becomes_classes(tmp_path, order):
    table = tabular.csv(file(tmp_path, ["1", "2", "3"] * 10), "y", order=order)
    assert table.y.tolist() == [1, 2, 0] * 10


def test_the_order_is_kept_for_new_files(tmp_path):
    preprocessing = prepare(
        tabular.csv(file(tmp_path), "y", order=["low", "mid", "high"])
    ).preprocessing
    assert from_json(to_json(preprocessing)) == preprocessing
    _, ids = read_labelled(file(tmp_path, ["high", "low"], "new.csv"), preprocessing)
    assert ids.tolist() == [2, 0]


def test_an_order_of_numbers_alone_is_damaged(tmp_path):
    written = to_json(prepare(tabular.csv(file(tmp_path), "x", task="regression")).preprocessing)
    written["task"]["ordered"] = True
    with pytest.raises(ValueError, match="task is damaged: expected classes that are ordered"):
        from_json(written)


@pytest.mark.parametrize(
    ("order", "options", "said"),
    [
        (["low", "high"], {}, "does not name 'mid', which the target 'y' has"),
        (["low", "mid", "high", "huge"], {}, "names 'huge', which no row of the target 'y' has"),
        (["low", "mid", "high", "low"], {}, "names 'low' twice"),
        (["low", "mid", "high"], {"task": "regression"}, "expected data.order=[], or"),
    ],
)
def test_what_is_refused(tmp_path, order, options, said):
    with pytest.raises(UsageError) as error:
        tabular.csv(file(tmp_path), "y", order=order, **options)
    assert said in str(error.value)


def test_merged_classes_have_no_place_in_an_order(tmp_path):
    order = ["none", "low", "mid", "high"]
    table = tabular.csv(file(tmp_path, [*SIZES, "none"]), "y", order=order)
    with pytest.raises(UsageError, match=r"data.rare=merge: .* expected data.rare=drop or"):
        prepare(table, rare="merge")
    assert prepare(table, rare="drop").preprocessing.task.classes == ("low", "mid", "high")
