"""A sweep's jobs in stacks: who trains which of them, in which process, and how far they are.

Jobs of one kind — equal data, network, batches — are trained together (``stack``), by workers that
are processes of their own: several small stacks keep all cores of a CPU busy, and one large one a
GPU. A worker asks for the next job whenever it has room. What it does to a job's folder is what the
job would do alone.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Any, NoReturn

import torch
from omegaconf import OmegaConf

from exprun import sweep
from exprun.build import cores
from exprun.display.stack import StackPanel
from exprun.display.summary import job_line
from exprun.interrupt import Interruption, interruptible
from exprun.job import Job
from exprun.observer import Observer, Outcome
from exprun.problems import Problem, remove_font_cache
from exprun.record.recorder import Recorder
from exprun.stack import ALONE, Member, fit_stack
from exprun.training import Training
from exprun.vocabulary import DIVERGED

AT_ONCE = {"cpu": 32, "cuda": 256}
"""Members of a stack at most. On a CPU more bring nothing: the products are what takes the time."""

NOTING = 0.3
"""Seconds between two writes of the sweep's books; a job's own folder has its result at once."""

DRAWING = 0.1
"""Seconds after which the panel is looked at if no worker has said anything."""


def run_stacked(
    folder: Path,
    jobs: Mapping[int, Job],
    title: str,
    *,
    size: int | None = None,
    workers: int | None = None,
) -> dict[int, dict[str, Any]]:
    """Run the ``jobs`` of the sweep in ``folder``, by their numbers; returns their results.

    At most ``size`` at once in each of ``workers`` processes; both are chosen if not given. After a
    signal the jobs that were running are interrupted and those that were not are left out.
    """
    if not jobs:
        return {}
    office = Office(folder, dict(jobs), size, workers)
    with StackPanel(title, office.titles()) as panel:
        panel.workers = office.description
        office.run(panel)
    return office.results


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
        self, folder: Path, jobs: dict[int, Job], size: int | None, workers: int | None
    ) -> None:
        self.folder = folder
        self.jobs = jobs
        self.results: dict[int, dict[str, Any]] = {}
        self.unnoted: dict[int, dict[str, Any]] = {}  # results that are not in the books yet
        self.noted = time.monotonic()  # when the books were written last
        self.told: set[str] = set()  # why jobs were not stacked
        self.waiting: dict[str, deque[int]] = {}
        for number, job in jobs.items():
            self.waiting.setdefault(_kind(job), deque()).append(number)
        gpu = _wants_gpu(jobs)
        self.method = "fork" if sys.platform == "linux" and not gpu else "spawn"
        self.count = min(workers or (1 if gpu else cores()), len(jobs))
        share = -(-max(map(len, self.waiting.values())) // self.count)
        self.size = size or min(AT_ONCE["cuda" if gpu else "cpu"], share)
        processes = f"{self.count} process" + "es" * (self.count > 1)
        self.description = f"{processes} × up to {self.size} at once · {'gpu' if gpu else 'cpu'}"

    def titles(self) -> dict[int, tuple[str, int]]:
        """What tells each job from the others, and its epochs."""
        shared = set.intersection(*(set(job.overrides) for job in self.jobs.values()))
        return {
            number: (
                " ".join(w for w in job.overrides if w not in shared) or "defaults",
                int(job.config.trainer.max_epochs),
            )
            for number, job in self.jobs.items()
        }

    def run(self, panel: StackPanel) -> None:
        context: Any = multiprocessing.get_context(self.method)
        workers: dict[Connection, Worker] = {}
        with interruptible() as interrupted:
            try:
                for _ in range(self.count):
                    here, there = context.Pipe()
                    inherited = [here, *workers] if self.method == "fork" else []
                    words = (self.jobs, self.size, there, inherited)
                    process = context.Process(target=work, args=words)
                    process.start()
                    there.close()
                    workers[here] = Worker(process, here)
                self._listen(workers, panel, interrupted)
            finally:  # whatever went wrong here: nobody waits for an answer that never comes
                for worker in workers.values():
                    os.kill(worker.process.pid, SIGTERM)  # type: ignore[arg-type]
                    worker.line.close()
                    worker.process.join()

    def _listen(
        self, workers: dict[Connection, Worker], panel: StackPanel, interrupted: Interruption
    ) -> None:
        """Until all workers are done and dismissed."""
        passed_on = False
        while workers:
            for line in wait(list(workers), DRAWING):
                assert isinstance(line, Connection)
                if not self._hear(workers[line], panel, interrupted):
                    self._dismiss(workers.pop(line), panel)
            if interrupted.signal and not passed_on:
                passed_on = True
                for worker in workers.values():
                    os.kill(worker.process.pid, interrupted.signal)  # type: ignore[arg-type]
            if time.monotonic() - self.noted > NOTING or not workers:
                self._note(panel)
            panel.draw()

    def _hear(self, worker: Worker, panel: StackPanel, interrupted: Interruption) -> bool:
        """Take a word from a worker; False if it has nothing more to say."""
        try:
            word, number, content = worker.line.recv()
        except (EOFError, ConnectionResetError):
            return False
        if word == "epoch":
            panel.epoch(number, content)
        elif word == "ended":
            worker.has.discard(number)
            self._take(number, content, panel)
        elif word == "kind":
            longest = max(self.waiting, key=lambda kind: len(self.waiting[kind]))
            worker.kind = longest
            worker.line.send(bool(self.waiting[longest]) and not interrupted())
        elif word == "job":
            jobs = self.waiting[worker.kind]
            following = jobs.popleft() if jobs and not interrupted() else None
            if following is not None:
                worker.has.add(following)
            worker.line.send(following)
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
        told = zip(ended.items(), sweep.note_all(self.folder, ended), strict=True)
        self.unnoted = {}
        for (number, (_, result)), progress in told:
            done = f"{progress.done}/{progress.total}"
            job_line(number, done, progress.title, result, console=panel.console)
            reason = str(result["engine"]).partition(ALONE)[2]
            if reason and reason not in self.told and result["status"] != DIVERGED:
                self.told.add(reason)
                panel.console.print(
                    f"     [{number}] ran by itself: {reason}", style="dim", markup=False
                )


def _kind(job: Job) -> str:
    """What jobs have in common that can be stacked, as far as the config tells."""
    config: Any = OmegaConf.to_container(job.config, resolve=True)
    config["data"].pop("split_seed", None)
    together = [config[group] for group in ("problem", "data", "model", "norm", "batching", "loss")]
    return json.dumps([together, list(config["reg"]), config["device"]], sort_keys=True)


def _wants_gpu(jobs: Mapping[int, Job]) -> bool:
    """Whether a job runs on a GPU. Asking for the count, unlike using one, allows a fork."""
    devices = {str(job.config.device) for job in jobs.values()}
    return devices != {"cpu"} and torch.cuda.device_count() > 0


def work(
    jobs: Mapping[int, Job], size: int, line: Connection, inherited: Sequence[Connection]
) -> None:
    """What a worker process does: asks for jobs and trains them, as long as there are any. It has
    no use for the office's ends of the lines, which it ``inherited``."""
    for other in inherited:
        other.close()
    with interruptible() as interrupted:
        desk = Desk(jobs, size, line, interrupted)
        while not interrupted() and desk.ask("kind"):
            fit_stack(desk.arrivals(), size, interrupted)
    remove_font_cache()


class Desk:
    """A worker's side of the line: ``word, number, content`` go out, answers come back."""

    def __init__(
        self, jobs: Mapping[int, Job], size: int, line: Connection, interrupted: Interruption
    ) -> None:
        self.jobs = jobs
        self.size = size
        self.line = line
        self.interrupted = interrupted

    def tell(self, word: str, number: int = -1, content: Any = None) -> None:
        try:
            self.line.send((word, number, content))
        except BrokenPipeError:
            _leave()

    def ask(self, word: str) -> Any:
        self.tell(word)
        try:
            return self.line.recv()
        except (EOFError, ConnectionResetError):
            _leave()

    def arrivals(self) -> Iterator[Member]:
        """The jobs that the office hands out, built and ready to be trained."""
        while not self.interrupted() and (number := self.ask("job")) is not None:
            job = self.jobs[number]
            with job.recording():
                work = job.begin(self.size)
                torch.set_num_threads(1)  # the cores are the workers'
                if not isinstance(work, Problem):
                    yield self._member(number, job, work)
                    continue
                outcome = work.solve(self.interrupted)
                reason = f"{ALONE}no network is trained"
                job.end(replace(outcome, engine=reason), self.interrupted)
            self.tell("ended", number, job.result)

    def _member(self, number: int, job: Job, training: Training) -> Member:
        def done(outcome: Outcome) -> None:
            with job.recording():
                job.end(outcome, self.interrupted)
            self._ended(number)

        def failed(error: Exception) -> None:
            with job.recording():
                raise error
            self._ended(number)

        assert isinstance(job.recorder, Recorder)
        return Member(training, [job.recorder, _Reporter(self, number)], done, failed)

    def _ended(self, number: int) -> None:
        job = self.jobs[number]
        job.recorder = None  # and with it the training's memory
        self.tell("ended", number, job.result)


class _Reporter(Observer):
    """Tells the office of every epoch."""

    def __init__(self, desk: Desk, number: int) -> None:
        self.desk, self.number = desk, number

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        self.desk.tell("epoch", self.number, row)


def _leave() -> NoReturn:
    """The office is gone, killed maybe: what is saved is saved, and ``exprun resume`` goes on."""
    os._exit(1)
