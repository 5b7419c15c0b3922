"""One run, from its config to its folder of results."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from exprun.build import make_diagnostics, target_of
from exprun.display.diagnostics import initialization as show_initialization
from exprun.display.watch import watch
from exprun.errors import UsageError
from exprun.fit import fit
from exprun.interrupt import Interruption, interruptible
from exprun.observer import Outcome
from exprun.problems import Problem
from exprun.record import checkpoint
from exprun.record.diagnostics import DiagnosticsRecorder
from exprun.record.files import write_json
from exprun.record.problem import ProblemRecorder
from exprun.record.recorder import Recorder
from exprun.record.result import result_of
from exprun.record.stored import check_config, stored
from exprun.training import Training
from exprun.vocabulary import FAILED, INTERRUPTED


@dataclass
class Job:
    """What is to be run and where it is recorded; ``result`` is the content of its ``result.json``
    once there is one.

    ``choices`` are the chosen options of the groups. A ``resumed`` job goes on from its newest
    checkpoint that is whole. What goes wrong becomes a result of status ``failed``, with the
    traceback in ``traceback.txt``. A mistake of the user's that only the data or the machine could
    tell raises UsageError, with nothing but ``.hydra/`` in the folder; ``in_sweep``, for a sweep
    goes on, it becomes a failed result too.
    """

    config: DictConfig
    folder: Path
    overrides: list[str]
    choices: Mapping[str, str | None]
    in_sweep: bool = False
    resumed: bool = False
    result: dict[str, Any] | None = None
    recorder: Recorder | ProblemRecorder | None = field(default=None, repr=False)
    started: float = 0.0

    def run(self) -> dict[str, Any]:
        """Build, fit and record; returns the result."""
        with self.recording():
            work = self.begin()
            with interruptible() as interrupted:
                if isinstance(work, Problem):
                    outcome = work.solve(interrupted)
                else:
                    outcome = self._fit(work, interrupted)
                self.end(outcome, interrupted)
        assert self.result is not None
        return self.result

    def begin(self, sharing: int = 1) -> Training | Problem:
        """Build what is to be done and open its files; ``sharing`` jobs are trained at once."""
        self.started = time.perf_counter()
        work: Training | Problem = target_of("problem", self.config.problem)(self.config)
        state = self._checkpoint() if self.resumed else None
        about = self.folder, self.config, self.overrides, self.choices
        if isinstance(work, Problem):  # done in a moment, so it has no checkpoints
            self.recorder = ProblemRecorder(*about, work)
        else:
            diagnostics = make_diagnostics(self.config)
            self.recorder = Recorder(*about, work, state, diagnostics=diagnostics, sharing=sharing)
        return work

    def _fit(self, training: Training, interrupted: Interruption) -> Outcome:
        assert isinstance(self.recorder, Recorder)
        if not self.in_sweep:
            for note in training.data.notes:
                print(note)
            _show_initialization(self.recorder.diagnostics)
        title = " ".join(self.overrides)
        with watch(title, str(training.device), in_sweep=self.in_sweep) as screen:
            return fit(training, [self.recorder, screen], interrupted)

    def _checkpoint(self) -> dict[str, Any] | None:
        """The newest state; what a killed process left of a file half written is taken away."""
        for path in self.folder.rglob(".*.tmp"):
            path.unlink()
        state, problems = checkpoint.newest(self.folder)
        for problem in problems:
            print(f"exprun: {problem}; going on from the one before", file=sys.stderr)
        return state

    def end(self, outcome: Outcome, interrupted: Interruption) -> None:
        """Write what is left to be written, ``result.json`` last, and close the files."""
        assert self.recorder is not None
        if outcome.status == INTERRUPTED and interrupted.signal:
            name = interrupted.signal.name
            outcome = replace(outcome, reason=f"{outcome.reason} by {name}", signal=name)
        self.result = self.recorder.finish(outcome, time.perf_counter() - self.started)
        self.recorder.close()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Turn what goes wrong inside into a result, and leave no file open."""
        try:
            yield
            return
        except UsageError as error:
            if not self.in_sweep:
                raise
            outcome = Outcome(FAILED, str(error))
        except KeyboardInterrupt:
            outcome = Outcome(INTERRUPTED, "interrupted outside of an epoch", signal="SIGINT")
        except OSError as error:  # the disk's or the system's fault, no bug
            outcome = Outcome(FAILED, str(error))
        except Exception as error:
            (self.folder / "traceback.txt").write_text(traceback.format_exc())
            outcome = Outcome(FAILED, f"{type(error).__name__}: {error}")
        if self.recorder is not None:
            self.recorder.close()
        seconds = time.perf_counter() - self.started
        self.result = result_of(self.config, self.overrides, outcome, seconds)
        write_json(self.folder / "result.json", self.result)


def _show_initialization(diagnostics: DiagnosticsRecorder | None) -> None:
    """The laboratory of ``diagnostics=full``; a resumed run has shown it."""
    if diagnostics and diagnostics.settings.histograms and diagnostics.initialization:
        show_initialization(diagnostics.initialization)


def stored_job(folder: Path, *, trust: bool, in_sweep: bool = False) -> Job:
    """The run in ``folder``, to go on from its newest checkpoint, or to begin if it has none.

    Raises UsageError if the folder's config is not what it was, or names somebody's own code.
    """
    run = stored(folder)
    check_config(run, folder, trust=trust)
    return Job(run.config, folder, run.overrides, run.options, in_sweep, resumed=True)
