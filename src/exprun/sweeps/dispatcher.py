"""A sweep's jobs in stacks: who trains which of them, in which process, and how far they are.

Jobs of one kind — equal data, network, batches — are trained together by workers (``worker``) that
are processes of their own: several small stacks keep all cores of a CPU busy, and one large one a
GPU. A worker asks for the next job whenever it has room. What it does to a job's folder is what the
job would do alone. Nothing here imports torch.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Any

from exprun.common.constants import ALONE, DIVERGED, INTERRUPTED
from exprun.common.signals import Interruption, exit_code, interruptible
from exprun.common.threads import cores
from exprun.display.panel import INTERVAL
from exprun.display.summary import job_line
from exprun.job import Job
from exprun.sweeps import ledger, worker_pool
from exprun.sweeps.panel import StackPanel

AT_ONCE = {"cpu": 32, "cuda": 256}
"""Members of a stack at most. On a CPU more bring nothing: the products are what takes the time."""

NOTING = 0.3
"""Seconds between two writes of the sweep's books; a job's own folder has its result at once."""


def run_stacked(
    folder: Path,
    jobs: Mapping[int, Job],
    title: str,
    before: Callable[[int], None] = lambda number: None,
    *,
    size: int | None = None,
    workers: int | None = None,
) -> tuple[dict[int, dict[str, Any]], int | None]:
    """Run the ``jobs`` of the sweep in ``folder``, by their numbers; returns their results, and the
    exit code if a signal has ended it.

    ``before`` is called with the number of each job that is to begin. At most ``size`` are trained
    at once in each of ``workers`` processes; both are chosen if not given. After a signal the jobs
    that were running are interrupted and those that were not are left out.
    """
    if not jobs:
        return {}, None
    office = Office(folder, dict(jobs), before, size, workers)
    try:
        with StackPanel(title, office.titles()) as panel:
            office.run(panel)
    except OSError as error:  # no process to be had, no room on the disk
        print(f"exprun: {error}", file=sys.stderr)
    ended = next((r for r in office.results.values() if r["status"] == INTERRUPTED), None)
    if ended:
        return office.results, exit_code(ended)
    return office.results, 128 + office.signal if office.signal else None


@dataclass
class Worker:
    """A process, the line to it, the kind of jobs that it is at, and those that it has."""

    process: BaseProcess
    line: Connection
    kind: str = ""
    has: set[int] = field(default_factory=set)


class Office:
    """Hands out jobs to the workers and takes down what they say."""

    def __init__(
        self,
        folder: Path,
        jobs: dict[int, Job],
        before: Callable[[int], None],
        size: int | None,
        workers: int | None,
    ) -> None:
        self.folder = folder
        self.jobs = jobs
        self.before = before
        self.results: dict[int, dict[str, Any]] = {}
        self.unnoted: dict[int, dict[str, Any]] = {}  # results that are not in the books yet
        self.noted = time.monotonic()  # when the books were written last
        self.told: set[str] = set()  # why jobs were not stacked
        self.waiting: dict[str, deque[int]] = {}
        for number, job in jobs.items():
            self.waiting.setdefault(_kind(job), deque()).append(number)
        self.size, self.count = size, workers
        self.settled = False  # how many workers there are, and at how many jobs at once
        self.staff = "", ""  # how many workers, and on what
        self.workers: dict[Connection, Worker] = {}
        self.signal: Signals | None = None  # that has ended it

    def titles(self) -> dict[int, tuple[str, int]]:
        """What tells each job from the others, and its epochs."""
        shared = set.intersection(*(set(job.overrides) for job in self.jobs.values()))
        return {
            number: (
                " ".join(w for w in job.overrides if w not in shared) or "defaults",
                int(job.config["trainer"]["max_epochs"]),
            )
            for number, job in self.jobs.items()
        }

    def run(self, panel: StackPanel) -> None:
        with interruptible() as interrupted:
            try:
                self._hire()  # one, who knows whether there is a GPU
                self._listen(panel, interrupted)
                self.signal = interrupted.signal
            finally:  # whatever went wrong here: nobody waits for an answer that never comes
                for worker in self.workers.values():
                    os.kill(worker.process.pid, SIGTERM)  # type: ignore[arg-type]
                    worker.line.close()
                    worker.process.join()

    def _hire(self) -> None:
        process, line = worker_pool.start()
        self.workers[line] = Worker(process, line)

    def _settle(self, gpu: bool, panel: StackPanel) -> None:
        """Decide how many jobs are trained at once, and by how many workers; hire the others."""
        if self.settled:
            return
        self.settled = True
        gpu = gpu and any(job.config["device"] != "cpu" for job in self.jobs.values())
        self.count = min(self.count or (1 if gpu else cores()), len(self.jobs))
        share = -(-max(map(len, self.waiting.values())) // self.count)
        self.size = self.size or min(AT_ONCE["cuda" if gpu else "cpu"], share)
        self.staff = f"{self.count} process" + "es" * (self.count > 1), "gpu" if gpu else "cpu"
        panel.workers = " · ".join(self.staff)
        for _ in range(self.count - 1):
            self._hire()

    def _listen(self, panel: StackPanel, interrupted: Interruption) -> None:
        """Until all workers are done and dismissed."""
        passed_on = False
        while self.workers:
            for line in wait(list(self.workers), INTERVAL):
                assert isinstance(line, Connection)
                if not self._hear(self.workers[line], panel, interrupted):
                    self._dismiss(self.workers.pop(line), panel)
            if interrupted.signal and not passed_on:
                passed_on = True
                for worker in self.workers.values():
                    os.kill(worker.process.pid, interrupted.signal)  # type: ignore[arg-type]
            if time.monotonic() - self.noted > NOTING or not self.workers:
                self._note(panel)
            panel.draw()

    def _hear(self, worker: Worker, panel: StackPanel, interrupted: Interruption) -> bool:
        """Take a word from a worker; False if it has nothing more to say."""
        try:
            word, number, content = worker.line.recv()
        except (EOFError, ConnectionResetError):
            return False
        if word == "epochs":
            for job_number, row in content.items():
                panel.epoch(job_number, row)
        elif word == "ended":
            worker.has.discard(number)
            self._take(number, content, panel)
        elif word == "room":
            panel.workers = f"{self.staff[0]} × up to {content} at once · {self.staff[1]}"
        elif word == "ready":
            self._settle(content, panel)
            worker.line.send(self.size)
        elif word == "kind":
            longest = max(self.waiting, key=lambda kind: len(self.waiting[kind]))
            worker.kind = longest
            worker.line.send(bool(self.waiting[longest]) and not interrupted())
        elif word == "job":
            jobs = self.waiting[worker.kind]
            following = jobs.popleft() if jobs and not interrupted() else None
            if following is not None:
                self.before(following)
                worker.has.add(following)
            worker.line.send(None if following is None else (following, self.jobs[following]))
        return True

    def _dismiss(self, worker: Worker, panel: StackPanel) -> None:
        """What a worker had that is gone without a word has failed."""
        worker.line.close()
        worker.process.join()
        code = worker.process.exitcode or 0
        reason = f"killed by {Signals(-code).name}" if code < 0 else f"ended with code {code}"
        for number in sorted(worker.has):
            job = self.jobs[number]
            with job.recording():
                raise OSError(f"its process was {reason}")
            assert job.result is not None
            self._take(number, job.result, panel)

    def _take(self, number: int, result: dict[str, Any], panel: StackPanel) -> None:
        self.results[number] = self.unnoted[number] = result
        panel.ended(number, result["status"])

    def _note(self, panel: StackPanel) -> None:
        """Write the results that have come into the sweep's books, and tell them."""
        self.noted = time.monotonic()
        if not self.unnoted:
            return
        ended = {number: (self.jobs[number].folder, r) for number, r in self.unnoted.items()}
        told = zip(ended.items(), ledger.note_all(self.folder, ended), strict=True)
        self.unnoted = {}
        for (number, (_, result)), progress in told:
            done = f"{progress.done}/{progress.total}"
            job_line(number, done, progress.title, result, console=panel.console)
            reason = str(result["engine"]).partition(ALONE)[2]
            if reason and reason not in self.told and result["status"] != DIVERGED:
                self.told.add(reason)
                line = f"     [{number}] ran by itself: {reason}"
                panel.console.print(line, style="dim", markup=False, soft_wrap=True)


def _kind(job: Job) -> str:
    """What jobs have in common that can be stacked, as far as the config tells."""
    groups = ("problem", "data", "model", "norm", "batching", "loss", "device")
    together = {group: job.config[group] for group in groups}
    together["data"] = {k: v for k, v in together["data"].items() if k != "split_seed"}
    return json.dumps([together, list(job.config["reg"])], sort_keys=True)
