"""The multilayer perceptron against a hand-made nn.Sequential; dropout on its definition."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from exprun.common.constants import ACTIVATIONS
from exprun.common.streams import MaskStream
from exprun.techniques.networks import MLP, Dropout, Output, count_parameters, describe

X = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
NORMS = {"none": None, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def by_hand(activation: str, norm, position: str) -> nn.Sequential:
    """6-8-5-3, written down layer by layer."""
    layers: list[nn.Module] = []
    for inputs, units in [(6, 8), (8, 5)]:
        act = getattr(nn, ACTIVATIONS[activation])()
        normed = [norm(units)] if norm else []
        layers += [nn.Linear(inputs, units)]
        layers += [*normed, act] if position == "pre" else [act, *normed]
    return nn.Sequential(*layers, nn.Linear(5, 3))


@pytest.mark.parametrize("position", ["pre", "post"])
@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS.keys())
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_forward_is_a_sequential_with_the_same_weights(activation, norm, position):
    """The output layer is computed as (W xᵀ + b)ᵀ, which may round otherwise."""
    model = MLP(6, 3, hidden=[8, 5], activation=activation, norm=norm, norm_position=position)
    twin = by_hand(activation, norm, position)
    random = generator(1)
    for w, w_twin in zip(model.parameters(), twin.parameters(), strict=True):
        w_twin.data.normal_(generator=random)
        w.data.copy_(w_twin)
    for training in (True, False):
        model.train(training)
        twin.train(training)
        *hidden, last = twin
        x = nn.Sequential(*hidden).train(training)(X)
        expected = (torch.addmm(last.bias[:, None], last.weight, x.T)).T
        assert torch.equal(model(X), expected)
        torch.testing.assert_close(expected, last(x))


@pytest.mark.parametrize(("n", "outputs"), [(1, 1), (5, 1), (1, 3), (7, 10), (300, 2)])
def test_outputs_are_those_of_linear_and_lie_unit_by_unit(n, outputs):
    layer = Output(6, outputs)
    x = torch.randn(n, 6, generator=generator(0), requires_grad=True)
    up = torch.randn(n, outputs, generator=generator(1))
    z, expected = layer(x), nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(z, expected)
    assert z.T.is_contiguous()
    wanted = (x, layer.weight, layer.bias)
    gradients = torch.autograd.grad(z, wanted, up)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, wanted, up))
    # however the gradient lies that comes in, the same bits go on
    again = torch.autograd.grad(layer(x), wanted, up.T.contiguous().T)
    assert all(map(torch.equal, gradients, again))


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_an_activation_is_the_function_of_its_name(activation):
    functions = {
        "identity": lambda z: z,
        "leaky_relu": nn.functional.leaky_relu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
    }
    function = functions.get(activation) or getattr(nn.functional, activation)
    model = MLP(6, 8, hidden=[8], activation=activation)
    with torch.no_grad():
        model.output.weight.copy_(torch.eye(8))
        model.output.bias.zero_()
        torch.testing.assert_close(model(X), function(model.hidden[0].linear(X)))


def test_without_hidden_layers_it_is_linear():
    model = MLP(6, 3, hidden=[])
    torch.testing.assert_close(model(X), X @ model.output.weight.T + model.output.bias)


@pytest.mark.parametrize(
    ("hidden", "norm", "words", "parameters"),
    [
        ([], None, "6-3", 6 * 3 + 3),
        ([8], None, "6-8-3", 6 * 8 + 8 + 8 * 3 + 3),
        ([8, 5], nn.LayerNorm, "6-8-5-3", 56 + 16 + 45 + 10 + 18),
    ],
)
def test_description_and_number_of_parameters(hidden, norm, words, parameters):
    model = MLP(6, 3, hidden=hidden, norm=norm)
    assert describe(model) == words
    assert count_parameters(model) == parameters


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout_keeps_its_share_and_divides_by_it(p):
    """40 000 draws: the share's standard deviation is at most 0.0025."""
    x = torch.full((200, 200), 3.0)
    dropped = Dropout(p, MaskStream(0))(x)
    kept = dropped != 0
    assert kept.double().mean().item() == pytest.approx(1 - p, abs=0.01)
    torch.testing.assert_close(dropped[kept], torch.full_like(dropped[kept], 3 / (1 - p)))


def test_dropout_has_nn_dropouts_gradient():
    x = torch.ones(50, 50, requires_grad=True)
    dropped = Dropout(0.5, MaskStream(0))(x)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())


@pytest.mark.parametrize(("p", "training"), [(0.5, False), (0.0, True)])
def test_dropout_that_drops_nothing_is_the_identity(p, training):
    assert torch.equal(Dropout(p, MaskStream(0)).train(training)(X), X)


def test_dropout_draws_from_its_own_stream_alone():
    before = torch.get_rng_state()
    first = Dropout(0.5, MaskStream(1))(X)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(Dropout(0.5, MaskStream(1))(X), first)
    assert not torch.equal(Dropout(0.5, MaskStream(2))(X), first)


def test_dropout_draws_a_new_mask_in_every_iteration():
    masks = MaskStream(0)
    layer = Dropout(0.5, masks)
    first = layer(X)
    assert torch.equal(layer(X), first)
    masks.advance()
    assert not torch.equal(layer(X), first)


def test_one_p_per_hidden_layer():
    model = MLP(6, 3, hidden=[400, 300], dropout=[0.2, 0.7], dropout_stream=MaskStream(0))
    shares = []
    for layer in model.hidden:
        layer.register_forward_hook(
            lambda _, __, out: shares.append((out == 0).double().mean().item())
        )
    with torch.no_grad():
        for layer in model.hidden:
            layer.linear.weight.abs_()
            layer.linear.bias.fill_(10)
        model(X.abs())
    assert shares == pytest.approx([0.2, 0.7], abs=0.04)


def test_dropout_leaves_the_networks_eval_forward_alone():
    plain = MLP(6, 3, hidden=[8])
    dropped = MLP(6, 3, hidden=[8], dropout=[0.5], dropout_stream=MaskStream(0))
    dropped.load_state_dict(plain.state_dict())
    assert torch.equal(dropped.eval()(X), plain.eval()(X))
    assert not torch.equal(dropped.train()(X), plain.train()(X))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"dropout": [0.5]}, "1 dropout p for 2 hidden layers"),
        ({"dropout": [0.5, 0.5]}, "dropout_stream"),
    ],
)
def test_wrong_dropout_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        MLP(6, 3, hidden=[8, 5], **wrong)


def test_norm_takes_its_options():
    model = MLP(6, 3, hidden=[8], norm=partial(nn.BatchNorm1d, momentum=0.3, eps=1e-2))
    assert model.hidden[0].norm.momentum == pytest.approx(0.3)
    assert model.hidden[0].norm.eps == pytest.approx(1e-2)
