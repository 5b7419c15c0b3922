"""``exprun inspect``: columns, suspicions, and a command that trains."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from exprun.cli import main
from exprun.data.inspection import Column, inspect
from exprun.data.open_file import open_file
from exprun.data.read_options import Reading
from exprun.statistics import kolmogorov_smirnov

ROWS = 60


def rows() -> Iterator[list[object]]:
    """An identifier, names, a category with gaps, a number with gaps, dates and a target."""
    rng = np.random.default_rng(0)
    for i in range(ROWS):
        city = ["Rome", "Oslo", ""][i % 3]
        age = "" if i % 10 == 0 else int(rng.integers(18, 80))
        dates = [f"2026-0{1 + i % 5}-01", f"0{1 + i % 5}/13/2026"]
        yield [i + 1, f"name {i}", city, age, *dates, "yn"[int(rng.integers(2))]]


HEAD = ["id", "full name", "city", "age", "day", "american", "left"]


def write(path: Path, head: Sequence[str], content: Iterator[list[object]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *content])
    return str(path)


def inspected(path: str, target: str | None = None, test: str | None = None):
    opened = [open_file(file, Reading()) for file in (path, test) if file]
    return inspect(opened[0], target, opened[1] if test else None)


@pytest.mark.parametrize("gap", [-999, 9999, -1e30])
@pytest.mark.parametrize("times", [2, 3, 20])
def test_values_that_may_stand_for_a_gap(tmp_path: Path, gap: float, times: int) -> None:
    rng = np.random.default_rng(1)
    heights = [f"{h:.1f}" for h in rng.normal(170, 10, ROWS)]
    heights[5 : 5 + times] = [str(gap)] * times
    content = ([h, i % 7, "yn"[i % 2]] for i, h in enumerate(heights))
    found = inspected(write(tmp_path / "a.csv", ["height", "day", "y"], content))
    suspected = [line for line in found.suspicions if "data.missing" in line]
    if times < 3:  # outliers
        assert suspected == []
    else:
        (line,) = suspected
        assert line.startswith(f"height: {gap:.6g} in {times} rows is far from all others (1")


def test_usual_distributions_hold_no_gaps(tmp_path: Path) -> None:
    """Counts, two values, heavy tails, zeros among positive numbers."""
    rng = np.random.default_rng(2)
    columns = [
        rng.poisson(0.4, ROWS * 5),
        rng.integers(0, 2, ROWS * 5),
        rng.standard_cauchy(ROWS * 5),
        rng.lognormal(size=ROWS * 5) * (rng.random(ROWS * 5) < 0.7),
    ]
    content = ([*row, "yn"[i % 2]] for i, row in enumerate(zip(*columns, strict=True)))
    found = inspected(write(tmp_path / "a.csv", ["a", "b", "c", "d", "y"], content))
    assert [line for line in found.suspicions if "data.missing" in line] == []


def test_columns_and_what_becomes_of_them(tmp_path: Path) -> None:
    found = inspected(write(tmp_path / "a.csv", HEAD, rows()))
    assert (found.rows, found.target, found.guessed) == (ROWS, "left", True)
    by_name = {column.name: column for column in found.columns}
    assert by_name["id"].becomes == by_name["full name"].becomes == "nothing: leave it out"
    assert by_name["city"] == Column("city", "text", 20, 2, "Rome, Oslo", "3 inputs, one-hot")
    assert by_name["age"].gaps == ROWS // 10
    assert by_name["age"].becomes == "1 input, standardised, gaps by the median"
    assert by_name["day"] == Column(
        "day", "datetime", 0, 5, "2026-01-01 … 2026-05-01", "1 input: elapsed time"
    )
    assert by_name["left"].becomes == "target: 2 classes"
    assert found.drop == ["id", "full name"]
    assert found.suspicions == [
        "id: counts up from row to row, an identifier",
        "full name: 60 different words in 60 rows, as names have",
        "american: dates, of which each would be a category; expected 2026-12-31, 2026-12-31 "
        "23:59:00 or 31.12.2026",
    ]


def leaks() -> Iterator[tuple[str, list[object], list[object], str]]:
    rng = np.random.default_rng(1)
    amount = rng.normal(size=ROWS)
    yield "regression", [*(5 - 3 * amount)], [*amount], "x: is the target in another unit"
    classes = [*("abc"[i % 3] for i in range(ROWS))]
    above = [{"a": 0, "b": 1, "c": 2}[c] + rng.random() * 0.9 for c in classes]
    yield "separated", above, classes, "x: separates all 3 classes by itself"
    words = [{"a": "red", "b": "green", "c": "blue"}[c] for c in classes]
    yield "words", words, classes, "x: each of its 3 words belongs to one class"


@pytest.mark.parametrize(("name", "x", "y", "expected"), [*leaks()], ids=lambda v: str(v)[:10])
def test_a_feature_that_gives_the_target_away(
    tmp_path: Path, name: str, x: list[object], y: list[object], expected: str
) -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=ROWS)
    path = write(tmp_path / "a.csv", ["noise", "x", "y"], map(list, zip(noise, x, y, strict=True)))
    (line,) = inspected(path, "y").suspicions
    assert line.startswith(expected)
    shuffled = [*rng.permutation(np.array(x, dtype=object))]
    path = write(
        tmp_path / "b.csv", ["noise", "x", "y"], map(list, zip(noise, shuffled, y, strict=True))
    )
    assert inspected(path, "y").suspicions == []


def test_copies_and_another_distribution(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(300, 2)).round(6)
    content = [[a, b, "xy"[int(a > 0) ^ int(rng.random() < 0.2)]] for a, b in numbers]
    head = ["a", "b", "y"]
    path = write(tmp_path / "train.csv", head, iter([*content, *content[:7]]))
    moved = write(tmp_path / "test.csv", head, ([a + 1, b, y] for a, b, y in content[:150]))
    same = write(tmp_path / "same.csv", head, iter(content[:150]))
    copies = (
        "7 rows are copies of others: drawn at random, copies lie in the training and the test part"
    )
    assert inspected(path).suspicions == [copies]
    assert inspected(path, test=same).suspicions == [copies]
    _, drift = inspected(path, test=moved).suspicions
    trained, tested = (
        [row[0] for row in part] for part in ([*content, *content[:7]], content[:150])
    )
    distance = stats.ks_2samp(trained, [a + 1 for a in tested])
    assert drift == (
        f"a: distributed otherwise in {moved} (Kolmogorov-Smirnov distance "
        f"{distance.statistic:.2f})"
    )


def test_the_distance_and_its_tail_are_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=400), rng.normal(0.2, size=300).round(1)
    found = kolmogorov_smirnov.distance(a, b)
    assert found == pytest.approx(stats.ks_2samp(a, b).statistic, abs=1e-12)
    expected = stats.kstwobign.sf(found * np.sqrt(400 * 300 / 700))
    assert kolmogorov_smirnov.tail(found, 400, 300) == pytest.approx(expected, rel=1e-6)


def test_a_target_is_named_as_in_a_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the end without a header; and no command is given that would be refused."""
    (tmp_path / "a.txt").write_text("".join(f"{i % 7} {i % 5} {i % 2}\n" for i in range(60)))
    assert main(["inspect", f"{tmp_path}/a.txt", "--no-header", "--target=-1", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["target"] == "3"
    assert content["command"].endswith("data.target=3 data.header=false")
    rare = write(tmp_path / "b.csv", ["x y", "label"], iter([[1, "a"], [2, "a"], [3, "b"]]))
    assert main(["inspect", rare, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["command"] is None
    assert "has only" in content["problems"][0]


def test_the_command_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.csv", HEAD, rows())
    assert main(["inspect", path, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["task"] == "binary"
    program, *words = shlex.split(content["command"])
    assert program == "exprun"
    assert main([*words, "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/run"]) == 0
    capsys.readouterr()
    assert main(["inspect", path, "--target", "age"]) == 0
    said = capsys.readouterr().out
    assert "problem" in said
    assert "the target 'age' is missing" in said, "what a training would refuse"
    assert main(["inspect", path, "--target", "agee"]) == 2
    assert "did you mean age?" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["csv", "arff"])
def test_a_bad_cell_is_a_problem_beside_the_table_of_columns(tmp_path, capsys, suffix):
    """Of every column that has one."""
    rows = [f"{k},{k * k},{'ab'[k % 2]}" for k in range(ROWS)]
    rows[6], rows[8] = "six,36,a", "8,64 kg,a"
    text = "\n".join(["n,area,y", *rows])
    if suffix == "arff":
        text = "@relation r\n@attribute n string\n@attribute area string\n@attribute y {a,b}\n"
        text += "@data\n" + "\n".join(rows)
    path = tmp_path / f"d.{suffix}"
    path.write_text(text)
    assert main(["inspect", str(path)]) == 0
    said = capsys.readouterr().out
    first = 2 if suffix == "csv" else 6
    assert f"row {first + 6}, column 'n': 'six' is not a number" in said
    assert f"row {first + 8}, column 'area': '64 kg' is not a number" in said
    assert said.count("'six'") == 1
    assert f"{ROWS} rows, 3 columns" in said
    assert "names have" not in said
    assert "exprun data=" not in said
