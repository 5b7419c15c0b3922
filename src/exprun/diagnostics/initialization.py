"""The initialisation laboratory: the sizes of activations and gradients with the initial weights,
predicted by theory and measured.

Mean field theory (Poole et al. 2016, Schoenholz et al. 2017), which for linear units is the slides'
derivation of Xavier's variance and for ReLU that of He's. With independent weights of mean 0, wide
layers have normal pre-activations z ~ N(0, q), and

    q = fan_in E[w²] E[x²] + E[b²],      E[a²] = E[g(z)²],
    E[δ²] = E[g'(z)²] fan_out' E[w'²] E[δ'²],      δ = ∂L/∂z,

where ' marks the layer above. The recursion starts from the measured mean square of the inputs, and
backwards from the measured one of the output layer's δ; E[w²] and E[b²] are those of the actual
weights. Normalisation layers are assumed to divide by the predicted standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from exprun.data.prepare import Part
from exprun.diagnostics.activations import covariance, moments
from exprun.diagnostics.measure import Layer, measured_rows, observe
from exprun.diagnostics.signal_propagation import fate
from exprun.techniques.networks import HiddenLayer
from exprun.training.training import Training

COLUMNS = (
    "layer",
    "fan_in",
    "fan_out",
    "weight_std",
    "act_predicted",
    "act_measured",
    "act_ratio",
    "grad_predicted",
    "grad_measured",
    "grad_ratio",
    "verdict",
)
"""Columns of ``initialization.csv``; its first row is that of the inputs. ``act_…`` and ``grad_…``
are mean squares, of g(z) and of ∂L/∂z; ``…_ratio`` is measured over predicted."""


def laboratory(training: Training, part: Part | None = None) -> list[dict[str, Any]]:
    """Rows of ``initialization.csv`` with the current weights, measured on ``part`` or by default
    on ``measured_rows``: one for the inputs and one per linear layer.

    None stands for unknown values, such as predictions after an unsupported operation. Supported
    are sequences of linear layers with an activation function and batch or layer normalisation as
    in exprun's networks.
    """
    part = part or measured_rows(training)
    x = part.x[:]  # dense
    layers = observe(training.model, training.loss, replace(part, x=x))
    blocks = {m.linear: m for m in training.model.modules() if isinstance(m, HiddenLayer)}
    steps = [_Step(layer, blocks.get(layer.linear)) for layer in layers]
    _forward(steps, x)
    _backward(steps)
    inputs = dict.fromkeys(COLUMNS) | {
        "layer": "inputs",
        "fan_out": x.shape[-1],
        "act_measured": mean_square(x),
    }
    rows = [_row(step) for step in steps]
    hidden = [row for row, layer in zip(rows, layers, strict=True) if layer.activation]
    for row in hidden:
        base = hidden[0] if len(hidden) > 1 else inputs
        forward = fate(base["act_measured"], row["act_measured"])
        backward = fate(hidden[-1]["grad_measured"], row["grad_measured"])
        row["verdict"] = f"activations {forward}, gradients {backward}"
    return [inputs, *rows]


def _row(step: _Step) -> dict[str, Any]:
    layer = step.layer
    act = mean_square(layer.z if layer.a is None else layer.a)
    grad = mean_square(layer.d_z)
    return {
        "layer": layer.name,
        "fan_in": layer.linear.in_features,
        "fan_out": layer.linear.out_features,
        "weight_std": layer.linear.weight.detach().double().std(correction=0).item(),
        "act_predicted": step.act,
        "act_measured": act,
        "act_ratio": _over(act, step.act),
        "grad_predicted": step.grad,
        "grad_measured": grad,
        "grad_ratio": _over(grad, step.grad),
        "verdict": None,
    }


def _over(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def mean_square(tensor: Tensor | None) -> float | None:
    """E[t²] over all elements, in float64 because gradients may be tiny; None for None."""
    return None if tensor is None else tensor.detach().double().square().mean().item()


@dataclass
class _Step:
    """A layer with its predictions: the mean squares of g(z) and ∂L/∂z, E[g'(z)²], and the variance
    that its normalisation divides by."""

    layer: Layer
    block: HiddenLayer | None
    act: float | None = None
    grad: float | None = None
    slope_square: float = 1.0
    divisor: float = 1.0

    def __post_init__(self) -> None:
        weight, bias = self.layer.linear.weight, self.layer.linear.bias
        self.square_weight = mean_square(weight) or 0.0
        self.square_bias = mean_square(bias) or 0.0

    def normalizes(self, position: str) -> bool:
        block = self.block
        is_there = block is not None and isinstance(block.norm, _BatchNorm | nn.LayerNorm)
        return is_there and block is not None and block.norm_position == position

    @property
    def over_rows(self) -> bool:
        return self.block is not None and isinstance(self.block.norm, _BatchNorm)


def _forward(steps: list[_Step], x: Tensor) -> None:
    """Predict ``act`` from the inputs to the output, up to the first unsupported operation."""
    square = mean_square(x)
    shared = mean_square(x.mean(0))  # E[x x'] of two rows, which batch normalisation subtracts
    for step, following in zip_longest(steps, steps[1:]):
        layer = step.layer
        if square is None or shared is None or not _same(layer.x, x):
            return
        gain = layer.linear.in_features * step.square_weight
        q, c = gain * square + step.square_bias, gain * shared + step.square_bias
        if step.normalizes("pre"):
            step.divisor = q - c if step.over_rows else q
            q, c = 1.0, 0.0 if step.over_rows or not q else c / q
        elif not _same(layer.z, layer.out):
            return
        if layer.activation is None or layer.a is None:
            step.act, square, shared, x = q, q, c, layer.z
            continue
        found = moments(layer.activation, q)
        step.act, step.slope_square = found.square, found.slope_square
        square, x = found.square, layer.a
        # only batch normalisation needs it
        shared = covariance(layer.activation, q, c) if step.over_rows else 0.0
        if step.normalizes("post") and following is not None:
            step.divisor = square - (shared if step.over_rows else found.mean**2)
            square, shared, x = 1.0, 0.0, following.layer.x


def _backward(steps: list[_Step]) -> None:
    """Predict ``grad`` from the output to the inputs, if ``act`` is known for all layers."""
    if not steps or any(step.act is None or step.divisor <= 0 for step in steps):
        return
    arriving = mean_square(steps[-1].layer.d_z)  # mean square at z, then at the layer's inputs
    for step in reversed(steps):
        if arriving is None:
            return
        if step is not steps[-1]:
            arriving *= step.slope_square / (step.divisor if step.normalizes("post") else 1.0)
        step.grad = arriving
        if step.normalizes("pre"):
            arriving /= step.divisor
        arriving *= step.layer.linear.out_features * step.square_weight


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether both have the same address, that is, no operation lies between them."""
    return a.data_ptr() == b.data_ptr()
