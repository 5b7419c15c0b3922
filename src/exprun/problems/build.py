"""Build problems from the configuration, with the parts of ``exprun.build``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from exprun.build import Node, make_optimizer, make_scheduler, mlp, naming, partial
from exprun.common.errors import UsageError
from exprun.common.streams import stream
from exprun.problems.averages import MovingAverages, read_series, seasonal
from exprun.problems.curvature import Function
from exprun.problems.descent import Descent, Point
from exprun.problems.lr_range_test import LRRangeTest

DESCENT_KEYS = ("_target_", "function", "start", "iterations", "minima", "animation")
"""The keys of ``problem`` that are not coefficients of the function."""


def descent(config: Node) -> Descent:
    """A test function with the optimizer and scheduler that minimise it. Raises UsageError for
    arguments that the function or the optimizer does not accept."""
    torch.set_num_threads(1)  # there are only two numbers
    problem = config["problem"]
    function, title = test_function(problem)
    point = Point(problem["start"])
    with naming("problem"):
        function(*point.xy)
    made = make_optimizer(config["optimizer"], point, [])
    return Descent(
        title=title,
        function=function,
        minima=[(x, y) for x, y in problem["minima"]],
        point=point,
        optimizer=made,
        scheduler=make_scheduler(config["scheduler"], made),
        iterations=problem["iterations"],
        animation=problem["animation"],
    )


def test_function(problem: Node) -> tuple[Function, str]:
    """The function with its coefficients bound, and its description: ``rosenbrock, b = 10``."""
    own = {key: value for key, value in problem.items() if key not in DESCENT_KEYS}
    name = str(problem["function"]["_target_"]).rpartition(".")[2].replace("_", " ")
    title = ", ".join([name, *(f"{key} = {_short(value)}" for key, value in own.items())])
    return partial("problem.function", problem["function"] | own), title


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def moving_averages(config: Node) -> MovingAverages:
    """Moving averages of a column of a CSV file or of synthetic temperatures. Raises UsageError as
    ``read_series`` does."""
    problem = config["problem"]
    if problem["path"] is None:
        if problem["column"] is not None:
            raise UsageError(f"problem.column={problem['column']}: of no file; add problem.path=…")
        values = seasonal(problem["days"], problem["noise"], stream(config["seed"], "series"))
        return MovingAverages("a made-up temperature", values, problem["betas"])
    column, values = read_series(problem["path"], problem["column"])
    name = f"{column} in {Path(problem['path']).name}"
    return MovingAverages(name, values, problem["betas"])


def lr_range_test(config: Node) -> LRRangeTest:
    """The learning-rate range test of the training that ``problem=mlp`` would run. Raises
    UsageError as ``build.mlp`` does."""
    how = {key: value for key, value in config["problem"].items() if key != "_target_"}
    return LRRangeTest(mlp(config), **how)
