"""Rules about capacity and regularisation: under-fitting and over-fitting.

Curves are in multiples of the chance loss, as in ``learning``.
"""

from __future__ import annotations

from statistics import median

from exprun.common.constants import COMPLETED, EARLY_STOPPED
from exprun.doctor.curves import falls, halves, noise
from exprun.doctor.findings import FITTED, Diagnosis, Findings, Suggestion, suggest
from exprun.doctor.learning import AT_REST, JITTER, REGULARIZATION, hidden, unsteady
from exprun.doctor.overrides_to_try import scaled

UNDER_FITTED = 0.3
"""Multiple of the chance loss above which a training that no longer improves has learned too
little."""

RISE = 1.2
"""Final over best validation loss from which it counts as risen."""

RISE_KEPT = 1.1
"""The same if the weights of the last epoch are the model."""

GAP = 0.2
"""Validation minus training loss, in chance losses, above which a classifier over-fits. (Numbers
often have noise that no network can predict, so for them a gap alone is no evidence.)"""

EARLY = suggest(
    "stopping=early stopping.restore_best=true", "keep the weights whose validation loss is best"
)


def over_fitting(f: Findings) -> Diagnosis | None:
    """The validation loss rises while the training loss falls, and early stopping does not prevent
    it; or at the best epoch it is far above the training loss."""
    train, val = f.train, f.relative("val")
    if len(val) < 4:
        return None
    best = min(range(len(val)), key=val.__getitem__)
    end = median(val[-3:])
    stops = f.config.get("stopping.patience") is not None
    restores = f.config.get("stopping.restore_best", True)
    risen = end / val[best] if val[best] > 0 else 1.0
    rising = risen > (RISE if restores else RISE_KEPT) and end - val[best] > max(
        (4 if restores else 2) * noise(val), JITTER
    )
    falling = best < len(val) - 1 and train[-1] < 0.8 * train[best]
    gap = val[best] - train[best]
    if rising and falling and not (stops and restores):
        evidence = (
            f"since epoch {best + 1} the validation loss has risen from {val[best]:.3g} to "
            f"{end:.3g} times that of chance, while the train loss fell from {train[best]:.3g} "
            f"to {train[-1]:.3g}"
        )
    elif f.classes and gap > GAP and train[best] < val[best] / 3 and _behind_val(f):
        evidence = (
            f"at the best epoch, {best + 1}, the validation loss is {val[best]:.3g} times that of "
            f"chance, the train loss {train[best]:.3g}"
        )
    else:
        return None
    return Diagnosis(
        f"over-fitting since epoch {best + 1}",
        evidence,
        REGULARIZATION,
        (*(() if restores else (EARLY,)), *_regularized(f), *_smaller(f)),
    )


def _behind_val(f: Findings) -> bool:
    """Whether a simple baseline is better on the validation rows; True if there is no
    comparison."""
    compared = f.data.compared if f.data else None
    return compared is None or compared.behind_val


def _regularized(f: Findings) -> tuple[Suggestion, ...]:
    """Suggest dropout and L2 where they are missing, and stronger dropout where it is weak."""
    chosen = [name for name in f.options.get("reg", "none").split("+") if name != "none"]
    p = f.config.get("reg.dropout.p")
    made = []
    if "dropout" not in chosen:
        why = "units that cannot rely on each other"
        made.append(suggest(f"reg={_listed([*chosen, 'dropout'])}", why))
    elif isinstance(p, int | float) and p < 0.5:
        made.append(suggest("reg.dropout.p=0.5", "more units dropped"))
    if not {"l2", "weight_decay", "elastic_net"} & set(chosen):
        why = "small weights make smooth functions"
        made.append(suggest(f"reg={_listed([*chosen, 'l2'])}", why))
    return tuple(made)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"[{','.join(names)}]"


def _smaller(f: Findings) -> tuple[Suggestion, ...]:
    units = hidden(f)
    if not units or max(units) < 16:
        return ()
    sizes = ",".join(str(max(4, n // 4)) for n in units)
    return (suggest(f"model.hidden=[{sizes}]", "less capacity"),)


def poor_end(f: Findings) -> float | None:
    """The multiple of the chance loss at which a finished training ended, if it could be lower,
    because a baseline is better or the model is underconfident; else None."""
    if f.status not in (COMPLETED, EARLY_STOPPED) or len(f.train) < 6:
        return None
    end = median(f.train[-3:])
    known = f.data is not None and f.data.compared is not None
    return end if f.hesitant or (f.behind and end > (FITTED if known else UNDER_FITTED)) else None


def rests(f: Findings) -> float | None:
    """``poor_end`` if the training loss no longer falls; else None."""
    train = f.train
    end = poor_end(f)
    if end is None or unsteady(f):
        return None
    falling = falls(train[-max(5, len(train) // 4) :]) and halves(train) > AT_REST
    return None if falling and f.status == COMPLETED else end


def over_regularized(f: Findings) -> Diagnosis | None:
    """The training loss levelled off far from zero, with a penalty."""
    end, chosen = rests(f), f.options.get("reg", "none")
    if end is None or chosen == "none":
        return None
    strengths = [
        (key, value)
        for key, value in f.config.items()
        if key.startswith("reg.") and key.endswith(("strength", ".p")) and isinstance(value, float)
    ]
    weaker = tuple(
        suggest(f"{key}={scaled(value, 0.01 if key.endswith('strength') else 0.5)}", "a weaker one")
        for key, value in strengths
        if value
    )
    return Diagnosis(
        "regularisation too strong",
        f"reg={chosen}, {', '.join(f'{key}={value:g}' for key, value in strengths)}: train loss "
        f"has come to rest at {end:.2g} times that of chance",
        REGULARIZATION,
        (suggest("reg=none", "to see whether that is what holds the weights back"), *weaker),
        frozenset({"chance_level", "under_fitting", "dead_units", "behind_baseline"}),
    )


def under_fitting(f: Findings) -> Diagnosis | None:
    """The training loss levelled off far from zero, and the network is small or linear."""
    linear = f.config.get("model.activation") == "identity" and bool(hidden(f))
    end = poor_end(f) if linear else rests(f)
    if end is None:
        return None
    if linear:
        seen = "model.activation=identity makes the network linear"
        cure = suggest("model.activation=relu", "without it all layers are one linear map")
    elif small := _small(f):
        seen, cure = small
    else:
        return None
    return Diagnosis(
        "under-fitting",
        f"train loss does not get below {end:.2g} times that of chance; {seen}",
        REGULARIZATION,
        (cure,),
        frozenset({"chance_level", "learning_rate_too_high", "noisy_gradient"}),
    )


def _small(f: Findings) -> tuple[str, Suggestion] | None:
    """What makes the network small, with a cure: fewer parameters than rows, too few to memorise
    them (Zhang et al. 2017), a bottleneck, or no hidden layer. None if it is not small."""
    units = hidden(f)
    few = f.parameters is not None and f.rows is not None and f.parameters < f.rows
    narrow = bool(units) and bool(f.classes) and min(units) < (f.classes or 0) / 2
    if not (few or narrow or not units):
        return None
    sizes = ",".join(str(max(32, 4 * n)) for n in units or [16])
    words = f"model.hidden=[{','.join(map(str, units))}] has {f.parameters} parameters"
    if f.rows:
        words += f" for {f.rows} training rows"
    return words, suggest(f"model.hidden=[{sizes}]", "more capacity")
