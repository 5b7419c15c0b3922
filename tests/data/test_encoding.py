"""Target and frequency encoding: scikit-learn's numbers, and no target that leaks into them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.preprocessing import TargetEncoder

from exprun.common.errors import UsageError
from exprun.data.encoding import FOLDS, Supervision, cross_fitted, target_means
from exprun.data.frame import Frame, Words
from exprun.data.inspection import inspect
from exprun.data.open_file import open_file
from exprun.data.prepare import prepare
from exprun.data.preprocess import Preprocessing
from exprun.data.preprocess_json import from_json, to_json
from exprun.data.read_options import Reading
from exprun.data.scaling import Scaling
from exprun.data.table import Table
from exprun.data.task import Task
from tests.command import run_command

KINDS = {
    "binary": Task(("y",), ("a", "b")),
    "multiclass": Task(("y",), ("a", "b", "c")),
    "continuous": Task(("y",)),
}
HOW: list[dict[str, Any]] = [
    {},
    {"split": "last"},
    {"split": "last", "folds": 3, "fold": 2},
    {"folds": 3, "fold": 0},
]


@given(
    st.sampled_from(list(KINDS)),
    st.integers(10, 60),
    st.integers(1, 12),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_the_numbers_are_scikit_learns(
    kind: str, rows: int, levels: int, grouped: bool, seed: int
) -> None:
    """Levels of one row, of one target, and such as a fold's other rows lack."""
    rng = np.random.default_rng(seed)
    task = KINDS[kind]
    y: NDArray[Any] = rng.normal(1e3, 1, (rows, 1))
    if task.classes:
        y = rng.permutation(np.arange(rows) % len(task.classes))
    places = np.unique(rng.integers(0, levels, rows), return_inverse=True)[1]
    levels = places.max() + 1
    groups = np.arange(rows) // 2 if grouped else None
    learned = Supervision.draw(task, y, groups, torch.Generator().manual_seed(0))
    encoder = TargetEncoder(target_type=kind).fit(places[:, None], y.ravel())
    means, overall = target_means(places, levels, learned.y)
    np.testing.assert_allclose(means.T, encoder.encodings_, rtol=1e-9)
    assert overall == pytest.approx(np.atleast_1d(encoder.target_mean_))
    expected = np.empty_like(learned.y)
    for fold in range(FOLDS):
        held = learned.folds == fold
        if len(np.unique(y[~held])) < max(2, len(task.classes)):
            return  # scikit-learn takes what is left for another task
        encoder.fit(places[~held, None], y[~held].ravel())
        expected[held] = encoder.transform(places[held, None])
    assert cross_fitted(places, levels, learned) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_folds_are_stratified_and_keep_groups_together(kind: str) -> None:
    task, rng = KINDS[kind], np.random.default_rng(0)
    y = rng.integers(0, 3, 101) if task.classes else rng.normal(size=(101, 1))
    drawn = Supervision.draw(task, y, None, torch.Generator())
    counts = [np.bincount(drawn.folds[y == k], minlength=FOLDS) for k in range(len(task.classes))]
    for count in counts or [np.bincount(drawn.folds)]:
        assert np.ptp(count) <= 1
    groups = rng.integers(0, 30, 101)
    folds = Supervision.draw(task, y, groups, torch.Generator()).folds
    assert all(len(set(folds[groups == g])) == 1 for g in groups)


def table(rows: int, levels: int, task: Task, seed: int = 0) -> Table:
    """A categorical column and a target that has nothing to do with it."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, levels, rows).astype(np.int32)
    words = Words(codes, tuple(f"w{k}" for k in range(levels)))
    y = rng.integers(0, 2, rows) if task.classes else rng.normal(size=(rows, 1))
    return Table("made", Frame(("c",), np.empty((rows, 0)), {"c": words}), y, task)


@pytest.mark.parametrize("how", HOW)
def test_random_labels_stay_unpredictable_with_5000_values(how: dict[str, Any]) -> None:
    """The encoding separates the classes of no part, whereas the means of the training rows that
    they are encoded with would separate these."""
    made = table(15_000, 5_000, KINDS["binary"])
    data = prepare(made, encoding="auto", **how)
    for part in (data.train, data.val, data.test):
        threshold = data.train.x.mean()
        accuracy = ((part.x[:, 0] > threshold) == (part.y == 1)).double().mean()
        assert abs(accuracy - 0.5) < 3 * 0.5 / len(part) ** 0.5
    (column,) = data.preprocessing.columns
    rows = np.flatnonzero(np.isin(made.features["c"], column.levels))  # most are trained on
    naive = data.preprocessing.apply(made.features, rows)[:, 0] > 0
    assert (naive == (made.y[rows] == 1)).mean() > 0.6


@pytest.mark.parametrize(
    ("encoding", "levels", "width"),
    [
        ("auto", 100, 100),
        ("auto", 101, 1),
        ("one_hot", 101, 101),
        ("target", 3, 1),
        ("frequency", 3, 1),
    ],
)
def test_auto_is_one_hot_up_to_100_values(encoding: str, levels: int, width: int) -> None:
    data = prepare(table(5_000, levels, KINDS["continuous"]), encoding=encoding)
    assert data.preprocessing.width == data.train.x.shape[1] == width


def test_bundled_sets_and_few_categories_are_written_as_ever() -> None:
    made = table(300, 5, KINDS["binary"])
    auto, one_hot = (prepare(made, encoding=e).preprocessing for e in ("auto", "one_hot"))
    assert json.dumps(to_json(auto)) == json.dumps(to_json(one_hot))
    assert "encoding" not in to_json(auto)["columns"][0]


@pytest.mark.parametrize("impute", ["own_category", "most_frequent"])
@pytest.mark.parametrize("encoding", ["target", "frequency"])
def test_gaps_and_unseen_words(encoding: str, impute: str) -> None:
    codes = np.array([0, 0, 0, 1, 1, -1, -1, 2], dtype=np.int32)
    of = Frame(("c",), np.empty((8, 0)), {"c": Words(codes, ("u", "v", "w"))})
    y, train = np.array([[1.0], [1], [4], [7], [7], [9], [9], [100]]), np.arange(7)
    learned = Supervision(y[:7], ("mean of y",), np.arange(7) % FOLDS)
    task, target = Task(("y",)), Scaling.identity(1)
    made = Preprocessing.fit(
        of,
        train,
        task,
        target,
        encoding=encoding,
        supervision=learned,
        impute_categorical=impute,
    )
    again = from_json(json.loads(json.dumps(to_json(made))))
    assert again == made
    assert made.unseen(of) == {"c": 1}
    encoded = made.columns[0].encoding
    raw = made.apply(of)[:, 0] * encoded.scaling[0].scale + encoded.scaling[0].center
    if encoding == "frequency":
        gap = 2 / 7 if impute == "own_category" else 5 / 7
        first = 3 / 7 if impute == "own_category" else 5 / 7
        assert raw == pytest.approx([first] * 3 + [2 / 7] * 2 + [gap] * 2 + [0], abs=1e-6)
    else:
        assert raw[7] == pytest.approx(38 / 7)
        own = impute == "own_category"  # one target for v, and for gaps: no shrinkage
        assert raw[3] == pytest.approx(7)
        assert raw[5] == pytest.approx(9 if own else raw[0])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("method", "magic", "encoding.method is damaged: expected target or frequency"),
        ("values", [[1.0]], "encoding.values is damaged: expected 5 rows"),
        ("unseen", [], "encoding is damaged: expected 1 numbers for each level"),
        ("of", [], "encoding.of is damaged: expected a name at least"),
    ],
)
def test_a_damaged_encoding_is_refused(key: str, value: Any, message: str) -> None:
    made = to_json(prepare(table(300, 5, KINDS["binary"]), encoding="target").preprocessing)
    damaged = json.loads(json.dumps(made))
    damaged["columns"][0]["encoding"][key] = value
    with pytest.raises(ValueError, match=message):
        from_json(damaged)


def test_one_group_cannot_be_cross_fitted() -> None:
    learned = Supervision.draw(
        KINDS["binary"], np.array([0, 1]), np.array([3, 3]), torch.Generator()
    )
    with pytest.raises(UsageError, match="needs two training rows, or groups, at least"):
        cross_fitted(np.array([0, 1]), 2, learned)


def test_a_run_prints_its_encoding_and_evaluate_uses_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    effect = rng.normal(size=300)
    for name, rows in (("train", 3000), ("test", 500)):
        code = rng.integers(0, 300, rows)
        y = np.where(effect[code] + rng.normal(size=rows) / 2 > 0, "yes", "no")
        lines = [f"shop {c},{label}" for c, label in zip(code, y, strict=True)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["shop,y", *lines, ",yes"]))
    run = ["data=csv", "data.path=train.csv", "data.test_path=test.csv", "data.target=y"]
    done = run_command(tmp_path, *run, "hydra.run.dir=run", "trainer.max_epochs=5")
    assert done.returncode == 0, done.stderr
    assert "shop: 301 categories by target encoding, as share of yes" in done.stdout
    figures = json.loads((tmp_path / "run/result.json").read_text())["metrics"]
    said = run_command(tmp_path, "evaluate", "run", "test.csv", "--json")
    found = json.loads(said.stdout)["metrics"]
    assert found["accuracy"] == figures["test_accuracy"] > 0.75


def test_inspect_says_what_many_categories_become(tmp_path: Path) -> None:
    lines = [f"shop {k % 101},{k % 3},{k % 2}" for k in range(303)]
    (tmp_path / "d.csv").write_text("\n".join(["shop,size,y", *lines]))
    found = inspect(open_file(tmp_path / "d.csv", Reading()), "y")
    assert found.columns[0].becomes == "target encoding of 101 categories"
    assert not found.problems
