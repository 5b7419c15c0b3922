"""Run a job: build from its config, fit, and record the results in its folder."""

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
    """A job built from its config, with its files open."""

    def introduce(self) -> None:
        """Print information before it starts."""

    def fit(self, callbacks: Sequence[Callback], interrupted: Callable[[], bool]) -> Outcome:
        """Run it; the callbacks are called for every epoch, if it has epochs."""


@dataclass
class TrainingRun:
    """The training of a network."""

    training: Training
    recorder: Recorder

    def introduce(self) -> None:
        """Print the notes on the data and, with ``diagnostics=full``, the initial state of the
        layers, unless resumed."""
        for note in self.training.data.notes:
            print(note)
        diagnostics = self.recorder.diagnostics
        if diagnostics and diagnostics.settings.histograms and diagnostics.initialization:
            show_initialization(diagnostics.initialization)

    def fit(self, callbacks: Sequence[Callback], interrupted: Callable[[], bool]) -> Outcome:
        return fit(self.training, [self.recorder, *callbacks], interrupted)


@dataclass
class ProblemRun:
    """A problem without a network: no epochs, no checkpoints."""

    problem: Problem

    def introduce(self) -> None:
        pass

    def fit(self, callbacks: Sequence[Callback], interrupted: Callable[[], bool]) -> Outcome:
        return self.problem.solve(interrupted)


def run(job: Job) -> dict[str, Any]:
    """Build, fit and record a job; returns the content of its ``result.json``."""
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
    """Build a job and open its files; ``sharing`` is the number of jobs trained in turns on a
    core."""
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
    built.pause_epoch = job.pause_epoch
    state = _checkpoint(job) if job.resumed else None
    diagnostics = make_diagnostics(job.config)
    recorder = Recorder(*about, built, state, diagnostics=diagnostics, sharing=sharing)
    job.recorder = recorder
    return TrainingRun(built, recorder)


def _checkpoint(job: Job) -> dict[str, Any] | None:
    """The state of the newest intact checkpoint; removes temporary files of a killed process."""
    for path in job.folder.rglob(".*.tmp"):
        path.unlink()
    state, problems = checkpoint.newest(job.folder)
    for problem in problems:
        print(f"exprun: {problem}; going on from the one before", file=sys.stderr)
    return state


def end(job: Job, outcome: Outcome, interrupted: Interruption) -> None:
    """Write the remaining files, ``result.json`` last, and close all files."""
    assert job.recorder is not None
    if outcome.status == INTERRUPTED and interrupted.signal:
        name = interrupted.signal.name
        outcome = replace(outcome, reason=f"{outcome.reason} by {name}", signal=name)
    job.result = job.recorder.finish(outcome, time.perf_counter() - job.started)
    job.recorder.close()
