"""Writes ``configurations.csv``, a row for each configuration, best by validation first."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from statistics import fmean

from exprun.record.files import write_atomic
from exprun.sweeps.comparison.compare import Comparison

NAME = "configurations.csv"


def write_configurations(comparison: Comparison) -> None:
    """Write ``configurations.csv`` into the folder of the last sweep, with the columns
    ``overrides``, ``n`` (runs with figures), ``diverged`` (further runs that diverged), and mean
    and standard deviation (n-1) of every figure over the n runs."""
    rows = []
    metrics = comparison.results.metrics
    metrics = [m for m in comparison.results.ranking if m in metrics] + [
        m for m in metrics if m not in comparison.results.ranking
    ]
    for configuration in comparison.ranked:
        jobs = configuration.jobs
        well = [job for job in jobs if job.ended_well]
        row: dict[str, object] = {
            "overrides": " ".join(configuration.overrides),
            "n": len(well),
            "diverged": sum(job.counts for job in jobs) - len(well),
        }
        for metric in metrics:
            values = list(configuration.figures(metric).values())
            if values:
                row[f"{metric}_mean"] = f"{fmean(values):.12g}"
            if len(values) > 1:
                row[f"{metric}_std"] = f"{_std(values):.6g}"
        rows.append(row)
    columns = ["overrides", "n", "diverged"]
    columns += [f"{metric}_{what}" for metric in metrics for what in ("mean", "std")]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(comparison.results.sweeps[-1] / NAME, text.getvalue().encode())


def _std(values: Sequence[float]) -> float:
    """The standard deviation (n-1) of at least two values."""
    mean = fmean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
