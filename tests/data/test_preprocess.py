"""Preprocessing against scikit-learn, on training rows only, and its file."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    StandardScaler,
)

from exprun.common.errors import UsageError
from exprun.data.frame import Frame, Words
from exprun.data.prepare import prepare
from exprun.data.preprocess import Preprocessing
from exprun.data.preprocess_json import from_json, to_json
from exprun.data.scaling import Quantiles, Scaling, fit_scaling
from exprun.data.table import Table
from exprun.data.task import Task

SCALERS = {
    "standardize": StandardScaler,
    "min_max": MinMaxScaler,
    "none": FunctionTransformer,
    "quantile": lambda: QuantileTransformer(output_distribution="normal", subsample=None),
}
TRAIN = np.arange(0, 1500)

CHECKSUMS = {
    "standardize": "380868265a480228",
    "min_max": "319b015840c8b63b",
    "quantile": "9e141be48571f9d1",
}


def frame(rows: int = 2000) -> Frame:
    """Three numeric columns, one skewed and one of few values, and two categorical ones; gaps."""
    rng = np.random.default_rng(0)
    numbers = np.column_stack(
        [rng.normal(5, 3, rows), rng.exponential(100, rows), rng.integers(0, 4, rows)]
    )
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    colour = Words(rng.integers(-1, 3, rows).astype(np.int32), ("red", "blue", "green"))
    size = Words(rng.choice([0, 1], rows, p=[0.3, 0.7]).astype(np.int32), ("S", "L"))
    return Frame(("a", "colour", "b", "c", "size"), numbers, {"colour": colour, "size": size})


def fitted(of: Frame, **options: Any) -> Preprocessing:
    return Preprocessing.fit(of, TRAIN, Task(("y",)), Scaling.identity(1), **options)


@pytest.mark.parametrize("impute", ["median", "most_frequent"])
@pytest.mark.parametrize("scaling", SCALERS)
def test_numbers_are_imputed_and_scaled_as_by_sklearn(scaling, impute):
    of = frame()
    made = fitted(of, scaling=scaling, impute_numeric=impute)
    theirs = make_pipeline(SimpleImputer(strategy=impute), SCALERS[scaling]())
    expected = theirs.fit(of.numbers[TRAIN]).transform(of.numbers)
    places = [made.input_names.index(name) for name in "abc"]
    np.testing.assert_allclose(made.apply(of)[:, places], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("scaling", "checksum"), CHECKSUMS.items())
def test_scaled_numbers_have_the_same_bits_on_every_machine(scaling: str, checksum: str):
    rows = np.arange(2000)
    numbers = np.column_stack([rows * 7919 % 2003 / 7, 1 / (1 + rows), rows % 5]).astype(float)
    of = Frame(("a", "b", "c"), numbers)
    scaled = fitted(of, scaling=scaling).apply(of)
    assert hashlib.sha256(scaled.tobytes()).hexdigest()[:16] == checksum


@pytest.mark.parametrize("impute", ["own_category", "most_frequent"])
def test_categories_are_imputed_and_encoded_as_by_sklearn(impute):
    of = frame()
    of.categorical["colour"].codes[1700] = -1
    made = fitted(of, impute_categorical=impute)
    words = np.column_stack([of["colour"], of["size"]])
    own = impute == "own_category"
    imputer = SimpleImputer(
        strategy="constant" if own else impute, fill_value="~gap", missing_values=None
    )
    theirs = make_pipeline(imputer, OneHotEncoder(sparse_output=False, handle_unknown="ignore"))
    expected = theirs.fit(words[TRAIN]).transform(words)
    places = [k for k, name in enumerate(made.input_names) if "=" in name]
    assert np.array_equal(made.apply(of)[:, places], expected)
    gap = ["colour=(missing)"] if own else []
    names = ["colour=blue", "colour=green", "colour=red", *gap, "size=L", "size=S"]
    assert [made.input_names[k] for k in places] == names
    assert made.width == 3 + len(names) == made.apply(of).shape[1]
    assert made.features == of.names


def test_everything_is_fitted_on_the_training_rows_only():
    of = frame()
    spoilt = Frame(of.names, of.numbers.copy(), copy.deepcopy(of.categorical))
    spoilt.numbers[1500:] = 1e6
    spoilt.categorical["colour"].codes[1500:] = 0
    for scaling in SCALERS:
        assert fitted(of, scaling=scaling) == fitted(spoilt, scaling=scaling)


def test_an_unseen_category_is_zeros_and_counted_or_refused():
    codes = np.array([0, 1, 0, 2, -1, 2], dtype=np.int32)
    of = Frame(("c",), np.empty((6, 0)), {"c": Words(codes, ("u", "v", "w"))})
    how = {"frame": of, "rows": np.arange(3), "task": Task(("y",)), "target": Scaling.identity(1)}
    made = Preprocessing.fit(**how)
    assert made.apply(of).tolist() == [[1, 0], [0, 1], [1, 0], [0, 0], [0, 0], [0, 0]]
    assert made.unseen(of) == {"c": 3}
    strict = Preprocessing.fit(**how, unseen="error")
    assert strict.apply(of, np.arange(3)).tolist() == [[1, 0], [0, 1], [1, 0]]
    with pytest.raises(UsageError, match="column 'c' has 'w', which no training row has"):
        strict.apply(of)
    with pytest.raises(UsageError, match="column 'c' has a gap, which no training row has"):
        strict.apply(of, np.array([4]))


@pytest.mark.parametrize("scaling", SCALERS)
def test_a_constant_column_becomes_a_constant_that_is_finite(scaling):
    of = Frame(("a",), np.full((1500, 1), 7.0))
    made = fitted(of, scaling=scaling).apply(of)
    assert np.array_equal(made, np.full((1500, 1), 7.0 if scaling == "none" else 0.0))


def test_a_column_of_gaps_is_refused():
    of = frame()
    of.numbers[:1500, 1] = np.nan
    with pytest.raises(UsageError, match=r"column 'b' has no value in any.*data.drop=\[b\]"):
        fitted(of)
    of = frame()
    of.categorical["size"].codes[:1500] = -1
    with pytest.raises(UsageError, match="column 'size' has no value in any training row"):
        fitted(of)


def test_bytes_are_scaled_in_blocks_as_floats_are():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (5000, 784), dtype=np.uint8)
    names = tuple(map(str, range(784)))
    made = fitted(Frame(names, pixels))
    expected = StandardScaler().fit(pixels[TRAIN]).transform(pixels)
    np.testing.assert_allclose(made.apply(Frame(names, pixels)), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("standardize", "scaling", "same_as"),
    [
        (True, "auto", "standardize"),
        (False, "auto", "none"),
        (True, "min_max", "min_max"),
        (False, "min_max", "min_max"),
    ],
)
def test_standardize_is_what_scaling_is_if_nothing_else_is_said(standardize, scaling, same_as):
    of = frame()
    table = Table("t", of, np.arange(2000.0)[:, None], Task(("y",)))
    data = prepare(table, standardize=standardize, scaling=scaling)
    expected = prepare(table, scaling=same_as)
    assert data.preprocessing == expected.preprocessing
    assert torch.equal(data.test.x, expected.test.x)


# ------------------------------------------------------------------------------ its file


@pytest.mark.parametrize("scaling", SCALERS)
@pytest.mark.parametrize("impute", ["own_category", "most_frequent"])
def test_preprocessing_survives_its_file_to_the_last_bit(scaling, impute):
    of = frame()
    made = fitted(of, scaling=scaling, impute_categorical=impute)
    again = from_json(json.loads(json.dumps(to_json(made))))
    assert again == made
    assert np.array_equal(again.apply(of), made.apply(of))


DAMAGES = {
    "columns": (("columns",), "columns", None, "columns is missing"),
    "no columns": (("columns",), None, [], "columns is damaged: expected a column at least"),
    "no list": (("columns",), None, {}, "columns is damaged: expected a list"),
    "kind": (("columns", 0, "kind"), None, "code", "expected numeric, datetime or categorical"),
    "fill": (("columns", 0, "fill"), None, "x", "columns[0].fill is damaged: expected a finite"),
    "nan": (("columns", 0, "fill"), None, float("nan"), "expected a finite number"),
    "true": (("columns", 0, "fill"), None, True, "expected a finite number"),
    "scale": (("columns", 0, "scaling", "scale"), None, 0, "scale is damaged: expected a number"),
    "levels": (("columns", 1, "levels"), None, ["u", "u"], "expected different categories"),
    "own fill": (("columns", 1, "fill"), None, "other", "expected null or one of the levels"),
    "unseen": (("columns", 1, "unseen"), None, "run", "expected ignore or error"),
    "twice": (("columns", 2, "name"), None, "a", "columns is damaged: expected every name once"),
    "targets": (("task", "targets"), None, [], "task.targets is damaged: expected a column"),
    "one class": (("task", "classes"), None, ["u"], "expected no label, or two or more"),
    "target": (("target", "mean"), None, [0, 0], "target is damaged: expected 1 means and stds"),
    "header": (("reading", "header"), None, "no", "reading.header is damaged: expected true or"),
    "format": (("format",), None, 99, "format 99, expected 2"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused_by_name(name):
    (*way, last), gone, value, words = DAMAGES[name]
    data = to_json(fitted(frame()))
    place: Any = data
    for step in way:
        place = place[step]
    if gone:
        del place[last]
    else:
        place[last] = value
    with pytest.raises(ValueError, match=r"^preprocess\.json: ") as caught:
        from_json(data)
    assert words in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_a_file_of_something_else_is_refused(data):
    with pytest.raises(ValueError, match=r"preprocess\.json: it is damaged: expected an"):
        from_json(data)


@pytest.mark.parametrize("method", ["standardize", "min_max", "unit", "quantile", "none"])
def test_a_scaling_can_be_inverted(method: str) -> None:
    """Between the outermost values, where quantiles are interpolated."""
    values = np.random.default_rng(0).gamma(2.0, size=(400, 2)) * [1.0, 1e4]
    block = np.sort(values, axis=0)
    for k, scaling in enumerate(fit_scaling(method, block, largest=2e5)):
        inner = block[1:-1, k]
        scaled = (
            scaling.apply(inner)
            if isinstance(scaling, Quantiles)
            else (inner - scaling.center) / scaling.scale
        )
        assert scaling.invert(scaled) == pytest.approx(inner, rel=1e-9)
