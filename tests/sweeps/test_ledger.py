"""A sweep is what was asked for (``configs.jsonl``), and what its folders hold."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from exprun.cli import main
from exprun.common.errors import UsageError
from exprun.record.identity import identity
from exprun.sweeps import ledger
from tests.command import EXPRUN
from tests.commands.test_resume import wait_until

SMALL = ["data=iris", "model.hidden=[4]", "trainer.max_epochs=2", "device=cpu"]


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def folders(sweep: Path) -> list[Path]:
    jobs = json.loads((sweep / "sweep.json").read_text())["jobs"]
    return [sweep / job["folder"] for job in jobs]


def result_of(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def board(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


# ------------------------------------------------------------------------------ what is asked


@pytest.mark.parametrize("launcher", ["basic", "stacked"])
def test_what_a_sweep_does_is_fixed_when_it_is_asked_for(launcher: str, tmp_path: Path) -> None:
    """Its preset is damaged as soon as the sweep has begun, which is then interrupted and resumed:
    all jobs are trained by what the preset said at first."""
    preset = tmp_path / "conf" / "experiment" / "mine.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text("# @package _global_\noptimizer: {lr: 0.05}\ntrainer: {max_epochs: 40}\n")
    words = ["--config-dir", "conf", "-m", f"hydra/launcher={launcher}", "experiment=mine"]
    words = [*words, *SMALL[:2], "stopping=none", "seed=range(4)", "hydra.sweep.dir=sweep"]
    sweep = tmp_path / "sweep"
    with subprocess.Popen([*EXPRUN, *words], stdout=subprocess.PIPE) as process:
        wait_until((sweep / "sweep.json").exists, process)
        preset.write_text("optimizer: {lr: [\n")
        wait_until(lambda: any(sweep.glob("000_*/metrics.csv")), process)
        process.send_signal(signal.SIGINT)
        process.communicate()
    shutil.rmtree(folders(sweep)[3], ignore_errors=True)
    assert main(["resume", "sweep"]) == 0
    for folder in folders(sweep):
        assert result_of(folder)["epochs"] == 40
        assert OmegaConf.load(folder / ".hydra" / "config.yaml").optimizer.lr == 0.05
        rows = csv.DictReader((folder / "metrics.csv").read_text().splitlines())
        assert {row["lr"] for row in rows} == {"0.05"}


OF_THE_ENVIRONMENT = 'optimizer.lr="${oc.decode:${oc.env:EXPRUN_TEST_LR,0.5}}"'


@pytest.mark.parametrize("words", [[], ["-m"], ["-m", "hydra/launcher=stacked"]], ids=" ".join)
def test_what_the_environment_said_is_written_down(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPRUN_TEST_LR", "0.02")
    where = "hydra.sweep.dir=asked" if words else "hydra.run.dir=asked"
    assert main([*words, *SMALL, OF_THE_ENVIRONMENT, where]) == 0
    monkeypatch.delenv("EXPRUN_TEST_LR")
    (folder,) = folders(Path("asked")) if words else [Path("asked")]
    before = result_of(folder)["metrics"]
    config = (folder / ".hydra" / "config.yaml").read_text()
    assert "${" not in config
    assert "lr: 0.02\n" in config
    assert OF_THE_ENVIRONMENT in result_of(folder)["overrides"]
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "checkpoints")
    assert main(["resume", "asked"]) == 0
    assert result_of(folder)["metrics"] == before


def test_hydras_own_interpolations_are_of_the_job() -> None:
    words = ["-m", *SMALL, "seed=${hydra:job.num}", "optimizer=sgd,adam", "hydra.sweep.dir=sweep"]
    assert main(words) == 0
    configs = [OmegaConf.load(f / ".hydra" / "config.yaml") for f in folders(Path("sweep"))]
    assert [config.seed for config in configs] == [0, 1]


@pytest.mark.parametrize("words", [[], ["-m"]])
@pytest.mark.parametrize("subdir", ["null", "config"])
def test_a_run_whose_config_would_not_be_found_is_refused(
    subdir: str, words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main([*words, f"hydra.output_subdir={subdir}"]) == 2
    assert f"hydra.output_subdir={subdir}: " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_any_folders_that_differ_will_do() -> None:
    words = ["-m", *SMALL, "seed=0,1", "hydra.sweep.subdir=${hydra.job.override_dirname}"]
    assert main([*words, "hydra.sweep.dir=sweep"]) == 0
    assert [folder.name.split(",")[-2] for folder in folders(Path("sweep"))] == ["seed=0", "seed=1"]


@pytest.mark.parametrize(
    ("subdir", "message"),
    [
        ("a", "jobs 0 and 1 would share the folder a"),
        ("${seed}", "jobs 0 and 2 would share the folder 0"),
        (".", "job 0 would have the sweep's own folder"),
    ],
)
def test_folders_that_jobs_would_share(
    subdir: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    words = ["-m", *SMALL, "optimizer=sgd,adam", "seed=0,1", f"hydra.sweep.subdir={subdir}"]
    assert main([*words, "hydra.sweep.dir=mine"]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]
    assert main(words) == 2
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


def test_a_job_that_is_wrong_leaves_nothing(tmp_path: Path) -> None:
    assert main(["-m", *SMALL, "optimizer.lr=0.1,-1"]) == 2
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------ what is there

DAMAGES = {
    "deleted": None,
    "truncated": '{\n  "status": "comp',
    "empty": "",
    "not text": b"\xff\xfe\x00",
    "a list": "[]",
    "without metrics": '{"status": "completed"}',
}


@pytest.mark.parametrize("launcher", ["basic", "stacked"])
def test_a_job_without_a_result_is_asked_for_again(
    launcher: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether it was deleted, or is damaged, or the whole folder is gone."""
    words = ["-m", f"hydra/launcher={launcher}", *SMALL, "seed=range(8)", "hydra.sweep.dir=sweep"]
    assert main(words) == 0
    sweep = Path("sweep")
    asked, expected = (sweep / "sweep.json").read_bytes(), board(sweep)
    first, last, *lost = folders(sweep)
    results = [result_of(folder) for folder in lost]
    for folder, damage in zip(lost, DAMAGES.values(), strict=True):
        if damage is None:
            (folder / "result.json").unlink()
        else:
            content = damage if isinstance(damage, bytes) else damage.encode()
            (folder / "result.json").write_bytes(content)
    shutil.rmtree(last)
    before = (first / "result.json").read_bytes(), (first / "result.json").stat().st_mtime_ns
    capsys.readouterr()

    rows = ledger.ranked(sweep)
    assert [row["status"] for row in rows] == ["completed"] + ["pending"] * 7
    assert main(["doctor", "sweep"]) == 0
    said = capsys.readouterr().out
    assert f"the best job of the sweep: {first}" in said
    assert "jobs without a result, not looked at: 7 (exprun resume" in said
    assert main(["resume", "sweep"]) == 0
    said = capsys.readouterr()
    assert said.err.count("result.json: is damaged") == 5
    assert said.err.count("\n") == 5
    assert "jobs    8: 8 completed" in said.out
    assert "1/8 [" not in said.out
    assert "2/8 [" in said.out
    assert "8/8 [" in said.out
    assert board(sweep) == expected
    assert [result_of(folder)["metrics"] for folder in lost] == [r["metrics"] for r in results]
    after = (first / "result.json").read_bytes(), (first / "result.json").stat().st_mtime_ns
    assert after == before
    assert (sweep / "sweep.json").read_bytes() == asked
    assert main(["resume", "sweep"]) == 0
    assert "nothing was left to be done" in capsys.readouterr().out


def test_a_single_run_with_a_damaged_result_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "hydra.run.dir=run"]) == 0
    before = result_of(Path("run"))
    Path("run/result.json").write_text('{"status": "comp')
    assert main(["resume", "run"]) == 0
    assert "run/result.json: is damaged" in capsys.readouterr().err
    assert result_of(Path("run"))["metrics"] == before["metrics"]


def test_configs_are_found_by_their_number(tmp_path: Path) -> None:
    texts = [{"config": f"a: {n}\nb: ünï\n", "overrides": "[]\n" * n} for n in range(5)]
    configs = ledger.Configs(tmp_path)
    with configs.writing(0) as write:
        for files in texts[:3]:
            write(files)
    with configs.path.open("ab") as file:
        file.write(b'{"config": "torn')  # by a process that was killed while it wrote
    again = ledger.Configs(tmp_path)
    with again.writing(3) as write:
        for files in texts[3:]:
            write(files)
    assert [ledger.Configs(tmp_path).files(number) for number in range(5)] == texts
    assert [again.files(number) for number in range(5)] == texts
    with pytest.raises(UsageError, match=r"configs\.jsonl: job 5 cannot be read"):
        again.files(5)
    os.truncate(configs.path, 10)
    with pytest.raises(UsageError, match=r"configs\.jsonl: job 0 cannot be read"):
        ledger.Configs(tmp_path).files(0)


def test_progress_counts_what_has_come_to_its_end() -> None:
    words = [["a=1", "seed=0"], ["a=1", "seed=1"], ["a=1", "seed=2"]]
    progress = ledger.Progress([{"overrides": own} for own in words], done=1)
    said = [
        progress.note({"status": status, "overrides": own})
        for status, own in zip(("interrupted", "failed", "completed"), words, strict=True)
    ]
    assert said == [("1/3", "seed=0"), ("2/3", "seed=1"), ("3/3", "seed=2")]


def test_jobs_of_a_sweeper_that_decides_as_it_goes(tmp_path: Path) -> None:
    """It asks for two jobs, and then for two more; all are in ``sweep.json``, and one whose folder
    is lost comes again."""
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "asks.py").write_text(
        "from hydra.plugins.sweeper import Sweeper\n"
        "from hydra.core.plugins import Plugins\n"
        "class Asks(Sweeper):\n"
        "    def setup(self, *, hydra_context, task_function, config):\n"
        "        self.launcher = Plugins.instance().instantiate_launcher(\n"
        "            hydra_context=hydra_context, task_function=task_function, config=config)\n"
        "    def sweep(self, arguments):\n"
        "        for first in (0, 2):\n"
        "            jobs = [[*arguments, f'seed={n}'] for n in (first, first + 1)]\n"
        "            self.launcher.launch(jobs, first)\n"
    )
    (tmp_path / "conf" / "hydra" / "sweeper").mkdir(parents=True)
    (tmp_path / "conf" / "hydra" / "sweeper" / "asks.yaml").write_text(
        "_target_: hydra_plugins.asks.Asks\n"
    )
    words = ["--config-dir", "conf", "-m", "hydra/sweeper=asks", *SMALL, "hydra.sweep.dir=sweep"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*EXPRUN, *words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "4/4 [" in done.stdout
    assert [result_of(folder)["seed"] for folder in folders(Path("sweep"))] == [0, 1, 2, 3]
    shutil.rmtree(folders(Path("sweep"))[2])
    assert main(["resume", "sweep"]) == 0
    assert result_of(folders(Path("sweep"))[2])["seed"] == 2


# ------------------------------------------------------------------------------ names, equal jobs


def names(sweep: Path) -> list[str]:
    return [folder.name for folder in folders(sweep)]


def asked_of(sweep: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((sweep / "sweep.json").read_text())
    return content


def test_names_say_what_differs_in_the_order_asked() -> None:
    words = ["-m", "seed=0,1", *SMALL, "optimizer=adam,sgd", "hydra.sweep.dir=sweep"]
    assert main(words) == 0
    assert names(Path("sweep")) == [
        "000_seed=0,optimizer=adam",
        "001_seed=0,optimizer=sgd",
        "002_seed=1,optimizer=adam",
        "003_seed=1,optimizer=sgd",
    ]
    assert [result_of(folder)["seed"] for folder in folders(Path("sweep"))] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("number", "jobs", "name"),
    [(7, 8, "007_a=1"), (7, 1000, "007_a=1"), (7, 1001, "0007_a=1"), (4095, 4096, "4095_a=1")],
)
def test_names_are_in_the_order_of_numbers(number: int, jobs: int, name: str) -> None:
    assert ledger.job_name(number, ["a=1"], jobs) == name


CONDITIONAL = {
    "an option's own keys": (
        ["reg=none,l2", "reg.l2.strength=0.1,1"],
        [["reg=none"], ["reg=l2", "reg.l2.strength=0.1"], ["reg=l2", "reg.l2.strength=1"]],
    ),
    "whatever the order": (
        ["optimizer.rho=0.5,0.9", "optimizer=sgd,adadelta"],
        [
            ["optimizer=sgd"],
            ["optimizer.rho=0.5", "optimizer=adadelta"],
            ["optimizer.rho=0.9", "optimizer=adadelta"],
        ],
    ),
    "lists of options": (
        ["reg=none,[l2,dropout]", "reg.l2.strength=0.1,1", "reg.dropout.p=0.1,0.1"],
        [
            ["reg=none"],
            ["reg=[l2,dropout]", "reg.l2.strength=0.1", "reg.dropout.p=0.1"],
            ["reg=[l2,dropout]", "reg.l2.strength=1", "reg.dropout.p=0.1"],
        ],
    ),
    "a single value of one": (
        ["reg=none,l2", "reg.l2.strength=0.1"],
        [["reg=none"], ["reg=l2", "reg.l2.strength=0.1"]],
    ),
    "equal values written in two ways": (["seed=1,2,1", "optimizer.lr=0.01,1e-2"], None),
}


@pytest.mark.parametrize("words", CONDITIONAL)
def test_what_a_job_has_not_got_is_left_out_and_equal_jobs_run_once(words: str) -> None:
    given, expected = CONDITIONAL[words]
    assert main(["-m", *SMALL, *given, "hydra.sweep.dir=sweep"]) == 0
    jobs = asked_of(Path("sweep"))["jobs"]
    assert [job["number"] for job in jobs] == list(range(len(jobs)))
    asked = [[word for word in job["overrides"] if word not in SMALL] for job in jobs]
    assert asked == (expected or [["seed=1", "optimizer.lr=0.01"], ["seed=2", "optimizer.lr=0.01"]])
    assert asked_of(Path("sweep"))["overrides"] == [*SMALL, *given]
    assert all(result_of(folder)["status"] == "completed" for folder in folders(Path("sweep")))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reg=none,l1", "reg.l2.strength=0.1,1"], "reg.l2.strength: reg=l2 is not chosen"),
        (["reg=none,l1", "reg.l2.strength=0.1"], "reg.l2.strength: reg=l2 is not chosen"),
        (["reg=none,l2", "reg.l2.strength=-1"], "reg.l2.strength=-1: expected"),
        (
            ["reg=none,l2", "reg.l2.strength=1,2", "reg.l2.strengt=2,3"],
            "reg.l2.strengt: no such key",
        ),
        (["reg=none,l2", "reg.l2.strength=1,2", "optimizer.lrr=1,2"], "optimizer.lrr: no such key"),
        (["optimizer=sgd,adam", "optimizer.rho=0.9,1"], "optimizer.rho: no such key"),
    ],
)
def test_a_key_that_no_job_has_is_a_mistake(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["-m", *SMALL, *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"exprun: {message}")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_job_is_its_config_its_data_and_the_version(tmp_path: Path) -> None:
    table = "a,b,label\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(60))
    for name in ("one.csv", "two.csv"):
        Path(name).write_text(table)
    Path("other.csv").write_text(table.replace("59,3,1", "59,3,0"))
    data = {"path": "one.csv", "test_path": None, "scaling": "auto"}
    config = {"seed": 1, "data": data, "problem": {"_target_": "x"}}
    same = identity(config)
    assert identity(config | {"data": data | {"path": str(tmp_path / "two.csv")}}) == same
    changed = [
        config | {"seed": 2},
        config | {"data": data | {"path": "other.csv"}},
        config | {"data": data | {"path": "missing.csv"}},
        config | {"data": data | {"path": "missing_too.csv"}},
        config | {"data": data | {"test_path": "one.csv"}},
        config | {"data": data | {"scaling": "none"}},
    ]
    found = [identity(one) for one in changed]
    found.append(identity(config, version="0.0.1"))
    Path("one.csv").write_text(Path("other.csv").read_text())
    assert identity(config) == found[1]
    assert len({same, *found}) == 8
    idx = tmp_path / "idx"
    idx.mkdir()
    (idx / "train-images-idx3-ubyte").write_bytes(b"1")
    of_idx = config | {"data": {"path": "idx"}}
    before = identity(of_idx)
    (idx / "notes.txt").write_text("of no matter")
    assert identity(of_idx) == before
    (idx / "train-images-idx3-ubyte").write_bytes(b"2")
    assert identity(of_idx) != before
