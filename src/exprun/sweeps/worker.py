"""A process that trains a sweep's jobs in stacks, as its office (``stacked``) tells it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import torch

from exprun.common.constants import ALONE
from exprun.common.font_cache import remove_font_cache
from exprun.common.signals import Interruption, interruptible, let_through
from exprun.common.threads import OF_A_WORKER
from exprun.display.panel import INTERVAL
from exprun.fit.stack import Member, fit_stack, room
from exprun.job import Job
from exprun.problems.problem import Problem
from exprun.record.recorder import Recorder
from exprun.run import begin, end
from exprun.training.callbacks import Observer, Outcome
from exprun.training.training import Training


def train(line: Connection) -> None:
    """What a worker does: ask for jobs and train them, as long as there are any."""
    with interruptible() as interrupted:
        let_through()
        desk = Desk(line, interrupted)
        while not interrupted() and desk.ask("kind"):
            fit_stack(desk.arrivals(), desk.size, interrupted)
    remove_font_cache()


class Desk:
    """A worker's side of the line: ``word, number, content`` go out, answers come back."""

    def __init__(self, line: Connection, interrupted: Interruption) -> None:
        self.line = line
        self.interrupted = interrupted
        self.rows: dict[int, dict[str, float]] = {}  # the newest, of which the office has not heard
        self.reported = 0.0  # when it last heard of any
        self.size: int = self.ask("ready", torch.cuda.device_count() > 0)
        self.room = 0  # how many of the jobs at hand are trained at once

    def tell(self, word: str, number: int = -1, content: Any = None) -> None:
        try:
            self.line.send((word, number, content))
        except BrokenPipeError:
            _leave()

    def report(self, number: int, row: dict[str, float]) -> None:
        """Of an epoch of a job. The office hears of them now and then: whenever it may draw."""
        self.rows[number] = row
        if time.monotonic() - self.reported >= INTERVAL or row["epoch"] == 1:
            self._hand_in()

    def _hand_in(self) -> None:
        self.tell("epochs", content=self.rows)
        self.rows, self.reported = {}, time.monotonic()

    def ask(self, word: str, content: Any = None) -> Any:
        self.tell(word, content=content)
        try:
            return self.line.recv()
        except (EOFError, ConnectionResetError):
            _leave()

    def arrivals(self) -> Iterator[Member]:
        """The jobs that the office hands out, built and ready to be trained."""
        self.room = 0
        while not self.interrupted() and (found := self.ask("job")) is not None:
            number, job = found
            job.threads = OF_A_WORKER
            with job.recording():
                work = begin(job, self.size)
                if not isinstance(work, Problem):
                    yield self._member(number, job, work)
                    continue
                outcome = work.solve(self.interrupted)
                reason = f"{ALONE}no network is trained"
                end(job, replace(outcome, engine=reason), self.interrupted)
            self.tell("ended", number, job.result)

    def _member(self, number: int, job: Job, training: Training) -> Member:
        def done(outcome: Outcome) -> None:
            with job.recording():
                end(job, outcome, self.interrupted)
            self._ended(number, job)

        def failed(error: Exception) -> None:
            with job.recording():
                raise error
            self._ended(number, job)

        assert isinstance(job.recorder, Recorder)
        if not self.room:
            self.room = room(training, self.size)
            self.tell("room", content=self.room)
        return Member(training, [job.recorder, _Reporter(self, number)], done, failed)

    def _ended(self, number: int, job: Job) -> None:
        job.recorder = None  # and with it the training's memory
        if number in self.rows:
            self._hand_in()
        self.tell("ended", number, job.result)


class _Reporter(Observer):
    """Tells the office of every epoch."""

    def __init__(self, desk: Desk, number: int) -> None:
        self.desk, self.number = desk, number

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        self.desk.report(self.number, row)


def _leave() -> NoReturn:
    """The office is gone, killed maybe: what is saved is saved, and ``exprun resume`` goes on."""
    os._exit(1)
