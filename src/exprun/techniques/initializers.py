"""Initial weights of a layer (slides "Parameter initialisations").

An initialiser fills one layer in place: ``initializer(weight, bias, generator, **options)`` with
``weight`` of shape (fan_out, fan_in) and ``bias`` of shape (fan_out,), drawing only from
``generator``. Biases start at zero unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from exprun.common.random_numbers import fill_normal, fill_uniform

Initializer = Callable[[Tensor, Tensor, torch.Generator], None]
"""Fills weight (fan_out, fan_in) and bias (fan_out,) in place."""


@torch.no_grad()
def variance_scaling(
    weight: Tensor,
    bias: Tensor,
    generator: torch.Generator,
    *,
    scale: float,
    mode: Literal["fan_in", "fan_out", "fan_avg"],
    distribution: Literal["normal", "uniform"],
    bias_std: float = 0.0,
) -> None:
    """Zero mean and variance ``scale / fan``, where fan is fan_in, fan_out or their mean; biases
    from normal(0, bias_std).

    ``scale=1, fan_avg`` is Xavier (Glorot & Bengio 2010), ``scale=2, fan_in`` He (He et al. 2015),
    ``scale=1, fan_in`` LeCun (LeCun et al. 1998). The slides print the square root of the variance
    where the variance is meant; their derivation gives the variance used here.
    """
    fan_out, fan_in = weight.shape
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
    std = math.sqrt(scale / fan)
    if distribution == "normal":
        fill_normal(weight, generator, 0.0, std)
    else:
        bound = math.sqrt(3.0) * std
        fill_uniform(weight, generator, -bound, bound)
    _draw_bias(bias, generator, bias_std)


@torch.no_grad()
def orthogonal(weight: Tensor, bias: Tensor, generator: torch.Generator, *, gain: float) -> None:
    """A random (semi-)orthogonal matrix times ``gain`` (Saxe et al. 2013)."""
    nn.init.orthogonal_(weight, gain, generator)
    bias.zero_()


@torch.no_grad()
def normal(
    weight: Tensor,
    bias: Tensor,
    generator: torch.Generator,
    *,
    mean: float,
    std: float,
    bias_std: float = 0.0,
) -> None:
    """Weights from normal(mean, std), independent of the layer's size; biases from
    normal(0, bias_std)."""
    fill_normal(weight, generator, mean, std)
    _draw_bias(bias, generator, bias_std)


def _draw_bias(bias: Tensor, generator: torch.Generator, std: float) -> None:
    """Fill the bias from normal(0, std); for ``std=0`` with zeros, without drawing."""
    if std:
        fill_normal(bias, generator, 0.0, std)
    else:
        bias.zero_()


@torch.no_grad()
def uniform(
    weight: Tensor, bias: Tensor, generator: torch.Generator, *, low: float, high: float
) -> None:
    """Weights from uniform(low, high), independent of the layer's size.

    Raises ValueError if ``low`` is above ``high``.
    """
    if low > high:
        raise ValueError(f"low={low} is above high={high}")
    fill_uniform(weight, generator, low, high)
    bias.zero_()


@torch.no_grad()
def constant(weight: Tensor, bias: Tensor, generator: torch.Generator, *, value: float) -> None:
    """Set every weight to ``value``: the symmetry is never broken, all units of a layer stay
    equal."""
    weight.fill_(value)
    bias.zero_()


@torch.no_grad()
def torch_default(weight: Tensor, bias: Tensor, generator: torch.Generator) -> None:
    """The default of ``nn.Linear``: weights and biases from uniform(±1/sqrt(fan_in))."""
    bound = 1 / math.sqrt(weight.shape[1])
    fill_uniform(weight, generator, -bound, bound)
    fill_uniform(bias, generator, -bound, bound)


def initialize(model: nn.Module, initializer: Initializer, generator: torch.Generator) -> None:
    """Initialise every linear layer of ``model`` in order, from one stream.

    Normalisation layers keep their ones and zeros and draw nothing, so networks with and without
    them start from the same weights.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            initializer(layer.weight, layer.bias, generator)
