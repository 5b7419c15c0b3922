"""Test functions of two variables for comparing optimizers.

Each takes ``x`` and ``y``, tensors of equal shape, and its coefficients, and returns f in that
shape; autograd gives the gradient and the Hessian. Minima and starting points are in
``conf/problem/``. Except for the lecture's two they are those of Jamil & Yang 2013, "A literature
survey of benchmark functions for global optimisation problems".
"""

from __future__ import annotations

import math

from torch import Tensor


def quadratic(x: Tensor, y: Tensor, *, a: float, b: float) -> Tensor:
    """a x² + b y² (slide "Mini-batch Gradient Descent"): curvatures 2a and 2b everywhere."""
    return a * x**2 + b * y**2


def rosenbrock(x: Tensor, y: Tensor, *, b: float) -> Tensor:
    """(x-1)² + b (y-x²)² (slide "Momentum"; Rosenbrock 1960 has b = 100): a bent valley."""
    return (x - 1) ** 2 + b * (y - x**2) ** 2


def beale(x: Tensor, y: Tensor) -> Tensor:
    """(1.5-x+xy)² + (2.25-x+xy²)² + (2.625-x+xy³)² (Beale 1958)."""
    pairs = ((1.5, 1), (2.25, 2), (2.625, 3))
    first, second, third = ((c - x + x * y**power) ** 2 for c, power in pairs)
    return first + second + third


def himmelblau(x: Tensor, y: Tensor) -> Tensor:
    """(x²+y-11)² + (x+y²-7)² (Himmelblau 1972): four minima, all 0."""
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def booth(x: Tensor, y: Tensor) -> Tensor:
    """(x+2y-7)² + (2x+y-5)²: curvatures 2 and 18 everywhere, along the diagonals."""
    return (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2


def saddle(x: Tensor, y: Tensor, *, a: float, b: float) -> Tensor:
    """a x² - b y²: the gradient is 0 at (0, 0), and f is unbounded below along y."""
    return a * x**2 - b * y**2


def rastrigin(x: Tensor, y: Tensor) -> Tensor:
    """20 + x² + y² - 10 cos 2πx - 10 cos 2πy (Rastrigin 1974): a minimum near every integer."""
    return 20 + x**2 + y**2 - 10 * ((2 * math.pi * x).cos() + (2 * math.pi * y).cos())


def narrow_valley(x: Tensor, y: Tensor, *, a: float, b: float) -> Tensor:
    """a u² + b v² with u = (x+y)/√2 and v = (x-y)/√2: ``quadratic`` rotated by 45°, so that scaling
    x and y separately cannot make its contours circles."""
    return a * (x + y) ** 2 / 2 + b * (x - y) ** 2 / 2
