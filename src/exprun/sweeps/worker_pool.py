"""Processes that train a sweep's jobs.

They are forked off a server that has imported torch and all that they need, once, while this
process is still busy with other things, and needs no torch itself. On Windows, which cannot fork,
each imports for itself.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from exprun.common.signals import held_back, importing

FORKSERVER = "forkserver"
CAN_FORK = FORKSERVER in multiprocessing.get_all_start_methods()
CONTEXT: Any = multiprocessing.get_context(FORKSERVER if CAN_FORK else "spawn")


def prepare() -> None:
    """Start the server, unless it runs already."""
    if CAN_FORK:
        resource_tracker.ensure_running()  # else started with the server, and it lets signals in
        CONTEXT.set_forkserver_preload(["exprun.sweeps.worker_preload"])
        with held_back():
            forkserver.ensure_running()


@atexit.register
def _end_server() -> None:
    """Nobody needs it any more, and whoever reads our output waits until it is gone, too."""
    server = getattr(forkserver, "_forkserver", None)
    if pid := getattr(server, "_forkserver_pid", None):
        os.kill(pid, signal.SIGKILL)


def start() -> tuple[BaseProcess, Connection]:
    """A new worker, and the line to it. Raises OSError if it cannot be had."""
    prepare()
    ours, theirs = CONTEXT.Pipe()
    process: BaseProcess = CONTEXT.Process(target=_train, args=(theirs,))
    with held_back():
        try:
            process.start()
        except EOFError:
            raise OSError("the process that workers are forked off was killed") from None
    theirs.close()
    return process, ours


def _train(line: Connection) -> None:
    with importing():
        from exprun.sweeps.worker import train
    train(line)
