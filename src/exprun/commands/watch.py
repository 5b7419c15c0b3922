"""``exprun watch``: the live table of a sweep that other processes train.

It reads only the folder and returns when all jobs have finished or failed. It then writes the files
of an ended sweep, unless the process that trains the sweep does so.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from exprun.commands import Parser
from exprun.common.constants import FINISHED
from exprun.display.summary import sweep_summary
from exprun.record.lease import HeldError, held
from exprun.sweeps import ledger
from exprun.sweeps.conclude import conclude
from exprun.sweeps.read_results import check_sweep
from exprun.sweeps.watch import watch


def main(words: list[str]) -> int:
    parser = Parser("watch", "Show the jobs of a sweep until all have ended.")
    parser.add_argument("folder", type=Path, metavar="SWEEP")
    parser.add_argument(
        "--trust", action="store_true", help="let its config name code of somebody's own"
    )
    arguments = parser.parse_args(words)
    folder = arguments.folder
    shown = f"its curves are shown by exprun plot {shlex.quote(str(folder))}"
    check_sweep(folder, str(folder), single=shown)
    code = watch(folder)
    if code is not None:
        return code
    try:
        if os.access(folder, os.W_OK):
            with held(folder):
                return conclude(folder, trust=arguments.trust)
    except HeldError:  # by the process that trains it, which also concludes it
        pass
    rows = ledger.ranked(folder)
    sweep_summary(rows, os.path.relpath(folder))
    return int(any(row["status"] not in FINISHED for row in rows))
