"""A job: its config, its folder and its result; ``exprun.run`` executes it.

Nothing here imports torch, Hydra or OmegaConf.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from exprun.common.constants import FAILED, INTERRUPTED
from exprun.common.errors import UsageError
from exprun.common.signals import Interrupted
from exprun.record.files import write_json
from exprun.record.result import result_of
from exprun.training.callbacks import Outcome


class JobRecorder(Protocol):
    """Writes a job's folder while it runs."""

    def finish(self, outcome: Outcome, seconds: float) -> dict[str, Any]:
        """Write the remaining files, ``result.json`` last; returns its content."""

    def close(self) -> None:
        """Close the files."""


@dataclass
class Job:
    """A job with its folder; ``result`` is the content of its ``result.json`` once it is written.

    ``config`` is plain data, ``choices`` are the chosen options of the groups. A ``resumed`` job
    continues from its newest intact checkpoint. An exception becomes a result with status
    ``failed``, with the traceback in ``traceback.txt``. A UsageError, which only the data or the
    machine can cause here, is raised, with only ``.hydra/`` left in the folder; with ``in_sweep``
    it becomes a failed result too, because the sweep continues. ``shared`` are the overrides that
    all jobs of its sweep have. ``threads`` overrides the number of CPU threads in the config. After
    ``pause_epoch`` epochs the job pauses with status ``stopped``, to be resumed later.
    """

    config: dict[str, Any]
    folder: Path
    overrides: list[str]
    choices: Mapping[str, str | None]
    in_sweep: bool = False
    shared: Set[str] = frozenset()
    resumed: bool = False
    threads: int | None = None
    pause_epoch: int | None = None
    result: dict[str, Any] | None = None
    recorder: JobRecorder | None = field(default=None, repr=False)
    started: float = 0.0

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Context that turns exceptions into a failed result and closes the recorder's files."""
        try:
            yield
            return
        except UsageError as error:
            if not self.in_sweep:
                raise
            outcome = Outcome(FAILED, str(error))
        except Interrupted as interrupt:
            name = interrupt.signal.name
            outcome = Outcome(INTERRUPTED, "interrupted outside of an epoch", signal=name)
        except OSError as error:  # caused by the disk or the system, not by a bug
            outcome = Outcome(FAILED, str(error))
        except Exception as error:
            (self.folder / "traceback.txt").write_text(traceback.format_exc())
            outcome = Outcome(FAILED, f"{type(error).__name__}: {error}")
        if self.recorder is not None:
            self.recorder.close()
        seconds = time.perf_counter() - self.started
        self.result = result_of(self.config, self.overrides, outcome, seconds)
        write_json(self.folder / "result.json", self.result)
