"""Folders of sweeps as exprun leaves them, written at once."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Levels = Mapping[str, str]


def accuracy(levels: Levels, seed: int) -> float:
    """A count of 270 rows that depends on the levels, and a little on the seed."""
    drawn = random.Random(f"{seed}").gauss(0, 3) + random.Random(f"{levels}{seed}").gauss(0, 1)
    place = sum(i * (ord(v[0]) % 7) for i, v in enumerate(levels.values(), 1))
    return min(270, round(240 + place + drawn)) / 270


def curve(best: float, epochs: int) -> list[list[float]]:
    """Rows of metrics.csv that come near to ``best``."""
    rows = []
    for epoch in range(1, epochs + 1):
        value = best * (1 - math.exp(-epoch))
        rows.append([epoch, 40 * epoch, 0.01, 1.1 - value, 1.2 - value, value, value])
    return rows


HEADER = "epoch,iteration,lr,train_loss,val_loss,train_accuracy,val_accuracy"


def write_sweep(
    folder: Path,
    factors: Mapping[str, Sequence[str]],
    seeds: int = 3,
    epochs: int = 5,
    figure: Callable[[Levels, int], float] = accuracy,
    ended: Callable[[Levels, int], tuple[str, str]] = lambda levels, seed: ("completed", "all"),
) -> Path:
    """A sweep over all combinations; ``ended`` gives status and reason, ``pending`` has no
    result."""
    jobs: list[dict[str, Any]] = []
    for values in itertools.product(*factors.values()):
        levels = dict(zip(factors, values, strict=True))
        for seed in range(seeds):
            overrides = [*(f"{k}={v}" for k, v in levels.items()), f"seed={seed}"]
            status, reason = ended(levels, seed)
            job = {"number": len(jobs), "variant": None, "overrides": overrides}
            job |= {"folder": f"{len(jobs)}", "status": status, "reason": reason}
            jobs.append(job)
            path = folder / str(job["folder"])
            path.mkdir(parents=True)
            if status == "pending":
                continue
            best = figure(levels, seed)
            rows = curve(best, 2 if status == "diverged" else epochs)
            lines = [HEADER, *(",".join(map(repr, row)) for row in rows)]
            (path / "metrics.csv").write_text("\n".join(lines) + "\n")
            metrics = {"val_loss": 1.2 - best, "val_accuracy": best}
            metrics |= {"test_loss": 1.1 - best, "test_accuracy": best}
            ended_well = status in ("completed", "early_stopped")
            result = {
                "status": status,
                "reason": reason,
                "engine": "stacked: up to 4 at once",
                "epochs": len(rows),
                "best_epoch": len(rows),
                "metrics": metrics if ended_well else {},
                "seconds": 0.5,
                "seed": seed,
                "device": "cpu",
                "versions": {"exprun": "0.1.0", "torch": "2.13.0"},
                "git": None,
                "overrides": overrides,
            }
            (path / "result.json").write_text(json.dumps(result))
    asked = [f"{k}={','.join(v)}" for k, v in factors.items()] + [f"seed=range({seeds})"]
    content = {"overrides": asked, "config_dir": None, "launcher": "stacked", "published": None}
    (folder / "sweep.json").write_text(json.dumps(content | {"jobs": jobs}))
    return folder
