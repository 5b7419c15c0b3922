"""The list of all rules, and the diagnoses of a run by them."""

from __future__ import annotations

from collections.abc import Callable

from exprun.doctor.capacity import over_fitting, over_regularized, under_fitting
from exprun.doctor.data import (
    class_imbalance,
    inputs_not_standardized,
    nothing_to_learn,
    ordered_rows,
    target_outlier,
)
from exprun.doctor.findings import Diagnosis, Findings
from exprun.doctor.layers import (
    dead_units,
    exploding_gradient,
    saturated_units,
    symmetric_weights,
    vanishing_gradient,
)
from exprun.doctor.learning import (
    behind_baseline,
    chance_level,
    decayed_schedule,
    diverged,
    failed,
    learning_rate_too_high,
    learning_rate_too_low,
    noisy_gradient,
    stopped_too_early,
    too_few_epochs,
)

Rule = Callable[[Findings], Diagnosis | None]

RULES: tuple[Rule, ...] = (
    failed,
    inputs_not_standardized,
    target_outlier,
    ordered_rows,
    nothing_to_learn,
    symmetric_weights,
    diverged,
    exploding_gradient,
    vanishing_gradient,
    saturated_units,
    decayed_schedule,
    under_fitting,
    learning_rate_too_high,
    noisy_gradient,
    over_regularized,
    dead_units,
    learning_rate_too_low,
    class_imbalance,
    chance_level,
    too_few_epochs,
    stopped_too_early,
    over_fitting,
    behind_baseline,
)
"""Causes before their effects: diagnoses are reported in this order."""


def diagnose(findings: Findings) -> dict[str, Diagnosis]:
    """The diagnoses by the names of their rules, without those that an earlier one explains."""
    found: dict[str, Diagnosis] = {}
    explained: set[str] = set()
    for rule in RULES:
        if rule.__name__ in explained:
            continue
        diagnosis = rule(findings)
        if diagnosis:
            if rule is behind_baseline and found:
                continue  # a symptom without a cause
            found[rule.__name__] = diagnosis
            explained |= diagnosis.explains
    return found
