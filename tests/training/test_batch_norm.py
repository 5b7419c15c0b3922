"""Statistics of batch normalisation computed anew, against definitions and against torch's own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from exprun.techniques.networks import Dropout
from exprun.training import prediction
from exprun.training.batch_norm import recompute_statistics
from tests.conftest import built, same_bits

NORMS = ["norm.position=pre", "norm.position=post"]


@pytest.mark.parametrize("rows", [8192, 40, 7, 1])
@pytest.mark.parametrize("position", NORMS)
def test_each_layer_has_the_moments_of_its_inputs_over_all_rows(
    position: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the chunks; the second layer's inputs come through the first's new statistics, and
    no unit is dropped."""
    monkeypatch.setattr(prediction, "ROWS", rows)
    training = built("norm=batch", position, "reg=dropout", "reg.dropout.p=0.5")
    training.set_mode(False)
    recompute_statistics(training.model, training.data.train.x)
    model = copy.deepcopy(training.model).double()
    x = training.data.train.x.double()
    for layer in model.hidden:  # type: ignore[union-attr]
        z: Any = layer.linear(x)
        if position == "norm.position=post":
            z = layer.activation(z)
        torch.testing.assert_close(layer.norm.running_mean, z.mean(0), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(layer.norm.running_var, z.var(0), rtol=1e-5, atol=1e-7)
        assert isinstance(layer.dropout, Dropout)
        x = layer.norm(z) if position == "norm.position=post" else layer.activation(layer.norm(z))


def test_all_rows_as_one_batch_of_torchs() -> None:
    """With momentum 1 torch keeps the statistics of its last batch alone."""
    x = torch.randn(300, 5, generator=torch.Generator().manual_seed(0)) * 3 + 100
    ours, torchs = nn.BatchNorm1d(5), nn.BatchNorm1d(5, momentum=1.0)
    recompute_statistics(ours.eval(), x)
    torchs(x)
    assert ours.running_mean is not None
    assert ours.running_var is not None
    torch.testing.assert_close(ours.running_mean, torchs.running_mean)
    torch.testing.assert_close(ours.running_var, torchs.running_var)


def test_unequal_chunks_that_differ_in_their_means(monkeypatch: pytest.MonkeyPatch) -> None:
    """On paper: 0, 0, 6 has mean 2 and variance 12. torch's update_bn would find 3 and 0."""
    monkeypatch.setattr(prediction, "ROWS", 2)
    layer = nn.BatchNorm1d(1).eval()
    recompute_statistics(layer, torch.tensor([[0.0], [0.0], [6.0]]))
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert layer.running_mean.tolist() == [2.0]
    assert layer.running_var.tolist() == [12.0]


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_other_networks_are_left_alone(norm: str) -> None:
    training = built(f"norm={norm}")
    before = copy.deepcopy(training.model.state_dict())
    recompute_statistics(training.model, training.data.train.x)
    assert same_bits(before, training.model.state_dict())


def test_layers_applied_in_another_order_than_they_were_made() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
            self.unused = nn.BatchNorm1d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.last(self.first(x).relu())
            return out

    model = Backwards().eval()
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    recompute_statistics(model, x)
    between = model.first(x).relu()
    assert model.last.running_mean is not None
    assert model.unused.running_var is not None
    torch.testing.assert_close(model.last.running_mean, between.mean(0))
    assert model.unused.running_var.tolist() == [1.0, 1.0]
    assert not model.first._forward_pre_hooks
