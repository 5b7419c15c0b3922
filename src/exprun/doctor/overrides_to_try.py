"""Overrides that several rules suggest: another learning rate, optimizer or number of epochs."""

from __future__ import annotations

from exprun.doctor.curves import falls
from exprun.doctor.findings import Findings, Suggestion, suggest

RISEN = 0.5
"""Rise of the training loss above its previous lowest value, in chance losses, from which it is
unsteady."""

FAR = 5.0
"""Factor between a learning rate and the optimizer's usual one from which it is suspicious."""

ADAPTIVE = ("adam", "adamw", "adamax", "nadam", "radam", "rmsprop")
"""Optimizers whose steps do not shrink with the gradient."""


def scaled(value: float, factor: float) -> str:
    """``value * factor`` as text, rounded to one significant digit: ``0.003``."""
    return f"{float(f'{value * factor:.1g}'):g}"


def smaller_steps(f: Findings) -> tuple[Suggestion, ...]:
    """Suggest a tenth of the learning rate, or the optimizer's usual one if that is lower still."""
    lr, usual = f.config.get("optimizer.lr"), f.usual_lr
    if not lr:
        return ()
    if usual and lr / 10 >= usual:
        return (suggest(f"optimizer.lr={usual:g}", "the optimizer's usual learning rate"),)
    return (
        suggest(f"optimizer.lr={scaled(lr, 0.1)}", "ten times smaller steps"),
        suggest(f"optimizer.lr={scaled(lr, 0.3)}", "if a tenth is too slow"),
    )


def larger_steps(f: Findings, factor: float = 10) -> tuple[Suggestion, ...]:
    """Suggest ``factor`` times the learning rate, or the optimizer's usual one if that is higher
    still."""
    lr, usual = f.config.get("optimizer.lr"), f.usual_lr
    if not lr:
        return ()
    if usual and lr * factor <= usual:
        return (suggest(f"optimizer.lr={usual:g}", "the optimizer's usual learning rate"),)
    return (suggest(f"optimizer.lr={scaled(lr, factor)}", f"{factor:g} times larger steps"),)


def other_steps(f: Findings) -> tuple[Suggestion, ...]:
    """Suggest larger or smaller steps, by the evidence for either: a learning rate far from the
    usual one, a loss that still falls, or one that was far above chance; both without evidence."""
    lr, usual = f.config.get("optimizer.lr"), f.usual_lr
    if lr and usual and lr >= FAR * usual:
        return smaller_steps(f)
    if lr and usual and lr <= usual / FAR:
        return larger_steps(f)
    if falls(f.train[len(f.train) // 2 :]):
        return (*larger_steps(f), *more_epochs(f, 4))
    if f.train and max(f.train) > 1 + RISEN:
        return smaller_steps(f)
    return (*larger_steps(f), *smaller_steps(f)[:1])


def another_optimizer(f: Findings) -> tuple[Suggestion, ...]:
    """Suggest Adam, unless the optimizer is adaptive already."""
    if f.options.get("optimizer") in ADAPTIVE:
        return ()
    return (suggest("optimizer=adam", "steps that do not shrink with the gradient"),)


def more_epochs(f: Findings, factor: int) -> tuple[Suggestion, ...]:
    """Suggest ``factor`` times as many epochs."""
    epochs = f.config.get("trainer.max_epochs", len(f.curve))
    return (suggest(f"trainer.max_epochs={factor * epochs}", "time to come to rest"),)


def normalisation(f: Findings) -> tuple[Suggestion, ...]:
    """Suggest batch normalisation, unless the run has a normalisation."""
    if f.options.get("norm") != "none":
        return ()
    return (suggest("norm=batch", "activations with variance 1 in every layer"),)
