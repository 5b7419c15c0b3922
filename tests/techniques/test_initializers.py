"""Initial weights are those of torch.nn.init from the same generator."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from exprun import build
from exprun.techniques.initializers import (
    constant,
    initialize,
    normal,
    orthogonal,
    torch_default,
    uniform,
    variance_scaling,
)
from exprun.techniques.networks import MLP

FOLDER = Path(__file__).parents[2] / "conf" / "init"
SHAPES = [(30, 50), (50, 30), (1, 7)]
R2 = math.sqrt(2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fill(initializer, shape: tuple[int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Weight (fan_out, fan_in) and bias, both NaN before."""
    weight, bias = torch.full(shape, math.nan), torch.full(shape[:1], math.nan)
    initializer(weight, bias, generator(seed))
    return weight, bias


def option(name: str, **overrides):
    """The initialiser that ``init=name init.key=value …`` makes."""
    node = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))
    return build.partial("init", node | overrides)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        (option("xavier"), nn.init.xavier_normal_),
        (option("xavier", distribution="uniform"), nn.init.xavier_uniform_),
        (option("he"), partial(nn.init.kaiming_normal_, nonlinearity="relu")),
        (
            option("he", distribution="uniform"),
            partial(nn.init.kaiming_uniform_, nonlinearity="relu"),
        ),
        (
            option("he", mode="fan_out"),
            partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu"),
        ),
        (option("he", mode="fan_avg"), partial(nn.init.xavier_normal_, gain=R2)),
        (
            option("he", mode="fan_avg", distribution="uniform"),
            partial(nn.init.xavier_uniform_, gain=R2),
        ),
        (option("lecun"), partial(nn.init.kaiming_normal_, nonlinearity="linear")),
        (
            option("lecun", distribution="uniform"),
            partial(nn.init.kaiming_uniform_, nonlinearity="linear"),
        ),
        (
            option("lecun", mode="fan_out"),
            partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="linear"),
        ),
        (option("orthogonal"), nn.init.orthogonal_),
        (option("orthogonal", gain=1.5), partial(nn.init.orthogonal_, gain=1.5)),
        (option("normal", mean=0.5, std=0.3), partial(nn.init.normal_, mean=0.5, std=0.3)),
        (option("uniform", low=-0.1, high=0.4), partial(nn.init.uniform_, a=-0.1, b=0.4)),
    ],
)
def test_weights_are_torchs_from_the_same_generator(ours, torchs, shape):
    weight, bias = fill(ours, shape, seed=3)
    expected = torchs(torch.empty(shape), generator=generator(3))
    torch.testing.assert_close(weight, expected, rtol=1e-6, atol=1e-7)
    assert not bias.any()


@pytest.mark.parametrize("shape", SHAPES)
def test_torch_default_is_a_fresh_linear_layer(shape):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        layer = nn.Linear(shape[1], shape[0])
    weight, bias = fill(torch_default, shape, seed=5)
    assert torch.equal(weight, layer.weight)
    assert torch.equal(bias, layer.bias)


def test_xavier_uniform_bound_on_paper():
    weight, _ = fill(option("xavier", distribution="uniform"), (1000, 784))
    assert weight.abs().max().item() == pytest.approx(0.0579934, rel=1e-4)
    assert weight.abs().max().item() <= 0.0579935


@pytest.mark.parametrize(
    ("name", "overrides", "variance"),
    [
        ("xavier", {}, 2 / (300 + 500)),
        ("he", {}, 2 / 500),
        ("he", {"mode": "fan_out"}, 2 / 300),
        ("he", {"mode": "fan_avg"}, 4 / (300 + 500)),
        ("lecun", {}, 1 / 500),
        ("lecun", {"mode": "fan_out"}, 1 / 300),
        ("torch", {}, 1 / (3 * 500)),
    ],
)
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_variance_on_paper(name, overrides, variance, distribution):
    """150 000 draws know their variance to less than 1 %."""
    if name != "torch":
        overrides = overrides | {"distribution": distribution}
    weight, _ = fill(option(name, **overrides), (300, 500))
    assert weight.var().item() == pytest.approx(variance, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=4 * math.sqrt(variance / 150_000))


@pytest.mark.parametrize(("name", "factor"), [("he", 1.0), ("xavier", 1 / 2), ("torch", 1 / 6)])
def test_mean_square_of_activations_per_relu_layer(name, factor):
    initializer = option(name)
    x = torch.randn(400, 1000, generator=generator(1))
    means = []
    for layer in range(4):
        weight, _ = fill(initializer, (1000, 1000), seed=layer)
        x = torch.relu(x @ weight.T)
        means.append(x.square().mean().item())
    ratios = [after / before for before, after in pairwise(means)]
    assert ratios == pytest.approx([factor] * 3, rel=0.1)


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_option_fills_the_layer_from_the_given_generator_alone(file):
    before = torch.get_rng_state()
    weight, bias = fill(option(file.stem), (30, 50), seed=1)
    again, bias_again = fill(option(file.stem), (30, 50), seed=1)
    other, _ = fill(option(file.stem), (30, 50), seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert weight.isfinite().all()
    assert bias.isfinite().all()
    assert torch.equal(weight, again)
    assert torch.equal(bias, bias_again)
    drawn = weight.unique().numel() > 1
    assert torch.equal(weight, other) != drawn


@pytest.mark.parametrize(("name", "value"), [("zeros", 0.0), ("constant", 0.05)])
def test_constant_weights(name, value):
    weight, bias = fill(option(name), (3, 4))
    assert torch.equal(weight, torch.full((3, 4), value))
    assert not bias.any()


def test_constant_keeps_the_units_of_a_layer_equal():
    weight, _ = fill(partial(constant, value=0.3), (3, 4))
    assert weight.unique().tolist() == pytest.approx([0.3])


def test_normal_biases_on_request():
    weight, bias = fill(partial(normal, mean=0.0, std=1.0, bias_std=2.0), (20_000, 2))
    assert weight.std().item() == pytest.approx(1, rel=0.03)
    assert bias.std().item() == pytest.approx(2, rel=0.03)


@pytest.mark.parametrize("shape", [(30, 50), (50, 30)])
def test_orthogonal_rows_or_columns(shape):
    weight, _ = fill(partial(orthogonal, gain=2.0), shape)
    product = weight @ weight.T if shape[0] < shape[1] else weight.T @ weight
    torch.testing.assert_close(product, 4 * torch.eye(30), rtol=0, atol=1e-5)


def test_uniform_refuses_an_empty_range():
    with pytest.raises(ValueError, match=r"0\.5.*-0\.5"):
        fill(partial(uniform, low=0.5, high=-0.5), (2, 2))


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.LayerNorm])
@pytest.mark.parametrize("position", ["pre", "post"])
def test_networks_with_and_without_norm_start_from_the_same_weights(norm, position):
    he = partial(variance_scaling, scale=2.0, mode="fan_in", distribution="normal")
    plain = MLP(6, 3, hidden=[8, 5])
    normed = MLP(6, 3, hidden=[8, 5], norm=norm, norm_position=position)
    for model in (plain, normed):
        initialize(model, he, generator(4))
    weights = normed.state_dict()
    for name, w in plain.state_dict().items():
        assert torch.equal(w, weights[name])
    assert torch.equal(weights["hidden.0.norm.weight"], torch.ones(8))
    assert torch.equal(weights["hidden.0.norm.bias"], torch.zeros(8))


def test_layers_of_one_network_are_filled_one_after_the_other():
    model = MLP(6, 6, hidden=[6])
    initialize(model, partial(normal, mean=0.0, std=1.0), generator(4))
    stream = generator(4)
    for layer in (model.hidden[0].linear, model.output):
        assert torch.equal(layer.weight, torch.empty(6, 6).normal_(generator=stream))
