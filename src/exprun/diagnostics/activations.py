"""Properties of activation functions: dead and saturated units, and moments under normal
pre-activations."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from exprun.common.constants import ACTIVATIONS
from exprun.techniques.networks import HiddenLayer

TWO_SIDED = (nn.Sigmoid, nn.Tanh, nn.Softsign, nn.Hardsigmoid, nn.Hardtanh)
"""Activations that saturate: flat at both ends, steepest at 0. (ReLU6, which torch derives from
Hardtanh, is flat below 0 already, so its units can be dead instead.)"""

ELEMENTWISE = (
    *(getattr(nn, name) for name in ACTIVATIONS.values() if name != "Identity"),
    *(nn.Hardsigmoid, nn.Hardtanh, nn.PReLU),
)
"""Activations recognised in any network. ``nn.Identity`` is also a placeholder for missing modules,
so it counts as an activation only in exprun's own layers."""

SATURATED = 0.05
"""Share of the slope at 0 below which an activation counts as saturated: \\|tanh z\\| above .975,
sigmoid z below .013 or above .987, \\|softsign z\\| above .776."""

FLAT = 1e-3
"""Slope below which practically no gradient passes; a unit below it on every row is dead."""

REACH, NODES = 9.0, 360
"""The quadrature: standard deviations on either side, and number of points. None of them is 0,
where the slope of a ReLU is a convention."""


def activations_of(model: nn.Module) -> list[nn.Module]:
    """The activation functions among the modules of ``model``, without duplicates."""
    modules = list(model.modules())
    own = [m.activation for m in modules if isinstance(m, HiddenLayer)]
    return list(dict.fromkeys([*own, *(m for m in modules if isinstance(m, ELEMENTWISE))]))


def saturates(activation: nn.Module) -> bool:
    """Whether it is one of TWO_SIDED."""
    return isinstance(activation, TWO_SIDED) and not isinstance(activation, nn.ReLU6)


def slope(activation: nn.Module, z: Tensor) -> Tensor:
    """The derivative g'(z), elementwise, of the shape of ``z``."""
    if type(activation) is nn.ReLU:  # the most frequent one needs no autograd
        return (z > 0).to(z)
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        # a copy, because some activations work in place
        (gradient,) = torch.autograd.grad(activation(z * 1).sum(), z)
    return gradient


def dead(activation: nn.Module, z: Tensor) -> Tensor | None:
    """The share of units that pass no gradient, a scalar: \\|g'(z)\\| below FLAT on every row of z
    (n, units); for a ReLU z <= 0 on every row. None for activations that saturate."""
    if saturates(activation):
        return None
    if type(activation) is nn.ReLU:
        return (z.amax(0) <= 0).float().mean()
    return (slope(activation, z).abs().amax(0) < FLAT).float().mean()


def saturated(activation: nn.Module, z: Tensor) -> Tensor | None:
    """The share of elements of z (n, units), a scalar, where the slope is below SATURATED times the
    slope at 0 (Glorot & Bengio 2010 show saturation by histograms of activations). None for
    activations that are not flat at both ends."""
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
    """The moments for variance ``q``, by the midpoint rule: its error decreases geometrically with
    the spacing of points for integrands that decay like a normal density (Trefethen & Weideman
    2014), and for steep activations (large q) it is far better than Gauss-Hermite quadrature."""
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
    """E[g(z) g(z')] for normal z and z' with variance q and covariance c, 0 <= c <= q."""
    nodes, weights = _quadrature()
    common, own = math.sqrt(c) * nodes, math.sqrt(max(q - c, 0.0)) * nodes
    with torch.no_grad():
        given_common = activation(common.unsqueeze(1) + own) @ weights
    return float(weights @ given_common.square())


@functools.cache
def _quadrature() -> tuple[Tensor, Tensor]:
    """Nodes and weights, (NODES,) each, for expectations over N(0, 1)."""
    step = 2 * REACH / NODES
    nodes = (torch.arange(NODES, dtype=torch.float64) + 0.5) * step - REACH
    weights = torch.exp(-nodes.square() / 2)
    return nodes, weights / weights.sum()
