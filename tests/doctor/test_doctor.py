"""The doctor on real runs, built ill and healthy, and trials of what it suggests."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
from pathlib import Path

import pytest
from bench.doctor import SEED
from bench.doctor_cases import DEVELOPMENT, HELD_OUT, TABLES, write_table
from scipy import stats

from exprun.cli import main
from exprun.config.compose import compose_run
from exprun.config.hydra_files import hydra_files, write_hydra_files
from exprun.config.schema import plain
from exprun.doctor.diagnose import diagnose
from exprun.doctor.findings import Diagnosis
from exprun.doctor.rebuild import examine
from exprun.doctor.remarks import remarks
from exprun.doctor.trial import HELPED, WORSE, changed, differences, judge
from exprun.run import run as run_job
from exprun.run_folder import stored, stored_as, stored_job

INF = math.inf


def run(folder: Path, *words: str) -> Path:
    """The folder of a small run on iris."""
    usual = ["data=iris", "model.hidden=[8,8]", "trainer.max_epochs=8", "device=cpu"]
    config = compose_run(changed(usual, words), None)
    write_hydra_files(folder, hydra_files(config, plain(config)))
    run_job(stored_job(folder, trust=False, in_sweep=True))
    return folder


# --- verdicts on pairs ---


def test_a_trial_is_judged_by_the_paired_t_test() -> None:
    better, worse = [0.3, 0.1, 0.4, 0.2, 0.5], [-0.3, -0.1, -0.4, -0.2, -0.6]
    (found,) = judge([better])
    expected = stats.ttest_1samp(better, 0)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.mean, found.wins) == (pytest.approx(0.3), (5, 0, 0))
    assert found.conclusion == HELPED
    two = judge([worse, better])
    assert [verdict.conclusion for verdict in two] == [WORSE, HELPED]
    assert two[1].p == pytest.approx(2 * min(expected.pvalue, stats.ttest_1samp(worse, 0).pvalue))


@pytest.mark.parametrize(
    ("differences", "conclusion"),
    [
        ([INF] * 6, HELPED),
        ([-INF] * 6, WORSE),
        ([INF] * 4, "no difference that 4 pairs can show"),
        ([INF, INF, INF, 0.1, -0.1], "no difference that 5 pairs can show"),
        ([0.0] * 5, "no difference that 5 pairs can show"),
        ([0.1, -0.2, 0.3, -0.1, 0.0], "no difference that 5 pairs can show"),
    ],
)
def test_conclusions(differences: list[float], conclusion: str) -> None:
    assert judge([differences])[0].conclusion == conclusion


def test_six_runs_that_come_to_life_are_enough_for_three_suggestions() -> None:
    found = judge([[INF] * 6, [INF] * 6, [0.0] * 6])
    assert [verdict.conclusion for verdict in found[:2]] == [HELPED, HELPED]


def test_one_pair_is_none() -> None:
    with pytest.raises(ValueError, match="expected 2 at least"):
        judge([[1.0]])


def test_better_is_up_for_accuracy_and_down_for_a_loss() -> None:
    assert differences([0.5, None, 0.5, None], [0.7, 0.5, None, None], "val_accuracy") == [
        pytest.approx(0.2),
        INF,
        -INF,
        0.0,
    ]
    assert differences([0.5], [0.7], "val_loss") == [pytest.approx(-0.2)]


@pytest.mark.parametrize(
    ("overrides", "suggestion", "expected"),
    [
        (["init=zeros"], ["init=he"], ["init=he"]),
        (["init=normal", "init.std=1", "seed=3"], ["init=he"], ["seed=3", "init=he"]),
        (["optimizer.lr=1"], ["optimizer.lr=0.1"], ["optimizer.lr=0.1"]),
        (["optimizer=sgd", "optimizer.lr=1"], ["optimizer=adam"], ["optimizer=adam"]),
        (["+optimizer.lr=1"], ["optimizer.lr=0.1"], ["optimizer.lr=0.1"]),
        (
            ["reg=l2", "reg.l2.strength=3"],
            ["reg=[l2,dropout]"],
            ["reg.l2.strength=3", "reg=[l2,dropout]"],
        ),
        (["reg=l2", "reg.l2.strength=3"], ["reg=none"], ["reg=none"]),
    ],
)
def test_a_suggestion_replaces_what_it_speaks_of(
    overrides: list[str], suggestion: list[str], expected: list[str]
) -> None:
    assert changed(overrides, suggestion) == expected


# --- runs that are ill, and healthy ones ---

CSV = "data=csv data.target=y data.path="

QUICK = {
    "diverged": "data=iris loss=mse optimizer=sgd optimizer.lr=20",
    "learning_rate_too_high": "data=wine optimizer.lr=1",
    "learning_rate_too_low": "data=wine optimizer.lr=1e-6",
    "decayed_schedule": "data=wine scheduler=exponential scheduler.gamma=0.1 optimizer=sgd",
    "too_few_epochs": "data=wine optimizer=sgd trainer.max_epochs=2",
    "under_fitting": "data=circles model.hidden=[] optimizer.lr=0.01",
    "over_regularized": "data=wine reg=l2 reg.l2.strength=300",
    "over_fitting": "data=moons data.rows=80 data.noise=0.4 stopping=none "
    "stopping.restore_best=false trainer.max_epochs=300",
    "symmetric_weights": "data=diabetes init=zeros",
    "vanishing_gradient": "data=wine model.hidden=[32,32,32,32,32,32,32,32] "
    "model.activation=sigmoid init=lecun trainer.max_epochs=15",
    "inputs_not_standardized": "data=wine data.standardize=false",
    "class_imbalance": f"{CSV}rare.csv",
    "target_outlier": f"{CSV}linear_outlier.csv",
    "ordered_rows": f"{CSV}linear_sorted.csv data.split=last",
    "nothing_to_learn": f"{CSV}blobs_permuted.csv",
}
"""A run of its kind by the rule that should speak first."""


def diagnosed(folder: Path, words: str) -> dict[str, Diagnosis]:
    """What the doctor says of the run, in the folder ``folder``."""
    for name in TABLES:
        if f"data.path={name}.csv" in words:
            write_table(folder / f"{name}.csv")
            words = words.replace("data.path=", f"data.path={folder}/")
    config = compose_run([*words.split(), f"seed={SEED}", "device=cpu"], None)
    write_hydra_files(folder / "run", hydra_files(config, plain(config)))
    run_job(stored_job(folder / "run", trust=False, in_sweep=True))
    findings, obstacle = examine(folder / "run", stored(folder / "run"))
    assert obstacle is None
    return diagnose(findings)


@pytest.mark.parametrize(("rule", "words"), QUICK.items(), ids=QUICK)
def test_an_ill_run_is_found(tmp_path: Path, rule: str, words: str) -> None:
    assert next(iter(diagnosed(tmp_path, words)), None) == rule


@pytest.mark.parametrize(
    "words",
    [
        "data=wine",
        "data=breast_cancer loss.class_weight=balanced",
        "data=diabetes reg=l2",
        "data=moons data.noise=0.5 reg=l1",  # the noise is no fault of the penalty
        "data=wine norm=layer optimizer=rmsprop",
        "data=breast_cancer norm=batch optimizer=momentum",
        "data=diabetes norm=batch optimizer=sgd",
    ],
)
def test_a_healthy_run_gets_a_clean_bill(tmp_path: Path, words: str) -> None:
    assert diagnosed(tmp_path, words) == {}


def test_no_run_and_no_table_is_in_both_sets() -> None:
    looked_at, held_out = (
        {words for runs in cases.values() for words in runs} for cases in (DEVELOPMENT, HELD_OUT)
    )
    assert not looked_at & held_out
    sets = [{w.split("data.path=")[1].split()[0] for w in s if "path=" in w} for s in
            (looked_at, held_out)]  # fmt: skip
    assert not sets[0] & sets[1]


def test_a_composed_run_is_what_is_read_back_from_its_folder(tmp_path: Path) -> None:
    words = ["data=wine", "reg=[l2,dropout]", "model.hidden=[3,4]", "seed=2"]
    config = compose_run(words, None)
    expected = stored_as(config)
    write_hydra_files(tmp_path, hydra_files(config, plain(config)))
    assert stored(tmp_path) == expected
    assert expected.overrides == words


def test_the_last_line_of_a_run_says_what_the_doctor_says(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, "data=wine data.standardize=false")
    run = stored(tmp_path / "run")
    assert remarks(tmp_path / "run", run) == ["inputs not standardised; try data.standardize=true"]
    assert found["inputs_not_standardized"].source.startswith("slide 'Data normalisation'")


@pytest.mark.parametrize("words", ["data=iris loss=mse optimizer=sgd optimizer.lr=1e6",
                                   "data=wine optimizer.lr=0.3 init=normal",
                                   "data=diabetes optimizer.lr=30"])  # fmt: skip
def test_a_learning_rate_far_too_high_is_never_answered_by_another_one(
    tmp_path: Path, words: str
) -> None:
    usual = {"sgd": 0.02, "adam": 0.001}["sgd" if "sgd" in words else "adam"]
    found = diagnosed(tmp_path, words)
    rates = [
        float(word.split("=")[1])
        for diagnosis in found.values()
        for suggestion in diagnosis.suggestions
        for word in suggestion.overrides
        if word.startswith("optimizer.lr=")
    ]
    assert rates
    assert set(rates) == {usual}


# --- the command ---


def test_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path / "run", "init=zeros")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert main(["doctor", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "8 epochs (completed), data and layers measured afresh" in said
    assert "symmetry of the initial weights" in said
    assert "before training that of hidden.1, hidden.2 is exactly 0" in said
    assert "try 1   init=he" in said
    assert "explain exprun explain init=he" in said
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_a_healthy_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path / "run", "data=breast_cancer", "trainer.max_epochs=60")
    assert main(["doctor", str(folder)]) == 0
    assert "looks healthy" in capsys.readouterr().out
    assert main(["doctor", str(folder), "--try"]) == 0
    assert main(["doctor", str(folder), "--try", "1"]) == 2
    assert "expected none, it is healthy" in capsys.readouterr().err


def test_a_run_whose_data_are_gone_is_diagnosed_from_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,label\n" + "".join(f"{i},{'xy'[i % 2]}\n" for i in range(60)))
    words = ["data=csv", f"data.path={table}", "data.target=label", "init=zeros"]
    folder = run(tmp_path / "run", *words)
    table.unlink()
    assert main(["doctor", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "the files of the folder alone: data.path=" in said
    assert "symmetry of the initial weights" in said
    assert main(["doctor", str(folder), "--try"]) == 2
    assert "cannot be trained again: data.path=" in capsys.readouterr().err


def test_somebody_elses_code_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(tmp_path / "run", "init=zeros")
    config = folder / ".hydra" / "config.yaml"
    text = config.read_text().replace("exprun.techniques.initializers.constant", "os.system")
    assert "os.system" in text
    config.write_text(text)
    assert main(["doctor", str(folder)]) == 0
    assert "os.system is code of somebody's own" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize("name", ["result.json", "preprocess.json"])
def test_a_damaged_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = run(tmp_path / "run", "trainer.max_epochs=1")
    (folder / name).write_text("{")
    assert main(["doctor", str(folder)]) == 2
    assert f"{name}: is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "the following arguments are required: RUN_OR_SWEEP"),
        (["nowhere"], "nowhere: there is no such folder"),
        ([".."], "is no folder of a run or a sweep"),
        (["nowhere", "--seeds", "1"], "1: expected a whole number of at least 2"),
        (["nowhere", "--try", "0"], "0: expected a whole number of at least 1"),
        (["nowhere", "--tri"], "did you mean --try?"),
    ],
)
def test_mistakes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    error: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", *words]) == 2
    assert error in capsys.readouterr().err


def test_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = run(Path("run"), "data=wine", "init=zeros", "trainer.max_epochs=40")
    assert main(["doctor", "run", "--try", "1", "--seeds", "3"]) == 0
    said = capsys.readouterr().out
    assert "3 of 3 pairs better" in said
    assert re.search(r"95 % \S+ to \S+\); p [=<] \.\d+\n", said)
    assert "so      helped" in said
    (sweep,) = Path("outputs/sweeps").iterdir()
    jobs = json.loads((sweep / "sweep.json").read_text())["jobs"]
    own = [w for w in jobs[0]["overrides"] if not w.startswith(("init", "seed"))]
    changes = [[w for w in job["overrides"] if w not in own] for job in jobs]
    pairs = itertools.product(("zeros", "he"), range(3))
    assert changes == [[f"init={init}", f"seed={seed}"] for init, seed in pairs]
    results = [json.loads((sweep / job["folder"] / "result.json").read_text()) for job in jobs]
    assert {result["status"] for result in results} <= {"completed", "early_stopped"}
    first = json.loads((folder / "result.json").read_text())
    assert results[0]["metrics"] == first["metrics"]  # the run itself, once more
    # the sweep is one like all others: its best job can be diagnosed
    assert main(["doctor", str(sweep)]) == 0
    assert "the best job of the sweep: outputs/sweeps" in capsys.readouterr().out


def test_a_trial_that_cannot_be_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = run(Path("run"), "init=zeros")
    path = folder / ".hydra" / "overrides.yaml"
    path.write_text("- optimizer=gone\n")
    assert main(["doctor", "run", "--try"]) == 2
    assert "gone" in capsys.readouterr().err
    assert not any(Path("outputs/sweeps").iterdir())


def test_what_has_changed_since_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = run(Path("run"), "init=zeros", "trainer.max_epochs=2")
    path = folder / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("lr: 0.001", "lr: 0.002"))
    assert main(["doctor", "run", "--try", "1", "--seeds", "2"]) == 0
    said = capsys.readouterr().err
    assert "optimizer.lr has changed from 0.002 to 0.001" in said


def test_a_sweep_without_a_good_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = run(tmp_path / "0", "optimizer=sgd", "optimizer.lr=1e9", "loss=mse")
    result = json.loads((job / "result.json").read_text())
    jobs = [{"number": 0, "overrides": [], "folder": "0", "status": result["status"], "reason": ""}]
    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": jobs}))
    assert main(["doctor", str(tmp_path)]) == 2
    assert "no job of the sweep ended well" in capsys.readouterr().err
    assert main(["doctor", str(job)]) == 0
    assert "diverged in epoch 1" in capsys.readouterr().out


def test_a_run_that_was_interrupted_before_its_first_epoch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(tmp_path / "run")
    for path in folder.iterdir():
        if path.name != ".hydra":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert main(["doctor", str(folder)]) == 0
    assert "0 epochs (unfinished)" in capsys.readouterr().out


def test_a_word_at_the_end_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data=iris", "model.hidden=[8]", "trainer.max_epochs=8", "device=cpu"]
    assert main([*words, "init=zeros"]) == 0
    said = capsys.readouterr().out
    assert "doctor  symmetry of the initial weights; try init=he" in said
    assert "why     exprun doctor outputs/runs/" in said
    assert main(["data=breast_cancer", "trainer.max_epochs=60", "device=cpu"]) == 0
    assert "doctor" not in capsys.readouterr().out
