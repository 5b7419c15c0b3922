"""A job done, from its config to its folder of results."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

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
from exprun.record.problem_recorder import ProblemRecorder
from exprun.record.recorder import Recorder, hparams
from exprun.training.callbacks import Callback, Outcome
from exprun.training.training import Training


class Run(Protocol):
    """What a job does, built from its config and with its files open."""

    def introduce(self) -> None:
        """Print what is to be known before it begins."""

    def fit(self, callbacks: Sequence[Callback], interrupted: Callable[[], bool]) -> Outcome:
        """Do it; the callbacks are told of every epoch, if there are any."""


@dataclass
class TrainingRun:
    """A network that is trained."""

    training: Training
    recorder: Recorder

    def introduce(self) -> None:
        """The notes of the data; with ``diagnostics=full`` the initial state of the layers, which a
        resumed run has shown already."""
        for note in self.training.data.notes:
            print(note)
        diagnostics = self.recorder.diagnostics
        if diagnostics and diagnostics.settings.histograms and diagnostics.initialization:
            show_initialization(diagnostics.initialization)

    def fit(self, callbacks: Sequence[Callback], interrupted: Callable[[], bool]) -> Outcome:
        return fit(self.training, [self.recorder, *callbacks], interrupted)


@dataclass
class ProblemRun:
    """A problem without a network, solved in a moment: no epochs, no checkpoints."""

    problem: Problem

    def introduce(self) -> None:
        pass

    def fit(self, callbacks: Sequence[Callback], interrupted: Callable[[], bool]) -> Outcome:
        return self.problem.solve(interrupted)


def run(job: Job) -> dict[str, Any]:
    """Build, fit and record; returns the result."""
    with job.recording():
        begun = begin(job)
        if not job.in_sweep:
            begun.introduce()
        with interruptible() as interrupted:
            with watch(" ".join(job.overrides), in_sweep=job.in_sweep) as screen:
                outcome = begun.fit([screen], interrupted)
            end(job, outcome, interrupted)
    assert job.result is not None
    return job.result


def begin(job: Job, sharing: int = 1) -> TrainingRun | ProblemRun:
    """Build what is to be done and open its files; ``sharing`` jobs are trained at once."""
    job.started = time.perf_counter()
    built: Training | Problem = target_of("problem", job.config["problem"])(job.config)
    if job.threads:
        torch.set_num_threads(job.threads)
    own = [word for word in job.overrides if word not in job.shared]
    row = hparams(job.config, job.choices, own)
    about = job.folder, job.config, job.overrides, row
    if isinstance(built, Problem):
        job.recorder = ProblemRecorder(*about, built)
        return ProblemRun(built)
    state = _checkpoint(job) if job.resumed else None
    diagnostics = make_diagnostics(job.config)
    recorder = Recorder(*about, built, state, diagnostics=diagnostics, sharing=sharing)
    job.recorder = recorder
    return TrainingRun(built, recorder)


def _checkpoint(job: Job) -> dict[str, Any] | None:
    """The newest state; what a killed process left of a file half written is taken away."""
    for path in job.folder.rglob(".*.tmp"):
        path.unlink()
    state, problems = checkpoint.newest(job.folder)
    for problem in problems:
        print(f"exprun: {problem}; going on from the one before", file=sys.stderr)
    return state


def end(job: Job, outcome: Outcome, interrupted: Interruption) -> None:
    """Write what is left to be written, ``result.json`` last, and close the files."""
    assert job.recorder is not None
    if outcome.status == INTERRUPTED and interrupted.signal:
        name = interrupted.signal.name
        outcome = replace(outcome, reason=f"{outcome.reason} by {name}", signal=name)
    job.result = job.recorder.finish(outcome, time.perf_counter() - job.started)
    job.recorder.close()
