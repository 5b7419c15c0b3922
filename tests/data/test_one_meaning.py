"""A value means the same in CSV, Parquet and npz, however it is spelled, and wherever it is read:
for training, as a test file, by ``predict`` and by ``evaluate``."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from exprun.build import make_loss
from exprun.common.errors import UsageError
from exprun.data import spelling, tabular
from exprun.data.files import read_columns, read_labelled
from exprun.data.idx import idx
from exprun.data.prepare import prepare
from exprun.data.scaling import fit_scaling
from exprun.data.table import Table
from exprun.techniques.losses import CrossEntropy
from tests.data.bad_files import ubyte

ROWS = 60
X = np.linspace(-1, 1, ROWS)
LABELS = np.arange(ROWS) % 2


def as_csv(folder: Path, name: str, **columns: Any) -> str:
    path = folder / f"{name}.csv"
    cells = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in cells)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def as_parquet(folder: Path, name: str, **columns: Any) -> str:
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({key: pa.array(value) for key, value in columns.items()}), path)
    return str(path)


def as_npz(folder: Path, name: str, **columns: Any) -> str:
    path = folder / f"{name}.npz"
    np.savez(path, **{key: np.array(value) for key, value in columns.items()})
    return str(path)


FORMATS = {
    "csv": (as_csv, tabular.csv),
    "parquet": (as_parquet, tabular.parquet),
    "npz": (as_npz, tabular.npz),
}
WHOLE = {
    "integers": LABELS,
    "floats": LABELS.astype(float),
    "float32": LABELS.astype(np.float32),
    "text": LABELS.astype(str),
    "text of floats": LABELS.astype(float).astype(str),
    "both spellings": np.where(np.arange(ROWS) % 3 == 0, LABELS.astype(float).astype(str), LABELS),
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("form", FORMATS)
def test_whole_numbers_are_the_same_classes_in_every_format(tmp_path, form, kind):
    write, read = FORMATS[form]
    table = read(write(tmp_path, "train", x=X, y=WHOLE[kind]), "y")
    assert table.task.classes == ("0", "1")
    assert table.y.tolist() == LABELS.tolist()
    assert any("data.task=regression" in note for note in table.notes)


@pytest.mark.parametrize(("of", "to"), list(itertools.product(FORMATS, FORMATS)))
def test_labels_and_categories_are_known_again_in_another_format(tmp_path, of, to):
    """Trained on integers and booleans, evaluated on floats, as pandas writes them after a gap."""
    write, read = FORMATS[of]
    flag = LABELS.astype(bool)
    path = write(tmp_path, "train", x=X, zip=LABELS + 7, flag=flag, y=LABELS + 1)
    trained = prepare(read(path, "y", categorical=["zip"])).preprocessing
    write, _ = FORMATS[to]
    columns = {"zip": (LABELS + 7.0), "flag": flag, "y": LABELS + 1.0}
    frame, ids = read_labelled(write(tmp_path, "new", x=X, **columns), trained)
    assert ids.tolist() == LABELS.tolist()
    assert trained.unseen(frame) == {}
    reference, _ = read_labelled(path, trained)
    assert np.array_equal(trained.apply(frame), trained.apply(reference))


MIXED = {
    "booleans": (["false", "False", "FALSE", "true", "True", "TRUE"], ("false", "true")),
    "one spelling each": (["False", "True"], ("False", "True")),
    "signs": (["0", "+0", "-0", "0.0", "1", "+1", "1e0", "+1.0"], ("0", "1")),
    "codes": (["00", "0", "01", "+01", "1"], ("00", "0", "01", "1")),
    "text": (["true", "TRUE", "maybe"], ("TRUE", "maybe", "true")),
}
"""Spellings of labels within one file, and the classes that they are."""


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", MIXED)
def test_spellings_of_one_value_within_a_file(tmp_path, form, kind):
    """At training, as a feature, and by ``evaluate`` of the same file."""
    words, classes = MIXED[kind]
    labels = [words[k % len(words)] for k in range(ROWS)]
    write, read = FORMATS[form]
    path = write(tmp_path, "a", x=X, word=labels, y=labels)
    table = read(path, "y", categorical=["word"])
    assert sorted(table.task.classes) == sorted(classes)
    assert sorted(table.features.categorical["word"].words) == sorted(classes)
    data = prepare(table, val_fraction=0, test_fraction=0)
    frame, ids = read_labelled(path, data.preprocessing)
    np.testing.assert_array_equal(ids, table.y)
    np.testing.assert_array_equal(data.preprocessing.apply(frame), data.train.x.numpy())


def test_spellings_of_one_value():
    assert spelling.spellings(["1", "1.0", "1e0", "-0.50", "01", "1e16"]) == (
        ["1", "1", "1", "-0.5", "01", repr(1e16)]
    )
    assert spelling.spellings(["1.0", "1.0-beta"]) == ["1.0", "1.0-beta"]
    assert spelling.places(["1.0", "TRUE", "2", "x", "3"], ["1", "true", "2", "02", None]) == (
        [0, 1, 2, -1, -1]
    )
    assert spelling.places(["2.0"], ["2", "02"]) == [-1]  # which of both is not known


@pytest.mark.parametrize("form", ["csv", "parquet", "npz"])
def test_a_word_for_a_gap_is_one_in_every_text(tmp_path, form):
    write, read = FORMATS[form]
    town = np.where(LABELS == 0, " NA ", "Bonn")
    number = np.where(np.arange(ROWS) == 3, "?", X.astype(str))
    path = write(tmp_path, "train", n=number, town=town, code=LABELS * 2.0 - 1, y=LABELS)
    table = read(path, "y", numeric=["n"], missing=["?", "NA", -1])
    assert table.features.gaps() == {"n": 2, "town": ROWS // 2, "code": ROWS // 2}
    assert table.features.categorical["town"].words == ("Bonn",)


def test_infinities_can_be_called_gaps(tmp_path):
    path = as_csv(tmp_path, "d", x=["inf", "Infinity", *X[2:]], y=LABELS)
    assert tabular.csv(path, "y", missing=[float("inf")]).features.gaps() == {"x": 2}
    with pytest.raises(UsageError, match="'inf' is not finite; if it means a missing value, add"):
        tabular.csv(path, "y")


# -------------------------------------------------------------------- Parquet as pandas writes it


def with_index(frame: pa.Table, index: list[str]) -> pa.Table:
    """pandas' metadata, as its documentation for developers describes them."""
    names = ", ".join(f'"{name}"' for name in index)
    return frame.replace_schema_metadata({"pandas": f'{{"index_columns": [{names}]}}'})


@pytest.mark.parametrize("name", ["__index_level_0__", "customer"])
def test_the_index_of_pandas_is_no_feature(tmp_path, name):
    table = pa.table({"x": X, name: np.arange(ROWS), "y": LABELS})
    pq.write_table(with_index(table, [name]), tmp_path / "d.parquet")
    path = str(tmp_path / "d.parquet")
    read = tabular.parquet(path, "y")
    assert read.features.names == ("x",)
    assert f"{path}: {name} left out: an index that pandas wrote" in read.notes
    assert tabular.parquet(path, "y", drop=[name]).features.names == ("x",)
    assert tabular.parquet(path, "y", numeric=[name]).features.names == ("x", name)
    assert tabular.parquet(path, "y", group=name).groups is not None


def test_the_index_of_pandas_without_its_metadata(tmp_path):
    """As polars or Spark write it again."""
    table = pa.table({"x": X, "y": LABELS, "__index_level_0__": np.arange(len(X))})
    pq.write_table(table, tmp_path / "d.parquet")
    read = tabular.parquet(str(tmp_path / "d.parquet"), "y")
    assert read.features.names == ("x",)


@pytest.mark.parametrize(("first", "noted"), [(0, True), (1, True), (-1, False)])
def test_a_column_that_may_be_the_number_of_the_row_is_noted(tmp_path, first, noted):
    """As pandas' ``reset_index`` makes it; -1: one row is out of order, far from the first ones."""
    count = np.arange(60) + abs(first)
    if not noted:
        count[-1] += 1
    table = pa.table(
        {"index": count, "id": [7.0, 8.0] * 30, "x": count[::-1], "y": ["u", "v"] * 30}
    )
    path = str(tmp_path / "d.parquet")
    pq.write_table(table, path)
    note = (
        f"{path}: index counts up from row to row; if that is the row's number: "
        "'data.drop=[id,index]'"
    )
    read = tabular.parquet(path, "y", drop=["id"])
    assert read.features.names == ("index", "x")
    assert (note in read.notes) is noted
    assert not any("counts up" in said for said in tabular.parquet(path, "index").notes)


def test_metadata_that_name_no_index_change_nothing(tmp_path):
    for index in ("{", "[]", '{"index_columns": [{"kind": "range"}]}'):
        table = pa.table({"x": X, "y": LABELS}).replace_schema_metadata({"pandas": index})
        pq.write_table(table, tmp_path / "d.parquet")
        assert tabular.parquet(str(tmp_path / "d.parquet"), "y").features.names == ("x",)


def test_an_index_that_pandas_wrote_into_csv_and_read_as_a_column_is_left_out(tmp_path):
    path = as_csv(tmp_path, "d", **{"Unnamed: 0": np.arange(ROWS), "x": X, "y": LABELS})
    assert tabular.csv(path, "y").features.names == ("x",)


TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]


@pytest.mark.parametrize("type_", TEXTS, ids=str)
def test_all_types_of_text_are_alike(tmp_path, type_):
    trained = prepare(
        tabular.csv(as_csv(tmp_path, "t", n=X, town=np.where(LABELS, "u", "v"), y=LABELS), "y")
    ).preprocessing
    cells = {"n": ["1.5", "NA", None], "town": ["u", " v ", "NA"]}
    columns = {k: pa.array(v).cast(type_) for k, v in cells.items()}
    pq.write_table(pa.table(columns), tmp_path / "new.pq")
    frame = read_columns(tmp_path / "new.pq", trained)
    np.testing.assert_array_equal(frame["n"], [1.5, np.nan, np.nan])
    assert frame["town"].tolist() == ["u", "v", None]
    columns["n"] = pa.array(["1.5", "red", None]).cast(type_)
    pq.write_table(pa.table(columns), tmp_path / "new.pq")
    with pytest.raises(UsageError, match=r"row 2, column 'n': 'red' is not a number$"):
        read_columns(tmp_path / "new.pq", trained)


def test_a_column_of_nothing_but_nulls_is_gaps(tmp_path):
    path = as_csv(tmp_path, "t", n=X, town=np.where(LABELS, "u", "v"), y=LABELS)
    trained = prepare(tabular.csv(path, "y")).preprocessing
    pq.write_table(pa.table({"n": pa.nulls(2), "town": pa.nulls(2)}), tmp_path / "new.pq")
    assert read_columns(tmp_path / "new.pq", trained).gaps() == {"n": 2, "town": 2}


# ---------------------------------------------------------------- columns without a header


def headless(folder: Path, name: str, rows: list[list[Any]]) -> Path:
    path = folder / name
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


def test_columns_without_a_header_do_not_shift(tmp_path):
    rows = [[k % 3, k, -k, 2 * k, 5] for k in range(ROWS)]
    path = str(headless(tmp_path, "train.csv", rows))
    bare = headless(tmp_path, "bare.csv", [row[1:] for row in rows])
    dropped = prepare(tabular.csv(path, 1, header=False, drop=[5])).preprocessing
    with pytest.raises(UsageError, match=r"has 4 columns; expected 5 as in training; without a h"):
        read_columns(bare, dropped)
    with pytest.raises(UsageError, match=r"leave those .* empty, like the target's \(column 1\)$"):
        read_columns(bare, dropped)
    empty = headless(tmp_path, "empty.csv", [["", *row[1:4], ""] for row in rows])
    advised = read_columns(empty, dropped)
    assert np.array_equal(advised.numbers, read_columns(path, dropped).numbers)
    whole = prepare(tabular.csv(path, 1, header=False)).preprocessing
    frame = read_columns(bare, whole)
    assert np.array_equal(frame.numbers, read_columns(path, whole).numbers)
    assert frame.names == ("2", "3", "4", "5")
    short = headless(tmp_path, "short.csv", [row[2:] for row in rows])
    with pytest.raises(UsageError, match="has 3 columns; expected 5 as in training, or 4 without"):
        read_columns(short, whole)
    with pytest.raises(UsageError, match="column '1' is missing"):
        read_labelled(bare, whole)
    more = str(headless(tmp_path, "more.csv", [[0, *row] for row in rows]))
    with pytest.raises(UsageError, match=r"more.csv: has 6 columns; expected 5 as in"):
        tabular.csv(path, 1, header=False, test_path=more)


# ----------------------------------------------------------------------------- scaling


@pytest.mark.parametrize(
    ("method", "theirs"), [("standardize", StandardScaler), ("min_max", MinMaxScaler)]
)
@pytest.mark.parametrize("center", [0.0, 1e-6, 1e9, 1.7e15])
@pytest.mark.parametrize("spread", [1e3, 1e6, 1e20])
def test_small_differences_of_large_numbers_are_scaled_as_by_sklearn(
    method, theirs, center, spread
):
    """Times in microseconds: 1.7e15 and some."""
    values = center + spread * np.random.default_rng(0).normal(size=(500, 1))
    (scaling,) = fit_scaling(method, values)
    ours = (values[:, 0] - scaling.center) / scaling.scale
    reference = theirs().fit_transform(values - values[0])[:, 0]  # MinMaxScaler loses digits
    of_center = 3e-16 * center / spread  # a mean near 1.7e15 is known to a quarter
    np.testing.assert_allclose(ours, reference, atol=1e-9 + of_center)


@pytest.mark.parametrize("method", ["standardize", "min_max", "quantile"])
def test_numbers_that_differ_by_rounding_alone_are_constant(method):
    columns = [[0.1 + 0.2, 0.3] * 20, [1e15 / 3] * 40, [5e-324, 0.0] * 20]
    for scaling in fit_scaling(method, np.array(columns).T)[:2]:
        assert scaling.scale == 1.0
    one_apart = np.array([[1.7e15], [1.7e15 + 1]] * 20)
    assert fit_scaling("min_max", one_apart)[0].scale == 1.0  # which is their difference
    assert fit_scaling("standardize", one_apart)[0].scale == 0.5


@pytest.mark.parametrize("unit", [1e-200, 1e-30, 1e30])
def test_squares_neither_overflow_nor_underflow(unit):
    values = unit * np.random.default_rng(0).normal(size=(100, 1))
    (scaling,) = fit_scaling("standardize", values)
    ours = (values[:, 0] - scaling.center) / scaling.scale
    assert (ours.mean(), ours.std()) == pytest.approx((0, 1), abs=1e-12)


def test_constant_columns_are_said(tmp_path):
    path = as_csv(tmp_path, "d", x=X, c=[3] * ROWS, d=[0.5] * ROWS, y=LABELS)
    notes = prepare(tabular.csv(path, "y")).notes
    assert notes[-1] == "constant in the training rows, so no help: c, d"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("large", [1e39, -1e200])
def test_what_32_bits_do_not_hold_is_refused_before_training(tmp_path, form, large):
    write, read = FORMATS[form]
    x = X.copy()
    x[6] = large
    where = "row 8" if form == "csv" else "row 7"
    with pytest.raises(UsageError, match=f"{where}, column 'x': '?.*'? is too large for 32 bits"):
        read(write(tmp_path, "feature", x=x, y=LABELS), "y")
    with pytest.raises(UsageError, match=f"{where}: the target 'y': .* is too large for 32 bits"):
        read(write(tmp_path, "target", x=LABELS, y=x), "y")


def test_unit_scaling_divides_all_columns_by_one_number():
    frame = tabular.Frame(("a", "b"), np.array([[0, 51], [102, 255]] * 20, dtype=np.uint8))
    y = np.array([[0.5], [1.5]] * 20)
    table = Table("images", frame, y, tabular.Task(("y",)))
    data = prepare(table, scaling="unit")
    rows = np.unique(data.train.x.numpy(), axis=0)
    assert rows == pytest.approx(np.array([[0, 0.2], [0.4, 1]]))
    dark = tabular.Frame(frame.names, frame.numbers // 2)
    assert prepare(Table("dark", dark, y, table.task), scaling="unit").train.x.max() < 0.5
    numbers = tabular.Frame(frame.names, np.array([[-4.0, 1.0], [2.0, 0.5]] * 20))
    data = prepare(Table("numbers", numbers, y, table.task), scaling="unit")
    assert {tuple(row) for row in data.train.x.tolist()} == {(-1.0, 0.25), (0.5, 0.125)}


def test_too_few_rows_of_a_whole_number_may_be_an_amount(tmp_path):
    counts = [*(LABELS[:-1]), 9]
    table = tabular.csv(as_csv(tmp_path, "d", x=X, y=counts), "y")
    with pytest.raises(
        UsageError, match=r"class '9' has only 1 row.*amount, data.task=regression$"
    ):
        prepare(table)


# ------------------------------------------------------ files are told by their first bytes


@pytest.mark.parametrize("name", ["new.pq", "new.parquet.gzip", "new.csv", "new"])
def test_a_file_is_what_its_first_bytes_say(tmp_path, name):
    path = as_csv(tmp_path, "t", n=X, y=LABELS)
    trained = prepare(tabular.csv(path, "y")).preprocessing
    for write in (as_parquet, as_npz):
        Path(write(tmp_path, "other", n=X, y=LABELS)).rename(tmp_path / name)
        frame, ids = read_labelled(tmp_path / name, trained)
        assert frame["n"].tolist() == X.tolist()
        assert ids.tolist() == LABELS.tolist()


def test_images_are_evaluated_from_a_folder_and_from_a_file(tmp_path):
    def write(part: str, images: bytes, labels: bytes) -> None:
        rows = len(labels)
        file = tmp_path / f"{part}-images-idx3-ubyte"
        file.write_bytes(ubyte(rows, 2, 1, values=images))
        packed = gzip.compress(ubyte(rows, values=labels))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(packed)

    write("train", bytes(range(60)), bytes([3, 7] * 15))
    write("t10k", bytes([1, 2, 3, 4]), bytes([7, 3]))
    trained = prepare(idx(str(tmp_path)), scaling="unit").preprocessing
    for path in (tmp_path, tmp_path / "t10k-images-idx3-ubyte"):
        frame, ids = read_labelled(path, trained)
        assert ids.tolist() == [1, 0]
        assert trained.apply(frame) == pytest.approx(np.array([[1, 2], [3, 4]]) / 255)
    frame, ids = read_labelled(tmp_path / "train-images-idx3-ubyte", trained)
    assert ids.tolist() == [0, 1] * 15
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(UsageError, match="there are no labels beside it; expected a file t10k-l"):
        read_labelled(tmp_path, trained)
    bare = tmp_path / "t10k-images-idx3-ubyte"
    arrays = as_npz(tmp_path, "d", pixel_0_0=[1, 3], pixel_1_0=[2, 4], label=[7.0, 3.0])
    frame, ids = read_labelled(arrays, trained)
    assert ids.tolist() == [1, 0]
    assert np.array_equal(trained.apply(frame), trained.apply(read_columns(bare, trained)))


def test_class_weights_may_be_given_by_label(tmp_path):
    data = prepare(tabular.csv(as_csv(tmp_path, "d", x=X, y=LABELS * 1.0), "y"))
    node = {"_target_": "exprun.techniques.losses.CrossEntropy", "reduction": "mean"}
    loss = make_loss({**node, "class_weight": {1: 5}}, data, [])
    assert isinstance(loss, CrossEntropy)
    assert loss.class_weight is not None
    assert loss.class_weight.tolist() == [1, 5]
    with pytest.raises(UsageError, match="names the class 'yes'; expected 0 or 1"):
        make_loss({**node, "class_weight": {"yes": 5}}, data, [])
