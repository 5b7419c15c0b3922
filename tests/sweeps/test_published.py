"""Presets: published figures beside one's own, variants of a sweep, and every preset tried out."""

from __future__ import annotations

import csv
import json
import struct
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from exprun.common.errors import UsageError
from exprun.config.hydra_internals import VERSION_BASE
from exprun.config.paths import conf_dir
from exprun.config.schema import check_values
from exprun.config.sweep_overrides import expand_variants
from exprun.data import bundled
from exprun.data.prepare import prepare
from exprun.sweeps.published import Comparison, Figure, check_published, compare, judge, stored
from exprun.sweeps.published_table import mean_and_std, verdict
from tests.command import Run, run_command

PRESETS = sorted(
    path.stem
    for path in (conf_dir() / "experiment").glob("*.yaml")
    if "published:" in path.read_text()
)
BUNDLED = [name for name in PRESETS if name.endswith("_digits") or name == "capacity"]
"""Those of our own, on data that come with exprun."""


@pytest.fixture
def exprun(tmp_path: Path) -> Run:
    """``exprun("experiment=…")`` runs the command in a folder of its own, 100 columns wide."""
    return partial(run_command, tmp_path, timeout=300, COLUMNS="100")


def only_sweep(folder: Path) -> Path:
    (found,) = (folder / "outputs" / "sweeps").iterdir()
    return found


def job(folder: Path, status: str = "completed", **metrics: float) -> Path:
    """A job's folder with what a comparison reads: a curve whose accuracy is a tenth of the epoch,
    and a layer whose gradient is 2 before the training."""
    folder.mkdir()
    (folder / "metrics.csv").write_text("epoch,val_accuracy\n1,0.1\n2,0.2\n10,1.0\n")
    (folder / "diagnostics.csv").write_text(
        "epoch,layer,grad_norm,dead\n0,hidden.1,2.0,\n0,output,3.0,\n1,hidden.1,4.0,\n"
    )
    result = {"best_epoch": 7, "epochs": 10, "parameters": 3, "seconds": 1.5}
    text = json.dumps({"status": status, "metrics": metrics, **result})
    (folder / "result.json").write_text(text)
    return folder


@pytest.fixture
def jobs(tmp_path: Path) -> list[tuple[str | None, Path]]:
    """Two that are fast, with 0.5 and 0.7, one that is slow, one that diverged, one that is not
    there."""
    return [
        ("fast", job(tmp_path / "0", test_accuracy=0.5)),
        ("fast", job(tmp_path / "1", test_accuracy=0.7)),
        ("slow", job(tmp_path / "2", "early_stopped", test_accuracy=0.9)),
        ("slow", job(tmp_path / "3", "diverged")),
        ("slow", tmp_path / "4"),
    ]


def one(jobs: list[tuple[str | None, Path]], **figure: Any) -> Any:
    node = {"source": "a book", "figures": [figure]}
    (comparison,) = compare(node, jobs, []).comparisons
    return comparison


def test_mean_and_spread_over_the_jobs_of_a_variant(jobs) -> None:
    fast = one(jobs, variant="fast", metric="test_accuracy", value=0.5, within=0.15)
    assert fast.mean == pytest.approx(0.6)
    assert fast.std == pytest.approx(0.1 * 2**0.5)  # of a sample of two
    assert (fast.jobs, fast.of, fast.outside) == (2, 2, 0)
    slow = one(jobs, variant="slow", metric="test_accuracy", value=0.5, within=0.15)
    assert (slow.mean, slow.std, slow.jobs, slow.of) == (0.9, None, 1, 3)
    everyone = one(jobs, metric="test_accuracy", value=0.7)
    assert (everyone.mean, everyone.jobs, everyone.of) == (pytest.approx(0.7), 3, 5)
    assert everyone.outside is None


@pytest.mark.parametrize(
    ("within", "outside"),
    [(0.2, 0.0), (0.05, 0.05), ([0.65, 0.8], -0.05), ([0.6, 0.7], 0.0), ([0.1, 0.2], 0.4)],
)
def test_how_far_outside_of_what_agrees(jobs, within: Any, outside: float) -> None:
    figure = one(jobs, variant="fast", metric="test_accuracy", value=0.5, within=within)
    assert figure.outside == pytest.approx(outside, abs=1e-12)


def test_figures_of_an_epoch_of_a_layer_and_of_the_run(jobs) -> None:
    assert one(jobs, metric="val_accuracy", epoch=2, value=0).mean == pytest.approx(0.2)
    assert one(jobs, metric="grad_norm", layer="hidden.1", epoch=0, value=0).mean == 2
    assert one(jobs, metric="best_epoch", value=0).mean == 7


@pytest.mark.parametrize(
    ("figure", "why"),
    [
        ({"metric": "test_acuracy"}, "none in result.json; did you mean test_accuracy?"),
        ({"metric": "val_accuracy", "epoch": 3}, "none in metrics.csv, epoch 3"),
        ({"metric": "dead", "layer": "output", "epoch": 0}, "in diagnostics.csv, epoch 0, output"),
        ({"metric": "test_accuracy", "variant": "none"}, "no job came to its end"),
    ],
)
def test_why_there_is_no_figure(jobs, figure: dict[str, Any], why: str) -> None:
    comparison = one(jobs, value=1, **figure)
    assert comparison.mean is None
    assert why in comparison.missing


def test_the_comparison_is_written_down_with_what_was_changed(jobs, tmp_path: Path) -> None:
    figures = [{"metric": "test_accuracy", "variant": "fast", "value": 0.5, "within": 0.25}]
    asked = ["experiment=x", "data.path=here", "seed=3", "+reg=l2", "optimizer.lr=1"]
    published = judge(tmp_path, {"source": "a book", "figures": figures}, jobs, asked)
    assert published.changed == ("+reg=l2", "optimizer.lr=1")
    written = json.loads((tmp_path / "published.json").read_text())
    assert written["source"] == "a book"
    assert written["changed"] == ["+reg=l2", "optimizer.lr=1"]
    (comparison,) = written["comparisons"]
    assert comparison["figure"]["within"] == [0.25, 0.75]
    assert comparison["mean"] == pytest.approx(0.6)
    assert comparison["outside"] == 0


def test_what_was_written_down_is_read_again(jobs, tmp_path: Path) -> None:
    figures = [
        {"metric": "test_accuracy", "variant": "fast", "value": 0.5, "within": [0.4, 0.9]},
        {"metric": "test_accuracy", "value": 0.5, "spread": 0.1, "label": "theirs"},
        {"metric": "bananas", "value": 1},
    ]
    judged = judge(tmp_path, {"source": "a book", "figures": figures}, jobs, ["optimizer.lr=1"])
    assert stored(tmp_path) == judged


@pytest.mark.parametrize(
    ("value", "mean", "std", "shown"),
    [
        (0.95, 0.94567, 0.0012345, "0.9457 ± 0.0012"),
        (101.6063237, 101.6063241, None, "101.6063241"),
        (1.0, 0.99996, 0.0, "1.000 ± 0"),
        (2.037e-10, 2.03704e-10, None, "2.037e-10"),
        (0.0, 0.0, None, "0.000"),
        (1.0, None, None, "-"),
    ],
)
def test_ones_own_figure_has_as_many_digits_as_the_published_one(
    value: float, mean: float | None, std: float | None, shown: str
) -> None:
    assert mean_and_std(Comparison(Figure("f", value), 2, 2, mean, std)) == shown


@pytest.mark.parametrize(
    ("within", "outside", "said"),
    [
        (0.02, 0.0, "agrees, ± 0.02"),
        ([0.45, 0.6], 0.0, "agrees, 0.45 to 0.6"),
        (0.02, 0.03, "0.03 above 0.52"),
        (0.02, -0.01, "0.01 below 0.48"),
        (None, None, "+0.01 (not judged)"),
    ],
)
def test_verdicts(within: Any, outside: float | None, said: str) -> None:
    assert verdict(Comparison(Figure("f", 0.5, within=within), 2, 2, 0.51, None, outside)) == said


FIGURE = "{metric: test_accuracy, value: 1}"
WRONG = {
    "figures: []": "published.figures=[]: expected a list of figures",
    "figures: [3]": "published.figures=[3]: expected a list of figures",
    "figures: 3": "published.figures=3: expected a list of figures",
    "figures: {a: 3}": "published.figures.a=3: no such key",
    f"figures: [{FIGURE}]\nsource: 3": "published.source=3: expected a name",
    "figures: [{metric: a}]": "published.figures[0].value is missing",
    f"figures: [{FIGURE}, {{value: 3}}]": "published.figures[1].metric is missing",
    "figures: [{metrik: a}]": "published.figures[0].metrik=a: no such key; did you mean metric?",
    "figures: [{metric: a, value: b}]": "published.figures[0].value=b: expected a number",
    "figures: [{metric: a, value: 1, within: 0}]": "within=0: expected null, or a number above 0",
    "figures: [{metric: a, value: 1, within: [1]}]": "or two bounds, like [0.49,0.53]",
    "figures: [{metric: a, value: 1, layer: b}]": "published.figures[0].epoch is missing",
    "figures: [{metric: a, value: 1, variant: slo}]": "slo: no such variant; did you mean slow?",
}


def checked(config: DictConfig) -> None:
    check_values(config)
    check_published(config.published, ["fast", "slow"])


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_what_is_wrong_with_a_preset_is_said(text: str, message: str) -> None:
    source = "" if "source" in text else "source: a book\n"
    config = OmegaConf.create({"published": OmegaConf.create(source + text)})
    with pytest.raises(UsageError) as error:
        checked(config)
    assert message in str(error.value)


def test_variants_come_in_turn_and_the_command_line_has_the_last_word() -> None:
    variants = {"a": {"optimizer": "sgd", "optimizer.lr": 0.1}, "b": {"reg": ["l2", "dropout"]}}
    with initialize_config_dir(str(conf_dir()), **VERSION_BASE):
        jobs = expand_variants(variants, ["seed=1,2", "optimizer.lr=3"])
        plain = expand_variants(None, ["seed=1,2"])
    assert jobs == [
        ("a", ["optimizer=sgd", "optimizer.lr=3", "seed=1"]),
        ("a", ["optimizer=sgd", "optimizer.lr=3", "seed=2"]),
        ("b", ["reg=[l2,dropout]", "seed=1", "optimizer.lr=3"]),
        ("b", ["reg=[l2,dropout]", "seed=2", "optimizer.lr=3"]),
    ]
    assert plain == [(None, ["seed=1"]), (None, ["seed=2"])]


def test_training_rows_are_the_first_ones() -> None:
    every = prepare(bundled.iris(), val_fraction=0.2, test_fraction=0, scaling="none")
    some = prepare(bundled.iris(), val_fraction=0.2, test_fraction=0, scaling="none", train_rows=50)
    assert some.train.x.equal(every.train.x[:50])
    assert some.train.y.equal(every.train.y[:50])
    assert some.val.x.equal(every.val.x)
    with pytest.raises(UsageError, match=r"data.train_rows=121: iris has only 120 rows"):
        prepare(bundled.iris(), val_fraction=0.2, test_fraction=0, train_rows=121)


OWN = """\
# @package _global_
# my own
defaults:
  - override /data: iris
  - override /stopping: none
trainer: {max_epochs: 2}
"""
SWEEP = """\
hydra:
  mode: MULTIRUN
  sweeper:
    variants:
      sgd: {optimizer: sgd, optimizer.lr: 0.1}
      adam: {optimizer: adam}
    params: {seed: "1,2"}
"""
FIGURES = """\
published:
  source: a book
  figures:
    - {metric: epochs, value: 2, within: 0.5}
    - {metric: val_accuracy, epoch: 1, value: 5, within: 1}
"""


def test_a_preset_of_ones_own_is_compared_and_resumed(exprun: Run, tmp_path: Path) -> None:
    own = tmp_path / "conf" / "experiment"
    own.mkdir(parents=True)
    variant = FIGURES.replace("{metric", "{variant: adam, metric")
    (own / "mine.yaml").write_text(OWN + SWEEP + variant)
    done = exprun("--config-dir", "conf", "experiment=mine", "model.hidden=[4]")
    assert done.returncode == 0, done.stderr
    assert "published: a book" in done.stdout
    assert "agrees, ± 0.5" in done.stdout
    assert "below 4" in done.stdout
    assert "Not the published experiment: model.hidden=[4]" in done.stdout
    folder = only_sweep(tmp_path)
    books = json.loads((folder / "sweep.json").read_text())
    assert [job["variant"] for job in books["jobs"]] == ["sgd", "sgd", "adam", "adam"]
    before = json.loads((folder / "published.json").read_text())
    assert [c["jobs"] for c in before["comparisons"]] == [2, 2]

    lost = folder / books["jobs"][3]["folder"]
    (lost / "result.json").unlink()
    (folder / "published.json").unlink()
    done = exprun("resume", str(folder))
    assert done.returncode == 0, done.stderr
    assert "agrees, ± 0.5" in done.stdout
    assert json.loads((folder / "published.json").read_text()) == before


def test_a_single_run_is_compared_too(exprun: Run, tmp_path: Path) -> None:
    own = tmp_path / "conf" / "experiment"
    own.mkdir(parents=True)
    (own / "single.yaml").write_text(OWN + FIGURES)
    done = exprun("--config-dir", "conf", "experiment=single")
    assert done.returncode == 0, done.stderr
    assert "agrees, ± 0.5" in done.stdout
    (run,) = (tmp_path / "outputs" / "runs").iterdir()
    assert json.loads((run / "published.json").read_text())["changed"] == []

    done = exprun("--config-dir", "conf", "-m", "experiment=single,null")
    assert done.returncode == 2
    assert "is a sweep by itself" in done.stderr


def test_a_metric_that_is_misspelt_is_named() -> None:
    node = OmegaConf.create({"source": "me", "figures": [{"metric": "test_acuracy", "value": 1}]})
    with pytest.raises(
        UsageError, match=r"metric=test_acuracy: no such metric; did you mean test_a"
    ):
        check_published(node, [])


@pytest.mark.parametrize("metric", ["test_rmse_height", "val_ema_loss", "best_epoch", "bananas"])
def test_metrics_of_somebody_elses_may_be_published(metric: str) -> None:
    node = OmegaConf.create({"source": "me", "figures": [{"metric": metric, "value": 1}]})
    check_published(node, [])


def test_the_official_split_must_be_given(exprun: Run, tmp_path: Path) -> None:
    make_data(tmp_path)
    done = exprun("experiment=landsat_statlog", "data.path=sat.trn")
    assert done.returncode == 2
    assert "data.test_path is not given, and the published figures need it: add data" in done.stderr


def make_data(folder: Path) -> dict[str, list[str]]:
    """Small files in the formats of the data sets, and the words that name them."""
    rng = np.random.default_rng(0)

    def idx(name: str, array: np.ndarray) -> None:
        head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        (folder / name).write_bytes(head + array.astype(np.uint8).tobytes())

    for part, rows in {"train": 1300, "t10k": 50}.items():
        idx(f"{part}-images-idx3-ubyte", rng.integers(256, size=(rows, 4, 4)))
        idx(f"{part}-labels-idx1-ubyte", np.arange(rows) % 10)
    for name in ("sat.trn", "sat.tst"):
        rows = np.column_stack([rng.integers(40, 140, size=(60, 36)), np.arange(60) % 6 + 1])
        np.savetxt(folder / name, rows, fmt="%d")
    numbers = rng.normal(size=(200, 3))
    with (folder / "california.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b", "MedHouseVal"], *numbers.tolist()])
    return {
        "california_rtdl": ["data.path=california.csv"],
        "landsat_statlog": ["data.path=sat.trn", "data.test_path=sat.tst"],
        "sklearn_digits_optimizers": [],
        **{name: [] for name in BUNDLED},
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_says_what_to_expect(preset: str) -> None:
    text = (conf_dir() / "experiment" / f"{preset}.yaml").read_text()
    for word in (f"# exprun experiment={preset}", "# Time: ", "# Expect: ", "# Source: "):
        assert f"\n{word}" in text


@pytest.mark.parametrize("preset", [name for name in PRESETS if "demo2d" not in name])
def test_every_preset_of_trainings_runs(preset: str, exprun: Run, tmp_path: Path) -> None:
    """Those of functions run whole in ``test_presets_that_need_no_data_agree``."""
    files = make_data(tmp_path).get(preset, ["data.path=."])
    shorter = "trainer.max_epochs=1"
    done = exprun(f"experiment={preset}", *files, "seed=0", shorter)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (conf_dir() / "experiment" / f"{preset}.yaml").read_text()
    comparisons = json.loads((only_sweep(tmp_path) / "published.json").read_text())["comparisons"]
    assert len(comparisons) == text.count("value:")
    for comparison in comparisons:
        missing = comparison["figure"]["epoch"] not in (None, 0, 1)
        assert missing or comparison["jobs"] == comparison["of"] > 0
    assert f"Not the published experiment: {shorter}" in done.stdout


@pytest.mark.parametrize(
    ("preset", "jobs"),
    [
        ("sklearn_digits_optimizers", {5}),
        ("capacity", {5}),
        ("demo2d_quadratic", {1, 12}),
        ("demo2d_rosenbrock", {4, 16}),
    ],
)
def test_presets_that_need_no_data_agree(
    exprun: Run, tmp_path: Path, preset: str, jobs: set[int]
) -> None:
    done = exprun(f"experiment={preset}")
    assert done.returncode == 0, done.stderr
    comparisons = json.loads((only_sweep(tmp_path) / "published.json").read_text())["comparisons"]
    assert {comparison["jobs"] for comparison in comparisons} == jobs
    for comparison in comparisons:
        assert comparison["outside"] == 0, comparison
