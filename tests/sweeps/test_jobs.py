"""``exprun resume SWEEP --jobs 3,5-9``: some jobs of a sweep, beside others that run elsewhere."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from exprun.cli import main
from exprun.common.constants import HELD
from exprun.common.errors import UsageError
from exprun.record import lease
from exprun.sweeps import job_numbers
from tests.command import forked
from tests.record.test_lease import leave
from tests.sweeps.test_ledger import SMALL, board, folders, result_of

OF_THE_SWEEP = ("leaderboard.csv", "configurations.csv", "comparison.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of six jobs in one go."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(["-m", *SMALL, "seed=range(6)", f"hydra.sweep.dir={folder}/sweep"]) == 0
    return folder / "sweep"


@pytest.fixture
def begun(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same sweep before any of its jobs has begun."""
    monkeypatch.chdir(tmp_path)
    sweep = Path("sweep")
    sweep.mkdir()
    for name in ("sweep.json", "configs.jsonl"):
        shutil.copy(whole / name, sweep / name)
    return sweep


def begun_jobs(sweep: Path) -> list[int]:
    return [number for number, folder in enumerate(folders(sweep)) if folder.exists()]


def test_exactly_those_jobs(begun: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume", "sweep", "--jobs", "4,1-2"]) == 0
    assert begun_jobs(begun) == [1, 2, 4]
    assert "3/3 [" in capsys.readouterr().out
    assert not any((begun / name).exists() for name in OF_THE_SWEEP)
    asked = (begun / "sweep.json").read_bytes()
    before = {f: (f.read_bytes(), f.stat().st_mtime_ns) for f in begun.rglob("*") if f.is_file()}
    assert main(["resume", "sweep", "--jobs", "1,2"]) == 0
    assert "nothing was left to be done" in capsys.readouterr().out
    assert {f: (f.read_bytes(), f.stat().st_mtime_ns) for f in before} == before
    assert main(["resume", "sweep", "--jobs", "0,2-5"]) == 0  # none is missing any more
    assert board(begun) == board(whole)
    assert all((begun / name).exists() for name in OF_THE_SWEEP)
    for name in OF_THE_SWEEP:  # as if the process had been killed before it wrote them
        (begun / name).unlink()
    assert main(["resume", "sweep", "--jobs", "3"]) == 0
    assert board(begun) == board(whole)
    assert (begun / "sweep.json").read_bytes() == asked
    assert not list(begun.rglob(lease.NAME))


def test_a_job_that_is_held_elsewhere_is_left_to_it(
    begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running = folders(begun)[1]
    running.mkdir()
    leave(running)
    assert main(["resume", "sweep", "--jobs", "0-2"]) == HELD
    said = capsys.readouterr().out
    assert f"[1] {running}: another process is at work there (node7, process 12)" in said
    assert [path.name for path in running.iterdir()] == [lease.NAME]
    assert result_of(folders(begun)[2])["status"] == "completed"
    assert main(["resume", "sweep"]) == 1  # all that is left, but for what is held
    assert begun_jobs(begun) == list(range(6))
    assert [path.name for path in running.iterdir()] == [lease.NAME]
    leave(running, age=2 * lease.STALE)
    assert main(["resume", "sweep", "--jobs", "1"]) == 0
    assert result_of(running)["status"] == "completed"


def test_twice_at_once(begun: Path, whole: Path) -> None:
    """Between them they train every job once."""
    words = [*forked(), "resume", "sweep", "--jobs", "0-5"]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(process.communicate(timeout=120)[0] for process in both)
    assert {process.returncode for process in both} <= {0, HELD}
    assert sum(said.count(f"] seed={seed} ") for seed in range(6)) >= 6
    for folder, expected in zip(folders(begun), folders(whole), strict=True):
        assert result_of(folder)["metrics"] == result_of(expected)["metrics"]
        assert len(list(folder.glob("events.*"))) == len(list(expected.glob("events.*")))
    assert not list(begun.rglob(lease.NAME))


def test_a_failed_job_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["-m", *SMALL, "optimizer=lbfgs", "reg=none,weight_decay", "hydra.sweep.dir=sweep"]
    assert main(words) == 1
    well, failed = (folder / "result.json" for folder in folders(Path("sweep")))
    before = well.stat().st_mtime_ns, failed.stat().st_mtime_ns
    capsys.readouterr()
    assert main(["resume", "sweep", "--jobs", "0,1"]) == 1
    assert "torch.optim.LBFGS has no weight_decay" in capsys.readouterr().out
    assert well.stat().st_mtime_ns == before[0]
    assert failed.stat().st_mtime_ns > before[1]


@pytest.mark.parametrize(
    ("words", "numbers"),
    [("3", [3]), ("0-2", [0, 1, 2]), ("5,1-3,2", [5, 1, 2, 3]), (" 1 , 3-3", [1, 3])],
)
def test_numbers(words: str, numbers: list[int]) -> None:
    assert job_numbers.parse(words, range(10)) == numbers


@pytest.mark.parametrize("words", ["", "3-", "-3", "5-3", "x", "1,,2", "1.5", "1 2", "²"])
def test_what_is_no_number(words: str) -> None:
    with pytest.raises(UsageError, match=r"expected numbers and ranges of them, like 3,5-9"):
        job_numbers.parse(words, range(10))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "--jobs", "2,6"], "--jobs 2,6: there is no job 6; those of the sweep are 0-5"),
        (["sweep", "--jobs", "0-999999999999"], "--jobs 0-999999999999: there is no job 6;"),
        (["sweep", "--jobs=3-"], "--jobs 3-: expected numbers and ranges of them, like 3,5-9"),
        (["sweep", "--job", "3"], "resume: unrecognized arguments: --job 3; did you mean --jobs?"),
    ],
)
def test_wrong_numbers_get_one_line(
    words: list[str], message: str, begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["resume", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"exprun: {message}")
    assert said.count("\n") == 1
    assert begun_jobs(begun) == []


def test_a_single_run_has_no_jobs(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (first, *_) = folders(whole)
    assert main(["resume", str(first), "--jobs", "0"]) == 2
    assert "is no sweep's folder, but a run's" in capsys.readouterr().err
