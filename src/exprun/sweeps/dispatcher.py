"""Dispatches the jobs of a sweep to worker processes.

A worker process (``worker``) trains jobs of one kind (equal data, network, batches): one after
another on a CPU, with one worker per core, or as a stack on a GPU. It requests the next job
whenever it has capacity. Other workers train a single job each: every job if the launcher requires
it, else the jobs that failed or whose worker ended early, because one of them may be the cause.
Every job writes the same files as a single run. Nothing here imports torch.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from exprun.common.constants import ALONE, DIVERGED, FAILED, FINISHED, INTERRUPTED, STOPPED
from exprun.common.memory import available_memory, resident_memory
from exprun.common.signals import Interruption, exit_code, interruptible
from exprun.common.threads import cores
from exprun.display.panel import INTERVAL
from exprun.display.summary import job_line
from exprun.job import Job
from exprun.record.lease import HeldError, Lease
from exprun.sweeps import ledger, worker_pool
from exprun.sweeps.launcher import LauncherSettings
from exprun.sweeps.ledger import Progress
from exprun.sweeps.panel import SweepPanel
from exprun.sweeps.worker_processes import GRACE, IdleWorkers, Worker, ending, reason_of

AT_ONCE = 256
"""Maximum size of a stack on a GPU; on a CPU a worker trains one job at a time."""

USUAL_MEMORY = 300 * 2**20
"""Bytes that a worker process is assumed to need until one is measured to need more."""

STILLBORN = 3
"""Number of workers that crash before their first message, at which the sweep is aborted."""


def run_jobs(
    folder: Path,
    jobs: Mapping[int, Job],
    title: str,
    progress: Progress,
    settings: LauncherSettings,
    idle: IdleWorkers | None = None,
) -> tuple[dict[int, dict[str, Any]], int | None]:
    """Run the ``jobs``, by number, of the sweep in ``folder``; returns their results by number, and
    the exit code if a signal ended the sweep, else None. ``idle`` workers train first, and those
    that have no more to do are added to them.

    After a signal, running jobs are interrupted and waiting ones have no result. Jobs that another
    process holds are printed and have no result either.
    """
    if not jobs:
        return {}, None
    for job in jobs.values():
        job.shared = progress.shared
    dispatcher = Dispatcher(folder, dict(jobs), progress, settings, idle)
    try:
        with SweepPanel(title, dispatcher.titles()) as panel:
            dispatcher.run(panel)
    except OSError as error:  # a process cannot be started, the disk is full
        print(f"exprun: {error}", file=sys.stderr)
    ended = next((r for r in dispatcher.results.values() if r["status"] == INTERRUPTED), None)
    if ended:
        return dispatcher.results, exit_code(ended)
    return dispatcher.results, 128 + dispatcher.signal if dispatcher.signal else None


class Dispatcher:
    """Sends jobs to the workers and collects their results."""

    def __init__(
        self,
        folder: Path,
        jobs: dict[int, Job],
        progress: Progress,
        settings: LauncherSettings,
        idle: IdleWorkers | None = None,
    ) -> None:
        self.idle = idle
        self.configs = ledger.Configs(folder)
        self.jobs = {n: replace(job, threads=settings.threads) for n, job in jobs.items()}
        self.progress = progress
        self.settings = settings
        self.results: dict[int, dict[str, Any]] = {}
        self.reasons: set[str] = set()  # printed reasons why jobs were not stacked
        self.waiting: dict[str, deque[int]] = {}
        self.alone: deque[int] = deque()  # jobs waiting for their own process
        if settings.one_job_per_process:
            self.alone.extend(jobs)
            self.count = min(settings.processes, len(jobs))
        else:
            self.count = 1  # the first worker reports whether there is a GPU
            for number, job in jobs.items():
                self.waiting.setdefault(_kind(job), deque()).append(number)
        self.size = settings.size
        self.sized = False  # whether the number of workers and the size of a stack are chosen
        self.resources = "", ""  # number of processes and their device, as text
        self.workers: dict[Connection, Worker] = {}
        self.leases: dict[int, Lease] = {}  # of running jobs
        self.tries: Counter[int] = Counter()  # failed tries of each job
        self.stillborn = 0
        self.looked = 0.0  # time of the last look at the workers
        self.memory = USUAL_MEMORY  # largest measured memory of a worker, in bytes
        self.signal: signal.Signals | None = None  # the signal that ended the sweep

    def titles(self) -> dict[int, tuple[str, int]]:
        """For each job, the overrides that distinguish it, as a title, and its maximum epochs."""
        shared = self.progress.shared
        return {
            number: (
                " ".join(w for w in job.overrides if w not in shared) or "defaults",
                job.pause_epoch or int(job.config["trainer"]["max_epochs"]),
            )
            for number, job in self.jobs.items()
        }

    def run(self, panel: SweepPanel) -> None:
        if self.settings.one_job_per_process:
            panel.workers = _processes(self.count)
        with interruptible() as interrupted:
            try:
                self._take_idle(panel, interrupted)
                self._serve(panel, interrupted)
            finally:  # also after an error: no worker is left waiting for an answer
                self.signal = interrupted.signal
                self._end(signal.SIGTERM)
                for worker in self.workers.values():
                    worker.connection.close()
                    worker.process.join(GRACE)
                self._end(signal.SIGKILL)
                for worker in self.workers.values():
                    worker.process.join()
                for lease in self.leases.values():
                    lease.release()

    def _take_idle(self, panel: SweepPanel, interrupted: Interruption) -> None:
        """Let as many idle workers as are needed begin."""
        if not self.waiting or self.idle is None or not self.idle.workers:
            return
        self._choose_sizes(self.idle.gpu, panel)
        taken, self.idle.workers = (
            self.idle.workers[: self.count],
            self.idle.workers[self.count :],
        )
        self.workers |= {worker.connection: worker for worker in taken}
        for worker in taken:
            with suppress(OSError):  # it was killed, as its closed connection will say
                self._answer_kind(worker, interrupted)

    def _end(self, number: signal.Signals) -> None:
        for worker in self.workers.values():
            if worker.process.is_alive():
                os.kill(worker.pid, number)

    def _serve(self, panel: SweepPanel, interrupted: Interruption) -> None:
        """Start workers and handle their messages until all jobs have ended."""
        forwarded = 0.0
        while True:
            if not interrupted():
                self._start_workers(panel)
            if not self.workers:
                return
            for connection in wait(list(self.workers), INTERVAL):
                assert isinstance(connection, Connection)
                worker = self.workers[connection]
                if not self._handle(worker, panel, interrupted):
                    del self.workers[connection]
                    self._bury(worker, panel, interrupted)
            if interrupted.signal and not forwarded:
                forwarded = time.monotonic()
                self._end(interrupted.signal)
            if forwarded and time.monotonic() - forwarded > GRACE:
                self._end(signal.SIGKILL)
            self._look_at_workers()
            panel.draw()

    def _start_workers(self, panel: SweepPanel) -> None:
        """Start workers as long as there are jobs, cores and memory for them."""
        while len(self.workers) < self.count:
            starting = sum(not (worker.ready or worker.alone) for worker in self.workers.values())
            stack = sum(map(len, self.waiting.values())) > starting
            if not (stack or self.alone) or not self._is_room():
                return
            if stack:
                process, connection = worker_pool.start()
                self.workers[connection] = Worker(process, connection)
                continue
            number = self.alone.popleft()
            if not self._take(number, panel):
                continue
            process, connection = worker_pool.start((number, self.jobs[number]))
            self.workers[connection] = Worker(
                process, connection, alone=True, since={number: time.monotonic()}
            )

    def _is_room(self) -> bool:
        """Whether there is memory for one more worker, with a reserve for the growth of the running
        ones; always true for the first worker."""
        free = available_memory()
        if not self.workers or free is None:
            return True
        growth = [self.memory - resident_memory(worker.pid) for worker in self.workers.values()]
        return free - sum(max(bytes_, 0) for bytes_ in growth) >= self.memory

    def _look_at_workers(self) -> None:
        """Measure the memory of all workers, and kill those that exceed the timeout of a job; at
        most once per ``INTERVAL``, because short jobs send hundreds of messages a second."""
        now, timeout = time.monotonic(), self.settings.timeout
        if now - self.looked < INTERVAL:
            return
        self.looked = now
        for worker in self.workers.values():
            self.memory = max(self.memory, resident_memory(worker.pid))
            late = timeout and any(now - since > timeout for since in worker.since.values())
            if late and not worker.killed:
                worker.killed = f"it took longer than hydra.launcher.timeout={timeout:g} seconds"
                os.kill(worker.pid, signal.SIGKILL)

    def _choose_sizes(self, gpu: bool, panel: SweepPanel) -> None:
        """Choose the size of a stack and the number of workers, once."""
        if self.sized:
            return
        self.sized = True
        gpu = gpu and any(job.config["device"] != "cpu" for job in self.jobs.values())
        self.count = min(self.settings.workers or (1 if gpu else cores()), len(self.jobs))
        share = -(-max(map(len, self.waiting.values())) // self.count)
        self.size = min(self.size or AT_ONCE, share) if gpu else 1
        self.resources = _processes(self.count), "gpu" if gpu else "cpu"
        panel.workers = " · ".join(self.resources)

    def _handle(self, worker: Worker, panel: SweepPanel, interrupted: Interruption) -> bool:
        """Handle one message of a worker; False if its connection is closed."""
        try:
            message, number, content = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            return False
        worker.ready = True
        if message == "epochs":
            for job_number, row in content.items():
                panel.epoch(job_number, row)
        elif message == "ended":
            worker.since.pop(number, None)
            if content["status"] != FAILED or not self._tries_again(number, interrupted):
                self._add_result(number, content, panel)
        elif message == "capacity":
            at_once = f" × up to {content} at once" if content > 1 else ""
            panel.workers = f"{self.resources[0]}{at_once} · {self.resources[1]}"
        elif message == "ready":
            self._choose_sizes(content, panel)
            if self.idle is not None:
                self.idle.gpu = content
        elif message == "kind":
            self._answer_kind(worker, interrupted)
        elif message == "job":
            following = None if interrupted() else self._next(worker.kind, panel)
            if following is not None:
                worker.since[following] = time.monotonic()
            worker.connection.send(None if following is None else (following, self.jobs[following]))
        return True

    def _answer_kind(self, worker: Worker, interrupted: Interruption) -> None:
        """Let a worker begin with jobs of the kind of which most are waiting; without any it ends
        or, if idle workers are kept, becomes one, which waits for the answer."""
        worker.kind = max(self.waiting, key=lambda kind: len(self.waiting[kind]))
        begins = bool(self.waiting[worker.kind]) and not interrupted()
        if begins or self.idle is None or interrupted():
            worker.connection.send(self.size if begins else 0)
        else:
            del self.workers[worker.connection]
            self.idle.workers.append(worker)

    def _next(self, kind: str, panel: SweepPanel) -> int | None:
        """The number of the next waiting job of that kind, after taking it; None if there is
        none."""
        jobs = self.waiting[kind]
        while jobs:
            number = jobs.popleft()
            if self._take(number, panel):
                return number
        return None

    def _take(self, number: int, panel: SweepPanel) -> bool:
        """Acquire the lease of a job's folder, which is kept until the job ends, and write the
        job's configuration there. Returns False if another process holds the folder or has finished
        the job. Raises UsageError if the sweep's folder is gone."""
        job = self.jobs[number]
        ledger.check_there(self.configs.path.parent)
        if number in self.leases:
            if job.folder.is_dir():
                return True
            self.leases.pop(number).release()  # deleted during the training: run it again
        job.folder.mkdir(parents=True, exist_ok=True)
        try:
            lease = Lease(job.folder)
        except HeldError as error:
            panel.console.print(
                f"     [{number}] {error}", style="dim", markup=False, soft_wrap=True
            )
            return False
        result = ledger.state_of(job.folder)
        if result["status"] in FINISHED:
            lease.release()
            self._add_result(number, result, panel)
            return False
        self.leases[number] = lease
        self.configs.unpack(number, job.folder)
        if (job.folder / "checkpoints").is_dir():
            self.jobs[number] = replace(job, resumed=True)
        return True

    def _tries_again(self, number: int, interrupted: Interruption) -> bool:
        """Queue another try of a failed job in its own process; returns False if the sweep is
        interrupted or no retries are left."""
        if interrupted() or self.tries[number] >= self.settings.retries:
            return False
        self.tries[number] += 1
        self._again(number)
        return True

    def _again(self, number: int) -> None:
        self.jobs[number] = replace(self.jobs[number], resumed=True, result=None)
        self.alone.append(number)

    def _bury(self, worker: Worker, panel: SweepPanel, interrupted: Interruption) -> None:
        """Handle the unfinished jobs of a worker that has ended: members of a stack are run again
        in separate processes, because one of them may be the cause; a single job is retried or
        recorded as failed. Raises OSError if workers repeatedly crash before they begin."""
        worker.connection.close()
        worker.process.join()
        code = worker.process.exitcode or 0
        if not worker.ready and not worker.alone and code and not interrupted():
            self.stillborn += 1
            if self.stillborn == STILLBORN:
                raise OSError(f"worker processes {ending(code)} before they begin")
        for number in sorted(worker.since):
            job = self.jobs[number]
            result = ledger.state_of(job.folder)
            if result["status"] in FINISHED:  # result written, but not reported
                self._add_result(number, result, panel)
            elif interrupted():  # not saved in time: left for exprun resume
                continue
            elif not worker.alone:
                self._again(number)
                text = f"     [{number}] is run by itself: {worker.killed or reason_of(code)}"
                panel.console.print(text, style="dim", markup=False, soft_wrap=True)
            elif not self._tries_again(number, interrupted):
                with job.recording():
                    raise OSError(worker.killed or reason_of(code))
                assert job.result is not None
                self._add_result(number, job.result, panel)

    def _add_result(self, number: int, result: dict[str, Any], panel: SweepPanel) -> None:
        self.results[number] = result
        if number in self.leases:
            self.leases.pop(number).release()
        panel.ended(number, result["status"], result["metrics"])
        done, title = self.progress.note(result)
        if result["status"] != STOPPED:  # a search prints a line for each rung
            job_line(number, done, title, result, console=panel.console)
        reason = str(result["engine"]).partition(ALONE)[2]
        if reason and reason not in self.reasons and result["status"] != DIVERGED:
            self.reasons.add(reason)
            line = f"     [{number}] ran by itself: {reason}"
            panel.console.print(line, style="dim", markup=False, soft_wrap=True)


def _processes(count: int) -> str:
    return f"{count} process" + "es" * (count > 1)


def _kind(job: Job) -> str:
    """The part of the config that must be equal for all jobs of a stack, as a key."""
    groups = ("problem", "data", "model", "norm", "batching", "loss", "device")
    together = {group: job.config[group] for group in groups}
    together["data"] = {
        k: v for k, v in together["data"].items() if k not in ("split_seed", "fold")
    }
    return json.dumps([together, list(job.config["reg"])], sort_keys=True)
