"""Rules about the learning curve: learning rate, batch size, number of epochs, early stopping.

Curves are in multiples of the chance loss (``Findings.relative``), so that one threshold suits all
data sets. Every threshold is a constant with its meaning; ``python -m bench.doctor`` measures how
often they are right.
"""

from __future__ import annotations

from statistics import median

from exprun.common.constants import COMPLETED, DIVERGED, EARLY_STOPPED, FAILED
from exprun.doctor.curves import falls, halves, noise
from exprun.doctor.findings import Diagnosis, Findings, suggest
from exprun.doctor.overrides_to_try import (
    RISEN,
    another_optimizer,
    larger_steps,
    more_epochs,
    normalisation,
    other_steps,
    smaller_steps,
)

GRADIENT_DESCENT = "slides 'Gradient descent'; Goodfellow et al. 2016, ch. 8 and 11.4"
REGULARIZATION = "slides 'Regularization': what to do if the network is not learning, or overfits"
EARLY_STOPPING = "slide 'Early stopping'; Prechelt 1998, Early stopping - but when?"

CHANCE = 0.95
"""Multiple of the chance loss above which nothing was learned."""

WORSE = 0.15
"""Final minus lowest training loss, in chance losses, from which it is unsteady."""

JITTER = 0.05
"""Noise of the training loss from epoch to epoch, in chance losses, from which it is unsteady."""

POOR = 0.5
"""Multiple of the chance loss above which little was learned."""


AT_REST = 0.25
"""Value of ``halves`` below which a curve has levelled off."""

STILL_FALLING = 0.1
"""Smallest relative fall of the validation loss in the last quarter of the epochs for which more
epochs are suggested."""

GOOD_ENOUGH = 0.05
"""Multiple of the chance loss below which no more epochs are suggested."""


TINY_BATCH = 8
"""Largest batch size for which an unsteady curve is attributed to gradient noise."""


def failed(f: Findings) -> Diagnosis | None:
    """The run ended with an error."""
    if f.status != FAILED:
        return None
    return Diagnosis(
        "failed", f"{f.reason} (traceback.txt, if it was exprun's fault)", "result.json"
    )


def diverged(f: Findings) -> Diagnosis | None:
    """The run ended with a loss or weight that was not finite."""
    if f.status != DIVERGED:
        return None
    evidence = f.reason
    if f.curve:
        last = f.curve[-1]
        evidence += f"; train_loss was {last['train_loss']:.3g} after epoch {last['epoch']:g}"
    suggestions = smaller_steps(f)
    if f.config.get("data.standardize") is False:
        raw = suggest("data.standardize=true", "the steps are proportional to the inputs' size")
        suggestions = (raw, *suggestions)
    if f.options.get("init") in ("normal", "uniform", "constant"):
        suggestions += (suggest("init=he", "weights that keep the activations' variance"),)
    if f.config.get("scheduler.warmup_epochs") == 0:
        suggestions += (suggest("scheduler.warmup_epochs=3", "small steps while it is steep"),)
    others = {"learning_rate_too_high", "noisy_gradient", "chance_level", "saturated_units"}
    return Diagnosis(
        "diverged",
        evidence,
        GRADIENT_DESCENT,
        suggestions,
        frozenset(others | {"dead_units", "over_fitting", "exploding_gradient"}),
    )


def unsteady(f: Findings) -> str | None:
    """The evidence, in words, that the training loss jumps up and down; None if it does not."""
    later = f.train[1:]
    if len(later) < 3:
        return None
    lowest = f.train[0]
    for row, loss in zip(f.curve[1:], later, strict=True):
        if loss > lowest + RISEN:
            return (
                f"train loss rose to {loss:.3g} times that of chance in epoch {row['epoch']:g}, "
                f"after {lowest:.3g}"
            )
        lowest = min(lowest, loss)
    end = median(later[-3:])
    if end > lowest + WORSE and f.options.get("reg", "none") == "none":  # a penalty may raise it
        return f"train loss ended at {end:.3g} times that of chance, after {lowest:.3g}"
    half = later[len(later) // 2 :]
    jitter = noise(half)
    if jitter > JITTER:
        return (
            f"train loss jumps by ±{jitter:.2g} chance losses from epoch to epoch "
            f"in the last {len(half)} epochs"
        )
    return None


def wild(f: Findings) -> bool:
    """Whether the training loss jumped far above chance, which is harmful even if a good epoch was
    kept."""
    rises = [b - a for a, b in zip(f.train, f.train[1:], strict=False)]
    return max([*rises, *(f.train[:1] if f.classes else ())], default=0.0) > WILD


WILD = 3.0
"""Chance losses by which a training loss rises between two epochs, or multiple of the chance loss
after the first epoch of a classification, above which it jumped."""


def learning_rate_too_high(f: Findings) -> Diagnosis | None:
    """The training loss is unsteady, with batches that are not tiny."""
    seen = unsteady(f)
    harm = f.behind or wild(f)
    if not seen or not harm or (f.batch_size and f.batch_size <= TINY_BATCH):
        return None
    return Diagnosis(
        "learning rate too high",
        f"optimizer.lr={f.config.get('optimizer.lr')}: {seen}",
        GRADIENT_DESCENT,
        smaller_steps(f),
        frozenset({"chance_level", "over_fitting", "stopped_too_early", "under_fitting"}),
    )


def noisy_gradient(f: Findings) -> Diagnosis | None:
    """The training loss is unsteady, with batches of only a few rows."""
    seen = unsteady(f)
    if not seen or not f.behind or not f.batch_size or f.batch_size > TINY_BATCH:
        return None
    scales = [r["grad_noise"] for r in f.measured(-1) if r.get("grad_noise")]
    if scales:
        seen += f"; the gradient's noise scale is {median(scales):.0f} rows"
    return Diagnosis(
        "noisy gradient: batch too small for the learning rate",
        f"batching.batch_size={f.batch_size}, optimizer.lr={f.config.get('optimizer.lr')}: {seen}",
        "slides 'Gradient descent' (stochastic, mini-batch); McCandlish et al. 2018",
        (
            suggest("batching.batch_size=32", "a mean over more rows"),
            *smaller_steps(f),
        ),
        frozenset({"chance_level", "over_fitting", "stopped_too_early", "under_fitting"}),
    )


def learning_rate_too_low(f: Findings) -> Diagnosis | None:
    """All epochs are done, little is learned, and the loss still falls as steadily as at first."""
    train = f.train
    if f.status != COMPLETED or len(train) < 4 or unsteady(f):
        return None
    if not (f.hesitant or (f.behind and train[-1] > POOR)):
        return None
    if not falls(train) or halves(train) < AT_REST:
        return None
    return Diagnosis(
        "learning rate too low",
        f"optimizer.lr={f.config.get('optimizer.lr')}: train loss fell steadily from "
        f"{train[0]:.3g} to {train[-1]:.3g} times that of chance in {len(train)} epochs "
        "and is not done",
        GRADIENT_DESCENT,
        (
            *larger_steps(f),
            *another_optimizer(f),
            *more_epochs(f, 4),
        ),
        frozenset({"chance_level", "under_fitting", "too_few_epochs", "vanishing_gradient"}),
    )


def too_few_epochs(f: Findings) -> Diagnosis | None:
    """All epochs are done, and the validation loss still falls by more than its noise."""
    val = f.val
    if f.status != COMPLETED or not val or val[-1] < GOOD_ENOUGH or f.train[-1] > CHANCE:
        return None
    if not (f.behind or f.hesitant):
        return None
    if len(val) < 4:
        return _too_few(
            f,
            f"{len(val)} epochs only, the validation loss is {val[-1]:.3g} times "
            f"that of chance{beside(f)}",
        )
    window = val[-max(5, len(val) // 4) :]
    best = min(val)
    if not falls(window) or best < val[-1] - noise(val):
        return None
    gained = 1 - window[-1] / window[0]
    if gained < STILL_FALLING:
        return None
    return _too_few(
        f,
        f"the validation loss still fell by {gained:.0%} in the last {len(window)} of "
        f"{len(val)} epochs, to {val[-1]:.3g} times that of chance",
    )


def _too_few(f: Findings, evidence: str) -> Diagnosis:
    epochs = len(f.val)
    return Diagnosis(
        "too few epochs",
        evidence,
        REGULARIZATION,
        (*more_epochs(f, 3 if epochs > 6 else 20), *larger_steps(f, 3)),
        frozenset({"under_fitting", "behind_baseline"}),
    )


def stopped_too_early(f: Findings) -> Diagnosis | None:
    """Early stopping ended a training whose loss still improved by more than its noise."""
    patience, val, train = f.config.get("stopping.patience"), f.val, f.train
    if f.status != EARLY_STOPPED or not patience or not train or not f.behind:
        return None
    min_delta = f.config.get("stopping.min_delta") or 0.0
    waited = val[-patience:]
    best = min(val)
    epochs = len(val)
    if min_delta and min(waited) == best and falls(waited, 2.0):
        return Diagnosis(
            "early stopping too early: min_delta too large",
            f"stopping.min_delta={min_delta}: the validation loss fell from {waited[0]:.3g} to "
            f"{waited[-1]:.3g} times that of chance in the {patience} epochs of patience",
            EARLY_STOPPING,
            (suggest("stopping.min_delta=0", "every improvement counts"),),
            frozenset({"under_fitting"}),
        )
    if patience > SHORT or min(train[-3:]) < FALLING_FROM:
        return None
    at = val.index(best)
    before = train[-patience - 1]
    gained = 1 - train[-1] / before
    risen = median(waited) - best
    chatter = max(noise(val), NOISE * best)
    if gained < LEARNING * patience or risen > 2 * chatter:
        return None
    return Diagnosis(
        "early stopping too early: patience too short for the noise",
        f"stopping.patience={patience}: stopped after epoch {epochs}, {risen:.2g} chance losses "
        f"above the best of epoch {at + 1}, with noise of ±{chatter:.2g} from epoch to epoch, "
        f"while the train loss still fell by {gained:.0%} in {patience} "
        + ("epoch" if patience == 1 else "epochs"),
        EARLY_STOPPING,
        (suggest(f"stopping.patience={max(10, 4 * patience)}", "wait longer than the noise"),),
        frozenset({"under_fitting", "learning_rate_too_low"}),
    )


SHORT = 5
"""Largest patience, in epochs, for which the noise of a curve may end the training."""

LEARNING = 0.01
"""Smallest relative fall of the training loss per epoch for which a stop is too early."""

FALLING_FROM = 0.1
"""Multiple of the chance loss below which the training loss cannot fall much further."""

NOISE = 0.05
"""Lower bound of the noise of the validation loss, as a share of it."""


def hidden(f: Findings) -> list[int]:
    """Numbers of units of the hidden layers."""
    return [int(units) for units in f.config.get("model.hidden") or []]


def chance_level(f: Findings) -> Diagnosis | None:
    """The training loss never fell clearly below chance, although the inputs predict the target."""
    train = f.train
    if len(train) < 2 or min(train) < CHANCE or not f.behind:
        return None
    seen = (
        f"train loss is {train[-1]:.3g} times that of guessing after {len(train)} epochs, "
        f"{min(train):.3g} at best"
    )
    return Diagnosis(
        "train loss at chance level",
        seen + beside(f),
        REGULARIZATION,
        (*other_steps(f), *another_optimizer(f)),
        frozenset({"under_fitting", "too_few_epochs", "behind_baseline"}),
    )


def beside(f: Findings) -> str:
    """The errors of the model and of the best baseline, in words; empty without a comparison."""
    c = f.data.compared if f.data else None
    if not c:
        return ""
    unit = "of the rows are wrong" if f.classes else "mean absolute error (scaled target)"
    model, baseline = ((f"{v:.1%}" if f.classes else f"{v:.3g}") for v in (c.model, c.baseline))
    return f"; {model} {unit}, {baseline} by {c.name}"


def decayed_schedule(f: Findings) -> Diagnosis | None:
    """The schedule lowered the learning rate too far before anything was learned."""
    rates = [row["lr"] for row in f.curve if "lr" in row]
    lr = f.config.get("optimizer.lr")
    if len(rates) < 4 or not lr or not f.behind or not f.options.get("scheduler"):
        return None
    used = sum(rates) / (lr * len(rates))
    if used > SPENT:
        return None
    return Diagnosis(
        "schedule leaves no learning rate",
        f"scheduler={f.options['scheduler']}: the learning rate was {used:.1%} of "
        f"optimizer.lr={lr:g} on average, {rates[-1]:.2g} in the last epoch{beside(f)}",
        GRADIENT_DESCENT,
        (
            suggest("scheduler=constant", "the learning rate stays as it is"),
            suggest("scheduler=cosine", "falls over all epochs, slowly at first"),
        ),
        frozenset({"learning_rate_too_low", "chance_level", "under_fitting", "too_few_epochs"})
        | {"behind_baseline", "stopped_too_early", "over_regularized"},
    )


SPENT = 0.2
"""Mean of the learning rates over ``optimizer.lr`` below which a schedule has left too little: a
cosine has 0.5, a tenth from epoch to epoch 0.02."""


def behind_baseline(f: Findings) -> Diagnosis | None:
    """A baseline without training predicts better, and no other rule found a cause."""
    c = f.data.compared if f.data else None
    if not c:
        return None
    behind, behind_val = c.behind and c.missed > MUCH, c.behind_val and c.missed_val > MUCH
    if not behind and not behind_val:
        return None
    if behind:
        seen = beside(f).removeprefix("; ")
        steps = (
            other_steps(f) if f.status == COMPLETED else (*smaller_steps(f)[:1], *larger_steps(f))
        )
        cure = (*steps, *(more_epochs(f, 4) if f.status == COMPLETED else ()), *normalisation(f))
    else:
        as_words = (
            f"{v:.1%} wrong" if f.classes else f"{v:.3g}" for v in (c.model_val, c.baseline_val)
        )
        seen = "on the validation rows {}, {} by ".format(*as_words) + c.name
        cure = (
            suggest("reg=dropout", "units that cannot rely on each other"),
            suggest("reg=l2", "small weights make smooth functions"),
            *smaller_steps(f)[:1],
        )
    return Diagnosis(f"behind {c.name}", seen, BASELINES, cure)


MUCH = 0.3
"""Share of a baseline's gain that a model must miss for a report without a known cause."""

BASELINES = "Cover & Hart 1967 (nearest neighbours); Allen 1974 (PRESS)"
