"""``exprun doctor``: what went wrong in a run, and what to try; ``--try`` trains the
suggestions."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from exprun.commands import Parser, at_least
from exprun.commands.best_job import run_of
from exprun.common.errors import UsageError
from exprun.doctor import terminal
from exprun.doctor.diagnose import diagnose
from exprun.doctor.findings import Suggestion
from exprun.doctor.rebuild import examine
from exprun.doctor.trial import drift, start, train, verdicts
from exprun.record.lease import held
from exprun.run_folder import stored
from exprun.sweeps import worker_pool
from exprun.sweeps.conclude import conclude

FIRST = 3
"""Number of suggestions that ``--try`` tests without a number."""


def main(words: list[str]) -> int:
    parser = Parser("doctor", "What went wrong in a run, and what to try.")
    parser.add_argument("folder", type=Path, metavar="RUN_OR_SWEEP")
    parser.add_argument(
        "--try",
        dest="number",
        type=at_least(1),
        nargs="?",
        const=0,
        metavar="N",
        help=f"train suggestion N, or the first {FIRST}, and the run as it was, with equal seeds",
    )
    parser.add_argument(
        "--seeds", type=at_least(2), default=6, metavar="N", help="pairs of a trial (default 6)"
    )
    parser.add_argument(
        "--trust", action="store_true", help="let its config name code of somebody's own"
    )
    arguments = parser.parse_args(words)
    folder, number = arguments.folder, arguments.number
    folder = run_of(folder, sys.stdout)
    run = stored(folder)
    if run.options.get("problem") not in (None, "mlp"):
        raise UsageError(
            f"{folder}: problem={run.options['problem']} trains no network to diagnose"
        )
    findings, obstacle = examine(folder, run, trust=arguments.trust)
    found = list(diagnose(findings).values())
    looked_at = f"{len(findings.curve)} epochs ({findings.status.replace('_', ' ')})"
    if obstacle:
        looked_at += f", the files of the folder alone: {obstacle}"
    else:
        looked_at += ", data and layers measured afresh"
    terminal.report(found, looked_at)
    suggestions = [suggestion for diagnosis in found for suggestion in diagnosis.suggestions]
    if number is None:
        if suggestions:
            terminal.hint(os.path.relpath(folder))
        return 0
    chosen = choose(suggestions, number)
    if not chosen:
        return 0
    if obstacle:
        raise UsageError(f"{folder}: the run cannot be trained again: {obstacle}")
    worker_pool.prepare()  # workers import torch meanwhile
    place = start(run, chosen, arguments.seeds, trust=arguments.trust)
    for change in drift(run, place):
        print(f"exprun: since this run {change}; the trial is of today's", file=sys.stderr)
    with held(place):
        results, code = train(place, trust=arguments.trust)
    made = verdicts(run, chosen, arguments.seeds, results)
    if made is None:
        return conclude(place, code)
    terminal.trials(made, os.path.relpath(place))
    return 0


def choose(suggestions: list[Suggestion], number: int) -> list[Suggestion]:
    """The suggestion of that number, counted from 1; for 0 the first FIRST ones, without
    duplicates. Raises UsageError if the number does not exist."""
    if number == 0:
        return list({str(s): s for s in suggestions}.values())[:FIRST]
    if not 1 <= number <= len(suggestions):
        among = f"a number from 1 to {len(suggestions)}" if suggestions else "none, it is healthy"
        raise UsageError(f"doctor: --try {number}: expected {among}")
    return [suggestions[number - 1]]
