"""Starts the worker processes of a sweep.

They are forked off a forkserver that imports torch once, while this process, which needs no torch
itself, composes the configs. On Windows, which cannot fork, each worker imports it by itself.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from exprun.common.signals import held_back, importing
from exprun.job import Job

FORKSERVER = "forkserver"
CAN_FORK = FORKSERVER in multiprocessing.get_all_start_methods()
LONGEST_SOCKET = 103
"""Bytes that the path of a Unix socket may have on macOS, less its final zero; on Linux 107."""

CONTEXT: Any = multiprocessing.get_context(FORKSERVER if CAN_FORK else "spawn")


def prepare() -> None:
    """Start the forkserver, unless it runs already."""
    if CAN_FORK:
        resource_tracker.ensure_running()  # else started with the server, and it lets signals in
        CONTEXT.set_forkserver_preload(["exprun.sweeps.worker_preload"])
        with held_back(), _short_path_for_a_socket():
            forkserver.ensure_running()


@contextmanager
def _short_path_for_a_socket() -> Iterator[None]:
    """Let multiprocessing take ``/tmp`` where the path of its socket would be too long.

    It makes a folder and a socket in it where ``TMPDIR`` says (Python 3.14 looks for a shorter
    place by itself).
    """
    before = tempfile.tempdir
    longest = Path(tempfile.gettempdir(), "pymp-12345678", "listener-12345678")
    if len(os.fsencode(longest)) > LONGEST_SOCKET:
        tempfile.tempdir = "/tmp"
    try:
        yield
    finally:
        tempfile.tempdir = before


@atexit.register
def _end_server() -> None:
    """End the forkserver: it holds our output open, whose reader would wait for it."""
    server = getattr(forkserver, "_forkserver", None)
    if pid := getattr(server, "_forkserver_pid", None):
        os.kill(pid, signal.SIGKILL)


def start(job: tuple[int, Job] | None = None) -> tuple[BaseProcess, Connection]:
    """A new worker process and the connection to it; it asks for jobs, unless it is to train a
    single one. Raises OSError if it cannot be started."""
    prepare()
    ours, theirs = CONTEXT.Pipe()
    process: BaseProcess = CONTEXT.Process(target=_train, args=(theirs, job))
    with held_back():
        try:
            process.start()
        except EOFError:
            raise OSError("the process that workers are forked off was killed") from None
    theirs.close()
    return process, ours


def _train(connection: Connection, job: tuple[int, Job] | None) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with importing():
        from exprun.sweeps.worker import train, train_one
    if job is None:
        train(connection)
    else:
        train_one(connection, *job)


def _end_with_parent() -> None:
    """End at once if the dispatcher is killed, whatever this process is at."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
