"""Diseases of the data, as the network sees them."""

from __future__ import annotations

from statistics import median

from exprun.doctor.findings import Diagnosis, Findings, suggest

LARGE, SMALL, UNEQUAL = 30.0, 0.1, 100.0
"""Root mean square of an input from which it is not standardised: the largest of all above LARGE
or below SMALL, or above UNEQUAL times their median."""

MAJORITY = 1.5
"""Share of the largest class, in shares of equal classes, from which classes are imbalanced."""

UNBALANCED = 0.15
"""Accuracy minus balanced accuracy, from which the small classes pay for the large ones."""


def inputs_not_standardized(f: Findings) -> Diagnosis | None:
    """Inputs of very different sizes, or all far from 1."""
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
        "slide 'Batch normalization' (inputs); LeCun et al. 1998, Efficient BackProp",
        (suggest("data.standardize=true", "mean 0 and variance 1 for every input"),),
        frozenset(
            {"learning_rate_too_high", "learning_rate_too_low", "chance_level", "dead_units"}
            | {"saturated_units", "too_few_epochs", "under_fitting"}
        ),
    )


def class_imbalance(f: Findings) -> Diagnosis | None:
    """One class has most rows, and the others are recognised much less often."""
    if not f.data or len(f.data.shares) < 2:
        return None
    largest = max(f.data.shares)
    known = [(s, r) for s, r in zip(f.data.shares, f.data.recall, strict=False) if r is not None]
    if largest * len(f.data.shares) < MAJORITY or len(known) < 2:
        return None
    balanced = sum(recall for _, recall in known) / len(known)
    accuracy = sum(share * recall for share, recall in known) / sum(share for share, _ in known)
    if accuracy - balanced < UNBALANCED:
        return None
    weighted = suggest("loss.class_weight=balanced", "every class counts alike")
    return Diagnosis(
        "class imbalance",
        f"the largest class has {largest:.0%} of the training rows; validation accuracy is about "
        f"{accuracy:.3f}, balanced accuracy {balanced:.3f}, the least recall "
        f"{min(recall for _, recall in known):.3f}",
        "King & Zeng 2001; Brodersen et al. 2010 (balanced accuracy)",
        (weighted,) if "loss.class_weight" in f.config else (),
        frozenset({"chance_level", "under_fitting"}),
    )
