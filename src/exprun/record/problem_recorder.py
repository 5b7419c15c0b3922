"""Writes the folder of a problem: its table, its pictures, TensorBoard's events and the result."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exprun.common.constants import COMPLETED, INTERRUPTED
from exprun.problems.problem import Problem
from exprun.record.files import write_atomic, write_json
from exprun.record.result import result_of
from exprun.record.tensorboard import EventFile, Value
from exprun.training.callbacks import Outcome


class ProblemRecorder:
    """What ``Recorder`` is for a training; all is written at the end, which is soon."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        overrides: list[str],
        hparams: Mapping[str, Value],
        problem: Problem,
    ) -> None:
        self.folder = folder
        self.config = config
        self.overrides = overrides
        self.problem = problem
        self.events = EventFile(folder)
        self.events.hparams_start(hparams)

    def close(self) -> None:
        self.events.close()

    def finish(self, outcome: Outcome, seconds: float) -> dict[str, Any]:
        """Write everything, ``result.json``, whose content is returned, last of all."""
        rows = self.problem.rows()
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        write_atomic(self.folder / self.problem.table, text.getvalue().encode())
        for row in rows:
            step, *values = row.items()
            self.events.scalars(dict(values), int(step[1]))
        from exprun.problems.pictures import draw  # matplotlib takes its time to import

        pictures = draw(self.problem, self.folder)
        for name in pictures:
            if name.endswith(".png"):
                self.events.image(Path(name).stem, (self.folder / name).read_bytes(), len(rows) - 1)
        if outcome.status != INTERRUPTED:
            self.events.hparams_end(outcome.status == COMPLETED)
        result = result_of(
            self.config, self.overrides, outcome, seconds, None, self.problem.figures()
        )
        result |= self.problem.facts() | {"pictures": pictures}
        write_json(self.folder / "result.json", result)
        return result
