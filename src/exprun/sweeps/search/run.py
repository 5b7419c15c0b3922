"""Runs a search: asks for configurations, trains them from rung to rung, and stops the worse ones.

What to do next is read off the jobs' folders (``decisions``), so a new search and one that goes on
are the same loop. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from exprun.common.constants import EXIT_CODES, FAILED, STOPPED
from exprun.display.summary import say
from exprun.display.text import default_console
from exprun.job import Job
from exprun.record.files import NewFile, as_json, write_files, write_json
from exprun.run_folder import stored_job
from exprun.sweeps import ledger
from exprun.sweeps.dispatcher import run_jobs
from exprun.sweeps.launcher import LauncherSettings
from exprun.sweeps.search.decisions import (
    Decisions,
    Needed,
    RungResult,
    Stored,
    decide,
    reached,
    signed,
)
from exprun.sweeps.search.messages import plan, rung_lines
from exprun.sweeps.search.optuna_samplers import ask
from exprun.sweeps.search.search import Search, WithoutConditional
from exprun.sweeps.search.study import results_of
from exprun.sweeps.worker_processes import IdleWorkers


class SearchRun:
    """A search at work in the sweep's ``folder``.

    ``jobs`` has jobs by number that have just been composed; others are read from the folder.
    ``add`` composes and records jobs, given as overrides.
    """

    def __init__(
        self,
        folder: Path,
        search: Search,
        jobs: Mapping[int, Job],
        add: Callable[[Sequence[Sequence[str]]], None],
        without_conditional: WithoutConditional,
        launcher: LauncherSettings,
        console: Console | None = None,
    ) -> None:
        self.folder, self.search, self.jobs, self.add = folder, search, jobs, add
        self.without_conditional, self.launcher = without_conditional, launcher
        self.console = console or default_console()
        self.idle = IdleWorkers()

    def run(self) -> int | None:
        """Train until nothing is needed; returns the exit code if a signal, or a fault of all jobs
        like a full disk, ended it, else None."""
        try:
            return self._run()
        finally:
            self.idle.end()

    def _run(self) -> int | None:
        shown = 0
        stored = Stored.of(ledger.read(self.folder))
        for label, text in plan(self.folder, stored, self.launcher.processes):
            say(self.console, label, text)
        while True:
            decisions = decide(self.folder)
            for result in decisions.rungs[shown:]:
                width = self.console.width if self.console.is_terminal else None
                self._print(rung_lines(result, decisions.metrics, stored, width))
                self._stop(result)
            shown = len(decisions.rungs)
            if decisions.needed is None:
                return None
            if decisions.needed.new:
                stored = self._ask(decisions.needed, decisions, stored)
            elif (code := self._train(decisions.needed, stored)) is not None:
                return code

    def _ask(self, needed: Needed, decisions: Decisions, stored: Stored) -> Stored:
        """Ask an adaptive sampler for new configurations and add their jobs of the first rung;
        returns the entry of ``sweep.json``, which changes if there are no more."""
        search, settings = self.search, stored.settings
        metrics = decisions.metrics
        told = [
            replace(told, objectives=signed(metrics, told.objectives))
            for _, told in results_of(decisions, stored)
        ]
        content = ledger.read(self.folder)
        known = {trial.overrides for trial in stored.trials(content["jobs"])}
        points = ask(search.space, settings.sampler, settings.seed, told, settings.objectives)
        trials = search.distinct(points, needed.new, self.without_conditional, known)
        repetitions = stored.repetitions[: needed.rung.repetitions]
        self.add([[*trial, *own] for trial in trials for own in repetitions])
        content = ledger.read(self.folder)
        asked = len(known) + needed.new
        if len(stored.trials(content["jobs"])) < asked:
            stored = replace(stored, exhausted=True)
            content["search"] = stored.as_written()
            write_json(self.folder / "sweep.json", content)
        return stored

    def _print(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _train(self, needed: Needed, stored: Stored) -> int | None:
        """Train the jobs of ``needed`` up to its rung."""
        repetitions = stored.repetitions[: needed.rung.repetitions]
        missing = [
            [*trial.overrides, *own]
            for trial in needed.trials
            for own in repetitions
            if own not in trial.jobs
        ]
        if missing:
            self.add(missing)
        content = ledger.read(self.folder)
        trials = {trial.overrides: trial for trial in stored.trials(content["jobs"])}
        pause = needed.rung.epochs if needed.rung.epochs < stored.epochs else None
        jobs = {}
        for trial in needed.trials:
            for own in repetitions:
                number = trials[trial.overrides].jobs[own]
                job_folder = self.folder / content["jobs"][number]["folder"]
                if not reached(job_folder, needed.rung, stored.epochs):
                    jobs[number] = replace(self._job(number, job_folder), pause_epoch=pause)
        progress = ledger.Progress(content["jobs"])
        progress.total = len(jobs)
        code = run_jobs(self.folder, jobs, needed.title, progress, self.launcher, self.idle)[1]
        folders = [self.folder / content["jobs"][number]["folder"] for number in jobs]
        further = any(reached(path, needed.rung, stored.epochs) for path in folders)
        if code is None and jobs and not further:
            say(self.console, "ended", "no job gets any further, as the messages above say", "red")
            return EXIT_CODES[FAILED]
        return code

    def _job(self, number: int, folder: Path) -> Job:
        if number in self.jobs:
            return self.jobs[number]
        files = ledger.Configs(self.folder).missing(number, folder)
        return stored_job(folder, trust=self.search.trust, in_sweep=True, files=files)

    def _stop(self, result: RungResult) -> None:
        """Record the rung and the rank in ``result.json`` of the jobs that a rung stops."""
        content = ledger.read(self.folder)
        files = []
        for judged in result.ranked[result.kept :]:
            reason = (
                f"stopped at rung {result.number} of {result.rungs} (epoch {result.rung.epochs}): "
                f"rank {judged.rank} of {len(result.ranked)}"
            )
            for number in judged.trial.jobs.values():
                path = self.folder / content["jobs"][number]["folder"] / "result.json"
                recorded = ledger.state_of(path.parent)
                if recorded["status"] == STOPPED and recorded["reason"] != reason:
                    entry = {"reason": reason, "rung": result.number, "rank": judged.rank}
                    files.append(NewFile(path, as_json(recorded | entry)))
        write_files(files)
