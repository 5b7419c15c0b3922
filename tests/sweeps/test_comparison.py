"""``exprun compare``: what is read from sweeps' folders, and what is said of it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import exprun
from exprun.cli import main
from exprun.sweeps.comparison.compare import compare
from exprun.sweeps.read_results import read_results
from exprun.sweeps.resolved_values import ResolvedValues
from tests.sweeps.made_up import FIGURES, NOISE, answer, of_eight, pair, sweep


def test_all_pairs_of_few_configurations(eight: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer([str(eight)], capsys)
    better = pair(found, "optimizer=adam", "optimizer=sgd")
    test = stats.ttest_rel(FIGURES["adam"], FIGURES["sgd"])
    interval = test.confidence_interval(0.95)
    assert better["verdict"] == "better"
    assert better["difference"] == pytest.approx(0.00695)
    assert (better["low"], better["high"]) == pytest.approx((interval.low, interval.high))
    assert better["p"] == pytest.approx(test.pvalue)
    assert better["p_adjusted"] == pytest.approx(0.0045781016)
    assert better["p_wilcoxon"] == 2 / 256
    assert (better["wins"], better["ties"], better["losses"]) in {(8, 0, 0), (0, 0, 8)}
    assert pair(found, "optimizer=adam", "optimizer=rmsprop")["verdict"] == "inconclusive"
    best, *_ = found["configurations"]
    interval = stats.ttest_1samp(FIGURES["adam"], 0).confidence_interval(0.95)
    assert best["overrides"] == ["optimizer=adam"]
    assert (best["n"], best["diverged"]) == (8, 0)
    assert (best["low"], best["high"]) == pytest.approx((interval.low, interval.high))
    assert json.loads((eight / "comparison.json").read_text()) == found


@pytest.mark.parametrize(
    ("metric", "ends"), [("test_accuracy", (None, 1.0)), ("test_loss", (None, None))]
)
def test_intervals_of_shares_of_rows_end_at_0_and_1(
    metric: str, ends: tuple[None, float | None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the file, the table and the report alike: Student's t knows of no such ends."""
    figures = {"adam": [0.94, 1.0, 1.0], "sgd": [0.2, 0.3, 0.2]}
    folder = sweep(
        tmp_path / "sweep",
        lambda optimizer, seed: {metric: figures[optimizer][seed], "val_loss": 0.1},
        {"optimizer": [*figures], "seed": range(3)},
    )
    found = answer([str(folder), "--metric", metric], capsys)
    (adam,) = (one for one in found["configurations"] if one["name"] == "optimizer=adam")
    interval = stats.ttest_1samp(figures["adam"], 0).confidence_interval(0.95)
    assert interval.high > 1
    assert adam["low"] == pytest.approx(interval.low)
    assert adam["high"] == pytest.approx(ends[1] or interval.high)


def test_equivalence_is_asked_for_with_delta(
    eight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer([str(eight), "--delta", "0.004"], capsys)
    equal = pair(found, "optimizer=adam", "optimizer=rmsprop")
    assert equal["verdict"] == "practically_equal"
    assert equal["p_equal"] == pytest.approx(3 * 0.0010198353)
    assert sum(equal["chances"]) == pytest.approx(1)
    assert pair(found, "optimizer=adam", "optimizer=sgd")["verdict"] == "better"


def test_a_baseline_is_compared_with_all_others_and_nothing_else(
    eight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer([str(eight), "--baseline", "optimizer=sgd"], capsys)
    assert [one["b"] for one in found["pairs"]] == ["optimizer=sgd"] * 2
    raw = [stats.ttest_rel(FIGURES[name], FIGURES["sgd"]).pvalue for name in ("adam", "rmsprop")]
    assert [one["p"] for one in found["pairs"]] == pytest.approx(raw)
    adjusted = [raw[0], 2 * raw[1]]  # the larger of the two, and twice the smaller
    assert [one["p_adjusted"] for one in found["pairs"]] == pytest.approx(adjusted)


def test_accuracies_are_counts_of_rows(tmp_path: Path) -> None:
    right = {"a": [97, 95, 96, 99, 90], "b": [96, 94, 95, 98, 89]}

    def figures(reg: str, seed: int) -> dict[str, float]:
        return {"val_accuracy": right[reg][seed] / 103, "test_accuracy": right[reg][seed] / 103}

    sweep(tmp_path / "s", figures, {"reg": ["a", "b"], "seed": range(5)})
    (one,) = compare(read_results([tmp_path / "s"])).pairs
    assert one.p == 2 / 2**5  # the same number of rows five times: signs, no spread of decimals
    assert one.verdict == "inconclusive"


def test_a_factor_is_compared_with_the_others_tuned_on_other_seeds(tmp_path: Path) -> None:
    values = {
        ("adam", 0.1): ([0.90, 0.80, 0.80, 0.80], [0.50, 0.51, 0.52, 0.53]),
        ("adam", 0.2): ([0.82, 0.82, 0.82, 0.82], [0.60, 0.61, 0.62, 0.63]),
        ("sgd", 0.1): ([0.70] * 4, [0.40, 0.43, 0.41, 0.44]),
    }

    def figures(optimizer: str, optimizer_lr: float, seed: int) -> dict[str, float] | None:
        if (optimizer, optimizer_lr) not in values:
            return None
        validation, test = values[optimizer, optimizer_lr]
        return {"val_accuracy": validation[seed], "test_accuracy": test[seed]}

    asked = {"optimizer": ["adam", "sgd"], "optimizer.lr": [0.1, 0.2], "seed": range(4)}
    found = compare(read_results([sweep(tmp_path / "s", figures, asked)]), ["optimizer"])
    adam = next(level for level in found.levels if level.name == "optimizer=adam")
    # at seed 0 the others say lr=.2 is best; at seeds 1 to 3 seed 0 makes lr=.1 best
    assert list(adam.figures.values()) == [0.60, 0.51, 0.52, 0.53]
    assert "optimizer.lr tuned for each by val_accuracy on the other seeds" in found.notes[-1]
    assert "4 of optimizer=sgd" in found.notes[0]


def test_unequal_tuning_is_said_with_the_expected_best(tmp_path: Path) -> None:
    first = sweep(
        tmp_path / "a",
        lambda optimizer, optimizer_lr, seed: dict.fromkeys(
            ("val_accuracy", "test_accuracy"), 0.9 + optimizer_lr / 100 + NOISE[0, seed]
        ),
        {"optimizer": ["adam"], "optimizer.lr": [1, 2, 3], "seed": range(4)},
    )
    second = sweep(
        tmp_path / "b",
        lambda optimizer, optimizer_lr, seed: dict.fromkeys(
            ("val_accuracy", "test_accuracy"), 0.9 + NOISE[1, seed]
        ),
        {"optimizer": ["sgd"], "optimizer.lr": [1], "seed": range(4)},
    )
    found = compare(read_results([first, second]), ["optimizer"])
    assert "unequally: optimizer=adam 3, optimizer=sgd 1 configurations" in found.notes[-1]
    mean = 0.92 + NOISE[0, :4].mean()
    assert f"expected best val_accuracy of 1: optimizer=adam {mean:.4g}" in found.notes[-1]


def test_a_run_that_diverged_counts_as_the_worst(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def figures(optimizer_lr: float, seed: int) -> dict[str, float] | None:
        value = 0.9 + NOISE[0, seed]
        return None if optimizer_lr > 1 else {"val_accuracy": value, "test_accuracy": value}

    folder = sweep(tmp_path / "s", figures, {"optimizer.lr": [0.1, 10], "seed": range(4)})
    found = answer([str(folder)], capsys)
    assert pair(found, "optimizer.lr=0.1", "optimizer.lr=10")["verdict"] == "better"
    assert found["notes"] == [
        "diverged: 4 of optimizer.lr=10; counted as test_accuracy 0, the worst"
    ]
    assert [one["diverged"] for one in found["configurations"]] == [0, 4]


def test_weighted_classes_are_judged_as_they_are_ranked(tmp_path: Path) -> None:
    def figures(loss_class_weight: str, seed: int) -> dict[str, float]:
        names = "val_balanced_accuracy", "test_balanced_accuracy", "test_accuracy", "val_loss"
        return dict.fromkeys(names, 0.5 + seed / 100)

    folder = sweep(
        tmp_path / "s", figures, {"loss.class_weight": ["balanced", "null"], "seed": range(3)}
    )
    for path in folder.glob("*/result.json"):
        result = json.loads(path.read_text())
        weighted = "loss.class_weight=balanced" in result["overrides"]
        result["monitor"] = "val_weighted_loss" if weighted else "val_loss"
        path.write_text(json.dumps(result))
    assert read_results([folder]).default_metric == "test_balanced_accuracy"


def test_figures_of_different_data_are_not_compared(tmp_path: Path) -> None:
    def figures(data: str, optimizer: str, seed: int) -> dict[str, float]:
        return of_eight(optimizer, seed)

    asked = {"data": ["iris", "wine"], "optimizer": ["adam", "sgd"], "seed": range(5)}
    results = read_results([sweep(tmp_path / "s", figures, asked)])
    pairs = compare(results, ["data", "optimizer"]).pairs
    assert {one.why for one in pairs} == {"", "different data (data)"}
    assert sum(one.verdict == "not_comparable" for one in pairs) == 4


NAMES = ["iris", "wine", "digits", "moons", "circles", "spirals", "diabetes"]


def of_data_sets(data: str, optimizer: str, seed: int, lr: int = 0) -> dict[str, float]:
    """Each data set on its own level; adam is the best of three on all of them."""
    level = 0.5 + 0.05 * NAMES.index(data)
    value = level + 0.01 * ["sgd", "rmsprop", "adam"].index(optimizer) + NOISE[lr, seed] / 20
    return {"val_accuracy": value, "test_accuracy": value}


def test_several_data_sets_are_blocks_that_are_ranked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"data": NAMES, "optimizer": ["sgd", "rmsprop", "adam"], "seed": range(3)}
    folder = sweep(tmp_path / "s", of_data_sets, asked)
    found = answer([str(folder), "--by", "optimizer"], capsys)
    assert answer([str(folder)], capsys) == found  # they are not compared with each other
    best = pair(found, "optimizer=adam", "optimizer=sgd")
    assert (best["n"], best["method"], best["verdict"]) == (7, "data_sets", "better")
    assert best["p"] == stats.wilcoxon(np.arange(1, 8), method="exact").pvalue
    assert best["p_adjusted"] == pytest.approx(3 * best["p"])
    ranks = found["ranks"]
    mean_ranks = {"optimizer=adam": 1, "optimizer=rmsprop": 2, "optimizer=sgd": 3}
    assert ranks["mean_ranks"] == mean_ranks
    columns = np.arange(7)[:, None] + np.arange(3)
    assert ranks["p"] == pytest.approx(stats.friedmanchisquare(*columns.T).pvalue)
    assert ranks["critical_difference"] == pytest.approx(2.343701 * np.sqrt(3 * 4 / (6 * 7)))
    assert found["scope"] == "across 7 data sets"
    assert found["levels"][0]["mean"] == pytest.approx(0.67 + NOISE[0, :3].mean() / 20)
    assert not any("data tuned" in note for note in found["notes"])
    assert main(["compare", str(folder), "--by", "optimizer"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "adam beats sgd by 2.00 points (mean of 7 data sets, 7 better, 0 equal" in said
    assert "adam 1.00, rmsprop 2.00, sgd 3.00 on 7 data sets; Friedman p < .001" in said


def test_across_data_sets_the_rest_is_tuned_within_each(tmp_path: Path) -> None:
    def figures(data: str, optimizer: str, optimizer_lr: float, seed: int) -> dict[str, float]:
        suits = (optimizer_lr == 0.1) == (data == "iris")  # each data set has its own best rate
        shift = 0.0 if suits else -0.2
        return {k: v + shift for k, v in of_data_sets(data, optimizer, seed).items()}

    asked = {"data": NAMES[:2], "optimizer": ["adam", "sgd"], "optimizer.lr": [0.1, 1]}
    folder = sweep(tmp_path / "s", figures, asked | {"seed": range(3)})
    found = compare(read_results([folder]), ["optimizer"])
    noise = NOISE[0, :3].mean() / 20
    adam = next(level for level in found.levels if level.name == "optimizer=adam")
    assert adam.figures == {
        ("data=iris",): pytest.approx(0.52 + noise),
        ("data=wine",): pytest.approx(0.57 + noise),
    }
    assert found.pairs[0].why == "2 data sets in common; 3 at least"
    assert found.notes[0] == "each data set (data) counts once, with the mean over its seeds"


def test_levels_without_a_common_seed_are_compared_unpaired(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def later(optimizer: str, seed: int) -> dict[str, float]:
        return of_eight(optimizer, seed - 8)

    folders = [
        sweep(tmp_path / "a", of_eight, {"optimizer": ["adam"], "seed": range(8)}),
        sweep(tmp_path / "b", later, {"optimizer": ["sgd"], "seed": range(8, 16)}),
    ]
    (one,) = compare(read_results(folders)).pairs
    test = stats.ttest_ind(FIGURES["adam"], FIGURES["sgd"], equal_var=False)
    assert (one.verdict, one.method, one.n, one.n_b) == ("better", "unpaired", 8, 8)
    assert one.p == pytest.approx(test.pvalue)
    assert (one.low, one.high) == pytest.approx(tuple(test.confidence_interval()))
    assert main(["compare", *map(str, folders)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "adam beats sgd by 0.70 points (95 % 0.27 to 1.12, 8 and 8 seeds, none in common" in said
    # seeds that were added to one side after a look have no such test
    more = sweep(tmp_path / "c", of_eight, {"optimizer": ["adam"], "seed": range(7)}, at=LATER)
    shifted = sweep(
        tmp_path / "d",
        lambda optimizer, seed: of_eight(optimizer, seed - 20),
        {"optimizer": ["adam"], "seed": range(20, 23)},
        at=LATER,
    )
    (one,) = compare(read_results([*folders, more, shifted])).pairs
    assert (one.verdict, one.why) == ("not_comparable", "no seeds in common; 3 at least")


def test_random_splits_speak_of_new_data_and_know_that_they_overlap(tmp_path: Path) -> None:
    def figures(optimizer: str, data_split_seed: int) -> dict[str, float]:
        return of_eight(optimizer, data_split_seed)

    asked = {"optimizer": ["adam", "sgd"], "data.split_seed": range(8)}
    found = compare(read_results([sweep(tmp_path / "s", figures, asked)]))
    (one,) = found.pairs
    assert one.p == pytest.approx(0.02532992568)
    assert found.scope == "for new data like these, by 8 random splits"
    old = sweep(tmp_path / "old", figures, asked, rows=None)
    (one,) = compare(read_results([old])).pairs
    assert one.verdict == "not_comparable"


def two_batches(tmp_path: Path, seeds: int, at: str) -> list[Path]:
    def figures(optimizer: str, seed: int) -> dict[str, float]:
        value = 0.9 + NOISE[["adam", "sgd"].index(optimizer), seed]
        return {"val_accuracy": value, "test_accuracy": value}

    first = sweep(tmp_path / "a", figures, {"optimizer": ["adam", "sgd"], "seed": range(5)})
    assert main(["compare", str(first)]) == 0
    asked = {"optimizer": ["adam", "sgd"], "seed": range(5, seeds)}
    return [first, sweep(tmp_path / f"b{seeds}{at[:4]}", figures, asked, at=at)]


LATER, BEFORE = "2999-01-01T00:00:00.000+00:00", "2026-11-27T12:00:01.000+00:00"


def test_the_ledger_tells_how_later_seeds_are_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _ = two_batches(tmp_path, 6, LATER)
    capsys.readouterr()
    found = answer([str(first)], capsys)
    (planned,) = found["plans"]
    assert found["pairs"][0]["method"] == "fixed"
    assert f"seed=range(5,{planned['pairs']})" in found["commands"][0]
    assert found["commands"][0].endswith(f" hydra.sweep.dir={first}_more")  # it has no configs
    assert found["commands"][1] == f"exprun compare {first} {first}_more"

    def method(seeds: int, at: str) -> str:
        (tmp_path / str(seeds) / at[:4]).mkdir(parents=True)
        folders = two_batches(tmp_path / str(seeds) / at[:4], seeds, at)
        capsys.readouterr()
        return str(answer([*map(str, folders)], capsys)["pairs"][0]["method"])

    assert method(planned["pairs"], LATER) == "planned"
    assert method(planned["pairs"] - 1, LATER) == "anytime"  # as many as one liked
    assert method(planned["pairs"], BEFORE) == "anytime"  # asked for before it was planned


def test_two_sweeps_that_ask_for_the_same_job_have_it_once(eight: Path, tmp_path: Path) -> None:
    again = sweep(tmp_path / "again", of_eight, {"optimizer": ["adam"], "seed": range(3)}, at=LATER)
    assert len(read_results([eight, again]).jobs) == 24


def test_what_only_another_sweep_was_asked_for_is_what_the_config_says(tmp_path: Path) -> None:
    """To say ``reg=none`` and to leave it out is the same configuration; other values are not."""

    def figures(optimizer: str, seed: int, **other: str) -> dict[str, float]:
        return {"val_accuracy": 0.9, "test_accuracy": 0.9 + NOISE[0, seed]}

    both = {"optimizer": ["sgd"], "reg": ["none", "l2"], "norm.eps": ["null", 0.1]}
    said = sweep(tmp_path / "said", figures, both | {"seed": range(3)})
    left_out = sweep(tmp_path / "left_out", figures, {"optimizer": ["sgd"], "seed": range(3, 6)})
    for folder in left_out.glob("0*"):
        (folder / ".hydra").mkdir()
        config = "optimizer: {lr: 0.1}\nreg: {}\nnorm: {eps: null}\n"
        (folder / ".hydra" / "config.yaml").write_text(config)
        choices = "hydra: {runtime: {choices: {optimizer: sgd}}}\n"
        (folder / ".hydra" / "hydra.yaml").write_text(choices)
    found = {one.name: len(one.jobs) for one in read_results([said, left_out]).configurations}
    assert found["reg=none norm.eps=null"] == 6
    assert sorted(found.values()) == [3, 3, 3, 6]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer", "adam"),
        ("optimizer.lr", "0.001"),
        ("reg", "[l1,dropout]"),
        ("reg.l1.strength", "0.5"),
        ("model.hidden", "[256,128]"),
        ("data.standardize", "true"),
        ("data.drop", "[]"),
        ("loss.class_weight", "null"),
        ("nothing", None),
        ("optimizer.lr.x", None),
    ],
)
def test_values_of_a_resolved_config_are_written_as_in_overrides(
    key: str, value: str | None, tmp_path: Path
) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(
        "optimizer: {lr: 0.001}\nreg: {l1: {strength: 0.5}, dropout: {p: 0.1}}\n"
        "model: {hidden: [256, 128]}\ndata: {standardize: true, drop: []}\n"
        "loss: {class_weight: null}\n"
    )
    (tmp_path / ".hydra" / "hydra.yaml").write_text(
        "hydra: {runtime: {choices: {optimizer: adam, data: csv}}}\n"
    )
    assert ResolvedValues(tmp_path).get(key) == value


def test_configurations_csv(eight: Path) -> None:
    assert main(["compare", str(eight), "--json"]) == 0
    with (eight / "configurations.csv").open(newline="") as file:
        rows = {row["overrides"]: row for row in csv.DictReader(file)}
    adam = rows["optimizer=adam"]
    assert adam["n"] == "8"
    assert float(adam["test_accuracy_mean"]) == pytest.approx(np.mean(FIGURES["adam"]))
    assert float(adam["test_accuracy_std"]) == pytest.approx(
        np.std(FIGURES["adam"], ddof=1), rel=1e-5
    )


def test_a_damaged_sweep(eight: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (eight / "000" / "result.json").write_text("{")
    assert main(["compare", str(eight)]) == 2
    assert "result.json: is damaged; delete it" in capsys.readouterr().err
    (eight / "000" / "result.json").unlink()
    assert main(["compare", str(eight)]) == 0
    assert "1 job has no result" in capsys.readouterr().out
    (eight / "sweep.json").write_text('{"jobs": [{}]}')
    assert main(["compare", str(eight)]) == 2
    assert "sweep.json: is damaged" in capsys.readouterr().err


def test_where_all_diverged_there_is_nothing_to_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sweep(tmp_path / "s", lambda **_: None, {"optimizer.lr": [1e9], "seed": range(3)})
    assert main(["compare", str(folder)]) == 2
    assert "no job has a figure: there is nothing to compare" in capsys.readouterr().err


def test_tables_for_a_notebook(eight: Path) -> None:
    (eight / "003" / "metrics.csv").write_text("epoch,val_loss\n1,0.5\n2,\n")
    results, curves = exprun.load_sweep(eight)
    assert results.num_rows == 24
    assert results.column_names[:5] == ["sweep", "number", "configuration", "optimizer", "seed"]
    assert results.column("test_accuracy")[3].as_py() == FIGURES["adam"][3]
    assert results.column("seed").to_pylist() == [*range(8)] * 3
    assert curves.column("seed").to_pylist() == [3, 3]
    assert curves.column("configuration").to_pylist() == ["optimizer=adam"] * 2
    assert np.isnan(curves.column("val_loss")[1].as_py())
    run = exprun.load_run(eight / "003")
    assert run.results.column("test_accuracy").to_pylist() == [FIGURES["adam"][3]]
    assert run.curves.num_rows == 2
    with pytest.raises(exprun.common.errors.UsageError, match=r"exprun\.load_sweep reads it"):
        exprun.load_run(eight)
    with pytest.raises(exprun.common.errors.UsageError, match=r"exprun\.load_run reads it"):
        exprun.load_sweep(eight / "003")
    with pytest.raises(exprun.common.errors.UsageError, match=r"result\.json"):
        exprun.load_run(eight / "nothing")
    assert dir(exprun) == sorted(exprun.__all__)


def test_what_imports_slowly_is_not_imported(eight: Path) -> None:
    code = (
        "import sys; from exprun.cli import main; main(sys.argv[1:]); "
        "assert not {'torch', 'scipy.stats', 'matplotlib', 'hydra'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, "compare", str(eight)], check=True)


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ([1, 2], [1, 2]),
        ([0.001, 1], [0.001, 1]),
        (["1e-3", 1], [0.001, 1]),
        (["adam", 1], ["adam", "1"]),
        (["[64]", "[64,32]"], ["[64]", "[64,32]"]),
    ],
)
def test_numbers_that_vary_are_numbers_in_a_table(
    values: list[Any], read: list[Any], tmp_path: Path
) -> None:
    asked = {"x": values, "seed": [0]}
    folder = sweep(tmp_path / "s", lambda x, seed: {"test_accuracy": 0.9}, asked)
    assert exprun.load_sweep(folder).results.column("x").to_pylist() == read
