"""The provenance of a report: the commands that reproduce it, and the environment of the jobs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exprun.report.markup import Markup, join, tag
from exprun.report.study import Study
from exprun.sweeps.results import JobResult


@dataclass(frozen=True)
class Commands:
    """The commands that reproduce the page and its parts, for these sweeps and options."""

    sweeps: Sequence[str]
    options: Mapping[str, str | None]

    def compare(self, by: str | None = None) -> str:
        """The command that compares the configurations, or the levels of a factor."""
        kept = self.options if by is None else {**self.options, "--baseline": None, "--by": by}
        return self._command("compare", kept)

    def report(self, *more: str) -> str:
        """The command that makes the page."""
        return self._command("report", self.options, *more)

    def tensorboard(self) -> str:
        """The command that shows the curves of the newest sweep in TensorBoard."""
        return shlex.join(["tensorboard", "--logdir", f"{self.sweeps[-1]}/mean"])

    def _command(self, name: str, options: Mapping[str, str | None], *more: str) -> str:
        given = [word for key, v in options.items() if v is not None for word in (key, v)]
        return shlex.join(["exprun", name, *self.sweeps, *given, *more])


def how_made(study: Study, commands: Commands) -> Markup:
    """The section with the commands and the environment."""
    listed = {
        "The sweep": [f"exprun -m {shlex.join(b.overrides)}" for b in study.results.batches],
        "The answer": [commands.compare()],
        "This page": [commands.report()],
        "The figures as SVG, PDF and CSV, the tables as CSV and LaTeX, by the names under them": [
            commands.report("--figures", "figures")
        ],
        "The curves in TensorBoard": [commands.tensorboard()],
        "The best configuration by validation": [
            f"exprun {shlex.join(study.ranked[0].overrides)}".strip()
        ],
    }
    facts = [
        part
        for name, value in environment(study.results.jobs).items()
        for part in (tag("dt", name), tag("dd", value))
    ]
    return join(commands_listed(listed), tag("h3", "Environment"), tag("dl", *facts))


def commands_listed(titled: Mapping[str, Sequence[str]]) -> Markup | None:
    """Commands to copy, each group with its title; None if there are none."""
    parts = [
        part
        for title, commands in titled.items()
        if commands
        for part in (
            tag("p", f"{title}:") if title else None,
            tag("pre", tag("code", "\n".join(commands))),
        )
    ]
    return join(*parts) if parts else None


def environment(jobs: Sequence[JobResult]) -> dict[str, str]:
    """Versions, commit, device, engine and total seconds of the jobs; all values that occur, joined
    by commas."""
    facts: dict[str, dict[str, None]] = {}
    for job in jobs:
        path = job.folder / "result.json"
        if not path.is_file():
            continue
        result = json.loads(path.read_text())
        values = {**(result.get("versions") or {})}
        values |= {name: result.get(name) for name in ("git", "device", "threads", "engine")}
        for name, value in values.items():
            if value is not None:
                facts.setdefault(name, {})[str(value)] = None
    seconds = sum(job.metrics.get("seconds") or 0 for job in jobs)
    shown_facts = {name: ", ".join(values) for name, values in facts.items()}
    return shown_facts | {"seconds of all jobs": f"{seconds:.1f}"}
