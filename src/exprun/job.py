"""One run: what is asked, where it is recorded, and what came of it; ``exprun.run`` does it.

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
    """What writes a job's folder while it runs."""

    def finish(self, outcome: Outcome, seconds: float) -> dict[str, Any]:
        """Write what is left, ``result.json``, whose content is returned, last of all."""

    def close(self) -> None:
        """Close the files."""


@dataclass
class Job:
    """What is to be run and where it is recorded; ``result`` is the content of its ``result.json``
    once there is one.

    ``config`` is plain data, ``choices`` are the chosen options of the groups. A ``resumed`` job
    goes on from its newest checkpoint that is whole. What goes wrong becomes a result of status
    ``failed``, with the traceback in ``traceback.txt``. A mistake of the user's that only the data
    or the machine could tell raises UsageError, with nothing but ``.hydra/`` in the folder;
    ``in_sweep``, for a sweep goes on, it becomes a failed result too. ``shared`` are the overrides
    that all jobs of its sweep have. ``threads`` are the CPU threads to compute with, whatever the
    config says.
    """

    config: dict[str, Any]
    folder: Path
    overrides: list[str]
    choices: Mapping[str, str | None]
    in_sweep: bool = False
    shared: Set[str] = frozenset()
    resumed: bool = False
    threads: int | None = None
    result: dict[str, Any] | None = None
    recorder: JobRecorder | None = field(default=None, repr=False)
    started: float = 0.0

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
        except Interrupted as interrupt:
            name = interrupt.signal.name
            outcome = Outcome(INTERRUPTED, "interrupted outside of an epoch", signal=name)
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
