"""Folders of sweeps without a training: the files that comparisons read, with given figures, and
what ``exprun compare`` says of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exprun.cli import main

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


FIGURES = {
    "adam": [0.9733, 0.9689, 0.9711, 0.9778, 0.9644, 0.9756, 0.9711, 0.9733],
    "sgd": [0.9622, 0.9667, 0.9600, 0.9711, 0.9622, 0.9644, 0.9689, 0.9644],
    "rmsprop": [0.9711, 0.9689, 0.9733, 0.9756, 0.9667, 0.9733, 0.9733, 0.9711],
}
"""Test accuracies of seeds 0 to 7."""


NOISE = np.random.default_rng(0).normal(0, 0.004, (40, 60))


def of_eight(optimizer: str, seed: int) -> dict[str, float]:
    value = FIGURES[optimizer][seed]
    return {"val_accuracy": value, "test_accuracy": value}


def answer(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["compare", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def pair(found: dict[str, Any], a: str, b: str) -> dict[str, Any]:
    """The pair with the difference a - b."""
    for one in found["pairs"]:
        if (one["a"], one["b"]) == (a, b):
            return dict(one)
        if (one["a"], one["b"]) == (b, a):
            turned = {"better": "worse", "worse": "better"}
            low, high = one["high"], one["low"]
            return one | {
                "difference": -one["difference"],
                "low": low and -low,
                "high": high and -high,
                "verdict": turned.get(one["verdict"], one["verdict"]),
            }
    raise AssertionError(f"no pair of {a} and {b}")
