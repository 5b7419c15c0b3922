"""Folders of sweeps without a training: the files that comparisons read, with given figures."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROWS = {"train": 1257, "val": 270, "test": 270}

Figures = Callable[..., Mapping[str, float] | None]
"""Takes the values of a job by their keys, dots left out; None is a run that diverged."""


def sweep(
    folder: Path,
    figures: Figures,
    asked: Mapping[str, Sequence[Any]],
    *,
    at: str = "2026-11-27T12:00:00.000+00:00",
    rows: Mapping[str, int] | None = ROWS,
) -> Path:
    """A finished sweep of every combination of the ``asked`` values."""
    jobs = []
    for number, values in enumerate(itertools.product(*asked.values())):
        given = dict(zip(asked, values, strict=True))
        words = [f"{key}={value}" for key, value in given.items()]
        metrics = figures(**{key.replace(".", "_"): value for key, value in given.items()})
        name = f"{number:03d}"
        (folder / name).mkdir(parents=True)
        result = {
            "status": "diverged" if metrics is None else "completed",
            "reason": "",
            "epochs": 3,
            "metrics": metrics or {},
            "rows": rows,
            "seed": given.get("seed", 0),
            "overrides": words,
        }
        (folder / name / "result.json").write_text(json.dumps(result))
        jobs.append({"number": number, "variant": None, "overrides": words, "folder": name})
    overrides = [f"{key}={','.join(map(str, values))}" for key, values in asked.items()]
    content = {
        "overrides": overrides,
        "batches": [{"asked": at, "overrides": overrides, "first": 0}],
        "config_dir": None,
        "launcher": "basic",
        "published": None,
        "jobs": jobs,
    }
    (folder / "sweep.json").write_text(json.dumps(content))
    return folder
