"""Rules about the layers, from ``diagnostics.csv`` or from new measurements by ``examine``."""

from __future__ import annotations

from collections.abc import Sequence

from exprun.doctor.findings import Diagnosis, Findings, Row, Suggestion, suggest
from exprun.doctor.learning import hidden
from exprun.doctor.overrides_to_try import smaller_steps

GLOROT = "slides 'Vanishing and exploding gradient issues'; Glorot & Bengio 2010; He et al. 2015"

VANISHED, EXPLODED = 1e-2, 1e2
"""Ratio of the gradients of the first and the last hidden layer's pre-activations, below or above
which they vanish or explode."""

DEAD = 0.5
"""Share of a layer's units that are dead, from which it is reported."""

SATURATED = 0.5
"""Share of a layer's activations that are saturated, from which it is reported."""

BREAKS_AT_ZERO = ("relu", "leaky_relu", "relu6", "elu", "celu", "gelu", "silu", "mish", "hardswish")
"""Activations that pass about half of the variance, for which He's initialisation is meant."""

MASKED = ("dropout",)
"""Regularisers that treat the units of a layer differently, which breaks their symmetry."""


def symmetric_weights(f: Findings) -> Diagnosis | None:
    """All units of a layer were initialised equal, so that training keeps them equal."""
    init = f.options.get("init", "")
    same = init in ("zeros", "constant") or (
        init in ("normal", "uniform")
        and (
            f.config.get("init.std") == 0
            or (init == "uniform" and f.config.get("init.low") == f.config.get("init.high"))
        )
    )
    if not same or not hidden(f) or not f.behind:
        return None
    if set(MASKED) & set(f.options.get("reg", "").split("+")) and init == "constant":
        return None
    zero = [str(r["layer"]) for r in f.measured(0) if r.get("grad_norm") == 0]
    evidence = f"init={init}: the units of a layer begin equal and get equal gradients"
    if zero:
        evidence += f"; before training that of {', '.join(zero)} is exactly 0"
    if f.train:
        evidence += f"; train loss is {f.train[-1]:.3g} times that of chance"
    return Diagnosis(
        "symmetry of the initial weights",
        evidence,
        "slide 'Parameter initialisations'; Goodfellow et al. 2016, ch. 8.4",
        (_initialisation(f),),
        frozenset(
            {"chance_level", "under_fitting", "learning_rate_too_low", "too_few_epochs"}
            | {"vanishing_gradient", "exploding_gradient", "dead_units", "saturated_units"}
        ),
    )


def _initialisation(f: Findings) -> Suggestion:
    """Suggest the initialisation that suits the activation."""
    if f.config.get("model.activation", "relu") in BREAKS_AT_ZERO:
        return suggest("init=he", "variance 2/fan_in keeps ReLU's activations")
    return suggest("init=xavier", "variance 2/(fan_in + fan_out) keeps activations and gradients")


def gradients(f: Findings, epoch: int) -> tuple[str, str, float, float] | None:
    """First and last hidden layer, the ratio of their gradients (standard deviation of ∂L/∂z), and
    the ratio per layer; None for fewer than two layers, or if a layer has no gradient."""
    rows = [r for r in f.measured(epoch) if r.get("grad_std")]
    if len(rows) < 2 or len(rows) < len(f.measured(epoch)):
        return None
    ratio = rows[0]["grad_std"] / rows[-1]["grad_std"]
    return rows[0]["layer"], rows[-1]["layer"], ratio, ratio ** (1 / (len(rows) - 1))


def vanishing_gradient(f: Findings) -> Diagnosis | None:
    """The gradient shrinks on its way to the first layer, and the network has not learned."""
    found = gradients(f, 0)
    if not found or found[2] > VANISHED or not f.behind:
        return None
    return Diagnosis(
        "vanishing gradient",
        _ratio(found),
        GLOROT,
        _remedies(f),
        frozenset({"chance_level", "learning_rate_too_low", "too_few_epochs", "under_fitting"}),
    )


def exploding_gradient(f: Findings) -> Diagnosis | None:
    """The gradient grows on its way to the first layer, and the network has not learned."""
    found = gradients(f, 0)
    if not found or found[2] < EXPLODED or not f.behind:
        return None
    return Diagnosis(
        "exploding gradient",
        _ratio(found),
        GLOROT,
        _remedies(f),
        frozenset({"learning_rate_too_high", "chance_level", "dead_units", "saturated_units"}),
    )


def _ratio(found: tuple[str, str, float, float]) -> str:
    first, last, ratio, per_layer = found
    return (
        f"before training the gradient of {first} is {ratio:.2g} times that of {last}: "
        f"times {per_layer:.2g} per layer"
    )


def _remedies(f: Findings) -> tuple[Suggestion, ...]:
    made = []
    wanted = _initialisation(f)
    if wanted.overrides != (f"init={f.options.get('init')}",):
        made.append(wanted)
    if f.config.get("model.activation") in ("sigmoid", "softsign", "tanh"):
        made.append(suggest("model.activation=relu init=he", "a slope of 1 where it is active"))
    if f.options.get("norm") == "none":
        made.append(suggest("norm=batch", "pre-activations with variance 1 in every layer"))
    return tuple(made)


def _worst(rows: Sequence[Row], figure: str) -> Row | None:
    there = [row for row in rows if row.get(figure) is not None]
    return max(there, key=lambda row: float(row[figure])) if there else None


def dead_units(f: Findings) -> Diagnosis | None:
    """Most units of a layer are dead: flat on every measured row, so that they hardly learn
    again."""
    worst = _worst(f.measured(-1), "dead")
    if not worst or worst["dead"] < DEAD or not f.behind:
        return None
    began = next((r["dead"] for r in f.measured(0) if r["layer"] == worst["layer"]), None)
    before = "" if began is None else f", {began:.0%} before training"
    return Diagnosis(
        "dead units",
        f"{worst['dead']:.0%} of the units of {worst['layer']} are dead after epoch "
        f"{worst['epoch']:g}{before}",
        "slides 'Vanishing and exploding gradient issues'; Lu et al. 2019, Dying ReLU",
        (
            *smaller_steps(f)[:1],
            suggest("model.activation=leaky_relu", "never quite flat"),
            *((suggest("norm=batch", "centres every unit"),) if _no_norm(f) else ()),
        ),
        frozenset({"chance_level", "under_fitting", "vanishing_gradient"}),
    )


def _no_norm(f: Findings) -> bool:
    return f.options.get("norm") == "none"


def saturated_units(f: Findings) -> Diagnosis | None:
    """Most activations of a layer are in a range where their function is flat."""
    found = [row for epoch in (0, -1) if (row := _worst(f.measured(epoch), "saturated"))]
    worst = _worst(found, "saturated")
    if not worst or worst["saturated"] < SATURATED or not f.behind:
        return None
    when = f"after epoch {worst['epoch']:g}" if worst["epoch"] else "before training"
    spread = "" if worst.get("pre_std") is None else f" (pre-activations ±{worst['pre_std']:.3g})"
    return Diagnosis(
        "saturated units",
        f"{worst['saturated']:.0%} of the activations of {worst['layer']} are saturated "
        f"{when}{spread}",
        GLOROT,
        _remedies(f) if worst["epoch"] == 0 else (*smaller_steps(f)[:1], *_remedies(f)),
        frozenset({"chance_level", "vanishing_gradient", "under_fitting"}),
    )
