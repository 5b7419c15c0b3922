"""Dispatches the jobs of a sweep to worker processes, which train them in stacks.

Jobs of one kind (equal data, network, batches) are trained together by a worker (``worker``):
several small stacks keep all cores of a CPU busy, and one large one a GPU. A worker asks for the
next job whenever its stack has capacity, and writes the files that the job would write alone.
Nothing here imports torch.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Mapping
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
from exprun.sweeps.ledger import Progress
from exprun.sweeps.panel import StackPanel

AT_ONCE = {"cpu": 32, "cuda": 256}
"""Members of a stack at most. On a CPU more bring nothing: the products are what takes the time."""


def run_stacked(
    folder: Path,
    jobs: Mapping[int, Job],
    title: str,
    progress: Progress,
    *,
    size: int | None = None,
    workers: int | None = None,
) -> tuple[dict[int, dict[str, Any]], int | None]:
    """Run the ``jobs`` of the sweep in ``folder``, by their numbers; returns their results, and the
    exit code if a signal has ended it.

    At most ``size`` are trained at once in each of ``workers`` processes; both are chosen if not
    given. After a signal the jobs that were running are interrupted and those that were not are
    left out.
    """
    if not jobs:
        return {}, None
    for job in jobs.values():
        job.shared = progress.shared
    dispatcher = Dispatcher(folder, dict(jobs), progress, size, workers)
    try:
        with StackPanel(title, dispatcher.titles()) as panel:
            dispatcher.run(panel)
    except OSError as error:  # no process to be had, no room on the disk
        print(f"exprun: {error}", file=sys.stderr)
    ended = next((r for r in dispatcher.results.values() if r["status"] == INTERRUPTED), None)
    if ended:
        return dispatcher.results, exit_code(ended)
    return dispatcher.results, 128 + dispatcher.signal if dispatcher.signal else None


@dataclass
class Worker:
    """A worker process, the connection to it, and the kind and numbers of the jobs it trains."""

    process: BaseProcess
    connection: Connection
    kind: str = ""
    has: set[int] = field(default_factory=set)


class Dispatcher:
    """Sends jobs to the workers and collects their results."""

    def __init__(
        self,
        folder: Path,
        jobs: dict[int, Job],
        progress: Progress,
        size: int | None,
        workers: int | None,
    ) -> None:
        self.configs = ledger.Configs(folder)
        self.jobs = jobs
        self.progress = progress
        self.results: dict[int, dict[str, Any]] = {}
        self.reasons: set[str] = set()  # printed so far: why jobs were not stacked
        self.waiting: dict[str, deque[int]] = {}
        for number, job in jobs.items():
            self.waiting.setdefault(_kind(job), deque()).append(number)
        self.size, self.count = size, workers
        self.sized = False  # whether the number of workers and the size of a stack are chosen
        self.resources = "", ""  # number of processes, and their device
        self.workers: dict[Connection, Worker] = {}
        self.signal: Signals | None = None  # the signal that ended the sweep

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
                self._start_worker()  # one, which can tell whether there is a GPU
                self._serve(panel, interrupted)
                self.signal = interrupted.signal
            finally:  # even after an error no worker is left waiting for an answer
                for worker in self.workers.values():
                    os.kill(worker.process.pid, SIGTERM)  # type: ignore[arg-type]
                    worker.connection.close()
                    worker.process.join()

    def _start_worker(self) -> None:
        process, connection = worker_pool.start()
        self.workers[connection] = Worker(process, connection)

    def _choose_sizes(self, gpu: bool, panel: StackPanel) -> None:
        """Choose the size of a stack and the number of workers, and start the other workers."""
        if self.sized:
            return
        self.sized = True
        gpu = gpu and any(job.config["device"] != "cpu" for job in self.jobs.values())
        self.count = min(self.count or (1 if gpu else cores()), len(self.jobs))
        share = -(-max(map(len, self.waiting.values())) // self.count)
        self.size = self.size or min(AT_ONCE["cuda" if gpu else "cpu"], share)
        self.resources = f"{self.count} process" + "es" * (self.count > 1), "gpu" if gpu else "cpu"
        panel.workers = " · ".join(self.resources)
        for _ in range(self.count - 1):
            self._start_worker()

    def _serve(self, panel: StackPanel, interrupted: Interruption) -> None:
        """Handle messages until all workers have ended."""
        forwarded = False
        while self.workers:
            for connection in wait(list(self.workers), INTERVAL):
                assert isinstance(connection, Connection)
                if not self._handle(self.workers[connection], panel, interrupted):
                    self._remove_worker(self.workers.pop(connection), panel)
            if interrupted.signal and not forwarded:
                forwarded = True
                for worker in self.workers.values():
                    os.kill(worker.process.pid, interrupted.signal)  # type: ignore[arg-type]
            panel.draw()

    def _handle(self, worker: Worker, panel: StackPanel, interrupted: Interruption) -> bool:
        """Handle one message of a worker; False if its connection is closed."""
        try:
            message, number, content = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            return False
        if message == "epochs":
            for job_number, row in content.items():
                panel.epoch(job_number, row)
        elif message == "ended":
            worker.has.discard(number)
            self._add_result(number, content, panel)
        elif message == "capacity":
            panel.workers = f"{self.resources[0]} × up to {content} at once · {self.resources[1]}"
        elif message == "ready":
            self._choose_sizes(content, panel)
            worker.connection.send(self.size)
        elif message == "kind":
            longest = max(self.waiting, key=lambda kind: len(self.waiting[kind]))
            worker.kind = longest
            worker.connection.send(bool(self.waiting[longest]) and not interrupted())
        elif message == "job":
            jobs = self.waiting[worker.kind]
            following = jobs.popleft() if jobs and not interrupted() else None
            if following is not None:
                self.configs.unpack(following, self.jobs[following].folder)
                worker.has.add(following)
            worker.connection.send(None if following is None else (following, self.jobs[following]))
        return True

    def _remove_worker(self, worker: Worker, panel: StackPanel) -> None:
        """Jobs that an ended worker has not finished have failed."""
        worker.connection.close()
        worker.process.join()
        code = worker.process.exitcode or 0
        reason = f"killed by {Signals(-code).name}" if code < 0 else f"ended with code {code}"
        for number in sorted(worker.has):
            job = self.jobs[number]
            with job.recording():
                raise OSError(f"its process was {reason}")
            assert job.result is not None
            self._add_result(number, job.result, panel)

    def _add_result(self, number: int, result: dict[str, Any], panel: StackPanel) -> None:
        self.results[number] = result
        panel.ended(number, result["status"])
        done, title = self.progress.note(result)
        job_line(number, done, title, result, console=panel.console)
        reason = str(result["engine"]).partition(ALONE)[2]
        if reason and reason not in self.reasons and result["status"] != DIVERGED:
            self.reasons.add(reason)
            line = f"     [{number}] ran by itself: {reason}"
            panel.console.print(line, style="dim", markup=False, soft_wrap=True)


def _kind(job: Job) -> str:
    """The part of the config that jobs of one stack have in common, as a key."""
    groups = ("problem", "data", "model", "norm", "batching", "loss", "device")
    together = {group: job.config[group] for group in groups}
    together["data"] = {k: v for k, v in together["data"].items() if k != "split_seed"}
    return json.dumps([together, list(job.config["reg"])], sort_keys=True)
