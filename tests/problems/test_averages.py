"""The moving averages of a series: problem=ema."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from exprun.problems.averages import moving_average, read_series
from tests.problems.folders import Command, result


def test_averages_of_a_small_series(exprun: Command, tmp_path: Path) -> None:
    """By hand: v1 = 0.1·20 = 2, v2 = 0.9·2 + 0.1·10 = 2.8; corrected 2/0.1 and 2.8/0.19."""
    (tmp_path / "days.csv").write_text("date,t\nmon,20\ntue,10\nwed,30\n")
    words = ["problem=ema", "problem.path=days.csv", "problem.column=t", "problem.betas=[0.9,0]"]
    code, folder = exprun(*words)
    assert code == 0
    rows = list(csv.DictReader((folder / "averages.csv").read_text().splitlines()))
    columns = "day value ema_0.9 ema_0.9_corrected ema_0 ema_0_corrected"
    assert list(rows[0]) == columns.split()
    assert [float(row["ema_0.9"]) for row in rows] == pytest.approx([2, 2.8, 5.52])
    corrected = [float(row["ema_0.9_corrected"]) for row in rows]
    assert corrected == pytest.approx([20, 2.8 / 0.19, 5.52 / 0.271])
    assert [float(row["ema_0"]) for row in rows] == [20, 10, 30]
    assert result(folder)["metrics"] == pytest.approx({"ema_0.9": 5.52 / 0.271, "ema_0": 30})
    assert (folder / "averages.png").is_file()
    assert (folder / "averages.svg").is_file()


def test_averages_are_those_of_batch_normalisation() -> None:
    """torch's running mean, from 0, with momentum = 1 - beta."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(50, dtype=torch.float64, generator=generator)
    layer = torch.nn.BatchNorm1d(1, momentum=0.1).double()
    for value, average in zip(values, moving_average(values.numpy(), 0.9), strict=True):
        layer(value.repeat(2)[:, None])
        assert layer.running_mean is not None
        assert layer.running_mean.item() == pytest.approx(average)


def test_the_made_up_series_is_the_seeds(exprun: Command) -> None:
    tables = [(exprun("problem=ema", f"seed={seed}")[1] / "averages.csv").read_text()
              for seed in (0, 0, 1)]  # fmt: skip
    assert tables[0] == tables[1] != tables[2]
    assert len(tables[0].splitlines()) == 366


def test_the_only_column_of_numbers_need_not_be_named(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("day,Temp\nMo,2.5\nTu,4\n")
    name, values = read_series(str(tmp_path / "s.csv"), None)
    assert (name, values.tolist()) == ("Temp", [2.5, 4.0])


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (
            "a,b\n1,2\n3,4\n",
            ["problem.column=c"],
            "there is no column 'c' (expected problem.column=a or b)",
        ),
        ("a,b\n1,2\n3,4\n", [], "which column? (expected problem.column=a or b)"),
        (
            "day,Temp\nx,2\ny,4\n",
            ["problem.column=temp"],
            "there is no column 'temp'; did you mean Temp? (expected problem.column=Temp)",
        ),
        ("a\n1\nx\n", ["problem.column=a"], "row 3, column 'a': 'x' is not a number"),
        ("a,b\n1,2\n,3\n", ["problem.column=a"], "row 3, column 'a': is empty; expected a num"),
        ("a\n1\ninf\n", ["problem.column=a"], "row 3, column 'a': inf is not finite"),
        ("a\n", ["problem.column=a"], "there is a header and no rows"),
        ("a,a\n1,2\n", ["problem.column=a"], "the column 'a' stands twice in the header"),
        ("\xe9\n1\n", ["problem.column=a"], "is not UTF-8 text"),
        ("a\n1\n2\n", ["problem.column=a", "optimizer=sgd"], "optimizer=sgd: plays no part"),
        ("a\n1\n2\n", ["problem.column=a", "problem.betas=[1]"], "one or more numbers in [0, 1)"),
        ("a\n1\n2\n", ["problem.column=a", "problem.betas=[]"], "one or more numbers in [0, 1)"),
    ],
)
def test_wrong_series_are_named(
    exprun: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    content: str, words: list[str], message: str,
) -> None:  # fmt: skip
    (tmp_path / "s.csv").write_bytes(content.encode("latin-1"))
    assert exprun("problem=ema", "problem.path=s.csv", *words)[0] == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list((tmp_path / "outputs").glob("*"))
