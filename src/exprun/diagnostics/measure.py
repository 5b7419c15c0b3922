"""Measure a network's linear layers on some rows, with one forward and one backward pass.

The pass has no side effects: gradients of parameters, running statistics of batch normalisation,
random streams and the mode of every module are restored. Dropout is off; batch normalisation uses
the statistics of the rows, as in training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.modules.batchnorm import _BatchNorm

from exprun.common.streams import stream
from exprun.data.prepare import Part
from exprun.diagnostics.activations import activations_of, dead, saturated
from exprun.techniques.losses import Loss
from exprun.training.training import Training

ROWS = 256
"""Default number of training rows that are measured."""

Row = dict[str, Any]
"""A row of ``diagnostics.csv``: ``layer`` and its figures; None if a figure is undefined."""

FIGURES = (
    "pre_mean",
    "pre_std",
    "act_mean",
    "act_std",
    "grad_mean",
    "grad_std",
    "dead",
    "saturated",
    "grad_norm",
    "delta_norm",
    "update_ratio",
    "grad_noise",
)
"""The figures of every layer, in the order of ``diagnostics.csv``; see ``figures``."""

ACTIVATION_GRADIENTS = ("act_grad_mean", "act_grad_std")
"""Additional columns with ``diagnostics=full``."""


@dataclass
class Layer:
    """The values of a linear layer in a pass: x W^T + b = ``out``; an optional normalisation gives
    ``z``, the pre-activation, and the activation function ``a`` = g(z); without an activation,
    ``activation`` and ``a`` are None and ``z`` is ``out``.

    Shapes are (n, inputs) or (n, units). Gradients are those of each row's own loss, so they do not
    depend on n; the gradient of the weights, ``d_weight`` (units, inputs), is the mean over rows.
    A gradient is None for tensors that do not affect the loss or are frozen.
    """

    name: str
    linear: nn.Linear
    x: Tensor
    out: Tensor
    z: Tensor
    activation: nn.Module | None = None
    a: Tensor | None = None
    d_out: Tensor | None = None
    d_z: Tensor | None = None
    d_a: Tensor | None = None
    d_weight: Tensor | None = None


def measured_rows(training: Training, rows: int = ROWS) -> Part:
    """A random sample of ``rows`` training rows, the same in all runs; all rows if there are not
    more. Its ``x`` is dense."""
    part = training.data.train
    if rows < len(part):
        drawn = torch.randperm(len(part), generator=stream(0, "diagnostics"))[:rows]
        part = part.taken(drawn.sort().values.to(training.device))
    return replace(part, x=part.x[:])


def observe(model: nn.Module, loss: Loss, part: Part) -> list[Layer]:
    """The linear layers of ``model`` in the order in which they act on the rows of ``part``.

    A layer that is used several times appears with its last values. Only activation functions that
    are modules are recognised.
    """
    layers: dict[str, Layer] = {}
    names = {m: layer_name(name) for name, m in model.named_modules() if isinstance(m, nn.Linear)}

    def after_linear(linear: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        assert isinstance(linear, nn.Linear)
        layers.pop(names[linear], None)
        layers[names[linear]] = Layer(names[linear], linear, inputs[0], out, z=out)

    def before_activation(activation: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
        layer = next(reversed(layers.values()), None)
        if layer is not None and layer.activation is None and layer.z.shape == inputs[0].shape:
            layer.activation, layer.z = activation, inputs[0]
        # pass a copy, so that an in-place activation does not overwrite z
        return inputs[0].clone() if getattr(activation, "inplace", False) else None

    def after_activation(activation: nn.Module, _: tuple[Tensor, ...], a: Tensor) -> None:
        layer = next(reversed(layers.values()), None)
        if layer is not None and layer.activation is activation and layer.a is None:
            layer.a = a

    with ExitStack() as stack:
        stack.enter_context(_measuring(model, len(part)))
        for linear in names:
            handle = linear.register_forward_hook(after_linear)
            stack.callback(handle.remove)
        for activation in activations_of(model):
            stack.callback(activation.register_forward_pre_hook(before_activation).remove)
            handle = activation.register_forward_hook(after_activation)
            stack.callback(handle.remove)
        # inputs require gradients too, so that a network without trainable parameters works
        outputs = model(part.x[:].detach().requires_grad_())
        total = loss.training_rows(outputs, loss.encode_weighted(part.y, part.weight)).sum()
        _differentiate(total, list(layers.values()), len(part))
    return list(layers.values())


def _differentiate(total: Tensor, layers: list[Layer], rows: int) -> None:
    """Set the gradients of all layers, from one backward pass."""
    wanted: dict[int, Tensor] = {}
    for layer in layers:
        for tensor in (layer.out, layer.z, layer.a, layer.linear.weight):
            if tensor is not None and tensor.requires_grad:
                wanted[id(tensor)] = tensor
    found = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
    gradients = dict(zip(wanted, found, strict=True))
    for layer in layers:
        layer.d_out, layer.d_z = gradients.get(id(layer.out)), gradients.get(id(layer.z))
        layer.d_a = gradients.get(id(layer.a))
        of_sum = gradients.get(id(layer.linear.weight))
        layer.d_weight = None if of_sum is None else of_sum / rows
        layer.x, layer.out, layer.z = layer.x.detach(), layer.out.detach(), layer.z.detach()
        layer.a = None if layer.a is None else layer.a.detach()


@contextmanager
def _measuring(model: nn.Module, rows: int) -> Iterator[None]:
    """Context with dropout off and batch normalisation over the rows; modes and statistics are
    restored afterwards."""
    modules = list(model.modules())
    norms = {m for m in modules if isinstance(m, _BatchNorm)}
    buffers = [(b, b.clone()) for norm in norms for b in norm.buffers()]
    # one row has no variance
    changed = [m for m in modules if m.training != (m in norms and rows > 1)]
    for module in changed:
        module.training = not module.training
    try:
        yield
    finally:
        for module in changed:
            module.training = not module.training
        for buffer, before in buffers:
            buffer.copy_(before)


def layer_name(name: str) -> str:
    """The layer's name in tables: ``hidden.0.linear`` becomes ``hidden.1``; names of other
    networks' modules are unchanged."""
    words = name.split(".")
    if words[0] == "hidden" and words[2:] == ["linear"]:
        return f"hidden.{int(words[1]) + 1}"
    return name or "linear"


def measure(
    training: Training,
    part: Part | None = None,
    before: Mapping[str, Tensor] | None = None,
    *,
    full: bool = False,
) -> list[Row]:
    """The figures of all layers with the current weights, on ``part`` or by default on
    ``measured_rows``.

    ``before`` are the weights at the beginning of the epoch, by the layers' names.
    """
    part = part or measured_rows(training)
    layers = observe(training.model, training.loss, part)
    return figures(layers, before, training.iterations_per_epoch, full=full)


@torch.no_grad()
def figures(
    layers: list[Layer],
    before: Mapping[str, Tensor] | None = None,
    iterations: int = 1,
    *,
    full: bool = False,
) -> list[Row]:
    """The figures of every layer; means and standard deviations are over rows and units.

    ``pre_…`` of z, ``act_…`` of g(z), ``grad_…`` of ∂L/∂z, L being the loss of a row without
    penalties; ``dead`` and ``saturated`` as in ``activations``; ``grad_norm`` is \\|∂L/∂W\\|_F of
    the mean loss; ``delta_norm`` is that of the mean of ∂L/∂z over rows, without normalisation the
    gradient of the biases: Nielsen's speed of learning (Neural Networks and Deep Learning, ch. 5);
    ``update_ratio`` is \\|W - W'\\|_F / \\|W'\\|_F / iterations, with W' from
    ``before``; ``grad_noise`` is the simple noise scale tr(Σ)/\\|G\\|² of W, in rows (McCandlish et
    al. 2018, eq. 2.9), G being the mean and Σ the covariance of the rows' gradients: the gradient
    of a much smaller batch is mostly noise. Measured on n rows its value is B n/(B + n) for a true
    value of B, because the mean of n gradients is noisy too.
    """
    computed: list[Tensor] = []  # copied from the device in one transfer at the end
    rows: list[Row] = []
    for layer in layers:
        row: Row = dict.fromkeys(FIGURES + (ACTIVATION_GRADIENTS if full else ()))
        values: dict[str, Tensor | None] = {}
        for name, tensor in {"pre": layer.z, "act": layer.a, "grad": layer.d_z}.items():
            values |= _spread(name, tensor)
        if full:
            values |= _spread("act_grad", layer.d_a)
        if layer.activation is not None:
            z = layer.z.flatten(0, -2)
            values["dead"] = dead(layer.activation, z)
            values["saturated"] = saturated(layer.activation, z)
        if layer.d_weight is not None:
            values["grad_norm"] = vector_norm(layer.d_weight)
        if layer.d_z is not None:
            values["delta_norm"] = vector_norm(layer.d_z.flatten(0, -2).mean(0))
        if before is not None:
            old, new = before[layer.name], layer.linear.weight.detach()
            values["update_ratio"] = vector_norm(new - old) / vector_norm(old) / iterations
        values["grad_noise"] = noise_scale(layer)
        for name, value in values.items():
            if value is not None:
                row[name] = len(computed)
                computed.append(value)
        rows.append({"layer": layer.name, **row})
    numbers = torch.stack(computed).tolist() if computed else []
    return [
        {k: numbers[v] if k != "layer" and v is not None else v for k, v in row.items()}
        for row in rows
    ]


def _spread(name: str, tensor: Tensor | None) -> dict[str, Tensor | None]:
    if tensor is None:
        return {}
    mean = tensor.mean()
    std = vector_norm(tensor - mean) / math.sqrt(tensor.numel())  # takes a sixth of var_mean's time
    return {f"{name}_mean": mean, f"{name}_std": std}


def noise_scale(layer: Layer) -> Tensor | None:
    """tr(Σ)/\\|G\\|² of the layer's weights, a scalar. A row's gradient is the outer product of
    ∂L/∂out and x, so its norm follows without computing it (Goodfellow 2015)."""
    rows = len(layer.x)
    if layer.d_weight is None or layer.d_out is None or layer.x.dim() != 2 or rows < 2:
        return None
    each = (vector_norm(layer.d_out, dim=1) * vector_norm(layer.x, dim=1)).square().mean()
    mean = layer.d_weight.square().sum()
    scale: Tensor = (each - mean) * (rows / (rows - 1)) / mean
    return scale
