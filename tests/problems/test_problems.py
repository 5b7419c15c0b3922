"""Test functions: exact answers known on paper, torch's own classes, and the real command."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from exprun.cli import main
from exprun.config.parts import PARTS
from exprun.config.paths import conf_dir
from exprun.config.schema import check, plain
from exprun.problems import descent_picture, functions, panels
from exprun.problems.build import descent
from exprun.problems.curvature import Linear, curvatures, hessian
from exprun.problems.panels import Path2D, show_settled
from exprun.problems.stability import DIVERGING, OSCILLATING, STABLE, by_path
from exprun.record.tensorboard import read
from exprun.techniques.optimizers import Momentum
from tests.problems.folders import Command, composed, result, solved, trajectory

DESCENTS = sorted(
    path.stem
    for path in (conf_dir() / "problem").glob("*.yaml")
    if "build.descent" in path.read_text()
)


@pytest.mark.parametrize(
    ("lr", "x", "y", "verdict"),
    [
        (0.001, 0.98**100, 0.8**100, STABLE),
        (0.005, 0.9**100, 0.0, STABLE),
        (0.0099, 0.802**100, 0.98**100, STABLE),
        (0.01, 0.8**100, 1.0, OSCILLATING),
        (0.011, 0.78**100, 1.2**100, DIVERGING),
    ],
)
def test_gradient_descent_on_the_quadratic_is_known(
    exprun: Command, lr: float, x: float, y: float, verdict: str
) -> None:
    code, folder = exprun("problem=quadratic", "optimizer=sgd", f"optimizer.lr={lr}")
    assert code == 0
    rows, content = trajectory(folder), result(folder)
    assert list(rows[0]) == ["iteration", "x", "y", "f", "grad_norm", "lr"]
    assert [row["iteration"] for row in rows] == list(range(101))
    assert rows[0] == {
        "iteration": 0, "x": 1, "y": 1, "f": 110, "grad_norm": math.hypot(20, 200), "lr": lr,
    }  # fmt: skip
    last = rows[-1]
    assert (last["x"], last["y"]) == pytest.approx((x, y), rel=1e-9, abs=1e-300)
    assert content["metrics"]["f"] == last["f"] == pytest.approx(10 * x**2 + 100 * y**2)
    assert (content["metrics"]["x"], content["metrics"]["y"]) == (last["x"], last["y"])
    assert content["metrics"]["distance_to_minimum"] == pytest.approx(math.hypot(x, y))
    assert content["metrics"]["stability_limit"] == pytest.approx(0.01, rel=1e-12)
    assert (content["status"], content["verdict"]) == ("completed", verdict)
    assert verdict in content["reason"]


def test_targets_as_they_are_printed() -> None:
    """The figures of ``targets.md`` themselves."""
    ends = {lr: solved("problem=quadratic", "optimizer=sgd", f"optimizer.lr={lr}") for lr in
            (0.001, 0.0099, 0.01, 0.011)}  # fmt: skip
    y = {lr: run.path[-1]["y"] for lr, run in ends.items()}
    assert ends[0.001].path[-1]["x"] == pytest.approx(0.132620, abs=5e-7)
    assert y[0.001] == pytest.approx(2.037e-10, rel=5e-4)
    assert y[0.0099] == pytest.approx(0.132620, abs=5e-7)
    assert y[0.011] == pytest.approx(8.28e7, rel=1e-3)
    signs = [math.copysign(1, row["y"]) for row in ends[0.01].path]
    assert signs == [(-1.0) ** t for t in range(101)]
    at_once = solved("problem=quadratic", "optimizer=sgd", "optimizer.lr=0.005")
    assert abs(at_once.path[1]["y"]) < 1e-16  # 0.005 is no binary number
    best = Linear()
    assert max(best.rate(1 / 110, c) for c in (20, 200)) == pytest.approx(9 / 11)


def test_hessian_of_rosenbrock_is_known() -> None:
    run = solved("problem=rosenbrock")
    assert hessian(run.function, 1, 1).tolist() == pytest.approx(np.array([[82, -40], [-40, 20]]))
    assert curvatures(run.function, 1, 1) == pytest.approx((0.3936763, 101.6063237), abs=5e-8)
    assert run.figures()["curvature_max"] == pytest.approx(101.6063237, abs=5e-8)


def test_learning_rates_are_those_of_the_schedule(exprun: Command) -> None:
    _, folder = exprun(
        "problem=booth", "optimizer=sgd", "optimizer.lr=0.2", "scheduler=inverse_time",
        "scheduler.gamma=1", "problem.iterations=4",
    )  # fmt: skip
    rates = [row["lr"] for row in trajectory(folder)]
    assert rates == pytest.approx([0.2, 0.1, 0.2 / 3, 0.05, 0.05])


METHODS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "gradient descent": torch.optim.SGD,
    "momentum": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9),
    "dampened": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.8, dampening=0.3),
    "nesterov": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, nesterov=True),
    "EMA": lambda p, lr: Momentum(p, lr, momentum=0.9),
}


@pytest.mark.parametrize("name", METHODS)
def test_the_limit_is_where_errors_stop_shrinking(name: str) -> None:
    curvature = 3.0

    def error(lr: float, steps: int = 3000) -> float:
        w = torch.ones(1, dtype=torch.float64, requires_grad=True)
        optimizer = METHODS[name]([w], lr)
        for _ in range(steps):
            optimizer.zero_grad()
            (curvature / 2 * w**2).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return abs(w.item())

    made = METHODS[name]([torch.zeros(1, requires_grad=True)], 0.1)
    method = Linear.of(made)
    assert method is not None
    limit = method.limit(curvature)
    assert error(0.98 * limit) < 1e-3
    assert error(1.02 * limit) > 1e3
    assert method.rate(limit, curvature) == pytest.approx(1)
    for share in (0.1, 0.4, 0.9, 1.1):
        ratio = (error(share * limit, 400) / error(share * limit, 200)) ** (1 / 200)
        # complex roots turn, so single errors scatter around the rate's power
        assert ratio == pytest.approx(method.rate(share * limit, curvature), rel=0.03)


def test_there_is_no_theory_for_adaptive_methods_and_weight_decay() -> None:
    w = [torch.zeros(1, requires_grad=True)]
    assert Linear.of(torch.optim.Adam(w)) is None
    assert Linear.of(torch.optim.SGD(w, 0.1, weight_decay=0.1)) is None
    assert Linear().limit(0) == math.inf
    assert Linear().limit(-1) == 0


def path_of(*points: tuple[float, float]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    xy = np.array(points)
    return xy, (xy**2).sum(axis=1)


def test_verdicts_from_paths() -> None:
    swinging = path_of(*[(0.0, (-1.0) ** t) for t in range(40)])
    assert by_path(*swinging, minimum=True).word == OSCILLATING
    growing = path_of(*[(0.0, (-1.1) ** t) for t in range(40)])
    assert by_path(*growing, minimum=True).word == DIVERGING
    settling = path_of(*[(0.0, (-0.9) ** t) for t in range(40)])
    assert by_path(*settling, minimum=True).word == STABLE
    walking = path_of(*[(0.0, 50.0 - t) for t in range(40)])
    assert by_path(*walking, minimum=True).word == STABLE
    assert by_path(*walking, minimum=False).word == DIVERGING
    broken = path_of((1.0, 1.0), (math.inf, 1.0))
    assert by_path(*broken, minimum=True).word == DIVERGING
    resting = path_of(*[(0.0, 0.0)] * 5)
    assert by_path(*resting, minimum=True).word == STABLE


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (["problem=saddle", "optimizer=sgd"], DIVERGING),
        (["problem=saddle", "optimizer=adam"], DIVERGING),
        (["problem=saddle", "optimizer=sgd", "problem.start=[1,0]"], STABLE),
        (["problem=rosenbrock", "optimizer=sgd", "optimizer.lr=0.025"], OSCILLATING),
        (["problem=rosenbrock", "optimizer=sgd", "optimizer.lr=0.01"], STABLE),
        (["problem=quadratic", "optimizer=adam", "optimizer.lr=0.1"], STABLE),
        (
            ["problem=rosenbrock", "optimizer=rmsprop", "optimizer.lr=0.02"],  # leaps at the end
            OSCILLATING,
        ),
    ],
)
def test_verdicts_of_descents(words: list[str], verdict: str) -> None:
    assert solved(*words).verdict.word == verdict


@pytest.mark.parametrize("name", DESCENTS)
def test_every_function_is_right(name: str) -> None:
    """Valid, minimal where it says so, and gone down with the defaults to a point at rest."""
    config = composed(f"problem={name}")
    check(config)
    assert config.problem._target_ in PARTS
    made = descent(plain(config))
    assert made.solve().status == "completed"
    for x, y in made.minima:
        point = torch.tensor([x, y], dtype=torch.float64, requires_grad=True)
        f = made.function(point[0], point[1])
        (gradient,) = torch.autograd.grad(f, point)
        assert f.item() == pytest.approx(0, abs=1e-12)
        assert gradient.norm() < 1e-6
        assert curvatures(made.function, x, y)[0] > 0
    x, y = torch.tensor([0.3, -1.0]), torch.tensor([2.0, 0.7])
    assert made.function(x, y).shape == (2,)
    share = 1 if name == "rastrigin" else 0.01  # that has minima everywhere
    assert made.path[-1]["f"] < made.path[0]["f"] * share or not made.minima


KNOWN = {
    "beale": (14.203125, {}),
    "himmelblau": (170.0, {}),
    "booth": (74.0, {}),
    "rastrigin": (0.0, {}),
    "rosenbrock": (1.0, {"b": 10}),
    "saddle": (0.0, {"a": 2, "b": 3}),
    "quadratic": (0.0, {"a": 2, "b": 3}),
    "narrow_valley": (0.0, {"a": 2, "b": 3}),
}


@pytest.mark.parametrize("name", DESCENTS)
def test_values_at_the_origin(name: str) -> None:
    value, coefficients = KNOWN[name]
    zero = torch.zeros((), dtype=torch.float64)
    assert getattr(functions, name)(zero, zero, **coefficients).item() == value


@pytest.mark.parametrize("name", sorted(p.stem for p in (conf_dir() / "optimizer").glob("*.yaml")))
def test_every_optimizer_takes_the_steps_of_its_class(name: str) -> None:
    """The path is that of the plain loop over the same optimizer."""
    run = solved("problem=himmelblau", f"optimizer={name}", "problem.iterations=20")
    again = descent(
        plain(composed("problem=himmelblau", f"optimizer={name}", "problem.iterations=20"))
    )
    w = again.point.xy
    for row in run.path:
        assert w.tolist() == [row["x"], row["y"]]

        def closure() -> torch.Tensor:
            again.optimizer.zero_grad()
            loss = again.function(w[0], w[1])
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        again.optimizer.step(closure)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(p.stem for p in (conf_dir() / "scheduler").glob("*.yaml")))
def test_every_scheduler_goes_along(name: str) -> None:
    run = solved("problem=booth", f"scheduler={name}", "problem.iterations=30")
    assert len(run.path) == 31
    assert all(math.isfinite(row["f"]) for row in run.path)


def test_a_divergence_is_a_result(exprun: Command) -> None:
    code, folder = exprun("problem=rosenbrock", "optimizer=sgd", "optimizer.lr=1")
    content = result(folder)
    assert code == 1
    assert content["status"] == "diverged"
    assert content["reason"].startswith("diverged in iteration ")
    assert content["verdict"] == DIVERGING
    assert content["metrics"]["grad_norm"] is None
    assert (folder / "path.png").is_file()


def test_a_run_leaves_its_files_and_nothing_of_a_network(
    exprun: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["problem=himmelblau", "optimizer=nesterov", "problem.iterations=12"]
    code, folder = exprun(*words, "problem.animation=true")
    assert code == 0
    names = {path.name for path in folder.iterdir() if "tfevents" not in path.name}
    pictures = {"path.png", "path.svg", "path.gif"}
    assert names == {".hydra", "trajectory.csv", "result.json"} | pictures
    said = capsys.readouterr()
    assert f"{folder.relative_to(Path.cwd())}/path.png" in said.out
    assert not said.err
    with Image.open(folder / "path.gif") as animation:
        assert animation.n_frames == 13  # type: ignore[attr-defined]
    (events,) = folder.glob("events.*")
    summaries = [value for event in read(events) for value in event.summary.value]
    tags = {value.tag for value in summaries}
    assert {"f", "x", "y", "grad_norm", "lr", "path"} <= tags
    image = next(value.image for value in summaries if value.tag == "path")
    assert image.encoded_image_string == (folder / "path.png").read_bytes()
    with Image.open(folder / "path.png") as picture:
        assert picture.size == (image.width, image.height)
    assert result(folder)["pictures"] == ["path.png", "path.svg", "path.gif"]


def test_the_same_run_makes_the_same_files(exprun: Command) -> None:
    words = ["problem=beale", "problem.iterations=5"]
    _, first = exprun(*words)
    _, second = exprun(*words)
    assert first != second
    for name in ("trajectory.csv", "path.png", "path.svg"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_what_diverges_leaves_the_picture(scale: str) -> None:
    axes = Figure().subplots()
    axes.plot([0, 1], [1.0, 1e-3])
    axes.plot([0, 1], [1.0, 1e160])
    axes.set_yscale(scale)
    settled, diverging = (Path2D(0, (), [], word) for word in (STABLE, DIVERGING))
    before = axes.get_ylim()
    show_settled(axes, [settled, settled])
    assert axes.get_ylim() == before
    show_settled(axes, [settled, diverging])
    low, high = axes.get_ylim()
    assert 1 < high < 4
    assert -1 < low < 1e-3


@pytest.mark.parametrize(
    "ends",
    [
        [1e-17, 1e-3, 100.0],  # the last path is flat
        [100.0, 1e-3, 1e-17],
        [50.0, 3.0],
        [99.0, 90.0],
        [99.99],
        [0.0],
        [1e-300, 1.0],
    ],
    ids=str,
)
def test_the_f_axis_has_numbers_whichever_path_is_drawn_last(ends: list[float]) -> None:
    axes = Figure().subplots()
    for end in ends:
        rows = [{"iteration": float(i), "f": f} for i, f in enumerate((100.0, end))]
        descent_picture.values(axes, rows, 0.0, "red")
    descent_picture.ticks(axes)
    low, high = axes.get_ylim()
    shown = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert len(shown) >= 3
    labels = axes.yaxis.get_major_formatter().format_ticks(shown)
    assert len({*labels}) == len(labels), "different places have different numbers"


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (["optimizer.lr=0.1", "optimizer.lr=1e-3", "optimizer.lr=0.02"], [1, 2, 0]),
        (["problem.a=1", "problem.a=-5", "problem.a=20"], [1, 0, 2]),
        (["optimizer.lr=0.1", "problem.a=1", "problem.a=2"], []),
        (["scheduler=constant", "scheduler=step", "scheduler=cosine"], []),
        (["optimizer.lr=0.1", "optimizer.lr=0.2"], []),
        (["optimizer.lr=0.1 problem.a=1", "optimizer.lr=0.2 problem.a=1", "optimizer.lr=0.3"], []),
    ],
)
def test_a_number_has_an_ordered_color_map(words: list[str], order: list[int]) -> None:
    paths = [Path2D(i, tuple(word.split(" ")), [], STABLE) for i, word in enumerate(words)]
    assert [path.number for path in panels.order_of(paths)] == order
    colors = panels.colors_of({path.setting: [path] for path in paths})
    assert len({*colors.values()}) == len(paths)
    light = [sum(mpl.colors.to_rgb(colors[paths[i].words])) for i in order]
    assert light == sorted(light)


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=stacked"]])
def test_a_sweep_is_ranked_and_drawn(
    exprun: Command, launcher: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    code, folder = exprun(
        "-m", *launcher, "problem=quadratic", "optimizer=sgd,adam", "optimizer.lr=0.001,0.009",
        "problem.iterations=20",
    )  # fmt: skip
    assert code == 0
    rows = list(csv.DictReader((folder / "leaderboard.csv").read_text().splitlines()))
    f = [float(row["f"]) for row in rows]
    assert f == sorted(f)
    assert len(f) == 4
    assert (folder / "paths.png").is_file()
    assert (folder / "paths.svg").is_file()
    said = capfd.readouterr().out
    assert f"{folder.relative_to(Path.cwd())}/paths.png" in said
    assert "ran by itself" not in said
    assert main(["resume", str(folder)]) == 0


def test_resume_says_that_nothing_is_left_and_runs_what_was_interrupted(
    exprun: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = exprun("problem=booth", "problem.iterations=5")
    before = (folder / "trajectory.csv").read_bytes()
    assert main(["resume", str(folder)]) == 0
    assert "is completed: nothing is left to be done" in capsys.readouterr().out
    os.truncate(folder / "trajectory.csv", 10)
    (folder / "result.json").unlink()
    assert main(["resume", str(folder)]) == 0
    assert (folder / "trajectory.csv").read_bytes() == before
    assert len(list(folder.glob("events.*"))) == 1


def test_an_interruption_is_said(exprun: Command) -> None:
    made = descent(plain(composed("problem=booth")))
    asked = iter([False, False, True])
    outcome = made.solve(lambda: next(asked))
    assert (outcome.status, len(made.path)) == ("interrupted", 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reg=dropout"], "reg=dropout: plays no part in this problem; expected problem, opt"),
        (["data=iris"], "data=iris: plays no part in this problem"),
        (["model.hidden=[5]"], "model.hidden=[5]: plays no part in this problem"),
        (["batching=full"], "batching=full: plays no part in this problem"),
        (["averaging=ema"], "averaging=ema: plays no part in this problem"),
        (["trainer.max_epochs=5"], "plays no part in this problem; expected problem.iterations"),
        (["device=cuda"], "device=cuda: this problem is for the CPU; expected cpu"),
        (["problem.start=[1]"], "problem.start=[1]: expected two numbers x and y, like"),
        (["problem.start=[1,inf]"], "problem.start=[1,inf]: expected two numbers x and y"),
        (["problem.iterations=0"], "problem.iterations=0: expected a whole number of at least 1"),
        (["problem.b=x"], "problem.b=x: expected a number"),
        (["problem.a=1"], "problem.a: no such key"),
        (["+problem.c=1"], "unexpected keyword argument 'c'"),
        (["problem.animation=yes"], "problem.animation=yes: expected true or false"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    exprun: Command, words: list[str], message: str, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    code, _ = exprun("problem=rosenbrock", *words)
    said = capsys.readouterr().err
    assert code == 2
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_a_sweep_is_checked_before_it_runs(
    exprun: Command, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert exprun("-m", "problem=booth,beale", "reg=none,l2")[0] == 2
    assert "reg=none: plays no part in this problem" in capsys.readouterr().err
    assert not (tmp_path / "outputs").exists()


def test_problem_mlp_and_a_misspelled_one(
    exprun: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exprun("problem=rosenbrok")[0] == 2
    assert "did you mean rosenbrock?" in capsys.readouterr().err
    assert exprun("problem.b=3")[0] == 2
    assert "problem.b: no such key" in capsys.readouterr().err


def test_functions_optimizers_and_schedulers_of_ones_own(
    exprun: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One YAML and one function; a stranger's is not called without trust."""
    (tmp_path / "bowls.py").write_text("def bowl(x, y, a):\n    return a * (x**2 + y**2) ** 2\n")
    for group, name, text in [
        ("problem", "bowl", (conf_dir() / "problem" / "quadratic.yaml").read_text()
            .replace("exprun.problems.functions.quadratic", "bowls.bowl")
            .replace("  b: 100.0\n", "")),
        ("optimizer", "mine", "# mine\n_target_: torch.optim.Rprop\nlr: 0.01\n"),
        ("scheduler", "mine",
         "# mine\n_target_: torch.optim.lr_scheduler.StepLR\nstep_size: 5\n"),
    ]:  # fmt: skip
        (tmp_path / "conf" / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / group / f"{name}.yaml").write_text(text)
    words = ["--config-dir", "conf", "problem=bowl", "optimizer=mine", "scheduler=mine"]
    code, folder = exprun(*words, "problem.a=3", "problem.iterations=10")
    assert code == 0
    assert trajectory(folder)[0]["f"] == 12
    code, folder = exprun("-m", *words, "problem.a=1,2", "problem.iterations=10")
    assert code == 0
    assert (folder / "paths_2.png").is_file()
    assert main(["resume", str(folder)]) == 2
    assert "bowls.bowl is code of somebody's own" in capsys.readouterr().err
    assert main(["resume", str(folder), "--trust"]) == 0
