"""Regularisation (slides "Regularization").

``penalty`` is added to the loss of every iteration, ``constrain`` changes the weights after it; the
other regularisers only hold settings that ``exprun.build`` reads when it builds the network, the
loss and the optimizer. A custom regulariser is a subclass with one of the two methods, named by
``_target_`` in a YAML file under ``reg/``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def weights_of(model: nn.Module) -> list[Tensor]:
    """The weight matrices of the linear layers, without biases, to which λ regularisation
    applies."""
    return [layer.weight for layer in model.modules() if isinstance(layer, nn.Linear)]


Coefficient = float | Tensor
"""A number, or one per member of a stack (see ``fit.stack``), (k,) float64."""


class Regularizer:
    """Base class of regularisers; its methods do nothing."""

    def penalty(self, model: nn.Module, rows: int) -> Tensor | None:
        """A scalar to add to the loss, or None; ``rows`` is the number of training rows, m."""
        return None

    def constrain(self, model: nn.Module) -> None:
        """Change the weights in place after an iteration."""


@dataclass(frozen=True)
class L1(Regularizer):
    """strength * Σ|w| over the weights, or with ``biases``, as in the slides' code, over all
    parameters."""

    strength: Coefficient
    biases: bool = False

    def penalty(self, model: nn.Module, rows: int) -> Tensor:
        if self.biases:
            return _times(_add([w.abs().sum() for w in model.parameters()]), self.strength)
        return _times(_add([_sum(w.abs()) for w in weights_of(model)]), self.strength)


@dataclass(frozen=True)
class L2(Regularizer):
    """strength/(2m) * Σ‖w‖²_F over the weights, m the number of training rows (slide "λ
    regularization"). With plain gradient descent the same as weight_decay = strength/m."""

    strength: Coefficient

    def penalty(self, model: nn.Module, rows: int) -> Tensor:
        squares = _add([_sum(w.square()) for w in weights_of(model)])
        return _times(squares, self.strength / (2 * rows))


@dataclass(frozen=True)
class ElasticNet(Regularizer):
    """strength * (l1_ratio Σ|w| + (1 - l1_ratio)/2 Σw²), as scikit-learn (Zou & Hastie 2005)."""

    strength: Coefficient
    l1_ratio: Coefficient

    def penalty(self, model: nn.Module, rows: int) -> Tensor:
        weights = weights_of(model)
        absolute = _add([_sum(w.abs()) for w in weights])
        squares = _add([_sum(w.square()) for w in weights])
        ridge = self.strength * (1 - self.l1_ratio) / 2
        return _times(absolute, self.strength * self.l1_ratio) + _times(squares, ridge)


def _sum(w: Tensor) -> Tensor:
    """The sum over a weight matrix (units, inputs), a scalar, or over each of k matrices
    (k, units, inputs), (k,)."""
    return w.sum((-2, -1))


def _add(sums: list[Tensor]) -> Tensor:
    """The total over all layers."""
    return torch.stack(sums).sum(0)


def _times(sums: Tensor, coefficient: Coefficient) -> Tensor:
    """The product of the sums and a coefficient, which is converted to their dtype only here."""
    return sums * (coefficient.to(sums) if isinstance(coefficient, Tensor) else coefficient)


@dataclass(frozen=True)
class MaxNorm(Regularizer):
    """After every iteration, rescale the incoming weights of each unit for which their 2-norm
    exceeds ``max_norm`` (Srivastava et al. 2014, section 5.1)."""

    max_norm: float

    @torch.no_grad()
    def constrain(self, model: nn.Module) -> None:
        for w in weights_of(model):
            norms = w.norm(dim=1, keepdim=True)
            w.mul_(self.max_norm / norms.clamp_min(self.max_norm))


@dataclass(frozen=True)
class WeightDecay(Regularizer):
    """The optimizer's ``weight_decay``, on the weights only, or with ``biases`` on all parameters
    as in torch; it replaces ``optimizer.weight_decay``."""

    strength: float
    biases: bool = False


@dataclass(frozen=True)
class Dropout(Regularizer):
    """Dropout probability ``p`` of the hidden units: one for all hidden layers, or one per
    layer."""

    p: float | Sequence[float]


@dataclass(frozen=True)
class LabelSmoothing(Regularizer):
    """Label smoothing of the class targets by ``smoothing`` (Szegedy et al. 2016)."""

    smoothing: float
