"""Data in the user's own files: what is read, and which columns are what."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from exprun.common.errors import UsageError
from exprun.data import csv_file, tabular
from exprun.data.files import read_columns, read_labelled
from exprun.data.idx import idx
from exprun.data.openml import openml
from exprun.data.prepare import prepare
from exprun.data.preprocess import Preprocessing
from exprun.data.preprocess_json import from_json, to_json
from exprun.data.split import split_rows
from exprun.data.task import Task
from tests.data.bad_files import ubyte

GOOD = "a,b,label\n1,0.5,yes\n2,-1.5,no\n3,2e3,yes\n"


def write(folder: Path, text: str, name: str = "data.csv", encoding: str = "utf-8") -> str:
    path = folder / name
    path.write_text(text, encoding=encoding)
    return str(path)


def test_csv_with_text_classes(tmp_path):
    table = tabular.csv(write(tmp_path, GOOD), "label")
    assert np.asarray(table.features.numbers).tolist() == [[1, 0.5], [2, -1.5], [3, 2000]]
    assert table.y.tolist() == [1, 0, 1]
    assert (table.features.names, table.task) == (("a", "b"), Task(("label",), ("no", "yes")))


def test_csv_with_a_quoted_comma_a_byte_order_mark_and_windows_line_ends(tmp_path):
    text = '\ufeff"a, in cm",y\r\n"1",5.5\r\n2,6.5\r\n'
    table = tabular.csv(write(tmp_path, text), "y")
    assert (table.features.names, np.asarray(table.features.numbers).tolist()) == (
        ("a, in cm",),
        [[1], [2]],
    )


def test_csv_with_number_target(tmp_path):
    table = tabular.csv(write(tmp_path, GOOD), "b", drop=["label"])
    assert table.y.tolist() == [[0.5], [-1.5], [2000]]
    assert (table.features.names, table.task) == (("a",), Task(("b",)))


@pytest.mark.parametrize(
    ("task", "classes", "y"),
    [
        ("auto", ("3", "10"), [1, 0, 1]),
        ("classification", ("3", "10"), [1, 0, 1]),
        ("regression", (), [[10], [3], [10]]),
    ],
)
def test_whole_numbers_are_classes_unless_regression_is_asked_for(tmp_path, task, classes, y):
    path = write(tmp_path, "a,y\n1,10\n2,3\n3,10\n")
    table = tabular.csv(path, "y", task=task)
    assert (table.task.classes, table.y.tolist()) == (classes, y)


@pytest.mark.parametrize(("distinct", "kind"), [(100, "multiclass"), (101, "regression")])
def test_many_distinct_whole_numbers_are_numbers(tmp_path, distinct, kind):
    rows = "".join(f"{i},{i % distinct}\n" for i in range(2 * distinct))
    assert tabular.csv(write(tmp_path, f"a,y\n{rows}"), "y").task.kind == kind


def test_csv_test_file_is_the_official_test_split(tmp_path):
    other = write(tmp_path, "label,b,a,more\nno,7,8,x\n", "test.csv")
    table = tabular.csv(write(tmp_path, GOOD), "label", test_path=other)
    assert table.test_rows == 1
    assert np.asarray(table.features.numbers)[-1].tolist() == [8, 7]
    assert table.y.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["true", "false", "true"], ("false", "true")),
        (["01", "02", "01"], ("01", "02")),
    ],
)
def test_classes_are_spelled_as_in_the_file(tmp_path, cells, classes):
    rows = "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))
    path = write(tmp_path, f"a,label\n{rows}")
    table = tabular.csv(path, "label", task="classification")
    assert table.task.classes == classes


MIXED = """age,city,income,label
31,Bonn,1.5,yes
?,Köln,,no
 44 , Bonn ,2.5,yes
27,NA,?,no
"""


def test_gaps_categories_and_blanks_around_them(tmp_path):
    frame = tabular.csv(write(tmp_path, MIXED), "label").features
    assert frame.names == ("age", "city", "income")
    np.testing.assert_array_equal(frame["age"], [31, np.nan, 44, 27])
    np.testing.assert_array_equal(frame["income"], [1.5, np.nan, 2.5, np.nan])
    assert frame["city"].tolist() == ["Bonn", "Köln", "Bonn", None]
    assert frame.gaps() == {"age": 1, "city": 1, "income": 2}


def test_a_gap_among_blanks_does_not_make_a_column_of_words(tmp_path):
    frame = tabular.csv(write(tmp_path, "a,y\n 1, u\n ?, v\n3, u\n"), "y").features
    np.testing.assert_array_equal(frame["a"], [1, np.nan, 3])


def test_words_that_mean_a_gap_can_be_named(tmp_path):
    path = write(tmp_path, "a,b,y\n1,x,u\n-999,none,v\n3,?,u\n")
    table = tabular.csv(path, "y", missing=[-999, "none"])
    np.testing.assert_array_equal(table.features["a"], [1, np.nan, 3])
    assert table.features["b"].tolist() == ["x", None, "?"]


def test_kinds_are_inferred_from_all_rows_and_can_be_overruled(tmp_path):
    """The head has numbers only, the rest mostly words."""
    rows = [*(f"{i % 7},{i % 3}" for i in range(1500)), *(f"w{i % 5},{i % 3}" for i in range(2000))]
    path = write(tmp_path, "\n".join(["code,y", *rows]))
    assert tabular.csv(path, "y").features.kind("code") == "categorical"
    rows = [f"{i % 4},{i % 3}" for i in range(50)]
    path = write(tmp_path, "\n".join(["zip,y", *rows]))
    assert tabular.csv(path, "y").features.kind("zip") == "numeric"
    frame = tabular.csv(path, "y", categorical=["zip"]).features
    assert sorted(frame.categorical["zip"].words) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a;b;y\n1,5;2;u\n2,5;3;v\n", ";"),
        ("a\tb\ty\n1\t2\tu, or w\n2\t3\tv\n", "\t"),
        ("a|b|y\n1|2|u\n2|3|v\n", "|"),
        ("a   b y\n1 2    u\n  2 3 v\n", " "),
        ("a,b,y\n1,2,u v\n2,3,w\n", ","),
        ('a,b,y\n1,2,"u;v"\n2,3,"w;x"\n', ","),
    ],
)
def test_the_delimiter_is_found_out_and_said(tmp_path, text, delimiter):
    file = csv_file.CsvFile(write(tmp_path, text), tabular.Reading())
    assert file.names == ["a", "b", "y"]
    assert file.reading.delimiter == delimiter
    assert bool(file.note) == (delimiter != ",")


def test_a_header_of_one_column_is_no_delimiter(tmp_path):
    file = csv_file.CsvFile(write(tmp_path, "words\none two\nthree\n"), tabular.Reading())
    assert file.names == ["words"]


@pytest.mark.parametrize("target", ["3", 3, -1, "-1"])
def test_columns_without_a_header_go_by_position(tmp_path, target):
    path = write(tmp_path, "  1   2  7\n3 4 5\n\n5  6 7\n")
    table = tabular.csv(path, target, header=False, delimiter="space", drop=[1])
    assert (table.features.names, table.task.targets) == (("2",), ("3",))
    assert np.asarray(table.features.numbers).tolist() == [[2], [4], [6]]
    assert table.task.classes == ("5", "7")


def test_gzip_and_quoted_line_ends(tmp_path):
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(b'a,b,y\n1,"two\nlines",u\n2,"x",v\n'))
    assert tabular.csv(str(path), "y").features["b"].tolist() == ["two\nlines", "x"]


def test_a_large_file_comes_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "BLOCK", 4096)
    x = np.random.default_rng(0).normal(size=(3000, 3))
    rows = [",".join([*map(repr, row.tolist()), f"w{i % 3}"]) for i, row in enumerate(x)]
    table = tabular.csv(write(tmp_path, "\n".join(["a,b,c,y", *rows])), "y")
    assert np.array_equal(table.features.numbers, x)
    assert table.y.tolist() == [i % 3 for i in range(3000)]


def test_a_target_of_many_numbers_is_read_as_numbers(tmp_path):
    rows = "".join(f"{i % 5},{i / 7}\n" for i in range(11_000))
    table = tabular.csv(write(tmp_path, f"a,y\n{rows}"), "y")
    assert table.task.kind == "regression"
    np.testing.assert_allclose(table.y[:, 0], np.arange(11_000) / 7)


def test_several_targets_are_numbers(tmp_path):
    path = write(tmp_path, "u,a,v\n1,5,2\n2,6,4\n3,7,1\n")
    table = tabular.csv(path, ["v", "u"])
    assert table.task == Task(("v", "u"))
    assert table.y.tolist() == [[2, 1], [4, 2], [1, 3]]
    assert np.asarray(table.features.numbers).tolist() == [[5], [6], [7]]


def test_parquet_is_read_by_its_types(tmp_path):
    columns = {
        "a": pa.array([1, None, 3], pa.int32()),
        "b": pa.array(["x", None, "y"]).dictionary_encode(),
        "c": pa.array([True, False, None]),
        "d": pa.array([0.5, 1.5, 2.5], pa.float32()),
        "when": pa.array([0, 1, 2], pa.timestamp("s")),
        "y": pa.array([7, 9, 7], pa.int64()),
    }
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table(columns), path)
    table = tabular.parquet(str(path), "y", drop=["when"])
    np.testing.assert_array_equal(table.features["a"], [1, np.nan, 3])
    assert table.features["b"].tolist() == ["x", None, "y"]
    assert table.features["c"].tolist() == ["true", "false", None]
    assert table.features["d"].tolist() == [0.5, 1.5, 2.5]
    assert (table.task.classes, table.y.tolist()) == (("7", "9"), [0, 1, 0])


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.array([3, 5, 3, 5]), ("3", "5")),
        (np.array(["u", "v", "u", "v"]), ("u", "v")),
        (np.array([0.5, 1.5, 2.5, 3.5]), ()),
    ],
)
def test_npz_arrays_of_several_dimensions_are_columns(tmp_path, y, classes):
    x = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    np.savez(tmp_path / "data.npz", x=x, z=np.array([True, False, True, True]), y=y)
    table = tabular.npz(str(tmp_path / "data.npz"), "y")
    assert table.features.names == (*(f"x_{k}" for k in range(6)), "z")
    assert np.array_equal(table.features.numbers, x.reshape(4, 6))
    assert table.features.numbers.dtype == np.float32
    assert table.features["z"].tolist() == ["true", "false", "true", "true"]
    assert table.task.classes == classes


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_folders_are_read_with_their_official_split(tmp_path, zipped):
    pixels = bytes(range(5 * 6))
    files = {
        "train-images-idx3-ubyte": ubyte(3, 2, 3, values=pixels[:18]),
        "train-labels-idx1-ubyte": ubyte(3, values=b"\x02\x07\x02"),
        "t10k-images-idx3-ubyte": ubyte(2, 2, 3, values=pixels[18:]),
        "t10k-labels-idx1-ubyte": ubyte(2, values=b"\x07\x07"),
    }
    for name, content in files.items():
        path = tmp_path / (f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(content) if zipped else content)
    table = idx(str(tmp_path))
    assert table.features.numbers.dtype == np.uint8
    assert table.features.numbers.reshape(-1).tolist() == list(pixels)
    assert table.features.names[:4] == ("pixel_0_0", "pixel_0_1", "pixel_0_2", "pixel_1_0")
    assert (table.task.classes, table.y.tolist()) == (("2", "7"), [0, 1, 0, 1, 1])
    assert table.test_rows == 2


def test_openml_without_internet_says_what_to_do(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(UsageError, match=r"openml iris: .*without internet, fetch the set"):
        openml("iris")


# ------------------------------------------------------------------------------ groups


def grouped(tmp_path: Path, groups: int, rows: int = 300) -> tabular.Table:
    rng = np.random.default_rng(1)
    lines = (f"{rng.normal():.3f},s{rng.integers(groups)},{i % 3}" for i in range(rows))
    return tabular.csv(write(tmp_path, "\n".join(["a,scene,y", *lines])), "y", group="scene")


@pytest.mark.parametrize("seed", range(5))
def test_groups_never_straddle_a_split_that_is_near_the_sizes_asked_for(tmp_path, seed):
    table = grouped(tmp_path, 60)
    assert table.features.names == ("a",)
    assert table.groups is not None
    parts = split_rows(table, 0.2, 0.1, torch.Generator().manual_seed(seed))
    groups = [set(table.groups[part]) for part in (parts.train, parts.val, parts.test)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 60
    everything = np.concatenate([parts.train, parts.val, parts.test])
    assert np.array_equal(np.sort(everything), np.arange(300))
    assert len(parts.val) == pytest.approx(60, abs=4)
    assert len(parts.test) == pytest.approx(30, abs=4)
    for part, size in ((parts.val, 20), (parts.test, 10)):
        assert np.abs(np.bincount(table.y[part], minlength=3) - size).max() <= 4


def test_the_split_of_groups_depends_on_its_seed(tmp_path):
    table = grouped(tmp_path, 60)
    one, same, other = (
        split_rows(table, 0.2, 0.1, torch.Generator().manual_seed(s)) for s in (0, 0, 1)
    )
    assert np.array_equal(one.test, same.test)
    assert not np.array_equal(one.test, other.test)


def test_too_few_groups_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"only 2 group.*3 parts needs more"):
        split_rows(grouped(tmp_path, 2), 0.2, 0.2, torch.Generator())


# ------------------------------------------------------------------------------ new files


@pytest.fixture
def preprocessing(tmp_path) -> Preprocessing:
    """Fitted on a file with blanks between columns, as it comes out of its JSON."""
    rows = "".join(f"{i} {'uv'[i % 2]} {['no', 'yes'][i % 2]}\n" for i in range(20))
    table = tabular.csv(write(tmp_path, f"age city label\n{rows}"), "label", missing=["-"])
    fitted = prepare(table, val_fraction=0, test_fraction=0).preprocessing
    return from_json(to_json(fitted))


def test_a_new_file_is_read_like_the_one_for_training(tmp_path, preprocessing):
    path = write(tmp_path, "more city age\nx v  5\ny w -\nz -  7\n", "new.csv")
    frame = read_columns(path, preprocessing)
    assert frame.names == ("age", "city")
    np.testing.assert_array_equal(frame["age"], [5, np.nan, 7])
    assert frame["city"].tolist() == ["v", "w", None]
    assert preprocessing.unseen(frame) == {"city": 2}
    scaled = (np.array([5, 9.5, 7]) - 9.5) / np.std(np.arange(20))
    inputs = preprocessing.apply(frame)
    np.testing.assert_allclose(inputs, np.column_stack([scaled, [0, 0, 0], [1, 0, 0]]), rtol=1e-6)


def test_a_new_file_may_have_another_format(tmp_path, preprocessing):
    columns = {"age": [5, 7], "city": ["v", "u"], "label": ["yes", "no"]}
    pq.write_table(pa.table(columns), tmp_path / "new.parquet")
    np.savez(tmp_path / "new.npz", **{name: np.array(column) for name, column in columns.items()})
    for name in ("new.parquet", "new.npz"):
        frame, y = read_labelled(tmp_path / name, preprocessing)
        assert (frame["age"].tolist(), frame["city"].tolist()) == ([5, 7], ["v", "u"])
        assert y.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Age city\n1 u\n", "column 'age' is missing; did you mean Age?"),
        ("years\n1\n2\n", "column 'age' is missing, and 1 more"),
        ("age city\n1 u\nold u\n", "row 3, column 'age': 'old' is not a number"),
    ],
)
def test_what_is_wrong_with_a_new_file_is_said(tmp_path, preprocessing, text, words):
    path = write(tmp_path, text, "new.csv")
    with pytest.raises(UsageError) as caught:
        read_columns(path, preprocessing)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age city label\n1 u yes\n2 v maybe\n", "row 3: the target 'label' is 'maybe'"),
        ("age city label\n1 u yes\n2 v -\n", "row 3: the target 'label' is missing"),
        ("age city\n1 u\n", "column 'label' is missing"),
    ],
)
def test_what_is_wrong_with_new_labels_is_said(tmp_path, preprocessing, text, words):
    path = write(tmp_path, text, "new.csv")
    with pytest.raises(UsageError) as caught:
        read_labelled(path, preprocessing)
    assert words in str(caught.value)
