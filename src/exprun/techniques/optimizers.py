"""Optimizers with torch's interface: the lecture's momentum, which torch lacks, and Adamax, NAdam
and RAdam in a form whose steps can be recorded and replayed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT


class _Foreach(Optimizer):
    """Base class for a step in few operations, each over all weights of a group with a gradient.

    Every step issues the same operations with the same Python numbers, except for the learning
    rate, which only the last operation takes: values that depend on the step or on state are
    tensors. So a recorded step can be replayed. The first step creates the state.
    """

    def __init__(self, params: ParamsT, lr: float, *, weight_decay: float, **others: Any) -> None:
        """Raises ValueError if ``lr`` or ``weight_decay`` is negative."""
        if not lr >= 0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not weight_decay >= 0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, **others})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters; returns what ``closure``, if given, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [w for w in group["params"] if w.grad is not None]
            if not weights:
                continue
            gradients = [w.grad for w in weights]
            if group["weight_decay"] and not group.get("decoupled_weight_decay"):
                gradients = list(
                    torch._foreach_add(gradients, weights, alpha=group["weight_decay"])
                )
            self._update(group, weights, gradients)
        return loss

    @abstractmethod
    def _update(
        self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]
    ) -> None:
        """Update ``weights`` in place; ``gradients`` already include weight decay that is not
        decoupled."""

    def _state_of(
        self,
        weights: list[Tensor],
        name: str,
        first: Callable[[Tensor], Tensor] = torch.zeros_like,
    ) -> list[Tensor]:
        """The tensor ``name`` of each weight's state; ``first`` creates the initial one."""
        states = [self.state[w] for w in weights]
        for w, state in zip(weights, states, strict=True):
            if name not in state:
                state[name] = first(w)
        return [state[name] for state in states]


class Momentum(_Foreach):
    """The lecture's momentum: an exponential moving average of the gradients (slide "Momentum").

    u = momentum * u + (1 - momentum) * g,  w = w - lr * u,  u = 0 at first.

    torch's SGD sums instead (u = momentum * u + g), so ``lr`` here corresponds to
    ``lr * (1 - momentum)`` there; after that substitution both take the same steps.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ) -> None:
        """Raises ValueError if ``lr`` or ``weight_decay`` is negative or momentum not in [0, 1)."""
        if not 0 <= momentum < 1:
            raise ValueError(f"Invalid momentum value: {momentum}")
        super().__init__(params, lr, momentum=momentum, weight_decay=weight_decay)

    def _update(
        self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]
    ) -> None:
        velocities = self._state_of(weights, "velocity")
        torch._foreach_lerp_(velocities, gradients, 1 - group["momentum"])
        torch._foreach_add_(weights, velocities, alpha=-group["lr"])


class _Adaptive(_Foreach):
    """Base class of Adam's variants: w = w - lr * n / d, where n averages gradients and d their
    magnitudes.

    The state has torch's names and meaning, so a state dict can be loaded into torch's class and
    vice versa. Values that depend on the step t are computed once per group, for the t of its first
    weight with a gradient. (torch has one t per weight; they differ only if some weights lack a
    gradient in some steps.)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        **others: Any,
    ) -> None:
        """Raises ValueError if ``lr``, ``eps`` or ``weight_decay`` is negative or one of ``betas``
        not in [0, 1)."""
        if not eps >= 0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        for index, beta in enumerate(betas):
            if not 0 <= beta < 1:
                raise ValueError(f"Invalid beta parameter at index {index}: {beta}")
        super().__init__(params, lr, betas=betas, eps=eps, weight_decay=weight_decay, **others)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Convert loaded step counters, whose dtype torch keeps as saved, to float64."""
        super().__setstate__(state)
        for w, values in self.state.items():
            if "step" in values:
                values["step"] = values["step"].to(w.device, torch.float64)

    def _count(self, weights: list[Tensor]) -> Tensor:
        """Increment and return the step number t = 1, 2, …; float64, which 1 - beta2^t requires."""
        steps = self._state_of(weights, "step", lambda w: w.new_zeros((), dtype=torch.float64))
        torch._foreach_add_(steps, 1)
        return steps[0]

    def _moments(
        self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The averages m = beta1 * m + (1 - beta1) * g and v = beta2 * v + (1 - beta2) * g²."""
        beta1, beta2 = group["betas"]
        m, v = self._state_of(weights, "exp_avg"), self._state_of(weights, "exp_avg_sq")
        torch._foreach_lerp_(m, gradients, 1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, gradients, gradients, value=1 - beta2)
        return m, v


class Adamax(_Adaptive):
    """Adam with the maximum norm instead of squared gradients (Kingma & Ba 2015, §7.1).

    m = beta1 * m + (1 - beta1) * g,  u = max(beta2 * u, |g| + eps),
    w = w - lr * m / ((1 - beta1^t) * u).

    Takes the steps of ``torch.optim.Adamax``, with t a tensor.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """Raises ValueError if ``lr``, ``eps`` or ``weight_decay`` is negative or one of ``betas``
        not in [0, 1)."""
        super().__init__(params, lr, betas, eps, weight_decay)

    def _update(
        self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]
    ) -> None:
        beta1, beta2 = group["betas"]
        m, u = self._state_of(weights, "exp_avg"), self._state_of(weights, "exp_inf")
        torch._foreach_lerp_(m, gradients, 1 - beta1)
        sizes = torch._foreach_abs(gradients)
        torch._foreach_add_(sizes, group["eps"])
        torch._foreach_mul_(u, beta2)
        torch._foreach_maximum_(u, sizes)
        t = self._count(weights)
        denominators = torch._foreach_mul(u, _like(u, 1 - beta1**t))
        torch._foreach_addcdiv_(weights, m, denominators, value=-group["lr"])


class NAdam(_Adaptive):
    """Adam with Nesterov momentum (Dozat 2016).

    m = beta1 * m + (1 - beta1) * g,  v = beta2 * v + (1 - beta2) * g²,
    mu_t = beta1 * (1 - 0.96^(t * momentum_decay) / 2),  P_t = mu_1 * … * mu_t,
    n = mu_(t+1) / (1 - P_(t+1)) * m + (1 - mu_t) / (1 - P_t) * g,
    w = w - lr * n / (sqrt(v / (1 - beta2^t)) + eps).

    Takes the steps of ``torch.optim.NAdam``, with t, mu and P tensors. A decoupled weight decay
    takes lr * weight_decay * w away as well, instead of adding weight_decay * w to g.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 0.004,
        decoupled_weight_decay: bool = False,
    ) -> None:
        """Raises ValueError if ``lr``, ``eps``, ``weight_decay`` or ``momentum_decay`` is negative
        or one of ``betas`` not in [0, 1)."""
        if not momentum_decay >= 0:
            raise ValueError(f"Invalid momentum_decay value: {momentum_decay}")
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
        )

    def _update(
        self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]
    ) -> None:
        beta1, beta2 = group["betas"]
        m, v = self._moments(group, weights, gradients)
        t = self._count(weights)
        decay = 0.96 ** group["momentum_decay"]
        lack = beta1 / 2 * decay**t
        mu, next_mu = beta1 - lack, beta1 - decay * lack
        products = self._state_of(weights, "mu_product", lambda w: w.new_ones(()))
        torch._foreach_mul_(products, _like(products, mu))
        product = products[0]
        # n and d are divided by the coefficient of g, so that g is added without a factor
        unit = (1 - product) / (1 - mu)
        n = torch._foreach_mul(m, _like(m, next_mu / (1 - product * next_mu) * unit))
        torch._foreach_add_(n, gradients)
        scale, shift = unit / (1 - beta2**t).sqrt(), group["eps"] * unit
        _descend(group, weights, n, _roots(v, scale, shift))


class RAdam(_Adaptive):
    """Rectified Adam: adaptive steps only once their variance is tractable (Liu et al. 2020).

    m = beta1 * m + (1 - beta1) * g,  v = beta2 * v + (1 - beta2) * g²,
    last = 2 / (1 - beta2) - 1,  rho = last - 2 * t * beta2^t / (1 - beta2^t),
    r = sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho)),
    w = w - lr * m / (1 - beta1^t) * r * sqrt(1 - beta2^t) / (sqrt(v) + eps)  if rho > 5,
    w = w - lr * m / (1 - beta1^t)  otherwise.

    Takes the steps of ``torch.optim.RAdam``, with t, rho and r tensors. A decoupled weight decay
    takes lr * weight_decay * w away as well, instead of adding weight_decay * w to g.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        """Raises ValueError if ``lr``, ``eps`` or ``weight_decay`` is negative or one of ``betas``
        not in [0, 1)."""
        super().__init__(
            params, lr, betas, eps, weight_decay, decoupled_weight_decay=decoupled_weight_decay
        )

    def _update(
        self, group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]
    ) -> None:
        beta1, beta2 = group["betas"]
        m, v = self._moments(group, weights, gradients)
        t = self._count(weights)
        power = beta2**t
        correction1, correction2 = 1 - beta1**t, 1 - power
        last = 2 / (1 - beta2) - 1
        rho = last - 2 * t * power / correction2
        squared = (rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho)
        known = rho > 5
        factor = correction1 / (squared * correction2).sqrt()
        scale = torch.where(known, factor, 0.0)
        shift = torch.where(known, group["eps"] * factor, correction1)
        _descend(group, weights, m, _roots(v, scale, shift))


def _descend(
    group: dict[str, Any],
    weights: list[Tensor],
    numerators: list[Tensor] | tuple[Tensor, ...],
    denominators: list[Tensor] | tuple[Tensor, ...],
) -> None:
    """w = w - lr * n / d; with decoupled weight decay w = w - lr * (n / d + decay * w)."""
    if group["weight_decay"] and group["decoupled_weight_decay"]:
        numerators = torch._foreach_addcmul(
            numerators, weights, denominators, value=group["weight_decay"]
        )
    torch._foreach_addcdiv_(weights, numerators, denominators, value=-group["lr"])


def _roots(squares: list[Tensor], scale: Tensor, shift: Tensor) -> tuple[Tensor, ...]:
    """scale * sqrt(v) + shift."""
    roots = torch._foreach_sqrt(squares)
    torch._foreach_mul_(roots, _like(squares, scale))
    torch._foreach_add_(roots, _like(squares, shift), alpha=1)  # without alpha it calls item()
    return roots


def _like(tensors: list[Tensor], factor: Tensor) -> Tensor:
    """``factor`` in the dtype of ``tensors``, converted once instead of for each of them."""
    return factor.to(tensors[0].dtype)
