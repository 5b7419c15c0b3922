"""Remarks at the end of a run: a short form of the first diagnoses of ``exprun doctor``."""

from __future__ import annotations

from pathlib import Path

from exprun.common.constants import INTERRUPTED
from exprun.doctor.diagnose import diagnose
from exprun.doctor.rebuild import examine
from exprun.run_folder import Stored

MOST = 2
"""Most diagnoses that are shown; ``exprun doctor`` shows the others."""


def remarks(folder: Path, run: Stored) -> list[str]:
    """A line for each of the first diagnoses of the ``run`` in ``folder``, with its first
    suggestion; empty for a healthy or interrupted run. The run's code is trusted, because it has
    just been executed."""
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
