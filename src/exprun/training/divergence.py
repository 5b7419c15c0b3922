"""Divergence: locate the layer where the first non-finite number occurred."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Diverged(Exception):
    """The loss or a gradient is no longer finite; the text names epoch, iteration and layer."""


@torch.inference_mode()
def locate(model: nn.Module, x: Tensor, epoch: int, iteration: int, *, updates: int) -> Diverged:
    """The exception to raise when the loss of batch ``x`` (n, inputs) is not finite.

    If weights are not finite, the last of the ``updates`` so far caused it; the layer named is the
    affected one nearest to the output, because gradients flow from there. Otherwise the forward
    pass overflowed, and the layer named is the first with outputs that are not finite.
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    for name, layer in reversed(layers.items()):
        if not (layer.weight.isfinite().all() and layer.bias.isfinite().all()):
            where = f"the gradient of {_readable(name)} is not finite"
            return Diverged(f"diverged in epoch {epoch}, iteration {updates}: {where}")
    outputs: list[tuple[str, Tensor]] = []
    handles = [
        layer.register_forward_hook(lambda m, i, out, name=name: outputs.append((name, out)))
        for name, layer in layers.items()
    ]
    model(x)
    for handle in handles:
        handle.remove()
    for name, out in outputs:
        if not out.isfinite().all():
            where = f"the outputs of {_readable(name)} are not finite"
            return Diverged(f"diverged in epoch {epoch}, iteration {iteration}: {where}")
    return Diverged(
        f"diverged in epoch {epoch}, iteration {iteration}: the loss is not finite, "
        f"though the outputs of {_readable(list(layers)[-1])} are finite"
    )


def _readable(name: str) -> str:
    """A module's name for messages: ``hidden.1.linear`` is ``hidden layer 2``, ``output`` is ``the
    output layer``, others are ``layer <name>``."""
    words = name.split(".")
    if words[0] == "hidden":
        return f"hidden layer {int(words[1]) + 1}"
    return "the output layer" if name == "output" else f"layer {name}"
