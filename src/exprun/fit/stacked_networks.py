"""k networks of equal shape as one module: weights (k, units, inputs), batches (k, n, inputs).

The matrix products of k networks are one batched product; activations and dropout are computed for
all at once. Normalisation is computed per network, because each has its own statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from exprun.common.streams import key_of, mask_words
from exprun.techniques.networks import MLP, Dropout, HiddenLayer, bound


class StackedLinear(nn.Linear):
    """One linear layer from each of k members, with weights (k, units, inputs).

    The members' layers keep their parameter objects, whose data become views of the stacked ones.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layers[0].in_features, layers[0].out_features
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))
        for layer, weight, bias in zip(layers, self.weight.data, self.bias.data, strict=True):
            layer.weight.data, layer.bias.data = weight, bias

    def forward(self, x: Tensor) -> Tensor:
        """z = x Wᵀ + b: (k, n, inputs) → (k, n, units)."""
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight.mT)


class StackedDropout(nn.Module):
    """Dropout for k members, each with its own p and masks: (k, n, units) → (k, n, units)."""

    def __init__(self, layers: Sequence[Dropout]) -> None:
        super().__init__()
        self.layer = layers[0].layer
        self.masks = [layer.masks for layer in layers]
        device = self.masks[0].iteration.device

        def each(values: Iterable[float], dtype: torch.dtype) -> Tensor:
            return torch.tensor(list(values), dtype=dtype, device=device).view(-1, 1, 1)

        keys = zip(*(key_of(masks.seed) for masks in self.masks), strict=True)
        self.key = [each(words, torch.int64) for words in keys]
        self.bound = each((bound(layer.p) for layer in layers), torch.int64)
        self.scale = each((1 / (1 - layer.p) for layer in layers), torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        iteration = torch.stack([masks.iteration for masks in self.masks]).view(-1, 1, 1)
        words = mask_words(self.key, self.layer, iteration, *x.shape[1:])
        return x * ((words < self.bound) * self.scale.to(x.dtype))


class StackedMLP(nn.Module):
    """The networks of k members in training mode: (k, n, inputs) → (k, n, outputs)."""

    def __init__(self, models: Sequence[MLP]) -> None:
        super().__init__()
        self.layers = [list(layers) for layers in zip(*(m.hidden for m in models), strict=True)]
        self.linear = nn.ModuleList(
            StackedLinear([layer.linear for layer in layers]) for layers in self.layers
        )
        self.dropout = nn.ModuleList(
            _stacked_dropout([layer.dropout for layer in layers]) for layers in self.layers
        )
        self.output = StackedLinear([model.output for model in models])

    def forward(self, x: Tensor) -> Tensor:
        for linear, layers, dropout in zip(self.linear, self.layers, self.dropout, strict=True):
            x = dropout(_activated(layers, linear(x)))
        out: Tensor = self.output(x)
        return out


def _activated(layers: Sequence[HiddenLayer], z: Tensor) -> Tensor:
    """Normalisation and activation of k members' layers: (k, n, units) → (k, n, units)."""
    if isinstance(layers[0].norm, nn.Identity):
        x: Tensor = layers[0].activation(z)
        return x
    return torch.stack([layer.activated(part) for layer, part in zip(layers, z, strict=True)])


def _stacked_dropout(layers: Sequence[nn.Module]) -> nn.Module:
    """Dropout for k members' layers, all of which have dropout or none; identity if every p is
    0."""
    dropouts = [layer for layer in layers if isinstance(layer, Dropout)]
    return StackedDropout(dropouts) if any(d.p for d in dropouts) else nn.Identity()
