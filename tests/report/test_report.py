"""The page and the figures of sweeps of all kinds."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shlex
import statistics
from html.parser import HTMLParser
from pathlib import Path

import pytest

import exprun
from exprun import cli
from exprun.commands.report import main
from exprun.report.contents import Report, report
from exprun.report.curve_views import target
from exprun.report.factor_views import decades_within
from exprun.report.markup import VOID, Markup, join, tag
from exprun.report.page import html
from exprun.report.study import View, study_of
from exprun.sweeps.comparison.compare import compare
from exprun.sweeps.comparison.files import as_data, write
from exprun.sweeps.read_results import read_results
from tests.report.sweeps import accuracy, write_sweep

TWO = {"optimizer": ["sgd", "adam", "rmsprop"], "reg": ["none", "l2"]}
RATES = ["0.0001", "0.001", "0.01", "0.1", "1"]


class Page(HTMLParser):
    """A page taken apart; an element that is not closed, or closed too often, is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        assert len({key for key, _ in attributes}) == len(attributes), (name, attributes)
        self.attributes.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)
        if name == "tr":
            self.cells.append([])
        if name in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{name}/> in HTML"
        self.attributes.append((name, dict(attributes)))

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def made(folder: Path, **options) -> tuple[Report, Page, str]:
    found = report(read_results([folder]), "sweep", **options)
    text = html(found.page)
    return found, Page(text), text


def view(found: Report, name: str) -> View:
    (one,) = [v for v in found.views if v.name == name]
    return one


def rows(one: View) -> list[dict]:
    return [dict(zip(one.table.columns, row, strict=True)) for row in one.table.rows]


# -------------------------------------------------------------------- the page


def test_the_page_is_whole_and_asks_for_nothing(tmp_path):
    _, page, text = made(write_sweep(tmp_path / "s", TWO))
    assert text.startswith('<!doctype html>\n<html lang="en">')
    ids = [a["id"] for _, a in page.attributes if "id" in a]
    assert len(ids) == len(set(ids))
    for name, attributes in page.attributes:
        for key in ("src", "srcset", "action", "formaction", "xlink:href", "poster"):
            assert key not in attributes, (name, attributes)
        link = attributes.get("href")
        assert link is None or link == "data:," or link[1:] in ids
        for label in (attributes.get("aria-labelledby") or "").split():
            assert label in ids
    assert not re.search(r"https?:|//[\w.]+/|@import|url\(", text)
    assert [name for name, _ in page.attributes].count("script") == 1


def test_what_a_user_wrote_is_text_and_no_markup(tmp_path):
    evil = "</script><b onclick='x'>\"&"
    ended = {"a": ("completed", "all"), evil: ("failed", f"{evil} is no such option")}
    folder = write_sweep(
        tmp_path / "s", {"model.name": ["a", "b", evil]},
        ended=lambda levels, _: ended.get(levels["model.name"], ("completed", "all")),
    )  # fmt: skip
    found, page, text = made(folder)
    assert evil not in text
    assert f"{evil} is no such option" in page.text
    assert all("onclick" not in attributes for _, attributes in page.attributes)
    assert evil not in view(found, "configurations").drawing.svg()


def test_figures_of_the_page_are_those_of_the_comparison(tmp_path):
    folder = write_sweep(tmp_path / "s", TWO, seeds=5)
    found, page, _ = made(folder)
    comparison = compare(read_results([folder]))
    data = json.loads(json.dumps(as_data(comparison)))
    write(comparison, data)
    assert data == json.loads((folder / "comparison.json").read_text())
    drawn = rows(view(found, "configurations"))
    assert len(drawn) == len(data["configurations"]) == 6
    for drawn_row, row in zip(drawn, data["configurations"], strict=True):
        assert {key: drawn_row[key] for key in ("n", "mean", "low", "high")} == {
            key: row[key] for key in ("n", "mean", "low", "high")
        }
        (cells,) = [c for c in page.cells if len(c) > 5 and set(c[0].split()) == words(row["name"])]
        assert cells[1] == str(row["n"])
        assert cells[2] == f"{row['mean']:.4f}"
        assert cells[4:6] == [f"{row['low']:.4f}", f"{row['high']:.4f}"]
    pairs = rows(view(found, "differences"))
    assert len(pairs) == len(data["pairs"]) == 15
    for drawn_pair, pair in zip(pairs, data["pairs"], strict=True):
        for key in ("difference", "low", "high", "p", "p_adjusted", "n", "verdict"):
            assert drawn_pair[key] == pair[key]


def test_beside_each_figure_stands_the_command_that_makes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_sweep(tmp_path / "sweep", {"optimizer": ["sgd", "adam"], "reg": ["none", "l2"]}, seeds=4)
    found, _, text = made(Path("sweep"), delta=0.5, baseline="optimizer=sgd,reg=none")
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    named = [re.findall("<code>(.*?)</code>", caption)[-2:] for caption in captions]
    assert [name for name, _ in named] == [view.name for view in found.views]
    tables = re.findall("Command: <code>(.*?)</code>", text)
    for command in dict.fromkeys([*(command for _, command in named), *tables]):
        assert cli.main(shlex.split(command)[1:]) == 0
        if " compare " in command:
            data = json.loads((tmp_path / "sweep" / "comparison.json").read_text())
            by = "differences_" + data["by"][0] if len(data["by"]) == 1 else "differences"
            drawn = rows(view(found, by))
            assert [row["difference"] for row in drawn] == [p["difference"] for p in data["pairs"]]
    for name, command in named:
        if " report " in command:
            assert (tmp_path / "figures" / f"{name}.csv").is_file()


def words(name: str) -> set[str]:
    return {word.partition("=")[2] for word in name.split()}


@pytest.mark.parametrize(
    ("factors", "seeds", "limit"),
    [
        ({"optimizer": list("abcd"), "lr": RATES, "reg": list("xyz")}, 5, 300),
        ({"optimizer": list("abcd"), "lr": [f"{i}e-4" for i in range(1, 126)]}, 4, 1000),
    ],
    ids=["300", "2000"],
)
def test_size(tmp_path, factors, seeds, limit):
    folder = write_sweep(tmp_path / "s", factors, seeds, epochs=50)
    _, _, text = made(folder)
    assert len(text.encode()) <= 1000 * limit


def test_the_same_sweep_gives_the_same_page_but_for_the_time(tmp_path):
    folder = write_sweep(tmp_path / "s", TWO)
    first, second = (re.sub(r"\d\d:\d\d", "", made(folder)[2]) for _ in range(2))
    assert first == second


# -------------------------------------------------------------------- sweeps of all kinds


def test_jobs_that_did_not_end_well_are_shown_with_their_reason(tmp_path):
    ends = {
        ("sgd", 0): ("failed", "ValueError: no such column"),
        ("sgd", 1): ("diverged", "diverged in epoch 2, iteration 7: the loss is nan"),
        ("adam", 0): ("stopped", "stopped by the search after 3 of 27 epochs"),
        ("adam", 1): ("pending", ""),
    }
    folder = write_sweep(
        tmp_path / "s", TWO, seeds=4,
        ended=lambda levels, seed: ends.get((levels["optimizer"], seed), ("early_stopped", "done")),
    )  # fmt: skip
    found, page, _ = made(folder)
    for status, reason in ends.values():
        assert f"2 {status}" in page.text
        assert reason in page.text
    assert "exprun resume sweep" in page.text
    assert any(name == "details" for name, _ in page.attributes)
    by_name = {row["configuration"]: row for row in rows(view(found, "configurations"))}
    assert (by_name["rmsprop l2"]["n"], by_name["sgd l2"]["n"]) == (4, 3)


def test_what_diverged_at_every_seed_has_no_figure(tmp_path):
    folder = write_sweep(
        tmp_path / "s", {"optimizer": ["sgd", "adam"]}, seeds=4,
        ended=lambda levels, seed: ("diverged" if "sgd" in levels.values() else "completed", ""),
    )  # fmt: skip
    for metric in ("test_accuracy", "test_loss"):
        found, page, _ = made(folder, metric=metric)
        row = next(cells for cells in page.cells if cells[0] == "sgd")
        assert row[:2] == ["sgd", "4"]
        assert set(row[2:-3]) == {""}
        assert re.search(r"adam beats sgd .*4 paired seeds", page.text) or metric == "test_loss"
        assert "<title>sgd: 4 diverged<" in view(found, "configurations").drawing.inline_svg()
    assert "runs diverged<" in view(found, "differences").drawing.inline_svg()


def test_the_page_of_two_sweeps_names_both(tmp_path):
    folders = [write_sweep(tmp_path / name, TWO) for name in "ab"]
    found = report(read_results(folders), "b")
    assert re.search(r"· \S*a, b ·", found.page.kicker)


def test_one_seed_says_that_nothing_can_be_said_about_chance(tmp_path):
    found, page, _ = made(write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"]}, seeds=1))
    assert "Nothing can be said about chance: 1 seed in common" in page.text
    assert "'seed=range(1,5)' " in page.text
    assert "sd" not in found.tables["table"].columns
    assert all(row["val_loss_sd"] is None for row in rows(view(found, "curve_val_loss")))


def test_seeds_alone_are_one_configuration(tmp_path):
    found, page, _ = made(write_sweep(tmp_path / "s", {}, seeds=4))
    assert "How much does test accuracy vary?" in page.text
    assert len(found.tables["table"].rows) == 1
    assert [v.name for v in found.views if v.name.startswith(("diff", "heat", "par"))] == []


def test_a_configuration_without_any_figure_stands_last(tmp_path):
    folder = write_sweep(
        tmp_path / "s", {"optimizer": ["sgd", "adam"]},
        ended=lambda levels, _: ("diverged" if levels["optimizer"] == "sgd" else "completed", "x"),
    )  # fmt: skip
    found, page, _ = made(folder)
    assert [row[0] for row in found.tables["table"].rows] == ["optimizer=adam", "optimizer=sgd"]
    assert "3 diverged" in page.text


def test_a_metric_of_a_regression(tmp_path):
    folder = write_sweep(tmp_path / "s", TWO)
    for path in folder.glob("*/result.json"):
        result = json.loads(path.read_text())
        result["metrics"] = {
            name.replace("accuracy", "r2"): value for name, value in result["metrics"].items()
        }
        path.write_text(json.dumps(result))
        curve = path.with_name("metrics.csv")
        curve.write_text(curve.read_text().replace("accuracy", "r2"))
    found, page, _ = made(folder)
    assert "give the best test r2?" in page.text
    assert view(found, "curve_val_r2").title == "Validation r2"


def test_a_test_function_has_paths_instead_of_curves(tmp_path):
    folder = write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"]}, seeds=1)
    for i, path in enumerate(folder.glob("*/result.json")):
        result = json.loads(path.read_text()) | {"metrics": {"f": 0.5 + i, "x": 1.0, "y": 2.0}}
        path.write_text(json.dumps(result))
        path.with_name("metrics.csv").unlink()
        lines = [f"{k},{k / 10},{k / 5},{10 / (k + 1) + i},0.1,0.01" for k in range(50)]
        path.with_name("trajectory.csv").write_text(
            "\n".join(["iteration,x,y,f,grad_norm,lr", *lines]) + "\n"
        )
    found, page, _ = made(folder)
    assert "Which optimizer gives the lowest f?" in page.text
    assert {"curve_f", "curve_grad_norm", "paths"} <= {v.name for v in found.views}
    assert len(rows(view(found, "paths"))) == 100
    assert not any(v.name.startswith(("best_so_far", "time_to")) for v in found.views)


@pytest.mark.parametrize("damage", ["no metrics.csv", "empty", "header only", "torn row"])
def test_a_run_that_is_being_written(tmp_path, damage):
    folder = write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"]})
    curve = folder / "0" / "metrics.csv"
    text = curve.read_text()
    header = text.partition("\n")[0]
    curve.write_text({"empty": "", "header only": f"{header}\n"}.get(damage, text[:-30]))
    if damage == "no metrics.csv":
        curve.unlink()
    found, _, _ = made(folder)
    (last,) = {r["epoch"] for r in rows(view(found, "curve_val_loss")) if r["epoch"] > 4} or {0}
    assert last == 5  # that of the whole configuration


# -------------------------------------------------------------------- what the figures show


def test_curves_are_means_and_deviations_over_the_seeds(tmp_path):
    folder = write_sweep(tmp_path / "s", {"optimizer": ["sgd", "adam"]}, seeds=3)
    found, _, _ = made(folder)
    drawn = [r for r in rows(view(found, "curve_val_accuracy")) if r["configuration"] == "adam"]
    for row in drawn:
        reach = 1 - math.exp(-row["epoch"])
        values = [reach * accuracy({"optimizer": "adam"}, seed) for seed in range(3)]
        assert row["val_accuracy_mean"] == pytest.approx(statistics.fmean(values))
        assert row["val_accuracy_sd"] == pytest.approx(statistics.stdev(values))


def test_time_to_target_by_hand(tmp_path):
    best = {"slow": 0.5, "middle": 0.75, "fast": 0.9}
    folder = write_sweep(
        tmp_path / "s", {"model.name": list(best)}, seeds=3, epochs=8,
        figure=lambda levels, seed: best[levels["model.name"]] + 0.01 * seed,
    )  # fmt: skip
    results = read_results([folder])
    reached = 0.76 * (1 - math.exp(-8))  # of the middle seed of the middle configuration
    found = study_of(compare(results), {})
    assert target(found) == (
        pytest.approx(reached),
        "the median configuration reaches in its median run",
    )
    baseline = study_of(compare(results, baseline="model.name=slow"), {})
    goal = target(baseline)
    assert goal is not None
    assert goal[0] == pytest.approx(0.51 * (1 - math.exp(-8)))
    table = {r["configuration"]: r for r in rows(view(made(folder)[0], "time_to_target"))}
    # 0.91 (1 - e^-t) reaches 0.7597 at t = 1.80: after two epochs of 8, a quarter of .5 s
    assert (table["fast"]["median_epochs"], table["fast"]["median_seconds"]) == (2, 0.125)
    assert (table["slow"]["reached"], table["slow"]["runs"]) == (0, 3)
    assert table["slow"]["median_epochs"] is None
    assert table["middle"]["reached"] == 2


def test_best_so_far_never_falls_and_ends_at_the_best(tmp_path):
    found, _, _ = made(write_sweep(tmp_path / "s", TWO, epochs=12))
    for unit in ("epochs", "seconds"):
        by_name: dict[str, list[float]] = {}
        for row in rows(view(found, f"best_so_far_{unit}")):
            by_name.setdefault(row["configuration"], []).append(row["best_val_accuracy"])
        assert len(by_name) == 6
        for name, values in by_name.items():
            assert values == sorted(values)
            optimizer, reg = name.split()
            bests = [accuracy({"optimizer": optimizer, "reg": reg}, s) for s in range(3)]
            assert values[-1] == pytest.approx(statistics.fmean(bests) * (1 - math.exp(-12)))


def test_main_effects_and_heat_maps_are_means_of_the_cells(tmp_path):
    found, _, _ = made(write_sweep(tmp_path / "s", TWO, seeds=4))
    cells = {
        (o, r): [accuracy({"optimizer": o, "reg": r}, s) for s in range(4)]
        for o in TWO["optimizer"]
        for r in TWO["reg"]
    }
    heat = {row["optimizer"]: row for row in rows(view(found, "heat_map_optimizer_reg"))}
    for (o, r), values in cells.items():
        assert heat[o][r] == pytest.approx(statistics.fmean(values))
    effects = {(r["factor"], r["level"]): r for r in rows(view(found, "main_effects"))}
    for o in TWO["optimizer"]:
        by_seed = [statistics.fmean(cells[o, r][s] for r in TWO["reg"]) for s in range(4)]
        half = 3.182446305284263 * statistics.stdev(by_seed) / 2  # t(.975, 3)
        row = effects["optimizer", o]
        assert row["mean"] == pytest.approx(statistics.fmean(by_seed))
        assert row["high"] - row["mean"] == pytest.approx(half)


def test_sensitivity_takes_the_best_other_level_by_validation(tmp_path):
    def figure(levels, seed):
        distance = abs(math.log10(float(levels["optimizer.lr"])) + 2)
        return 0.9 - 0.1 * distance - 0.2 * (levels["reg"] == "l2") + 0.001 * seed

    factors = {"optimizer.lr": RATES, "reg": ["none", "l2"], "init": ["he", "xavier"]}
    found, page, _ = made(write_sweep(tmp_path / "s", factors, figure=figure), delta=0.1)
    drawn = view(found, "sensitivity_optimizer.lr")
    none = [r for r in rows(drawn) if r["reg"] == "none"]
    assert [r["optimizer.lr"] for r in none] == [float(v) for v in RATES]
    assert [r["test_accuracy_mean"] for r in none] == pytest.approx(
        [0.701, 0.801, 0.901, 0.801, 0.701]
    )
    assert (
        "Decades of optimizer.lr within 0.1 of the line's best: reg=none 2.0, reg=l2 2.0"
        in page.text
    )


def test_decades_by_hand():
    x, y = [1e-3, 1e-2, 1e-1, 1.0], [0.5, 0.9, 0.8, 0.1]
    assert decades_within(x, y, 0.2, lower=False) == pytest.approx(0.5 + 1 + 1 / 7)
    assert decades_within(x, [-v for v in y], 0.2, lower=True) == pytest.approx(1.5 + 1 / 7)
    assert decades_within(x, [math.nan, 0.9, math.nan, 0.9], 1, lower=False) == 0


# -------------------------------------------------------------------- files and mistakes


def test_figures_as_files(tmp_path, capsys):
    folder = write_sweep(tmp_path / "s", {"reg": ["l1_x", "50%"], "optimizer": ["sgd", "adam"]})
    assert main([str(folder), "--figures", str(tmp_path / "f")]) == 0
    out = capsys.readouterr().out
    assert f"{folder / 'report.html'}: " in out
    names = {path.name for path in (tmp_path / "f").iterdir()}
    found, _, _ = made(folder)
    for one in found.views:
        assert {f"{one.name}.svg", f"{one.name}.pdf", f"{one.name}.csv"} <= names
    text = (tmp_path / "f" / "configurations.csv").read_text()
    (first, *_) = csv.DictReader(io.StringIO(text))
    assert float(first["mean"]) == rows(view(found, "configurations"))[0]["mean"]
    latex = (tmp_path / "f" / "table.tex").read_text()
    assert r"\toprule" in latex
    assert r"\bottomrule" in latex
    assert r"reg=l1\_x" in latex
    assert r"reg=50\%" in latex
    columns = len(found.tables["table"].columns)
    assert all(line.count(" & ") == columns - 1 for line in latex.split("\n") if " & " in line)


def test_nothing_to_report_is_said_in_a_line_and_writes_nothing(tmp_path, capsys):
    from exprun.cli import main as cli

    folder = write_sweep(tmp_path / "s", TWO, ended=lambda levels, seed: ("pending", ""))
    before = sorted(tmp_path.rglob("*"))
    wrong = {
        (str(folder),): "no job has a figure",
        (str(tmp_path / "none"),): "there is no such folder",
        (str(tmp_path),): "is no folder of a sweep",
        (str(folder), "-o", "page.pdf"): "expected a name that ends in .html",
        (str(folder), "-o", str(tmp_path / "no" / "page.html")): "there is no folder",
        (str(folder), "--figures", str(folder / "sweep.json")): "expected a folder",
        (str(folder), "--delta", "0"): "expected a number > 0",
        (str(folder), "--delta", "x"): "expected a number > 0",
        (str(folder), "--figure", "x"): "did you mean --figures?",
    }
    for arguments, message in wrong.items():
        assert cli(["report", *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("exprun: ")
        assert message in line
    assert sorted(tmp_path.rglob("*")) == before


def test_markup_escapes_all_but_markup():
    made_tag = tag("p", "<b>", tag("b", "&"), None, 3, class_="a", data_v='"', hidden=True, id=None)
    assert made_tag == '<p class="a" data-v="&quot;" hidden>&lt;b&gt;<b>&amp;</b>3</p>'
    assert join("<", Markup("<")) == "&lt;<"


def test_comparison_of_a_factor_is_that_of_exprun_compare(tmp_path):
    folder = write_sweep(tmp_path / "s", TWO, seeds=5)
    found, _, _ = made(folder)
    pairs = as_data(compare(read_results([folder]), by=["optimizer"]))["pairs"]
    drawn = rows(view(found, "differences_optimizer"))
    assert [r["difference"] for r in drawn] == [pair["difference"] for pair in pairs]
    assert [f"optimizer={r['a']}" for r in drawn] == [pair["a"] for pair in pairs]


def test_a_notebook_draws_the_same_figures(tmp_path):
    folder = write_sweep(tmp_path / "s", TWO)
    figures = exprun.load_figures(folder)
    found, _, _ = made(folder)
    assert list(figures) == [one.name for one in found.views]
    assert figures["differences"]._repr_svg_() == view(found, "differences").drawing.svg()
