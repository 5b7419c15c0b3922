"""Terminal output of ``exprun doctor``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich.console import Console

from exprun.display.summary import say
from exprun.display.text import default_console, figure, p_value
from exprun.doctor.findings import Diagnosis
from exprun.doctor.trial import HELPED, WORSE, Trial


def report(diagnoses: Sequence[Diagnosis], looked_at: str, console: Console | None = None) -> None:
    """Print each diagnosis with its evidence and source, its suggestions numbered as for ``--try``;
    ``looked_at`` describes what the diagnoses are based on."""
    console = console or default_console()
    console.print()
    say(console, "from", looked_at)
    if not diagnoses:
        say(console, "doctor", "looks healthy: nothing to say against it", "green")
        return
    number = 0
    for diagnosis in diagnoses:
        console.print()
        say(console, "doctor", diagnosis.name, "bold yellow")
        say(console, "seen", diagnosis.evidence)
        say(console, "source", diagnosis.source, "dim")
        for suggestion in diagnosis.suggestions:
            number += 1
            say(console, f"try {number}", f"{suggestion}   {suggestion.why}", "cyan")
    suggested = [word for d in diagnoses for s in d.suggestions for word in s.overrides]
    options = [word for word in suggested if "." not in word.partition("=")[0]]
    if options:
        console.print()
        words = shlex.join(["exprun", "explain", *dict.fromkeys(options)])
        say(console, "explain", words, "dim", to_copy=True)


def hint(folder: str, console: Console | None = None) -> None:
    """Print the command that tests the suggestions."""
    console = console or default_console()
    console.print()
    say(console, "test it", f"exprun doctor {shlex.quote(folder)} --try", "cyan", to_copy=True)


def trials(made: Sequence[Trial], folder: str, console: Console | None = None) -> None:
    """Print the figures of each trial in pairs, and its verdict."""
    console = console or default_console()
    for trial in made:
        v = trial.verdict
        console.print()
        say(console, "trial", str(trial.suggestion), "bold")
        say(console, "before", "  ".join(map(figure, trial.before)))
        say(console, "after", f"{'  '.join(map(figure, trial.after))}   ({trial.metric})")
        better, equal, worse = v.wins
        pairs = f"{better} of {len(trial.before)} pairs better, {worse} worse"
        pairs += f", {equal} equal" if equal else ""
        if v.mean is not None and v.interval is not None:
            low, high = v.interval
            pairs += (
                f"; {trial.metric} better by {v.mean:.3g} on average (95 % {low:.3g} to {high:.3g})"
            )
        else:
            pairs += "; a run without a figure (-) diverged or failed: judged by the signs"
        adjusted = f" adjusted for {len(made)} suggestions" if len(made) > 1 else ""
        say(console, "pairs", f"{pairs}; {p_value(v.p)}{adjusted}")
        style = {HELPED: "green", WORSE: "red"}.get(v.conclusion, "yellow")
        say(console, "so", v.conclusion, style)
    console.print()
    say(console, "by", "the validation part only; the test part had no say")
    say(console, "sweep", folder, to_copy=True)
