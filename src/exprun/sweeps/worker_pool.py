"""Starts the worker processes of a sweep.

They are forked off a forkserver that imports torch once, while this process, which needs no torch
itself, composes the configs. On Windows, which cannot fork, each worker imports it by itself.
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
    """Start the forkserver, unless it runs already."""
    if CAN_FORK:
        resource_tracker.ensure_running()  # else started with the server, and it lets signals in
        CONTEXT.set_forkserver_preload(["exprun.sweeps.worker_preload"])
        with held_back():
            forkserver.ensure_running()


@atexit.register
def _end_server() -> None:
    """End the forkserver: it holds our output open, whose reader would wait for it."""
    server = getattr(forkserver, "_forkserver", None)
    if pid := getattr(server, "_forkserver_pid", None):
        os.kill(pid, signal.SIGKILL)


def start() -> tuple[BaseProcess, Connection]:
    """A new worker process and the connection to it. Raises OSError if it cannot be started."""
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


def _train(connection: Connection) -> None:
    with importing():
        from exprun.sweeps.worker import train
    train(connection)
