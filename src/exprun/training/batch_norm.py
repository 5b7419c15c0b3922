"""Recompute the running statistics of batch normalisation, for example for averaged weights."""

from __future__ import annotations

import torch
from torch import nn

from exprun.data.one_hot_inputs import Inputs
from exprun.training.prediction import rows_at_once

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@torch.no_grad()
def recompute_statistics(model: nn.Module, x: Inputs) -> None:
    """Set ``running_mean`` and ``running_var`` of every batch normalisation to the mean and
    variance of its inputs over all rows of ``x`` (n, …), n > 1.

    ``model`` must be in evaluation mode: dropout is off, and later layers see the outputs of
    earlier normalisations with their new statistics.

    The variance is that of all rows together, by the law of total variance: the variances within
    chunks of rows and the variance of their means, weighted by the rows. It has n - 1 in the
    denominator, as ``torch.nn.BatchNorm1d`` has it in ``running_var`` (Ioffe & Szegedy 2015,
    algorithm 2). ``torch.optim.swa_utils.update_bn`` instead averages the statistics of batches
    with equal weights and ignores the variance between batches.
    """
    for layer in _in_order(model, x):
        inputs = _Moments()
        with layer.register_forward_pre_hook(inputs.add):
            for rows in x.split(rows_at_once(x.shape[1])):
                model(rows)
        buffers = dict(layer.named_buffers())
        buffers["running_mean"].copy_(inputs.mean)
        buffers["running_var"].copy_(inputs.squares / (inputs.count - 1))


def _in_order(model: nn.Module, x: Inputs) -> list[nn.Module]:
    """The batch normalisations with running statistics, in the order in which they are applied."""
    found: list[nn.Module] = []
    layers = [
        module
        for module in model.modules()
        if isinstance(module, BATCH_NORMS) and module.track_running_stats
    ]
    handles = [layer.register_forward_pre_hook(lambda m, _: found.append(m)) for layer in layers]
    if layers:
        model(x[:1])
    for handle in handles:
        handle.remove()
    return list(dict.fromkeys(found))


class _Moments:
    """Mean and sum of squared deviations of each feature, of chunks (n, features, …) pooled exactly
    (Chan, Golub & LeVeque 1983); float64."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        """Forward pre-hook: take in a chunk of the layer's inputs."""
        values = inputs[0].double().transpose(0, 1).flatten(1)  # (features, numbers)
        count = values.shape[1]
        variance, mean = torch.var_mean(values, 1, correction=0)
        total = self.count + count
        shift = mean - self.mean
        self.squares = self.squares + variance * count + shift**2 * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total
