"""What is said at the end of a run: a few words, from what its files tell anyway."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from exprun.doctor.diagnose import diagnose
from exprun.doctor.findings import read

MOST = 2
"""Diagnoses that are told; the others are for ``exprun doctor``."""


def remarks(folder: Path, config: DictConfig, options: Mapping[str, str | None]) -> list[str]:
    """A line for each of the first diagnoses, with what to try first; none for a healthy run."""
    found = diagnose(read(folder, config, options)).values()
    helped = [diagnosis for diagnosis in found if diagnosis.suggestions]
    return [f"{diagnosis.name}; try {diagnosis.suggestions[0]}" for diagnosis in helped[:MOST]]
