"""``exprun compare`` in the terminal: table and sentences, what to run next, what it refuses."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import pytest
from rich.console import Console
from scipy import stats

from exprun.cli import main
from exprun.common.override_value import override_value
from exprun.display.text import wrap
from exprun.sweeps.comparison.compare import compare
from exprun.sweeps.comparison.table import answer as print_answer
from exprun.sweeps.comparison.table import show
from exprun.sweeps.read_results import read_results
from tests.sweeps.made_up import FIGURES, NOISE, answer, of_eight, pair, sweep


def test_what_the_terminal_says(eight: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(eight)]) == 0
    said = capsys.readouterr().out
    assert (
        "adam beats sgd by 0.70 points (95 % 0.34 to 1.05, 8 paired seeds, p = .005 adjusted for "
        "3 pairs; for this split of the data)" in " ".join(said.split())
    )


def test_it_is_said_even_if_it_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def figures(optimizer: str, seed: int) -> dict[str, float]:
        return {"val_accuracy": 0.9 + 0.001 * seed, "test_accuracy": 0.9 + 0.001 * seed}

    folder = sweep(tmp_path / "s", figures, {"optimizer": ["adam", "sgd"], "seed": range(3)})
    (folder / "comparison.json" / "in the way").mkdir(parents=True)
    for words in ([], ["--json"]):
        assert main(["compare", str(folder), *words]) == 1
        said = capsys.readouterr()
        assert "adam" in said.out
        assert len(said.err.splitlines()) == 1
        assert "comparison.json" in said.err


@pytest.mark.parametrize(
    ("shifts", "words"),
    [
        ([0.0] * 6, "adam and sgd are equal in each of the 6 pairs"),
        ([0.01, -0.01] * 3, "adam and sgd are equal on average"),
        ([0.03, -0.01] * 3, "sgd is 1.00 points better than adam"),
    ],
)
def test_a_difference_of_nothing_is_nobodys(
    shifts: list[float], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def figures(optimizer: str, seed: int) -> dict[str, float]:
        value = 0.9 + (shifts[seed] if optimizer == "sgd" else 0.0)
        return {"val_accuracy": value, "test_accuracy": value}

    sweep(tmp_path / "s", figures, {"optimizer": ["adam", "sgd"], "seed": range(6)})
    assert main(["compare", str(tmp_path / "s")]) == 0
    assert f"inconclusive: {words}" in " ".join(capsys.readouterr().out.split())


def test_lower_is_better_for_a_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def figures(optimizer: str, seed: int) -> dict[str, float]:
        value = 1 - FIGURES[optimizer][seed]
        return {"val_loss": value, "test_loss": value}

    sweep(tmp_path / "s", figures, {"optimizer": ["adam", "sgd"], "seed": range(8)})
    found = answer([str(tmp_path / "s")], capsys)
    assert pair(found, "optimizer=adam", "optimizer=sgd")["verdict"] == "better"
    assert main(["compare", str(tmp_path / "s")]) == 0
    assert "adam beats sgd by 0.0070 (95 % 0.0034 to 0.010," in capsys.readouterr().out


def test_many_configurations_get_a_shortlist_and_the_command_that_confirms_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def figures(optimizer: str, optimizer_lr: float, seed: int) -> dict[str, float]:
        number = round(10 * optimizer_lr) + 10 * (optimizer == "adam")
        value = 0.9 + optimizer_lr / 10 + (optimizer == "adam") / 100 + NOISE[number, seed]
        return {"val_accuracy": value, "test_accuracy": value}

    asked = {"optimizer": ["adam", "sgd"], "optimizer.lr": [0.1, 0.2, 0.3, 0.4], "seed": range(5)}
    found = answer([str(sweep(tmp_path / "s", figures, asked))], capsys)
    assert found["pairs"] == []
    assert found["shortlist"][:2] == [
        "optimizer=adam optimizer.lr=0.4",
        "optimizer=sgd optimizer.lr=0.4",
    ]
    confirm, then = found["commands"]
    words = shlex.split(confirm)
    assert words[:2] == ["exprun", "-m"]
    assert "adam_0.4: {optimizer: adam, optimizer.lr: 0.4}" in words[2]
    assert "seed=range(100,110)" in words
    assert then == f"exprun compare {tmp_path}/s_confirm"
    assert found["effects"][0]["factors"] == ["optimizer.lr"]


def test_variants_are_compared_by_their_names_and_asked_for_again(tmp_path: Path) -> None:
    folder = sweep(tmp_path / "s", of_eight, {"optimizer": ["adam", "sgd"], "seed": range(2)})
    content = json.loads((folder / "sweep.json").read_text())
    content["overrides"] = ["seed=0,1"]  # the variants are no overrides of the jobs
    content["batches"][0]["overrides"] = ["seed=0,1"]
    for job in content["jobs"]:
        job["variant"] = "fast" if "optimizer=adam" in job["overrides"] else "slow"
    (folder / "sweep.json").write_text(json.dumps(content))
    found = compare(read_results([folder]), baseline="slow")
    assert [level.name for level in found.levels] == ["fast", "slow"]
    variants = "hydra.sweeper.variants={fast: {optimizer: adam}, slow: {optimizer: sgd}}"
    assert shlex.split(found.commands[0])[2:4] == [variants, "seed=range(2,5)"]


def test_skewed_differences_are_noticed_and_need_their_signs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    carried = [0.02, 0.021, 0.03, 0.15, 0.004, -0.001, -0.002, -0.003, 0.001, -0.004, 0.02, 0.16]

    def figures(reg: str, seed: int) -> dict[str, float]:
        value = 0.8 + (carried[seed] if reg == "l2" else 0)
        return {"val_accuracy": value, "test_accuracy": value}

    folder = sweep(tmp_path / "s", figures, {"reg": ["l2", "none"], "seed": range(12)})
    assert stats.skewtest(carried).pvalue < 0.05
    assert main(["compare", str(folder)]) == 0
    assert "skewed: 8 better, 0 equal, 4 worse" in capsys.readouterr().out
    far = [0.05 + d for d in carried]  # of the same shape, and every seed agrees
    carried[:] = far
    again = sweep(tmp_path / "far", figures, {"reg": ["l2", "none"], "seed": range(12)})
    (one,) = compare(read_results([again])).pairs
    assert (one.skewed, one.verdict) == (True, "better")


def test_a_difference_from_a_run_that_diverged_has_no_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless the worst figure is known, as it is of an accuracy."""

    def figures(optimizer_lr: float, seed: int) -> dict[str, float] | None:
        loss = {0.1: 0.3, 0.2: 3e7}.get(optimizer_lr)
        return loss and {"val_loss": loss, "test_loss": loss + NOISE[0, seed]}

    rates = [0.1, 0.2, 10]
    folder = sweep(tmp_path / "s", figures, {"optimizer.lr": rates, "seed": range(5)})
    found = answer([str(folder)], capsys)
    one = pair(found, "optimizer.lr=0.1", "optimizer.lr=10")
    assert (one["verdict"], one["low"], one["high"]) == ("better", None, None)
    assert main(["compare", str(folder)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "0.1 beats 10 (5 paired seeds, 5 better, 0 equal, 0 worse, p < .001 adjusted" in said


@pytest.mark.parametrize(("seeds", "more"), [(1, 4), (2, 3)])
def test_few_seeds_say_nothing(
    seeds: int, more: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep(tmp_path / "s", of_eight, {"optimizer": [*FIGURES], "seed": range(seeds)})
    found = answer([str(folder)], capsys)
    assert {one["verdict"] for one in found["pairs"]} == {"not_comparable"}
    assert {one["more_seeds"] for one in found["pairs"]} == {more}
    assert f"seed=range({seeds},5)" in shlex.split(found["commands"][0])


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["nowhere"], "nowhere: there is no such folder"),
        (["."], "is no folder of a sweep; did you mean eight?"),
        (["eight/000"], "is no folder of a sweep; did you mean eight?"),
        (["eight", "--by", "optimiser"], "did you mean optimizer? (expected optimizer)"),
        (["eight", "--by", "reg"], "--by reg: does not vary in this sweep (expected optimizer)"),
        (["eight", "--by", "seed"], "--by seed: makes repetitions, which are not compared (expec"),
        (["eight", "--metric", "test_acuracy"], "did you mean test_accuracy? (expected val_acc"),
        (["eight", "--baseline", "optimizer=adm"], "did you mean adam? (expected adam, sgd, rms"),
        (["eight", "--baseline", "optimizer"], "expected key=value, like optimizer=sgd"),
        (["eight", "--by", ""], "--by : expected some keys, like optimizer,reg"),
        (
            ["eight", "--baseline", "optimizer=sgd,optimizer=adam"],
            "--baseline: optimizer twice; expected one value of each key",
        ),
        (["eight", "--delta", "0"], "exprun: --delta 0: expected a number > 0"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    words: list[str],
    error: str,
    eight: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(eight.parent)
    before = sorted(eight.iterdir())
    assert main(["compare", *words]) == 2
    said = capsys.readouterr().err
    assert error in said
    assert said.count("\n") == 1
    assert sorted(eight.iterdir()) == before


@pytest.mark.parametrize(
    ("folder", "seeds", "method"),
    [("s", "range(3)", "planned"), ("my 'sweeps'/a=1 (b), c", "4", "fixed")],
)
def test_the_end_of_a_sweep_is_the_answer_and_what_it_prints_works(
    folder: str,
    seeds: str,
    method: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Copied into a shell, wherever the sweep is, it adds the seeds to it."""
    monkeypatch.chdir(tmp_path)
    words = [f"hydra.sweep.dir={override_value(folder)}", "data=iris", "trainer.max_epochs=1"]
    assert main(["-m", *words, "optimizer=sgd,adam", f"seed={seeds}"]) == 0
    said = capfd.readouterr().out
    asked = json.loads((tmp_path / folder / "comparison.json").read_text())
    assert (tmp_path / folder / "configurations.csv").is_file()
    assert "\nanswer  optimizer=" in said or seeds == "4"
    (command,) = asked["commands"]
    assert f" {command}\n" in said
    assert main(shlex.split(command)[1:]) == 0
    found = json.loads((tmp_path / folder / "comparison.json").read_text())
    assert found["sweeps"] == [folder]
    assert found["pairs"][0]["method"] == method
    assert found["pairs"][0]["n"] == asked["pairs"][0]["n"] + asked["pairs"][0]["more_seeds"]


def shown(words: list[str], width: int) -> str:
    """What a terminal of so many columns shows."""
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False
    )
    results = read_results([Path(words[0])])
    show(compare(results, words[1:]), console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


LONG = "/home/someone/experiments/with/a/long/name/of/a/folder/and/a/file-of-2026-11-27.csv"


@pytest.mark.parametrize(
    ("asked", "row"),
    [
        ({"optimizer": ["rmsprop", "adam"]}, "optimizer=rmsprop  3 "),
        (
            {"optimizer": ["rmsprop", "adam"], "optimizer.lr": [0.001]},  # the key is not shown
            "optimizer=rmsprop  3 ",
        ),
        (
            {"optimizer": ["rmsprop", "adam"], "optimizer.lr": [0.001, 0.01]},
            "optimizer=rmsprop lr=0.001  3 ",
        ),
        (
            {"optimizer": ["rmsprop", "sgd"], "model.hidden": ["[256,128]", "[64]"]},
            "optimizer=rmsprop hidden=[256,128]  3 ",
        ),
        (
            {"optimizer.lr": [0.001, 0.01], "scheduler.lr": [0.1], "model.hidden": ["[9]", "[8]"]},
            "optimizer.lr=0.001 model.hidden=[9]  3 ",
        ),
        (
            {"optimizer.lr": [0.001, 0.01], "problem.lr": [0.1, 1], "reg": ["none", "l2"]},
            "optimizer.lr=0.001 problem.lr=0.1 reg=none  3 ",
        ),
    ],
)
def test_names_are_shortened_by_their_keys_and_broken_between_words(
    asked: dict[str, list[object]], row: str, tmp_path: Path
) -> None:
    def figures(**values: object) -> dict[str, float]:
        row = sum(map(ord, str({**values, "seed": None}))) % len(NOISE)
        value = 0.9 + NOISE[row, int(str(values["seed"]))]
        return {"val_loss": 1 - value, "test_accuracy": value}

    folder = sweep(tmp_path / "s", figures, asked | {"seed": range(3)})
    text = shown([str(folder)], 80)
    table = text.partition("best by")[0]
    assert max(map(len, table.splitlines())) <= 80
    values = {str(value) for values in asked.values() if len(values) > 1 for value in values}
    words = {word.rpartition("=")[2] for word in table.split()}
    assert values <= words, "a value is cut"
    assert row in table


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_value_that_is_longer_than_the_terminal_is_whole(width: int, tmp_path: Path) -> None:
    def figures(data_path: str, optimizer: str, seed: int) -> dict[str, float]:
        return of_eight("adam", seed)

    asked = {"optimizer": ["adam", "sgd"], "data.path": [LONG, "b.csv"], "seed": range(3)}
    folder = sweep(tmp_path / "s", figures, asked)
    text = shown([str(folder), "optimizer", "data.path"], width)
    assert text.count(LONG) >= 2
    heading = next(line for line in text.splitlines() if line.split()[:1] == ["n"])
    rows = [line for line in text.splitlines() if len(line) == len(heading) and " – " in line]
    assert len(rows) == 4  # the figures of each level, all below their heading


def test_a_line_is_broken_between_words_and_not_within_a_figure() -> None:
    text = "a is 0.70 points better (95 % 0.34 to 1.05, p = .005, p < .001) within ± 0.5"
    for width in range(1, 80):
        lines = wrap(text, width)
        assert " ".join(lines) == text
        assert all(len(line) <= width or " " not in line.strip("p=<±% ") for line in lines)
        for whole in ("p = .005,", "p < .001)", "± 0.5", "(95 %"):
            assert any(whole in line for line in lines), (width, whole)


def said_of(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["compare", str(folder), *words]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_a_margin_has_the_unit_of_the_difference(
    eight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = said_of(eight, capsys, "--delta", "0.004")
    assert "are practically equal, within ± 0.40 points (95 % -" in said
    assert "p = .003 adjusted for 3 pairs, two one-sided tests; for this split" in said
    again = said_of(eight, capsys, "--delta", "0.00001")
    assert "for intervals ± 0.0010 points" in again


def test_an_interval_that_p_does_not_bear_out_stands_beside_the_p_that_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shifts = {
        "a": [0.0] * 5,
        "b": [0.01, 0.02, 0.0, 0.02, 0.01],
        "c": [0.01, -0.01, 0, 0.03, -0.02],
    }

    def figures(reg: str, seed: int) -> dict[str, float]:
        value = 0.9 + shifts[reg][seed]
        return {"val_accuracy": value, "test_accuracy": value}

    folder = sweep(tmp_path / "s", figures, {"reg": [*shifts], "seed": range(5)})
    alone = stats.ttest_1samp(shifts["b"], 0).pvalue
    assert alone < 0.05 < 3 * alone
    words = f"p = {3 * alone:.3f} adjusted for 3 pairs, p = {alone:.3f} alone".replace("0.", ".")
    assert words in said_of(folder, capsys)


def test_a_p_of_the_first_seeds_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def figures(optimizer: str, seed: int) -> dict[str, float]:
        shift = 0.01 if optimizer == "adam" else 0
        value = 0.9 + shift * (seed < 5 or seed % 3) + NOISE[0, seed] / 4 * (optimizer == "adam")
        return {"val_accuracy": value, "test_accuracy": value}

    factor = {"optimizer": ["adam", "sgd"]}
    first = sweep(tmp_path / "a", figures, {**factor, "seed": range(5)})
    later = "2999-01-01T00:00:00.000+00:00"
    second = sweep(tmp_path / "b", figures, {**factor, "seed": range(5, 8)}, at=later)
    (one,) = compare(read_results([first])).pairs
    (both,) = compare(read_results([first, second])).pairs
    assert (both.n, both.by_first, both.p) == (8, True, one.p)
    capsys.readouterr()
    assert main(["compare", str(first), str(second)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "8 paired seeds, p " in said
    assert ", by the first 5 of them; for this split" in said


@pytest.mark.parametrize("metric", ["test_accuracy", "test_loss"])
def test_the_counts_are_those_of_the_one_that_is_named_first(
    metric: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever has the higher figures, and whether these are better or worse."""
    names = [f"data{i}" for i in range(7)]

    def figures(data: str, reg: str, seed: int) -> dict[str, float]:
        better = (data == "data0") if reg == "l1" else (data != "data0")
        value = 0.5 + 0.1 * better
        return {
            "val_accuracy": 0.9 if reg == "l1" else 0.8,
            metric: value if "acc" in metric else 1 - value,
        }

    folder = sweep(tmp_path / "s", figures, {"data": names, "reg": ["l1", "l2"], "seed": range(3)})
    said = said_of(folder, capsys, "--metric", metric)
    assert "l2 is " in said
    assert "better than l1 (mean of 7 data sets, 6 better, 0 equal, 1 worse" in said


def test_runs_that_all_diverged_have_no_figure_and_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def figures(optimizer_lr: float, seed: int) -> dict[str, float] | None:
        value = 0.4 + NOISE[0, seed]
        return None if optimizer_lr > 1 else {"val_loss": 1 - value, "test_r2": value}

    folder = sweep(tmp_path / "s", figures, {"optimizer.lr": [0.1, 10], "seed": range(5)})
    text = shown([str(folder)], 80)
    row = next(line for line in text.splitlines() if line.startswith("optimizer.lr=10"))
    assert row.split() == ["optimizer.lr=10", "5", "5", "-", "-", "-"]
    assert "0.1 beats 10 (5 paired seeds, 5 better" in " ".join(text.split())
    assert "counted as test_r2 0, the worst" in " ".join(text.split())
    console = Console(file=io.StringIO(), width=100, color_system=None)
    print_answer(compare(read_results([folder])), "s", console)
    ended = console.file.getvalue()  # type: ignore[attr-defined]
    assert "answer  every run of optimizer.lr=10 diverged" in ended
    assert "told apart" not in ended


def test_a_test_function_has_a_best_and_no_verdict(tmp_path: Path) -> None:
    folder = sweep(
        tmp_path / "s", lambda optimizer: {"f": len(optimizer) / 8}, {"optimizer": ["sgd", "adam"]}
    )
    text = shown([str(folder)], 80)
    assert "answer  optimizer=sgd is best, f 0.3750; there is no chance in it" in text
    assert "not comparable" not in text


def test_of_many_the_factors_are_compared_with_their_sizes(tmp_path: Path) -> None:
    def figures(optimizer: str, optimizer_lr: float, seed: int) -> dict[str, float]:
        row = round(optimizer_lr * 10) + 5 * (optimizer == "adam")
        value = 0.9 + (optimizer == "adam") / 50 + NOISE[row, seed] / 9
        return {"val_accuracy": value, "test_accuracy": value}

    asked = {"optimizer": ["adam", "sgd"], "optimizer.lr": [0.1, 0.2, 0.3, 0.4], "seed": range(5)}
    text = " ".join(shown([str(sweep(tmp_path / "s", figures, asked))], 100).split())
    assert "answer by optimizer, optimizer.lr tuned for each: adam beats sgd by " in text
    assert "fresh seeds tell" in text


def test_factors_may_be_named_one_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def figures(optimizer: str, reg: str, model_hidden: str, seed: int) -> dict[str, float]:
        value = 0.9 + NOISE[len(optimizer) + len(reg) + len(model_hidden), seed]
        return {"val_accuracy": value, "test_accuracy": value}

    asked = {"optimizer": ["sgd", "adam"], "reg": ["none", "l2"], "model.hidden": ["[8]", "[16]"]}
    folder = str(sweep(tmp_path / "s", figures, {**asked, "seed": range(5)}))
    together = answer([folder, "--by", "optimizer,reg"], capsys)
    assert answer([folder, "--by", "optimizer", "--by", "reg"], capsys) == together
    assert answer([folder, "--by", "reg"], capsys) != together


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("compare", "one run cannot be compared with anything"),
        ("report", "its curves are shown by exprun plot '{run}'"),
        ("watch", "its curves are shown by exprun plot '{run}'"),
    ],
)
def test_a_single_run_is_no_sweep(
    command: str, instead: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "a run"
    run.mkdir()
    (run / "result.json").write_text("{}")
    assert main([command, str(run)]) == 2
    assert f"it is a single run's: {instead.format(run=run)}; expected" in capsys.readouterr().err
