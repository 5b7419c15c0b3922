"""What is said at the end of a run: the first words of what ``exprun doctor`` says of it."""

from __future__ import annotations

from pathlib import Path

from exprun.common.constants import INTERRUPTED
from exprun.doctor.diagnose import diagnose
from exprun.doctor.rebuild import examine
from exprun.run_folder import stored

MOST = 2
"""Diagnoses that are told; the others are for ``exprun doctor``."""


def remarks(folder: Path) -> list[str]:
    """A line for each of the first diagnoses, with what to try first; none for a healthy run, nor
    for one that was interrupted. The run's code is trusted: it has just been run."""
    run = stored(folder)
    if run.options.get("problem") not in (None, "mlp"):
        return []
    findings, _ = examine(folder, run, trust=True)
    if findings.status == INTERRUPTED:
        return []
    return [
        f"{diagnosis.name}; try {diagnosis.suggestions[0]}"
        if diagnosis.suggestions
        else diagnosis.name
        for diagnosis in list(diagnose(findings).values())[:MOST]
    ]
