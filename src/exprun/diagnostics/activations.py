"""Activation functions as the diagnostics see them: where they are flat, and what they do to the
variance of a normal pre-activation."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from exprun.common.constants import ACTIVATIONS
from exprun.techniques.networks import HiddenLayer

TWO_SIDED = (nn.Sigmoid, nn.Tanh, nn.Softsign, nn.Hardsigmoid, nn.Hardtanh)
"""Flat at both ends and steepest at 0: these saturate. (ReLU6, which torch derives from Hardtanh,
is flat below 0 already: it dies.)"""

ELEMENTWISE = (
    *(getattr(nn, name) for name in ACTIVATIONS.values() if name != "Identity"),
    *(nn.Hardsigmoid, nn.Hardtanh, nn.PReLU),
)
"""Activations that are recognised in any network. ``nn.Identity`` also stands for what is left out,
so it is one only where exprun's own layers say so."""

SATURATED = 0.05
"""Share of the slope at 0 below which an activation counts as saturated: \\|tanh z\\| above .975,
sigmoid z below .013 or above .987, \\|softsign z\\| above .776."""

FLAT = 1e-3
"""Slope below which nothing comes through: what is not so on any row is dead."""

REACH, NODES = 9.0, 360
"""The quadrature: standard deviations on either side, and points. None of them is 0, where it is a
matter of taste what the slope of a ReLU is."""


def activations_of(model: nn.Module) -> list[nn.Module]:
    """The activation functions among the modules of ``model``, each once."""
    modules = list(model.modules())
    own = [m.activation for m in modules if isinstance(m, HiddenLayer)]
    return list(dict.fromkeys([*own, *(m for m in modules if isinstance(m, ELEMENTWISE))]))


def saturates(activation: nn.Module) -> bool:
    """Whether it is one of TWO_SIDED."""
    return isinstance(activation, TWO_SIDED) and not isinstance(activation, nn.ReLU6)


def slope(activation: nn.Module, z: Tensor) -> Tensor:
    """g'(z) of every element."""
    if type(activation) is nn.ReLU:  # the most frequent one, without a graph
        return (z > 0).to(z)
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        # a copy, because some work in place
        (gradient,) = torch.autograd.grad(activation(z * 1).sum(), z)
    return gradient


def dead(activation: nn.Module, z: Tensor) -> Tensor | None:
    """The share of units that no gradient comes through: \\|g'(z)\\| below FLAT on every row of z
    (n, units); for a ReLU that is z <= 0 throughout. None for activations that saturate."""
    if saturates(activation):
        return None
    if type(activation) is nn.ReLU:
        return (z.amax(0) <= 0).float().mean()
    return (slope(activation, z).abs().amax(0) < FLAT).float().mean()


def saturated(activation: nn.Module, z: Tensor) -> Tensor | None:
    """The share of activations, over rows and units, whose slope is below SATURATED of the slope at
    0 (Glorot & Bengio 2010 show saturation by histograms of them). None for activations that are
    not flat at both ends."""
    if not saturates(activation):
        return None
    steepest = slope(activation, z.new_zeros(1))
    return (slope(activation, z).abs() < SATURATED * steepest).float().mean()


@dataclass(frozen=True)
class Moments:
    """Of an activation g for z ~ N(0, q): E[g(z)], E[g(z)²] and E[g'(z)²]."""

    mean: float
    square: float
    slope_square: float


def moments(activation: nn.Module, q: float) -> Moments:
    """By the midpoint rule, whose error falls geometrically with the distance of points for what
    falls off like a normal density (Trefethen & Weideman 2014); with steep activations, q being
    large, it is far better than Gauss-Hermite quadrature."""
    nodes, weights = _quadrature()
    z = nodes * math.sqrt(q)
    with torch.no_grad():
        a = activation(z.clone())
    derivative = slope(activation, z)
    mean, square, slope_square = (
        float((weights * values).sum()) for values in (a, a.square(), derivative.square())
    )
    return Moments(mean, square, slope_square)


def covariance(activation: nn.Module, q: float, c: float) -> float:
    """E[g(z) g(z')] for normal z and z' of variance q and covariance c, for a c in [0, q]."""
    nodes, weights = _quadrature()
    common, own = math.sqrt(c) * nodes, math.sqrt(max(q - c, 0.0)) * nodes
    with torch.no_grad():
        given_common = activation(common.unsqueeze(1) + own) @ weights
    return float(weights @ given_common.square())


@functools.cache
def _quadrature() -> tuple[Tensor, Tensor]:
    """Nodes and weights of the expectation over N(0, 1)."""
    step = 2 * REACH / NODES
    nodes = (torch.arange(NODES, dtype=torch.float64) + 0.5) * step - REACH
    weights = torch.exp(-nodes.square() / 2)
    return nodes, weights / weights.sum()
