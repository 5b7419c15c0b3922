"""``sweep.into``: more jobs for a sweep that is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from exprun.cli import main
from tests.sweeps.test_ledger import SMALL, asked_of, board, folders, names, result_of


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_more_jobs_for_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    """Finished jobs are kept as they are, one without a result is run, numbers go on, and what was
    asked is written down with its time."""
    assert main(["-m", *SMALL, "optimizer=sgd,adam", "hydra.sweep.dir=sweep"]) == 0
    sweep = Path("sweep")
    first, second = folders(sweep)
    (second / "result.json").unlink()
    kept = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in first.rglob("*") if p.is_file()}
    words = ["-m", *SMALL, "optimizer=adam,sgd", "seed=range(3)", "sweep.into=sweep"]
    capsys.readouterr()
    assert main(words) == 0
    assert "6/6 [" in capsys.readouterr().out
    assert kept == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in kept}
    assert names(sweep)[:2] == ["000_optimizer=sgd", "001_optimizer=adam"]
    assert names(sweep)[2:] == [
        f"{number:03}_optimizer={name},seed={seed}"
        for number, (name, seed) in enumerate(
            [("adam", 1), ("adam", 2), ("sgd", 1), ("sgd", 2)], start=2
        )
    ]
    assert [result_of(folder)["seed"] for folder in folders(sweep)] == [0, 0, 1, 2, 1, 2]
    content = asked_of(sweep)
    given = [*SMALL, "optimizer=adam,sgd", "seed=range(3)"]
    assert [(batch["overrides"], batch["first"]) for batch in content["batches"]] == [
        ([*SMALL, "optimizer=sgd,adam"], 0),
        (given, 2),
    ]
    assert all("sweep" not in OmegaConf.load(f / ".hydra/config.yaml") for f in folders(sweep))
    before = (sweep / "sweep.json").read_bytes()
    assert main(words) == 0  # nothing is left to be done
    assert (sweep / "sweep.json").read_bytes() == before
    assert len(board(sweep)) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m", "sweep.into=nowhere"], "sweep.into=nowhere: there is no such folder"),
        (
            ["-m", "sweep.into=sweep/mean"],
            "sweep.into=sweep/mean: is no folder of a sweep; did you",
        ),
        (["sweep.into=sweep"], "sweep.into=sweep: is for sweeps; expected -m"),
        (["-m", "sweep.into=sweep,other"], "sweep.into=sweep,other: expected one folder"),
        (["-m", "sweep.into=3"], "sweep.into=3: expected"),
        (["-m", "sweep.into=sweep", "hydra.sweep.dir=x"], "sweep.into=sweep: names the folder"),
        (["-m", "sweep.into=sweep", "optimizer.lr=0.1,-1"], "optimizer.lr=-1: expected"),
        (["-m", "sweep.into=sweep", "optimizer.lrr=0.1,1"], "optimizer.lrr: no such key"),
    ],
)
def test_what_cannot_be_added_changes_nothing(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["-m", *SMALL, "seed=0,1", "hydra.sweep.dir=sweep"]) == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.json")}
    capsys.readouterr()
    assert main([*words, *SMALL]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"exprun: {message}")
    assert said.count("\n") == 1
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.json")} == before
    assert main(["resume", "sweep"]) == 0
    assert main(["-m", *SMALL, "seed=range(4)", "sweep.into=sweep"]) == 0
    assert [result_of(folder)["seed"] for folder in folders(Path("sweep"))] == [0, 1, 2, 3]


@pytest.mark.parametrize("damage", ["data", "configs", "no configs"])
def test_a_sweep_whose_files_have_changed_takes_no_more(
    damage: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Two data sets would be mixed, or the configs of some jobs be missing."""
    table = "a,b,label\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(60))
    Path("one.csv").write_text(table)
    words = ["-m", "data=csv", "data.path=one.csv", "data.target=label", *SMALL[1:]]
    assert main([*words, "seed=0,1", "hydra.sweep.dir=sweep"]) == 0
    configs = Path("sweep/configs.jsonl")
    if damage == "data":
        Path("one.csv").write_text(table.replace("59,3,1", "59,3,0"))
    elif damage == "configs":
        configs.write_text(configs.read_text().splitlines(keepends=True)[0])
    else:
        configs.unlink()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    capsys.readouterr()
    assert main([*words, "seed=2", "sweep.into=sweep"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("exprun: sweep")
    assert said.count("\n") == 1
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    if damage == "data":  # of another file it takes more
        assert "the data of job 0 are not those" in said
        Path("two.csv").write_text(table)
        assert main([*words, "data.path=two.csv", "seed=2", "sweep.into=sweep"]) == 0


@pytest.mark.parametrize("again", [["resume", "sweep"], ["-m", "seed=0,1,2", "sweep.into=sweep"]])
def test_a_job_that_has_finished_elsewhere_in_the_folder(again: list[str]) -> None:
    """A folder that was renamed, and a run of its own that was moved there."""
    assert main(["-m", *SMALL, "seed=0,1", "hydra.sweep.dir=sweep"]) == 0
    assert main([*SMALL, "seed=2", "hydra.run.dir=sweep/mine/run"]) == 0
    first, _ = folders(Path("sweep"))
    first.rename("sweep/renamed")
    results = [Path("sweep/renamed/result.json"), Path("sweep/mine/run/result.json")]
    before = [path.stat().st_mtime_ns for path in results]
    assert main([*again, *(SMALL if "-m" in again else [])]) == 0
    found = ["renamed", "001_seed=1", "mine/run"]
    within = [folder.relative_to("sweep").as_posix() for folder in folders(Path("sweep"))]
    assert within == found[: 3 if "-m" in again else 2]
    assert [path.stat().st_mtime_ns for path in results] == before
    assert not first.exists()
