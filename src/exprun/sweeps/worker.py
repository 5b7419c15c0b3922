"""A worker process, which trains the jobs that ``dispatcher`` sends, stacked or a single one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import torch

from exprun.build import target_of
from exprun.common.font_cache import remove_font_cache
from exprun.common.signals import Interruption, hold_back, interruptible, let_through
from exprun.display.panel import INTERVAL
from exprun.fit.stack import Member, capacity, fit_stack
from exprun.job import Job
from exprun.problems.problem import Problem
from exprun.run import TrainingRun, begin, end
from exprun.training.callbacks import Callback, Outcome
from exprun.training.training import Training


def train(connection: Connection) -> None:
    """The main function of a worker: request jobs and train them until none are left."""
    with interruptible() as interrupted:
        let_through()
        client = DispatcherClient(connection, interrupted)
        client.send("ready", content=torch.cuda.device_count() > 0)
        while not interrupted() and (size := client.ask("kind")):
            client.size = size
            fit_stack(client.jobs(), size, interrupted)
        hold_back()
    remove_font_cache()


def train_one(connection: Connection, number: int, job: Job) -> None:
    """The main function of a worker for a single job."""
    with interruptible() as interrupted:
        let_through()
        client = DispatcherClient(connection, interrupted)
        with job.recording():
            outcome = begin(job).fit([_Reporter(client, number)], interrupted)
            end(job, outcome, interrupted)
        client.ended(number, job)
        hold_back()
    remove_font_cache()


def validation_figures(job: Job) -> list[str]:
    """The figures of the validation part in the learning curve that a job would have. Raises
    UsageError if it cannot be built."""
    built: Training | Problem = target_of("problem", job.config["problem"])(job.config)
    return [f"val_{name}" for name in built.figures] if isinstance(built, Training) else []


class DispatcherClient:
    """The worker's end of the connection: sends (message, number, content), receives answers."""

    def __init__(self, connection: Connection, interrupted: Interruption) -> None:
        self.connection = connection
        self.interrupted = interrupted
        self.rows: dict[int, dict[str, float]] = {}  # newest rows not sent yet
        self.reported = 0.0  # time at which rows were last sent
        self.size = 1  # maximum size of a stack
        self.capacity = 0  # number of jobs of the current kind trained at a time

    def send(self, message: str, number: int = -1, content: Any = None) -> None:
        try:
            self.connection.send((message, number, content))
        except BrokenPipeError:
            _exit()

    def report(self, number: int, row: dict[str, float]) -> None:
        """Queue the newest row of a job's learning curve; queued rows are sent at most once per
        ``INTERVAL``, and always at a job's first epoch."""
        self.rows[number] = row
        if time.monotonic() - self.reported >= INTERVAL or row["epoch"] == 1:
            self._send_rows()

    def _send_rows(self) -> None:
        self.send("epochs", content=self.rows)
        self.rows, self.reported = {}, time.monotonic()

    def ask(self, message: str, content: Any = None) -> Any:
        self.send(message, content=content)
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            _exit()

    def jobs(self) -> Iterator[Member]:
        """Request jobs from the dispatcher and yield trainings as members of a stack; other jobs
        (test functions) are run here."""
        self.capacity = 0
        while not self.interrupted() and (found := self.ask("job")) is not None:
            number, job = found
            with job.recording():
                begun = begin(job, self.size)
                if isinstance(begun, TrainingRun):
                    yield self._member(number, job, begun)
                    continue
                end(job, begun.fit([], self.interrupted), self.interrupted)
            self.send("ended", number, job.result)

    def _member(self, number: int, job: Job, begun: TrainingRun) -> Member:
        def done(outcome: Outcome) -> None:
            with job.recording():
                end(job, outcome, self.interrupted)
            self.ended(number, job)

        def failed(error: Exception) -> None:
            with job.recording():
                raise error
            self.ended(number, job)

        if not self.capacity:
            self.capacity = capacity(begun.training, self.size)
            self.send("capacity", content=self.capacity)
        callbacks = [begun.recorder, _Reporter(self, number)]
        return Member(begun.training, callbacks, done, failed)

    def ended(self, number: int, job: Job) -> None:
        job.recorder = None  # frees the training's memory
        if number in self.rows:
            self._send_rows()
        self.send("ended", number, job.result)


class _Reporter(Callback):
    """Callback that reports every epoch to the dispatcher."""

    def __init__(self, client: DispatcherClient, number: int) -> None:
        self.client, self.number = client, number

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        self.client.report(self.number, row)


def _exit() -> NoReturn:
    """End the process because the dispatcher was killed; ``exprun resume`` continues from the
    checkpoints."""
    os._exit(1)
