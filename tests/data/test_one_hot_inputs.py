"""One-hot columns kept as codes: the inputs, results and files of dense ones, to the last bit."""

from __future__ import annotations

import json
import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from exprun.cli import main
from exprun.common.errors import UsageError
from exprun.data import prepare as preparing
from exprun.data.frame import Frame, Words
from exprun.data.one_hot_inputs import OneHotInputs
from exprun.data.prepare import Data, Part, prepare
from exprun.data.read_options import Reading
from exprun.data.storage import IN_MEMORY, file_system_of, streamed
from exprun.data.table import Table
from exprun.data.task import Task
from exprun.diagnostics.initialization import laboratory
from exprun.diagnostics.measure import measure
from exprun.doctor.rebuild import data_facts
from exprun.fit import stack
from exprun.fit.loop import fit
from exprun.fit.stack import Member, fit_stack
from exprun.plots import batch_norm, gradient_noise
from exprun.techniques import losses
from exprun.techniques.averaging import WeightAverage
from exprun.training.training import Training
from tests.conftest import same_bits, training

random = settings(max_examples=40)

SETTINGS = {"codes": (0, 0), "dense": (2**60, 0)}
"""``MOST_DENSE`` and ``LEAST_SAVED`` with which inputs of any size are kept as codes, or dense."""


def keep(form: str) -> None:
    """Keep the inputs of the data that are prepared from now on in a form."""
    preparing.MOST_DENSE, preparing.LEAST_SAVED = SETTINGS[form]


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOST_DENSE", "LEAST_SAVED"):
        monkeypatch.setattr(preparing, name, getattr(preparing, name))


def both(table: Table, **options: object) -> tuple[Data, Data]:
    """The data with codes, and dense."""
    found = []
    for form in SETTINGS:
        keep(form)
        found.append(prepare(table, **options))  # type: ignore[arg-type]
    return found[0], found[1]


def parts_of(data: Data) -> tuple[Part, ...]:
    return data.train, data.val, data.test


def table(rows: int = 200, categories: int = 7, *, classes: int = 2, seed: int = 0) -> Table:
    """Two categorical columns with gaps and one of one word around two of numbers, and labels or,
    without classes, numbers that depend on them."""
    rng = np.random.default_rng(seed)
    words = {
        name: Words(rng.integers(-1, k, rows, dtype=np.int32), tuple(f"w{i}" for i in range(k)))
        for name, k in (("a", categories), ("b", 1), ("c", 3))
    }
    numbers = rng.normal(size=(rows, 2))
    score = numbers.sum(1) + words["a"].codes % 3 + rng.normal(size=rows)
    y = np.digitize(score, [0.5, 2][: classes - 1]) if classes else score[:, None]
    frame = Frame(("a", "x", "b", "y", "c"), numbers, words)
    return Table("some", frame, y, Task(("t",), tuple("pqr"[:classes])))


# ------------------------------------------------------------------------------ the inputs


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Columns of numbers, also constant ones, and of words with gaps; words may be unseen in the
    training rows."""
    rows = draw(st.integers(12, 40))
    of_numbers = draw(st.lists(st.booleans(), min_size=1, max_size=5))
    cells = st.floats(-1e6, 1e6, width=32) if draw(st.booleans()) else st.just(1.5)
    numbers = [draw(st.lists(cells, min_size=rows, max_size=rows)) for k in of_numbers if k]
    words = {}
    for k, is_number in enumerate(of_numbers):
        if not is_number:
            some = draw(st.integers(1, 9))
            codes = draw(st.lists(st.integers(-1, some - 1), min_size=rows, max_size=rows))
            words[f"c{k}"] = Words(np.array(codes, np.int32), tuple(f"w{i}" for i in range(some)))
    names = tuple(f"c{k}" for k in range(len(of_numbers)))
    frame = Frame(names, np.array(numbers).T.reshape(rows, len(numbers)), words)
    task = Task(("t",), ("p", "q"))
    return Table("random", frame, np.arange(rows) % 2, task, reading=Reading())


@given(tables(), st.sampled_from(["one_hot", "target", "frequency"]), st.data())
@random
def test_rows_are_those_of_dense_inputs(table: Table, encoding: str, data: st.DataObject) -> None:
    codes, dense = both(table, encoding=encoding, val_fraction=0)
    assert codes.notes == dense.notes
    assert codes.preprocessing == dense.preprocessing
    for ours, theirs in zip(parts_of(codes), parts_of(dense), strict=True):
        x, expected = ours.x, theirs.x
        assert isinstance(x, OneHotInputs)
        assert isinstance(expected, torch.Tensor)
        assert x.shape == expected.shape
        assert x[:].equal(expected)
        numbers = st.lists(st.integers(0, max(0, len(x) - 1)), max_size=9 if len(x) else 0)
        chosen = torch.tensor(data.draw(numbers), dtype=torch.long)
        for rows in (x[chosen], x.index_select(0, chosen), ours.taken(chosen).x[:]):
            assert rows.equal(expected[chosen])
        size = data.draw(st.integers(1, max(1, len(x))))
        for part, rows in zip(x.split(size), expected.split(size), strict=True):
            assert part.equal(rows)


def test_codes_are_kept_where_they_save_enough_of_much_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """1 column of 7 categories and a gap, 1 of 1, 1 of 3: 8 + 2 + 4 inputs, and 2 of numbers; 16
    inputs in the memory of 5."""
    some, bytes_ = table(), 200 * 16 * 4
    for most, saved, is_kept in (
        (bytes_, 3, True),
        (bytes_ + 1, 3, False),
        (bytes_, 4, False),
    ):
        monkeypatch.setattr(preparing, "MOST_DENSE", most)
        monkeypatch.setattr(preparing, "LEAST_SAVED", saved)
        assert isinstance(prepare(some).train.x, OneHotInputs) == is_kept
    monkeypatch.undo()
    assert isinstance(prepare(some).train.x, torch.Tensor)


def test_an_unseen_word_that_is_an_error_is_the_same_one() -> None:
    some = table()
    codes = np.zeros(200, np.int32)
    codes[150] = 1
    words = {**some.features.categorical, "b": Words(codes, ("often", "once"))}
    some = replace(some, features=replace(some.features, categorical=words), test_rows=100)
    messages = []
    for form in SETTINGS:
        keep(form)
        with pytest.raises(UsageError, match="column 'b' has 'once'") as error:
            prepare(some, unseen="error")
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_memory_is_that_of_the_columns() -> None:
    """200,000 rows × 5,001 inputs would take 4 GB."""
    rng = np.random.default_rng(0)
    words = tuple(f"w{k}" for k in range(5000))
    frame = Frame(
        ("a", "x"),
        rng.normal(size=(200_000, 1)),
        {"a": Words(rng.integers(0, 5000, 200_000, dtype=np.int32), words)},
    )
    some = Table("wide", frame, rng.integers(0, 2, 200_000), Task(("t",), ("p", "q")))
    tracemalloc.start()
    try:
        data = prepare(some)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert data.train.x.shape == (120_000, 5001)
    assert peak < 60e6


def test_codes_lie_in_temporary_files_and_are_shuffled_by_their_own_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 codes and 2 numbers are 20 bytes a row."""
    if file_system_of(tmp_path) in IN_MEMORY:
        pytest.skip("the temporary folder is kept in memory")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    keep("codes")
    held = prepare(table())
    with streamed(True):
        data = prepare(table(), stream=True)
    assert isinstance(held.train.x, OneHotInputs)
    assert data.train.x[:].equal(held.train.x[:])
    assert data.shuffle_buffer == preparing.BUFFER_BYTES // 20
    for engine in ("native", "replay"):
        trainings = [training(of, engine=engine) for of in (held, data)]
        for t in trainings:
            fit(t)
        assert same_bits(*(t.state_dict() for t in trainings))


# ------------------------------------------------------------------------------ training

TRAININGS = {
    "usual": {},
    "norm and dropout": {"norm": nn.BatchNorm1d, "dropout": [0.3, 0.3]},
    "all rows at once": {"batch_size": None},
    "left-over batch": {"batch_size": 50, "hidden": [5]},
    "sigmoid": {"loss": losses.BinaryCrossEntropy},
}


@pytest.mark.parametrize("engine", ["native", "replay", "plain"])
@pytest.mark.parametrize("options", TRAININGS.values(), ids=TRAININGS)
def test_every_engine_trains_as_on_dense_inputs(options: dict, engine: str) -> None:
    ends = []
    for data in both(table()):
        t = training(data, engine=engine, **options)
        t.averaging = WeightAverage(t.model, 0.9)
        outcome = fit(t)
        ends.append((t.state_dict(), outcome.status, outcome.engine))
    assert same_bits(*ends)


@pytest.mark.parametrize("engine", ["native", "replay", "plain"])
def test_numbers_are_predicted_as_from_dense_inputs(engine: str) -> None:
    """With weights of rows, whose figures torch computes, and a diverging loss."""
    some = table(classes=0)
    weighted = replace(some, weights=np.random.default_rng(1).integers(0, 3, 200).astype(float))
    for given_ in (some, weighted, replace(some, y=some.y * 1e30)):
        ends = []
        for data in both(given_):
            t = training(data, engine=engine)
            outcome = fit(t)
            ends.append((t.state_dict(), outcome.status, outcome.reason))
        assert same_bits(*ends)
    assert ends[0][1] == "diverged"


def test_a_resumed_training_ends_as_one_in_one_go() -> None:
    data, _ = both(table())
    whole, first, second = (training(data, max_epochs=6) for _ in range(3))
    fit(whole)
    first.pause_epoch = 3
    assert fit(first).status == "stopped"
    second.load_state_dict(first.state_dict())
    fit(second)
    assert same_bits(whole.state_dict(), second.state_dict())


def test_stacked_members_train_as_on_dense_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two with the same data together; a third with other data is no member of their stack."""
    monkeypatch.setattr(stack, "STACKED_ON", ("cpu",))
    codes, dense = both(table())
    other, _ = both(table(seed=1))
    ends, engines = [], []
    for members in ((codes, codes, other), (dense, dense)):
        trainings = [training(of, seed=k, engine="replay") for k, of in enumerate(members)]
        found: list[str] = []
        fit_stack(iter([member(t, found) for t in trainings]), 2 + (members[0] is codes))
        ends.append([t.state_dict() for t in trainings[:2]])
        engines.append([engine.split()[0] for engine in sorted(found)])
    assert same_bits(*ends)
    assert engines == [["replayed;", "stacked:", "stacked:"], ["stacked:", "stacked:"]]


def member(t: Training, engines: list[str]) -> Member:
    def failed(error: Exception) -> None:
        raise error

    return Member(t, [], lambda outcome: engines.append(str(outcome.engine)), failed)


def test_facts_without_a_validation_part() -> None:
    facts = []
    for data in both(table(), val_fraction=0):
        t = training(data, max_epochs=1)
        fit(t)
        facts.append(replace(data_facts(t), scales={}))
    assert same_bits(*facts)


def test_layers_batches_and_facts_are_measured_as_with_dense_inputs() -> None:
    found = []
    for data in both(table()):
        t = training(data, max_epochs=2, norm=nn.BatchNorm1d)
        layers: list[object] = [*measure(t), *laboratory(t), *laboratory(t, data.val)]
        fit(t)
        noise, moments = gradient_noise.measure(t), batch_norm.moments(t, t.model.hidden[0].norm)
        layers += [noise.measured.tolist(), noise.predicted.tolist(), moments.tolist()]
        found.append((layers, data_facts(t)))
    (layers, facts), (dense_layers, dense_facts) = found
    assert same_bits(layers, dense_layers)
    assert facts.scales == pytest.approx(dense_facts.scales, rel=1e-12)
    assert replace(facts, scales={}) == replace(dense_facts, scales={})


# ------------------------------------------------------------------------------ commands


def write(path: Path, rows: int, categories: int) -> None:
    rng = np.random.default_rng(0)
    code = rng.integers(0, categories, rows)
    x = rng.normal(size=rows)
    label = np.where(code % 2 + x + rng.normal(size=rows) > 0.5, "yes", "no")
    pd.DataFrame({"a": [f"w{k}" for k in code], "x": x, "label": label}).to_csv(path, index=False)


WORDS = ["data=csv", "data.path=t.csv", "data.target=label", "data.encoding=one_hot"]
SMALL = ["model.hidden=[4]", "device=cpu", "trainer.threads=1", "hydra.run.dir=run"]


def test_commands_write_the_files_of_dense_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training, predicting, evaluating, and what rebuilds the training."""
    written = {}
    for form in SETTINGS:
        keep(form)
        folder = tmp_path / form
        folder.mkdir()
        monkeypatch.chdir(folder)
        write(folder / "t.csv", 400, 60)
        words = [*WORDS, *SMALL, "norm=batch", "reg=dropout", "diagnostics=basic"]
        assert main([*words, "trainer.max_epochs=2"]) == 0
        capsys.readouterr()
        for command in (
            ["predict", "run", "t.csv"],
            ["evaluate", "run", "t.csv", "--json"],
            ["doctor", "run"],
        ):
            assert main(command) == 0, command
        printed = capsys.readouterr().out
        files = ("metrics.csv", "diagnostics.csv", "preprocess.json", "model.safetensors")
        named = {name: (folder / "run" / name).read_bytes() for name in files}
        result = json.loads((folder / "run/result.json").read_text())
        assert result["engine"] == "native"
        written[form] = named, printed, result["metrics"]
    assert written["codes"] == written["dense"]


@contextmanager
def data_limit(more: int) -> Iterator[None]:
    """At most so many bytes of data more than this process has (``RLIMIT_DATA``)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    has = 1024 * int(status["VmData"].split()[0])
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (has + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def test_commands_take_a_fraction_of_the_memory_of_dense_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """250,000 rows × 601 inputs would take 600 MB; what the doctor remarks on is measured too."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.csv", 250_000, 600)
    with data_limit(400 * 10**6):
        with pytest.raises(MemoryError):
            np.ones((250_000, 601), np.float32)
        for engine in ("native", "replay"):
            words = ["trainer.max_epochs=1", "batching.batch_size=512", f"trainer.engine={engine}"]
            assert main([*WORDS, *SMALL, *words, f"hydra.run.dir={engine}"]) == 0
        assert main(["predict", "native", "t.csv", "-o", "answers.csv"]) == 0
