"""A job done, from its config to its folder of results."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Any

import torch

from exprun.build import make_diagnostics, target_of
from exprun.common.constants import INTERRUPTED
from exprun.common.signals import Interruption, interruptible
from exprun.display.choose import watch
from exprun.display.diagnostics import initialization as show_initialization
from exprun.fit.loop import fit
from exprun.job import Job
from exprun.problems.problem import Problem
from exprun.record import checkpoint
from exprun.record.diagnostics import DiagnosticsRecorder
from exprun.record.problem_recorder import ProblemRecorder
from exprun.record.recorder import Recorder, hparams
from exprun.training.callbacks import Outcome
from exprun.training.training import Training


def run(job: Job) -> dict[str, Any]:
    """Build, fit and record; returns the result."""
    with job.recording():
        work = begin(job)
        with interruptible() as interrupted:
            if isinstance(work, Problem):
                outcome = work.solve(interrupted)
            else:
                outcome = _fit(job, work, interrupted)
            end(job, outcome, interrupted)
    assert job.result is not None
    return job.result


def begin(job: Job, sharing: int = 1) -> Training | Problem:
    """Build what is to be done and open its files; ``sharing`` jobs are trained at once."""
    job.started = time.perf_counter()
    work: Training | Problem = target_of("problem", job.config["problem"])(job.config)
    if job.threads:
        torch.set_num_threads(job.threads)
    state = _checkpoint(job) if job.resumed else None
    own = [word for word in job.overrides if word not in job.shared]
    row = hparams(job.config, job.choices, own)
    about = job.folder, job.config, job.overrides, row
    if isinstance(work, Problem):  # done in a moment, so it has no checkpoints
        job.recorder = ProblemRecorder(*about, work)
    else:
        diagnostics = make_diagnostics(job.config)
        job.recorder = Recorder(*about, work, state, diagnostics=diagnostics, sharing=sharing)
    return work


def _checkpoint(job: Job) -> dict[str, Any] | None:
    """The newest state; what a killed process left of a file half written is taken away."""
    for path in job.folder.rglob(".*.tmp"):
        path.unlink()
    state, problems = checkpoint.newest(job.folder)
    for problem in problems:
        print(f"exprun: {problem}; going on from the one before", file=sys.stderr)
    return state


def _fit(job: Job, training: Training, interrupted: Interruption) -> Outcome:
    assert isinstance(job.recorder, Recorder)
    if not job.in_sweep:
        for note in training.data.notes:
            print(note)
        _show_initialization(job.recorder.diagnostics)
    title = " ".join(job.overrides)
    with watch(title, str(training.device), in_sweep=job.in_sweep) as screen:
        return fit(training, [job.recorder, screen], interrupted)


def _show_initialization(diagnostics: DiagnosticsRecorder | None) -> None:
    """The laboratory of ``diagnostics=full``; a resumed run has shown it."""
    if diagnostics and diagnostics.settings.histograms and diagnostics.initialization:
        show_initialization(diagnostics.initialization)


def end(job: Job, outcome: Outcome, interrupted: Interruption) -> None:
    """Write what is left to be written, ``result.json`` last, and close the files."""
    assert job.recorder is not None
    if outcome.status == INTERRUPTED and interrupted.signal:
        name = interrupted.signal.name
        outcome = replace(outcome, reason=f"{outcome.reason} by {name}", signal=name)
    job.result = job.recorder.finish(outcome, time.perf_counter() - job.started)
    job.recorder.close()
