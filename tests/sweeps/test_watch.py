"""``exprun watch``: the state of a sweep, by what its folders hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exprun.cli import main
from exprun.record import lease
from exprun.sweeps.watch import newest_row, watch
from tests.record.test_lease import leave
from tests.sweeps import made_up
from tests.sweeps.test_ledger import folders


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Four jobs that have ended."""
    figures = {"val_loss": 0.5, "val_accuracy": 0.75}
    folder = made_up.sweep(tmp_path / "sweep", lambda seed: figures, {"seed": range(4)})
    for path in folder.glob("*/result.json"):
        result = json.loads(path.read_text()) | {"best_epoch": 3, "seconds": 1.5}
        path.write_text(json.dumps(result))
    return folder


def test_it_ends_when_all_have_ended(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A job that is held is running, one whose holder is not heard of is told of, once."""
    ended, running, dead, failed = folders(sweep)
    results = {folder: (folder / "result.json").read_text() for folder in (running, dead)}
    for folder in results:
        (folder / "result.json").unlink()
    failure = json.loads(results[dead]) | {"status": "failed", "reason": "on purpose"}
    (failed / "result.json").write_text(json.dumps(failure))
    leave(running)
    leave(dead, age=2 * lease.STALE)
    before = sorted(path for path in sweep.rglob("*"))
    looks = 0

    def go_on(_: object) -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:
            assert sorted(path for path in sweep.rglob("*")) == before
            for folder, result in results.items():
                (folder / lease.NAME).unlink()
                (folder / "result.json").write_text(result)
        return False

    assert watch(sweep, over=go_on) is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("     [2] not heard of for 1")
    assert lines[0].endswith(f"(node7, process 12): exprun resume {sweep}")
    assert lines[1] == "2/4 jobs have ended, 1 process on 1 host"
    assert [line.split()[:2] for line in lines[2:]] == [["3/4", "[1]"], ["4/4", "[2]"]]
    assert ended.exists()


def test_some_of_the_jobs(sweep: Path) -> None:
    (folders(sweep)[3] / "result.json").unlink()
    assert watch(sweep, [0, 2]) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", {}),
        ("epoch,loss\n", {}),
        ("epoch,loss\n1,0.5\n2,0.25\n", {"epoch": 2, "loss": 0.25}),
        ("epoch,loss\n1,0.5\n2,0.", {"epoch": 1, "loss": 0.5}),
        ("epoch,loss\n1\n", {}),
        ("epoch,loss\n" + "1,0.123456\n" * 1000 + "9,nan", {"epoch": 1, "loss": 0.123456}),
    ],
)
def test_the_newest_row_that_is_whole(
    content: str, expected: dict[str, float], tmp_path: Path
) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(content)
    assert newest_row(path) == expected


def test_mistakes_get_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "is no folder of a sweep" in said
    assert said.count("\n") == 1
