"""Readers, encoders and metrics on random tables: the numbers of pandas, polars, scikit-learn (of
whose modules one is a copy of liac-arff).

Differences that are meant stand in ``docs/data.md``.
"""

from __future__ import annotations

import gzip
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.externals import _arff
from sklearn.impute import SimpleImputer
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, QuantileTransformer, StandardScaler

from exprun.data.idx import read_idx
from exprun.data.open_file import open_file
from exprun.data.preprocess import Preprocessing
from exprun.data.read_options import AUTO, Reading
from exprun.data.scaling import Quantiles, Scaling, fit_scaling
from exprun.data.task import Task
from exprun.training import metrics

random = settings(max_examples=25)

NUMBERS = st.floats(-1e30, 1e30, allow_subnormal=False) | st.integers(-(2**53), 2**53).map(float)
LETTERS = st.text(st.sampled_from("aZäß\t\\,;\"' \n-_0.%"), max_size=6)
WORDS = LETTERS.map(lambda word: f"w{word}w")


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Columns of numbers and of words, with gaps; at least one cell of each is there."""
    rows = draw(st.integers(2, 30))
    columns: dict[str, list[Any]] = {}
    kinds = st.lists(st.sampled_from([NUMBERS, WORDS]), min_size=2, max_size=5)
    for k, cells in enumerate(draw(kinds)):
        first = draw(cells)
        rest = draw(st.lists(cells | st.none(), min_size=rows - 1, max_size=rows - 1))
        columns[f"c{k}"] = [first, *rest]
    return pd.DataFrame(columns)


@given(tables())
@random
def test_files_are_read_as_pandas_and_polars_read_them(frame: pd.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as folder:
        names = ("d.csv", "d.parquet", "d.feather", "d.npz", "d.xlsx", "d.arff")
        paths = [Path(folder) / name for name in names]
        frame.to_csv(paths[0], index=False)
        frame.to_parquet(paths[1])
        frame.to_feather(paths[2])
        texts = frame.select_dtypes(exclude="number")
        arrays = frame.assign(**texts.fillna("")).to_dict("series")
        np.savez(
            paths[3], **{k: v.to_numpy(str if k in texts else None) for k, v in arrays.items()}
        )
        frame.to_excel(paths[4], index=False)
        attributes = [(name, "STRING" if name in texts else "REAL") for name in frame]
        cells = frame.astype(object).where(frame.notna(), None).to_numpy().tolist()
        table = {"relation": "d", "attributes": attributes, "data": cells}
        paths[5].write_text(_arff.dumps(table), encoding="utf-8")
        sheet = pd.read_excel(paths[4], keep_default_na=False, na_values=[""])
        theirs = [
            frame,
            pd.DataFrame(_arff.loads(paths[5].read_text("utf-8"))["data"], columns=frame.columns),
            pd.read_csv(paths[0], keep_default_na=False, na_values=[""]),
            pl.read_csv(paths[0], infer_schema_length=None).to_pandas(),
            pl.read_parquet(paths[1]).to_pandas(),
        ]
        reading = Reading(delimiter=",", decimal=".", thousands="")
        found = [open_file(path, reading).read(dict.fromkeys(frame, AUTO)) for path in paths]
    filled = [table.dropna(how="all") for table in (frame, sheet)]
    for read, path in zip(found, paths, strict=True):
        for name in frame:
            for other in theirs if path.suffix != ".xlsx" else filled:
                if name in read.categorical:
                    expected = other[name].astype(object).where(other[name].notna(), None)
                    assert read[name].tolist() == expected.tolist()
                else:
                    expected = other[name].astype(float).to_numpy()
                    assert read[name] == pytest.approx(expected, rel=1e-14, abs=0, nan_ok=True)


@given(tables(), st.data())
@random
def test_inputs_are_scikit_learns(frame: pd.DataFrame, data: st.DataObject) -> None:
    """Imputation, scaling and one-hot encoding, fitted on some of the rows."""
    with tempfile.TemporaryDirectory() as folder:
        frame.to_parquet(Path(folder) / "d")
        read = open_file(Path(folder) / "d", Reading()).read(dict.fromkeys(frame, AUTO))
    train = np.arange(data.draw(st.integers(1, len(frame))))
    impute = data.draw(st.sampled_from(["median", "most_frequent"]))
    scaling = data.draw(st.sampled_from(["standardize", "min_max"]))
    fitted = Preprocessing.fit(
        read, train, Task(("y",)), Scaling.identity(1), scaling=scaling, impute_numeric=impute
    )
    words = [name for name in frame if name in read.categorical]
    numbers = [name for name in frame if name not in words]
    frame = frame.astype(dict.fromkeys(words, object))
    frame[words] = frame[words].where(frame[words].notna(), "\x7f a gap")  # sorted to the end
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    scalers = {"standardize": StandardScaler, "min_max": MinMaxScaler}
    scaler = make_pipeline(SimpleImputer(strategy=impute), scalers[scaling]())
    each = [(name, encoder if name in words else scaler, [name]) for name in frame]
    theirs = ColumnTransformer(each).fit(frame.iloc[train])
    expected = theirs.transform(frame)
    ranges = [np.ptp(frame[name].iloc[train].dropna()) for name in numbers]
    largest = [np.abs(frame[name]).max() for name in numbers]
    constant = np.less_equal(ranges, 1e-12 * np.array(largest))  # zeros: docs/data.md
    constant |= np.less(ranges, 1e-14)  # nor does MinMaxScaler scale these
    assume(not constant.any())
    ours = fitted.apply(read, np.arange(len(frame)))
    assert ours == pytest.approx(expected, rel=1e-5, abs=1e-5)


@given(st.lists(st.integers(-400, 400), min_size=2, max_size=30, unique=True), st.data())
@random
def test_quantiles_are_scikit_learns(numbers: list[int], data: st.DataObject) -> None:
    """Neither small nor large numbers, which it takes for others (docs/data.md), with ties."""
    ties = data.draw(st.lists(st.sampled_from(numbers), max_size=30))
    column = np.array([*numbers, *ties])[:, None] / 4
    theirs = QuantileTransformer(n_quantiles=len(column), output_distribution="normal").fit(column)
    theirs.quantiles_ = np.sort(column, axis=0)  # not rounded apart
    (ours,) = fit_scaling("quantile", column)
    assert isinstance(ours, Quantiles)
    new = np.array(data.draw(st.lists(st.floats(-110, 110), min_size=1)))
    for values in (column[:, 0], new):
        expected = theirs.transform(values[:, None])[:, 0]
        assert ours.apply(values) == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.booleans(), st.data())
@random
def test_images_are_what_numpy_wrote(shape: list[int], zipped: bool, data: st.DataObject) -> None:
    """In MNIST's format: sizes as big-endian integers, then the bytes."""
    size = int(np.prod(shape))
    cells = data.draw(st.binary(min_size=size, max_size=size))
    array = np.frombuffer(cells, np.uint8).reshape(shape)
    head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images"
        content = head + array.tobytes()
        path.write_bytes(gzip.compress(content) if zipped else content)
        assert np.array_equal(read_idx(path), array)


@given(st.integers(2, 5), st.integers(5, 40), st.integers(0, 2**32 - 1), st.booleans())
@random
def test_metrics_are_scikit_learns(classes: int, rows: int, seed: int, weighted: bool) -> None:
    """Scores with ties, classes without a row, weights with zeros."""
    rng = np.random.default_rng(seed)
    y, outputs = rng.integers(0, classes, rows), rng.normal(size=(rows, classes)).round(1)
    weight = rng.choice([0.5, 1, 3], rows).astype(np.float32) if weighted else None
    tensor = None if weight is None else torch.from_numpy(weight)
    task = Task(("y",), tuple("abcde"[:classes]))
    how = Preprocessing.identity(("x",), task, Scaling((), ()))
    found = metrics.full(torch.from_numpy(outputs), torch.from_numpy(y), how, "softmax", tensor)
    shares = torch.from_numpy(outputs).softmax(1).numpy()
    ids, given_ = outputs.argmax(1), {"sample_weight": weight}
    expected = {
        "accuracy": accuracy_score(y, ids, **given_),
        "macro_f1": f1_score(y, ids, average="macro", **given_),
        "log_loss": log_loss(y, shares, labels=range(classes), **given_),
    }
    present = np.unique(y)
    if len(present) > 1:
        scored = present if classes > 2 else [1]
        each = [roc_auc_score(y == k, shares[:, k], **given_) for k in scored]
        expected["roc_auc"] = np.mean(each)
    own = np.ones(rows) if weight is None else weight
    recalls = [own[(y == k) & (ids == k)].sum() / own[y == k].sum() for k in present]
    expected["balanced_accuracy"] = np.mean(recalls)
    assert found == pytest.approx(expected)


@given(st.integers(1, 3), st.integers(2, 40), st.integers(0, 2**32 - 1), st.floats(1e-3, 1e6))
@random
def test_errors_are_scikit_learns(targets: int, rows: int, seed: int, unit: float) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(rows, targets)) * unit + unit
    predicted = y + rng.normal(size=y.shape) * unit / 3
    scaling = Scaling.standardize(y)
    how = Preprocessing.identity(("x",), Task(tuple("abc"[:targets])), scaling)
    tensors = (torch.from_numpy(scaling.apply(values)) for values in (predicted, y))
    found = metrics.full(*tensors, how, "identity")
    assert found["rmse"] == pytest.approx(root_mean_squared_error(y, predicted))
    assert found["mae"] == pytest.approx(mean_absolute_error(y, predicted))
    assert found["r2"] == pytest.approx(r2_score(y, predicted), abs=1e-9)
