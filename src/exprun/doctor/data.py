"""Rules about the data, in the scaled form that the network gets."""

from __future__ import annotations

from statistics import median

from exprun.data.split import LAST, TIME
from exprun.doctor.findings import Diagnosis, Findings, suggest

LARGE, SMALL, UNEQUAL = 30.0, 0.1, 100.0
"""Root mean squares that show inputs to be not standardised: the largest of all inputs is above
LARGE or below SMALL, or above UNEQUAL times their median."""

MAJORITY = 1.5
"""Share of the largest class, in multiples of an equal share, from which classes are imbalanced."""

UNBALANCED = 0.15
"""Accuracy minus balanced accuracy from which the imbalance harms the small classes."""


def inputs_not_standardized(f: Findings) -> Diagnosis | None:
    """The inputs have very different scales, or all scales are far from 1."""
    scales = {name: size for name, size in f.data.scales.items() if size} if f.data else {}
    if not scales:
        return None
    largest = max(scales, key=scales.__getitem__)
    smallest = min(scales, key=scales.__getitem__)
    size = scales[largest]
    if SMALL <= size <= LARGE and size <= UNEQUAL * median(scales.values()):
        return None
    return Diagnosis(
        "inputs not standardised",
        f"data.standardize={str(f.config.get('data.standardize')).lower()}: root mean squares from "
        f"{scales[smallest]:.2g} ({smallest}) to {size:.2g} ({largest}); expected about 1",
        "slide 'Data normalisation'; LeCun et al. 1998, Efficient BackProp",
        (suggest("data.standardize=true", "mean 0 and variance 1 for every input"),),
        frozenset(LEARNED_LITTLE),
    )


def class_imbalance(f: Findings) -> Diagnosis | None:
    """One class has most of the rows, and the others have a much lower recall."""
    if not f.data or len(f.data.shares) < 2 or f.weighted:
        return None
    largest = max(f.data.shares)
    known = [(s, r) for s, r in zip(f.data.shares, f.data.recall, strict=False) if r is not None]
    if largest * len(f.data.shares) < MAJORITY or len(known) < 2:
        return None
    balanced = sum(recall for _, recall in known) / len(known)
    accuracy = sum(share * recall for share, recall in known) / sum(share for share, _ in known)
    if accuracy - balanced < UNBALANCED:
        return None
    weighted = suggest(
        "loss.class_weight=balanced", "every class counts alike", "val_balanced_accuracy"
    )
    return Diagnosis(
        "class imbalance",
        f"the largest class has {largest:.0%} of the training rows; validation accuracy is about "
        f"{accuracy:.3f}, balanced accuracy {balanced:.3f}, the least recall "
        f"{min(recall for _, recall in known):.3f}",
        "King & Zeng 2001; Brodersen et al. 2010 (balanced accuracy)",
        (weighted,) if "loss.class_weight" in f.config else (),
        frozenset({"chance_level", "under_fitting"}),
    )


ORDERED = 0.4
"""Distance between the targets of the training and the validation rows from which the parts
differ."""

BY_CHANCE = 1e-4
"""Largest probability of such a distance by chance at which it counts as real."""

DOMINATES = 0.5
"""Share of the targets' sum of squares in one row from which it dominates the training."""


def ordered_rows(f: Findings) -> Diagnosis | None:
    """The targets of the validation rows are distributed differently and are not predicted."""
    t, c = (f.data.targets, f.data.compared) if f.data else (None, None)
    if not t or not c or t.distance < ORDERED or t.p > BY_CHANCE:
        return None
    if not c.at_chance and not _worse_than_mean(f):
        return None
    split = f.config.get("data.split")
    cure = (suggest("data.split=random", "parts that are alike"),) if split in (LAST, TIME) else ()
    return Diagnosis(
        "the parts differ: rows in order",
        f"data.split={split}: the targets of the training and the validation rows are "
        f"{t.distance:.2f} apart (0 alike, 1 without overlap; by chance p < {t.p:.1g})",
        "slide 'Data'; Quinonero-Candela et al. 2009, Dataset Shift in Machine Learning",
        cure,
        frozenset(LEARNED_LITTLE),
    )


def _worse_than_mean(f: Findings) -> bool:
    """Whether the best validation loss is above the chance loss."""
    val = f.relative("val")
    return bool(val) and min(val) > 1


def target_outlier(f: Findings) -> Diagnosis | None:
    """One row's target is so far from all others that it dominates the squared error."""
    t = f.data.targets if f.data else None
    if not t or f.classes or max(t.largest, t.largest_val) < DOMINATES:
        return None
    here = t.largest >= DOMINATES
    robust = f.config.get("loss._target_", "").endswith(("AbsoluteError", "Huber"))
    if robust and not f.behind:
        return None
    value, share = (t.value, t.largest) if here else (t.value_val, t.largest_val)
    cure = suggest(
        "loss=huber data.standardize_target=false",
        "a far row counts linearly, and does not set the scale",
        "val_mae",
    )
    return Diagnosis(
        "outlier in the target",
        f"a {'training' if here else 'validation'} row has the target {value:.6g}: {share:.0%} of "
        "the sum of squares about the mean; look whether that row is right",
        "Huber 1964, Robust Estimation of a Location Parameter",
        (cure,) if here else (),
        frozenset(LEARNED_LITTLE),
    )


def nothing_to_learn(f: Findings) -> Diagnosis | None:
    """The validation predictions are at chance level, and so are those of all baselines."""
    c = f.data.compared if f.data else None
    if not c or not c.at_chance or c.attainable >= NO_BASELINE:
        return None
    return Diagnosis(
        "validation no better than chance",
        f"{c.rows} validation rows are predicted {c.association:.1f} standard deviations better "
        f"than in random order, by the best of nearest neighbours and a linear model "
        f"{c.attainable:.1f}: the inputs may tell nothing of the target",
        "Ojala & Garriga 2010, Permutation Tests for Studying Classifier Performance",
        (),
        frozenset(LEARNED_LITTLE),
    )


NO_BASELINE = 3.0
"""Standard deviations below which the association of the best of four baselines may be chance."""

LEARNED_LITTLE = {
    "learning_rate_too_high", "learning_rate_too_low", "chance_level", "dead_units",
    "saturated_units", "too_few_epochs", "under_fitting", "over_fitting", "over_regularized",
    "noisy_gradient", "stopped_too_early", "decayed_schedule", "nothing_to_learn",
    "behind_baseline", "vanishing_gradient", "class_imbalance",
}  # fmt: skip
"""Rules about what was learned, whose findings a fault of the data explains."""
