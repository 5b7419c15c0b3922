"""k networks of one shape as one, with the bits of k single ones.

Weights are (k, units, inputs), batches (k, n, inputs). The matrix products of k networks are one
batched product where that rounds like k single ones, and what else rounds is done network by
network where the kernels would round differently.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from exprun.techniques.networks import MLP, Dropout, HiddenLayer, Output, z_by_unit

LANES = 64
"""Kernels treat so many numbers alike; what is left over they may round otherwise."""

EXACT = (nn.ReLU, nn.Identity)
"""Activations that round nothing, so any piece of a tensor gives the same bits."""

TRIED_NUMBERS = 20_000
"""Results compared before batched products are trusted: rounding differs in some of them only."""


class _Linear(torch.autograd.Function):
    """z = x Wᵀ + b for k members, from (k, n, inputs), (k, units, inputs) and (k, units);
    ``by_unit`` computes and keeps it as ``networks.Output`` does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, by_unit: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.by_unit = by_unit
        if _same_bits(x, weight, by_unit).forward:
            return _batched(x, weight, bias, by_unit)
        each = zip(x, weight, bias, strict=True)
        return _stacked([_single(xi.clone(), wi, bi, by_unit) for xi, wi, bi in each], by_unit)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dz: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        if ctx.by_unit:
            dz = dz.mT.contiguous().mT
        same = _same_bits(x, weight, ctx.by_unit)
        dx = _product(dz, weight, same.inputs) if ctx.needs_input_grad[0] else None
        return dx, _product(dz.mT, x, same.weights), dz.sum(1), None


def _batched(x: Tensor, weight: Tensor, bias: Tensor, by_unit: bool) -> Tensor:
    """(k, n, units), with a batched product."""
    if by_unit:
        return torch.baddbmm(bias.unsqueeze(2), weight, x.mT).mT
    return torch.baddbmm(bias.unsqueeze(1), x, weight.mT)


def _single(x: Tensor, weight: Tensor, bias: Tensor, by_unit: bool) -> Tensor:
    """What one member's layer makes of (n, inputs): (n, units)."""
    if by_unit:
        return z_by_unit(x, weight, bias).t()
    return torch.addmm(bias, x, weight.t())


def _stacked(each: Sequence[Tensor], by_unit: bool) -> Tensor:
    """k results of ``_single`` as one, laid out as ``_batched`` does."""
    return torch.stack([z.t() for z in each]).mT if by_unit else torch.stack(list(each))


def _product(a: Tensor, b: Tensor, batched: bool) -> Tensor:
    """The matrix products of k pairs: (k, n, m), (k, m, p) → (k, n, p). Single ones are given
    copies, which begin where those of a solo run would: at an address that suits the kernels."""
    if batched:
        return torch.bmm(a, b)
    return torch.stack([torch.mm(ai.clone(), bi.clone()) for ai, bi in zip(a, b, strict=True)])


@dataclass(frozen=True)
class _SameBits:
    """Which batched products give the bits of single ones: z, the gradients of x and of W."""

    forward: bool
    inputs: bool
    weights: bool


def _same_bits(x: Tensor, weight: Tensor, by_unit: bool) -> _SameBits:
    """For x (k, n, inputs) and W (k, units, inputs). On a GPU, where single products are what makes
    a stack slow, batched ones are taken whatever their last bits are."""
    if x.is_cuda:
        return _SameBits(True, True, True)
    return _tried(*x.shape, weight.shape[1], by_unit, torch.get_num_threads())


@functools.cache
def _tried(k: int, n: int, inputs: int, units: int, by_unit: bool, threads: int) -> _SameBits:
    """Whether it is so depends on the sizes, the library of matrix products and where in memory the
    numbers lie: small products have kernels of their own. So each size is tried, on random numbers.
    """
    random = torch.Generator().manual_seed(0)
    same = [True, True, True]
    for _ in range(-(-TRIED_NUMBERS // (k * n * units))):
        x = torch.randn(k, n, inputs, generator=random)
        w = _aligned([torch.randn(units, inputs, generator=random) for _ in range(k)])
        b = torch.randn(k, units, generator=random)
        dz = torch.randn(k, n, units, generator=random)
        dz = _stacked(dz.unbind(), by_unit)
        single = [(x[i].clone(), w[i], b[i], dz[i].clone()) for i in range(k)]
        products = (
            (
                _batched(x, w, b, by_unit),
                [_single(x, w, b, by_unit) for x, w, b, _ in single],
            ),
            (torch.bmm(dz, w), [dz.mm(w) for _, w, _, dz in single]),
            (torch.bmm(dz.mT, x), [dz.t().mm(x) for x, _, _, dz in single]),
        )
        for i, (batched, each) in enumerate(products):
            same[i] &= torch.equal(batched, torch.stack(each))
    return _SameBits(*same)


def _aligned(tensors: Sequence[Tensor]) -> Tensor:
    """k tensors as one (k, …) in which each begins at an address that suits the kernels."""
    first = tensors[0]
    length = -(-first.numel() // LANES) * LANES
    memory = first.new_zeros((len(tensors), length))
    rows = memory[:, : first.numel()].view(len(tensors), *first.shape)
    for row, tensor in zip(rows, tensors, strict=True):
        row.copy_(tensor)
    return rows


class StackedLinear(nn.Linear):
    """The linear layers of k members, one of each, with weights (k, units, inputs).

    The members' layers keep their parameters, whose memory is now here.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layers[0].in_features, layers[0].out_features
        self.by_unit = isinstance(layers[0], Output)
        self.weight = nn.Parameter(_aligned([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(_aligned([layer.bias.detach() for layer in layers]))
        for layer, weight, bias in zip(layers, self.weight.data, self.bias.data, strict=True):
            layer.weight.data, layer.bias.data = weight, bias

    def try_products(self, rows: int) -> None:
        """Find out which products of batches with so many rows may be batched."""
        x = self.weight.new_empty((len(self.weight), rows, self.in_features))
        _same_bits(x, self.weight, self.by_unit)

    def forward(self, x: Tensor) -> Tensor:
        """(k, n, inputs) → (k, n, units)."""
        z: Tensor = _Linear.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, self.by_unit
        )
        return z


class StackedMLP(nn.Module):
    """The networks of k members in training mode: (k, n, inputs) → (k, n, outputs)."""

    def __init__(self, models: Sequence[MLP]) -> None:
        super().__init__()
        self.layers = [list(layers) for layers in zip(*(m.hidden for m in models), strict=True)]
        self.linear = nn.ModuleList(
            StackedLinear([layer.linear for layer in layers]) for layers in self.layers
        )
        self.output = StackedLinear([model.output for model in models])

    def forward(self, x: Tensor) -> Tensor:
        for linear, layers in zip(self.linear, self.layers, strict=True):
            x = _after_linear(layers, linear(x))
        out: Tensor = self.output(x)
        return out


def _after_linear(layers: Sequence[HiddenLayer], z: Tensor) -> Tensor:
    """Normalisation, activation and dropout of k members' layers: (k, n, units) → the same."""
    normed = not isinstance(layers[0].norm, nn.Identity)
    rounds = z[0].numel() % LANES and not isinstance(layers[0].activation, EXACT)
    if normed or rounds:
        return torch.stack(
            [layer.after_linear(part) for layer, part in zip(layers, z, strict=True)]
        )
    x: Tensor = layers[0].activation(z)
    masks = [layer.dropout for layer in layers if isinstance(layer.dropout, Dropout)]
    if not any(mask.p for mask in masks):
        return x
    kept = torch.empty_like(x)
    for mask, part in zip(masks, kept.unbind(), strict=True):
        mask.draw(part)
    return x * kept
