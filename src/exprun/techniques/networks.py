"""The multilayer perceptron (slide "Parameter initialisations": z = w x + b, x = g(z))."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from exprun.common.constants import ACTIVATIONS
from exprun.common.operations import OPERATIONS
from exprun.common.streams import WORD, MaskStream, key_of, mask_words

OPERATIONS.define(
    "dropout_mask(Tensor(a!) mask, Tensor iteration, int seed, int layer, float p) -> ()"
)


def bound(p: float) -> int:
    """The bound on 32-bit random words: a unit is kept if its word is below it."""
    return min(int((1 - p) * 2**32), WORD) if p else WORD + 1


def draw_mask(mask: Tensor, iteration: Tensor, seed: int, layer: int, p: float) -> None:
    """Fill ``mask`` (n, units) with 1 / (1 - p) or 0, from the words of ``MaskStream``."""
    words = mask_words(key_of(seed), layer, iteration.view(1, 1), *mask.shape)
    mask.copy_(words < bound(p)).mul_(1 / (1 - p))


OPERATIONS.impl("dropout_mask", draw_mask, "CompositeExplicitAutograd")


class Dropout(nn.Module):
    """Inverted dropout with masks from a stream of its own (slide "Dropout").

    In training mode, each unit is kept with probability 1 - p and then divided by 1 - p. The slide
    draws the mask with ``randn``; it must be uniform numbers, as in ``nn.Dropout``. All forward
    passes of one iteration use the same mask.
    """

    def __init__(self, p: float, masks: MaskStream) -> None:
        super().__init__()
        self.p = p
        self.masks = masks
        self.layer = masks.new_layer()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        return x * self.draw(torch.empty_like(x))

    def draw(self, mask: Tensor) -> Tensor:
        """Fill ``mask`` (n, units) with the factors of the units, 1 / (1 - p) or 0."""
        masks = self.masks
        torch.ops.exprun.dropout_mask(mask, masks.iteration, masks.seed, self.layer, self.p)
        return mask

    def extra_repr(self) -> str:
        return f"p={self.p}"


class HiddenLayer(nn.Module):
    """Linear, normalisation before or after the activation, dropout: (n, inputs) → (n, units)."""

    def __init__(
        self,
        inputs: int,
        units: int,
        activation: nn.Module,
        norm: nn.Module | None,
        norm_position: Literal["pre", "post"],
        dropout: nn.Module | None,
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, units)
        self.norm = norm or nn.Identity()
        self.activation = activation
        self.norm_position = norm_position
        self.dropout = dropout or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(self.activated(self.linear(x)))
        return dropped

    def activated(self, z: Tensor) -> Tensor:
        """The activations before dropout, from the pre-activations (n, units)."""
        x: Tensor
        if self.norm_position == "pre":
            x = self.activation(self.norm(z))
        else:
            x = self.norm(self.activation(z))
        return x


def z_by_unit(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer's z stored unit by unit, W xᵀ + b: x (n, inputs), weight (units, inputs) and
    bias (units,) → (units, n)."""
    return torch.addmm(bias.unsqueeze(1), weight, x.t())


class Output(nn.Linear):
    """A linear layer without activation, (n, inputs) → (n, outputs), computed as (W xᵀ + b)ᵀ.

    The outputs and their gradients are stored unit by unit, those of ``nn.Linear`` row by row. For
    the few units of an output layer torch's matrix product is faster with this layout on a CPU, and
    so is its softmax, which is then vectorised over rows (``python -m bench.layout``).
    """

    def forward(self, x: Tensor) -> Tensor:
        z = z_by_unit(x, self.weight, self.bias)
        if z.requires_grad:
            z.register_hook(Tensor.contiguous)
        return z.t()


class MLP(nn.Module):
    """A multilayer perceptron: one hidden layer per number in ``hidden``, then a linear output.

    Maps (n, inputs) to (n, outputs). Without hidden layers it is linear or logistic regression.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        hidden: Sequence[int] = (100, 100),
        activation: str = "relu",
        norm: Callable[[int], nn.Module] | None = None,
        norm_position: Literal["pre", "post"] = "pre",
        dropout: Sequence[float] = (),
        dropout_stream: MaskStream | None = None,
    ) -> None:
        """``norm`` makes a normalisation layer for a number of units; ``dropout`` holds one p per
        hidden layer and then needs a ``dropout_stream``. Raises ValueError if their numbers differ.
        """
        super().__init__()
        if dropout and len(dropout) != len(hidden):
            raise ValueError(f"{len(dropout)} dropout p for {len(hidden)} hidden layers")
        make_activation = getattr(nn, ACTIVATIONS[activation])
        self.hidden = nn.ModuleList()
        for i, units in enumerate(hidden):
            drop = None
            if dropout:
                if dropout_stream is None:
                    raise ValueError("dropout needs a dropout_stream")
                drop = Dropout(dropout[i], dropout_stream)
            layer = HiddenLayer(
                inputs,
                units,
                make_activation(),
                norm(units) if norm else None,
                norm_position,
                drop,
            )
            self.hidden.append(layer)
            inputs = units
        self.output = Output(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = layer(x)
        out: Tensor = self.output(x)
        return out


NORMS = {"BatchNorm1d": ("eps", "affine"), "LayerNorm": ("eps", "elementwise_affine", "bias")}
"""The norms of ``torch.nn`` that ``architecture`` supports, with the settings that affect their
outputs."""


def architecture(model: nn.Module) -> dict[str, Any]:
    """The arguments of an MLP as plain data for ``rebuilt``; only the class name for other networks
    and for MLPs with unsupported layers."""
    layers: list[Any] = list(model.hidden) if isinstance(model, MLP) else []
    unknown = [layer.norm for layer in layers if not _is_known(layer.norm)]
    if not isinstance(model, MLP) or type(model) is not MLP or unknown:
        names = [f"{type(part).__module__}.{type(part).__name__}" for part in (model, *unknown[:1])]
        return {"network": " with ".join(names)}
    first, output = (layers or [None])[0], model.output
    named = {kind: name for name, kind in ACTIVATIONS.items()}
    return {
        "network": "mlp",
        "inputs": (first.linear if first else output).in_features,
        "hidden": [layer.linear.out_features for layer in layers],
        "outputs": output.out_features,
        "activation": named[type(first.activation).__name__] if first else "identity",
        "norm": _settings(first.norm) if first else None,
        "norm_position": first.norm_position if first else "pre",
    }


def _is_known(norm: nn.Module) -> bool:
    """Whether it is no norm or one of NORMS whose outputs in eval mode do not depend on other
    rows."""
    if type(norm) is nn.BatchNorm1d:
        return norm.running_mean is not None
    return type(norm) in (nn.Identity, nn.LayerNorm)


def _settings(norm: nn.Module) -> dict[str, Any] | None:
    """The arguments of a norm, and ``kind``, its name in ``torch.nn``."""
    kind = type(norm).__name__
    if kind not in NORMS:
        return None
    settings = {name: getattr(norm, name) for name in NORMS[kind]}
    if "bias" in settings:
        settings["bias"] = settings["bias"] is not None
    return {"kind": kind, **settings}


def rebuilt(data: dict[str, Any], weights: dict[str, Tensor]) -> MLP:
    """Build the MLP that ``architecture`` described, with ``weights`` as its ``state_dict``. Raises
    ValueError if the description is invalid or the weights do not match it."""
    try:
        norm = data["norm"] and {key: data["norm"][key] for key in NORMS[data["norm"]["kind"]]}
        with torch.device("meta"):  # allocates no memory, however large the sizes are
            model = MLP(
                data["inputs"],
                data["outputs"],
                hidden=data["hidden"],
                activation=data["activation"],
                norm=partial(getattr(nn, data["norm"]["kind"]), **norm) if norm else None,
                norm_position=data["norm_position"],
            )
        # copies have torch's alignment, without which some kernels round differently
        copies = {name: w.clone() for name, w in weights.items()}
        model.load_state_dict(copies, assign=True)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    return model.eval()


def describe(model: nn.Module) -> str:
    """The sizes of the linear layers, inputs first: ``64-100-100-10``."""
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    return "-".join(str(n) for n in [linear[0].in_features, *(x.out_features for x in linear)])


def count_parameters(model: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(w.numel() for w in model.parameters())
