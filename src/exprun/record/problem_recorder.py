"""Write the folder of a problem: its table, pictures, TensorBoard events and the result."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exprun.common.constants import COMPLETED, INTERRUPTED
from exprun.problems.problem import Problem
from exprun.record.files import NewFile, as_json, write_files
from exprun.record.result import result_of
from exprun.record.tensorboard import EventFile, Value
from exprun.training.callbacks import Outcome


class ProblemRecorder:
    """The counterpart of ``Recorder`` for problems; writes everything at the end."""

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
        """Write all files, ``result.json`` last; returns its content."""
        rows = self.problem.rows()
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        table = NewFile(self.folder / self.problem.table, text.getvalue().encode())
        for row in rows:
            step, *values = row.items()
            self.events.scalars(dict(values), int(step[1]))
        from exprun.problems.pictures import draw  # imports matplotlib, which is slow

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
        write_files([table, NewFile(self.folder / "result.json", as_json(result))])
        return result
