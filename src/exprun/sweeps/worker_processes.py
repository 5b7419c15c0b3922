"""Worker processes as their dispatcher sees them.

Nothing here imports torch.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

GRACE = 20.0
"""Seconds after a signal in which workers can save their jobs before they are killed."""


@dataclass
class Worker:
    """A worker process, the connection to it, and the kind and numbers of the jobs it trains.

    ``alone``: it trains a single job. ``ready``: it has sent a message. ``since`` has the time of
    ``time.monotonic`` at which each unfinished job was sent; ``killed`` is the reason if the
    dispatcher killed the process.
    """

    process: BaseProcess
    connection: Connection
    alone: bool = False
    ready: bool = False
    kind: str = ""
    since: dict[int, float] = field(default_factory=dict)
    killed: str = ""

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid


@dataclass
class IdleWorkers:
    """Workers that wait for more jobs between two calls of ``dispatcher.run_jobs``, because they
    have read the data already; ``gpu``: whether they have found one."""

    workers: list[Worker] = field(default_factory=list)
    gpu: bool = False

    def end(self) -> None:
        """End them."""
        for worker in self.workers:
            with suppress(OSError):  # it was killed
                worker.connection.send(0)
            worker.connection.close()
        for worker in self.workers:
            worker.process.join(GRACE)
            worker.process.kill()
            worker.process.join()
        self.workers.clear()


def ending(code: int) -> str:
    """How a process ended, as text, like ``killed by SIGKILL``."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def reason_of(code: int) -> str:
    hint = ", as the system does when memory is short" if code == -signal.SIGKILL else ""
    return f"its process was {ending(code)}{hint}" if code < 0 else f"its process {ending(code)}"
