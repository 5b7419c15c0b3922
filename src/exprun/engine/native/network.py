"""Describe a training to the native engine: addresses, sizes and numbers (``kernels/native.h``)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from exprun.common.constants import ACTIVATIONS
from exprun.engine.native import library
from exprun.techniques import losses, optimizers, regularizers
from exprun.techniques.averaging import WeightAverage
from exprun.techniques.networks import MLP, Dropout, HiddenLayer

if TYPE_CHECKING:
    from exprun.training.training import Training

ACTIVATION_CODES = (
    "identity",
    "relu",
    "relu6",
    "leaky_relu",
    "hardswish",
    "softsign",
    "sigmoid",
    "tanh",
    "tanhshrink",
    "silu",
    "gelu",
    "elu",
    "celu",
    "selu",
    "softplus",
    "mish",
)
NORM_CODES = (nn.Identity, nn.BatchNorm1d, nn.LayerNorm)
LOSS_CODES = (
    losses.CrossEntropy,
    losses.BinaryCrossEntropy,
    losses.SquaredError,
    losses.AbsoluteError,
    losses.Huber,
    losses.Poisson,
)
OPTIMIZER_CODES = (
    torch.optim.SGD,
    optimizers.Momentum,
    torch.optim.Adagrad,
    torch.optim.Adadelta,
    torch.optim.RMSprop,
    torch.optim.Adam,
    torch.optim.AdamW,
    optimizers.Adamax,
    optimizers.NAdam,
    optimizers.RAdam,
)
"""All four tuples are in the order of their enumerations in ``kernels/native.h``."""

REGULARIZERS = (
    regularizers.L1,
    regularizers.L2,
    regularizers.ElasticNet,
    regularizers.MaxNorm,
    regularizers.WeightDecay,
    regularizers.Dropout,
    regularizers.LabelSmoothing,
)

NESTEROV, CENTERED, AMSGRAD, DECOUPLED = 1, 2, 4, 8

NOT_ASKED = "another engine was chosen"

Group = dict[str, Any]


def obstacle(training: Training) -> str | None:
    """The reason why the native engine cannot run a training; None if it can."""
    t = training
    if t.engine not in ("auto", "native"):
        return NOT_ASKED
    if t.not_native:
        return t.not_native
    try:
        library.load()
    except library.Unavailable as why:
        return str(why)
    if t.device.type != "cpu":
        return f"it computes on a CPU, not on {t.device.type}"
    if type(t.model) is not MLP:
        return f"{type(t.model).__name__} is not exprun's MLP"
    if any(m._forward_hooks or m._forward_pre_hooks for m in t.model.modules()):
        return "somebody watches the layers"
    if isinstance(t.optimizer, torch.optim.LBFGS):
        return "L-BFGS evaluates the loss several times in an iteration"
    known: list[tuple[Any, tuple[type, ...]]] = [
        (t.optimizer, OPTIMIZER_CODES),
        (t.loss, LOSS_CODES),
        *((regularizer, REGULARIZERS) for regularizer in t.regularizers),
        *((layer.norm, NORM_CODES) for layer in _hidden(t.model)),
        *((layer.dropout, (nn.Identity, Dropout)) for layer in _hidden(t.model)),
    ]
    if t.averaging:
        known.append((t.averaging, (WeightAverage,)))
    for part, kinds in known:
        if type(part) not in kinds:
            return f"it does not know {type(part).__name__}"
    for layer in _hidden(t.model):
        if _activation_code(layer.activation) is None:
            return f"it does not know {layer.activation}"
        if isinstance(layer.norm, nn.BatchNorm1d) and layer.norm.running_mean is None:
            return "it does not know batch normalisation without running statistics"
    if len(t.optimizer.param_groups) > library.MOST_GROUPS:
        return f"the optimizer has more than {library.MOST_GROUPS} parameter groups"
    for group in t.optimizer.param_groups:
        if group.get("maximize"):
            return "it does not maximise"
        if isinstance(group["lr"], Tensor):
            return "the learning rate is a tensor"
    if any(w.dtype != torch.float32 or not w.requires_grad for w in t.model.parameters()):
        return "it trains all parameters, in float32"
    return None


def _hidden(model: nn.Module) -> list[HiddenLayer]:
    return [layer for layer in model.modules() if isinstance(layer, HiddenLayer)]


def _activation_code(activation: nn.Module) -> int | None:
    """The index in ACTIVATION_CODES; None if unknown or not with torch's default settings."""
    for code, name in enumerate(ACTIVATION_CODES):
        default = getattr(nn, ACTIVATIONS[name])
        if type(activation) is default and repr(activation) == repr(default()):
            return code
    return None


def _sgd(group: Group) -> tuple[float, float, float]:
    return group["momentum"], group["dampening"], 0.0


def _betas(group: Group) -> tuple[float, float, float]:
    beta1, beta2 = group["betas"]
    return beta1, beta2, 0.0


READERS: dict[type, Callable[[Group], tuple[float, float, float]]] = {
    torch.optim.SGD: _sgd,
    optimizers.Momentum: lambda group: (group["momentum"], 0.0, 0.0),
    torch.optim.Adagrad: lambda group: (0.0, group["lr_decay"], 0.0),
    torch.optim.Adadelta: lambda group: (group["rho"], 0.0, 0.0),
    torch.optim.RMSprop: lambda group: (group["alpha"], group["momentum"], 0.0),
    optimizers.NAdam: lambda group: (*group["betas"], 0.96 ** group["momentum_decay"]),
}
"""Functions from a parameter group to the ``beta1``, ``beta2`` and ``decay`` of ``Hyper``."""


def read(kind: type, group: Group) -> tuple[float, ...]:
    """The current values of a parameter group, in the order of ``Hyper``'s fields."""
    own = READERS.get(kind, _betas)(group)
    return (group["lr"], group["weight_decay"], group.get("eps", 0.0), *own)


def _options(kind: type, group: Group) -> int:
    return (
        NESTEROV * bool(group.get("nesterov"))
        + CENTERED * bool(group.get("centered"))
        + AMSGRAD * bool(group.get("amsgrad"))
        + DECOUPLED * bool(group.get("decoupled_weight_decay"))
    )


class Changed(Exception):
    """A training no longer fits the network built for it; the text says what has changed."""


def fixed_settings(kind: type, group: Group) -> dict[str, Any]:
    """The settings of a parameter group that are fixed when a network is built; all others are read
    before every iteration (``read``)."""
    return {
        "its options": _options(kind, group),
        "its states": state_names(kind, group),
        "maximize": bool(group.get("maximize")),
        "a learning rate that is a tensor": isinstance(group["lr"], Tensor),
    }


def state_names(kind: type, group: Group) -> tuple[str | None, ...]:
    """The names of the optimizer's state in the order of ``Parameter.state``; None is unused."""
    moments = "exp_avg", "exp_avg_sq"
    if kind is torch.optim.SGD:
        return ("momentum_buffer",) if group["momentum"] else ()
    if kind is optimizers.Momentum:
        return ("velocity",)
    if kind is torch.optim.Adagrad:
        return ("sum",)
    if kind is torch.optim.Adadelta:
        return "square_avg", "acc_delta"
    if kind is torch.optim.RMSprop:
        buffer = "momentum_buffer" if group["momentum"] else None
        return "square_avg", buffer, "grad_avg" if group["centered"] else None
    if kind is optimizers.Adamax:
        return "exp_avg", "exp_inf"
    return (*moments, "max_exp_avg_sq") if group.get("amsgrad") else moments


def initial_state(kind: type, group: Group, w: Tensor) -> dict[str, Tensor]:
    """The initial optimizer state of ``w``, equal to what the optimizer itself would create."""
    state = {name: torch.zeros_like(w) for name in state_names(kind, group) if name}
    if kind not in (torch.optim.SGD, optimizers.Momentum):
        ours = kind in (optimizers.Adamax, optimizers.NAdam, optimizers.RAdam)
        state["step"] = torch.zeros((), dtype=torch.float64 if ours else torch.float32)
    if kind is optimizers.NAdam:
        state["mu_product"] = torch.ones(())
    return state


class NativeNetwork:
    """The structure ``Network`` of a training; keeps the tensors alive whose addresses it has."""

    def __init__(self, training: Training, threads: int) -> None:
        t = training
        self.training = t
        self.kind = type(t.optimizer)
        self.states = {
            w: t.optimizer.state.get(w) or initial_state(self.kind, group, w)
            for group in t.optimizer.param_groups
            for w in group["params"]
        }
        self.fixed_settings = [
            fixed_settings(self.kind, group) for group in t.optimizer.param_groups
        ]
        self.groups = {
            w: i for i, group in enumerate(t.optimizer.param_groups) for w in group["params"]
        }
        averages = t.averaging.sums if t.averaging else []
        # Both stay where they are, should a weight or a state be given other memory.
        self.memory = [w.data for w in self.groups]
        self.first_states = [v for state in self.states.values() for v in state.values()]
        self.averages: dict[Tensor, Tensor] = dict(
            zip(t.model.parameters(), averages, strict=False)
        )
        hidden = _hidden(t.model)
        output: Any = t.model.output
        linear = [*(layer.linear for layer in hidden), output]
        self.layers = (library.Layer * len(linear))()
        for i, layer in enumerate(linear):
            self._describe(self.layers[i], layer, hidden[i] if i < len(hidden) else None)
        self.structure = library.Network(
            layers=self.layers,
            depth=len(linear),
            batch=t.batch_size or len(t.data.train),
            seed=t.streams.dropout.seed,
            label_smoothing=t.loss.label_smoothing,
            delta=getattr(t.loss, "delta", 0.0),
            average_decay=t.averaging.decay if t.averaging else 0.0,
            smoothing_classes=t.loss.task.width,
            loss=LOSS_CODES.index(type(t.loss)),
            sum=t.loss.reduction == "sum",
            optimizer=OPTIMIZER_CODES.index(self.kind),
            options=_options(self.kind, t.optimizer.param_groups[0]),
            groups=len(t.optimizer.param_groups),
            threads=min(threads, library.MOST_THREADS),
        )

    def _describe(
        self, layer: library.Layer, linear: nn.Linear, hidden: HiddenLayer | None
    ) -> None:
        """Fill in the structure of a linear layer and, unless it is the output layer, of the norm,
        activation and dropout in ``hidden``."""
        layer.inputs, layer.units = linear.in_features, linear.out_features
        layer.weight = self._parameter(linear.weight, is_weight=True)
        layer.bias = self._parameter(linear.bias)
        if hidden is None:
            return
        code = _activation_code(hidden.activation)
        assert code is not None
        layer.activation = code
        layer.norm_after = hidden.norm_position == "post"
        if isinstance(hidden.dropout, Dropout):
            layer.p = hidden.dropout.p
        norm: Any = hidden.norm
        layer.norm = NORM_CODES.index(type(norm))
        if layer.norm:
            layer.eps = norm.eps
            layer.scale, layer.shift = self._parameter(norm.weight), self._parameter(norm.bias)
        if isinstance(norm, nn.BatchNorm1d):
            layer.momentum = -1.0 if norm.momentum is None else norm.momentum
            layer.running_mean = _address(norm.running_mean)
            layer.running_var = _address(norm.running_var)
            layer.batches = _address(norm.num_batches_tracked)

    def _parameter(self, w: Tensor | None, *, is_weight: bool = False) -> library.Parameter:
        """The structure of a parameter; ``is_weight`` marks the matrix of a linear layer, to which
        most regularizers apply."""
        if w is None:
            return library.Parameter()
        t, state = self.training, self.states[w]
        group = t.optimizer.param_groups[self.groups[w]]
        names = state_names(self.kind, group)
        addresses = [_address(state.get(name)) if name else None for name in names]
        p = library.Parameter(
            w=_address(w),
            state=(ctypes.c_void_p * 3)(*addresses),
            average=_address(self.averages.get(w)),
            step=_address(state.get("step")),
            product=_address(state.get("mu_product")),
            count=w.numel(),
            group=self.groups[w],
            wide_step="step" in state and state["step"].dtype == torch.float64,
            fresh=w not in t.optimizer.state,
            rows=len(w) if is_weight else 1,
        )
        for r in t.regularizers:
            if isinstance(r, regularizers.L1) and (is_weight or r.biases):
                p.l1 += r.strength
            elif isinstance(r, regularizers.L2) and is_weight:
                p.l2 += r.strength / len(t.data.train)
            elif isinstance(r, regularizers.ElasticNet) and is_weight:
                p.l1 += r.strength * r.l1_ratio
                p.l2 += r.strength * (1 - r.l1_ratio)
            elif isinstance(r, regularizers.MaxNorm) and is_weight:
                p.max_norm = min(r.max_norm, p.max_norm or r.max_norm)
        return p


def _address(tensor: Tensor | None) -> int | None:
    """The data pointer of a contiguous tensor."""
    if tensor is None:
        return None
    assert tensor.is_contiguous()
    return tensor.data_ptr()
