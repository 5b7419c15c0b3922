"""``result.json``: the settings and results of a run. Nothing here imports torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exprun.common.errors import UsageError
from exprun.training.callbacks import Outcome

if TYPE_CHECKING:
    from exprun.training.training import Training
from exprun.record.environment import git, versions
from exprun.record.identity import identity


def result_of(
    config: Mapping[str, Any],
    overrides: list[str],
    outcome: Outcome,
    seconds: float,
    training: Training | None = None,
    metrics: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The content of ``result.json`` as plain data; ``training`` is None for a problem, or if it
    could not be built.

    ``seconds`` is the wall time of the whole run, ``metrics`` are those of the kept weights; a
    figure that is not finite becomes null. In the result, ``monitor`` is the figure by which the
    weights were kept, null without a validation part, and ``identity`` is equal for equal jobs.
    """
    kept = training.kept_row if training else {}
    monitor = training.stopping.monitor if training else None
    return {
        "status": outcome.status,
        "reason": outcome.reason,
        "signal": outcome.signal,
        "engine": outcome.engine,
        "epochs": training.epoch if training else 0,
        "best_epoch": int(kept["epoch"]) if kept else None,
        "monitor": monitor if monitor in kept else None,
        "metrics": {k: v if math.isfinite(v) else None for k, v in (metrics or {}).items()},
        "averaged": bool(training and training.averaging),
        "parameters": training.parameters if training else None,
        "rows": _rows(training) if training else None,
        "seconds": round(seconds, 3),
        "samples_per_second": round(outcome.samples_per_second, 1),
        "seed": config["seed"],
        "device": str(training.device) if training else config["device"],
        "threads": training.threads if training else None,
        "versions": versions(),
        "git": git(),
        "overrides": overrides,
        "identity": identity(config),
    }


def read_result(folder: Path) -> dict[str, Any] | None:
    """The content of a run's ``result.json``; None if there is none. Raises UsageError if it is
    damaged."""
    path = folder / "result.json"
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise UsageError(f"{path}: is damaged, so it counts for nothing: {error}") from None
    whole = isinstance(result, dict) and isinstance(result.get("metrics"), dict)
    if not whole or not isinstance(result.get("status"), str):
        raise UsageError(f"{path}: is damaged, so it counts for nothing: no status or no metrics")
    found: dict[str, Any] = result
    return found


def _rows(training: Training) -> dict[str, int]:
    """Number of rows of each part, on which the uncertainty of the figures depends."""
    data = training.data
    parts = {"train": data.train, "val": data.val, "test": data.test}
    return {name: len(part) if part is not None else 0 for name, part in parts.items()}
