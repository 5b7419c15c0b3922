"""The pictures of a problem, as PNG and SVG. Importing this module imports matplotlib (slow)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from exprun.problems import averages_picture, descent_picture, lr_range_picture
from exprun.problems.averages import MovingAverages
from exprun.problems.descent import Descent
from exprun.problems.lr_range_test import LRRangeTest
from exprun.problems.problem import Problem

PICTURES: dict[type[Problem], Callable[[Any, Path], list[str]]] = {
    Descent: descent_picture.draw,
    MovingAverages: averages_picture.draw,
    LRRangeTest: lr_range_picture.draw,
}


def draw(problem: Problem, folder: Path) -> list[str]:
    """Draw the pictures of a solved problem into ``folder``; returns their names, the PNG files
    first."""
    return PICTURES[type(problem)](problem, folder)
