"""``exprun plot``: which pictures there are, and that they show what the run and its model say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from exprun.build import load_data, mlp
from exprun.cli import main
from exprun.commands import plot
from exprun.common.errors import UsageError
from exprun.common.streams import stream
from exprun.config.compose import compose_run
from exprun.config.schema import plain
from exprun.data.columns import Numeric
from exprun.data.synthetic import moons
from exprun.fit.loop import fit
from exprun.plots import boundary, layers, learning_curves, weights
from exprun.plots.histograms import read_histograms
from exprun.record.model import load_model
from exprun.run_folder import stored
from exprun.sweeps.read_results import read_results

WORDS = ["data=moons", "data.rows=200", "model.hidden=[8]", "trainer.max_epochs=6", "device=cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a small network with two inputs, its layers measured."""
    made = tmp_path_factory.mktemp("plot") / "run"
    assert main([*WORDS, "diagnostics=full", "stopping=none", f"hydra.run.dir={made}"]) == 0
    return made


def pictures(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix in (".png", ".svg", ".gif")}


def test_a_run_of_two_inputs_has_every_picture(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {f"{name}{suffix}" for name in ("curves", "layers", "histograms", "boundary")
             for suffix in (".png", ".svg")}  # fmt: skip
    assert main(["plot", str(folder), "-o", str(tmp_path / "out"), "--animate"]) == 0
    assert pictures(tmp_path / "out") == names | {"boundary.gif"}
    printed = {Path(line).name for line in capsys.readouterr().out.splitlines()}
    assert printed == names | {"boundary.gif"}
    assert pictures(folder) == set()
    with Image.open(tmp_path / "out" / "boundary.gif") as animation:
        assert animation.n_frames == 1 + 6, "before the training, and after each epoch"


def test_equal_runs_have_equal_pictures(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        plot.plot_run(folder, tmp_path / name, animate=False, trust=False)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("scaling", ["standardize", "min_max", "quantile", "none"])
def test_rows_are_drawn_in_their_own_units(scaling: str) -> None:
    """Whatever the scaling of the inputs, the rows are those of the source."""
    words = [*WORDS, f"data.scaling={scaling}"]
    data = load_data(plain(compose_run(words, None))["data"], torch.device("cpu"))
    source = moons(rows=200, noise=0.1, generator=stream(0, "data")).features.numbers
    drawn = np.concatenate(
        [boundary.original(part, data.preprocessing) for part in boundary.parts(data).values()]
    )
    rounding = 2e-2 if scaling == "quantile" else 1e-5  # rows outside of the training rows' range
    assert np.sort(drawn, axis=0) == pytest.approx(np.sort(source, axis=0), abs=rounding)


def test_the_last_frame_is_the_model_of_the_run(folder: Path) -> None:
    """An animation trains again: to the same bits."""
    config = plain(compose_run([*WORDS, "stopping=none"], None))
    training = mlp(config)
    surface = boundary.Surface(training.data)
    frames = boundary.Frames(surface, training.max_epochs)
    fit(training, [frames])
    kept = json.loads((folder / "result.json").read_text())["best_epoch"]
    values = dict(frames.frames)[kept]
    assert np.array_equal(values, surface.values(load_model(folder)))
    assert values.shape[2] == 2
    assert values.sum(axis=2) == pytest.approx(1.0)


@pytest.mark.parametrize("epochs", [1, 6, 47, 60, 61, 1000])
def test_frames_are_few_and_the_last_epoch_is_one_of_them(folder: Path, epochs: int) -> None:
    surface = boundary.Surface(mlp(plain(compose_run([*WORDS], None))).data)
    drawn = sorted(boundary.Frames(surface, epochs).drawn)
    assert (drawn[0], drawn[-1]) == (0, epochs)
    assert len(drawn) == min(epochs, boundary.FRAMES) + 1


def test_an_animation_ends_where_the_run_did(tmp_path: Path) -> None:
    run = tmp_path / "run"
    patient = ["trainer.max_epochs=500", "stopping.patience=1", "optimizer.lr=0.1"]
    assert main([*WORDS, *patient, f"hydra.run.dir={run}"]) == 0
    epochs = json.loads((run / "result.json").read_text())["epochs"]
    assert epochs < 60
    plot.plot_run(run, run, animate=True, trust=False)
    with Image.open(run / "boundary.gif") as animation:
        assert animation.n_frames == 1 + epochs


def test_names_are_no_formulas(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        f"{a:.3f},{b:.3f},{'x$_1 $' if a > 0 else 'y $ ' * 9}" for a, b in rng.normal(size=(60, 2))
    ]
    (tmp_path / "d.csv").write_text("\n".join(["a $x,b,kind", *rows]))
    words = ["data=csv", f"data.path={tmp_path}/d.csv", "data.target=kind", "trainer.max_epochs=2"]
    assert main([*words, f"hydra.run.dir={tmp_path}/run"]) == 0
    names = plot.plot_run(tmp_path / "run", tmp_path, "$ a $", animate=False, trust=False)
    text = (tmp_path / "boundary.svg").read_text()
    assert "boundary.svg" in names
    assert "<!-- x$_1 $ -->" in text
    assert "<!-- $ a $ -->" in text


def test_a_regression_of_two_inputs_has_a_surface(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{100 * a - b:.3f}" for a, b in rng.normal(size=(80, 2))]
    (tmp_path / "d.csv").write_text("\n".join(["a,b,amount", *rows]))
    words = ["data=csv", f"data.path={tmp_path}/d.csv", "data.target=amount", "averaging=ema"]
    assert main([*words, "trainer.max_epochs=3", f"hydra.run.dir={tmp_path}/run"]) == 0
    plot.plot_run(tmp_path / "run", tmp_path, animate=False, trust=False)
    assert "<!-- amount -->" in (tmp_path / "boundary.svg").read_text(), "the colour bar's name"
    curves = (tmp_path / "curves.svg").read_text()
    for name in ("loss", "rmse", "mae", "r2", "validation, averaged weights"):
        assert f"<!-- {name} -->" in curves


def test_histograms_are_densities_and_theory_is_he(folder: Path) -> None:
    histograms = read_histograms(folder)
    assert list(histograms) == ["hidden.1", "output"]
    for series in histograms.values():
        assert [h.epoch for h in series] == sorted({h.epoch for h in series})
        for h in series:
            assert (h.density * np.diff(h.edges)).sum() == pytest.approx(1.0)
    initial = layers.read(folder / "initialization.csv")
    predicted = layers.predicted_variances(initial)
    weight = float(initial[1]["weight_std"])
    inputs = float(initial[0]["act_measured"])
    assert predicted["hidden.1"] == pytest.approx(2 * weight**2 * inputs)
    assert not plot._normalises_first(stored(folder).config)


def test_weights_over_a_strength(tmp_path: Path) -> None:
    """The 2-norm falls and the share near zero rises with an L1 penalty (slide "λ
    regularization"); points are the jobs' own files."""
    sweep = tmp_path / "sweep"
    words = ["data=iris", "model.hidden=[8]", "trainer.max_epochs=30", "stopping=none", "reg=l1"]
    assert (
        main(["-m", *words, "reg.l1.strength=0,0.03", "seed=0,1", f"hydra.sweep.dir={sweep}"]) == 0
    )
    results = read_results([sweep])
    key = weights.strength(results)
    assert key == "reg.l1.strength"
    found = list(weights.models(results, key))
    assert [value for _, value, _ in found] == [0.0, 0.0, 0.03, 0.03]
    for job, (_, _, entries) in zip(results.jobs, found, strict=True):
        stored = load_file(job.folder / "model.safetensors")
        assert entries.size == sum(w.size for w in stored.values() if w.ndim == 2) == 4 * 8 + 8 * 3
    norms = [float(np.linalg.norm(entries)) for _, _, entries in found]
    assert norms[2] < norms[0]
    assert norms[3] < norms[1]
    assert set(plot.plot_sweep(sweep, tmp_path)) == {
        f"{name}{suffix}" for name in ("curves", "weights") for suffix in (".png", ".svg")
    }
    names = [c.name for c in results.configurations]
    colors = learning_curves.colors_of(results, names)
    assert list(colors) == ["reg.l1.strength=0", "reg.l1.strength=0.03"], "in the numbers' order"


def test_a_run_without_two_numbers_has_no_boundary(tmp_path: Path) -> None:
    words = ["data=iris", "model.hidden=[4]", "trainer.max_epochs=1", f"hydra.run.dir={tmp_path}/r"]
    assert main(words) == 0
    names = plot.plot_run(tmp_path / "r", tmp_path / "r", animate=False, trust=False)
    assert names == ["curves.png", "curves.svg"]
    with pytest.raises(UsageError, match=r"--animate: .*two inputs that are numbers, .* 4: sepal"):
        plot.plot_run(tmp_path / "r", tmp_path / "out", animate=True, trust=False)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_plotted_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2, and nothing written."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "result.json").write_text("{")
    problem = tmp_path / "problem"
    assert main(["problem=quadratic", f"hydra.run.dir={problem}"]) == 0
    (tmp_path / "file").write_text("")
    capsys.readouterr()
    for words, expected in {
        ("nowhere",): "nowhere: there is no such folder; expected one like outputs/runs/…",
        (str(copy),): "result.json: is damaged, so it counts for nothing",
        (str(problem),): "has its pictures: path.png",
        (str(folder), str(folder), "-o", "x"): "-o x: expected one RUN or SWEEP with it",
        (str(folder), "-o", str(tmp_path / "file")): "is a file; expected a folder",
        ("--animated", str(folder)): "did you mean --animate?",
    }.items():
        assert main(["plot", *words]) == 2
        said = capsys.readouterr()
        assert expected in said.err
        assert said.err.count("\n") == 1
        assert said.out == ""


def test_inputs_are_numbers_or_there_is_no_boundary(folder: Path) -> None:
    preprocessing = load_model(folder).preprocessing
    assert boundary.obstacle(preprocessing) is None
    assert all(isinstance(column, Numeric) for column in preprocessing.columns)
