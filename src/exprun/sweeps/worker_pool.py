"""Starts the worker processes of a sweep.

They are forked from a forkserver that imports torch once, while this process, which does not need
torch, composes the configs. On Windows, which cannot fork, each worker imports torch itself.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from exprun.common.signals import held_back, importing, raise_if_interrupted
from exprun.job import Job

FORKSERVER = "forkserver"
CAN_FORK = FORKSERVER in multiprocessing.get_all_start_methods()
LONGEST_SOCKET = 103
"""Maximum bytes of the path of a Unix socket on macOS, without the final zero; on Linux 107."""

INTERVAL = 0.1
"""Seconds between two looks for a signal while waiting for a process."""

CONTEXT: Any = multiprocessing.get_context(FORKSERVER if CAN_FORK else "spawn")


def prepare() -> None:
    """Start the forkserver unless it is running."""
    if CAN_FORK:
        resource_tracker.ensure_running()  # not in ``held_back``: starting it unblocks signals
        CONTEXT.set_forkserver_preload(["exprun.sweeps.worker_preload"])
        with held_back(), _short_path_for_a_socket():
            forkserver.ensure_running()


@contextmanager
def _short_path_for_a_socket() -> Iterator[None]:
    """Context in which multiprocessing uses ``/tmp`` if the path of its socket would be too long.

    By default it creates the socket in a new folder in ``TMPDIR`` (Python 3.14 chooses a shorter
    path itself).
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
    """Kill the forkserver at exit, because it keeps this process's output streams open, and their
    reader would wait for it."""
    server = getattr(forkserver, "_forkserver", None)
    if pid := getattr(server, "_forkserver_pid", None):
        os.kill(pid, signal.SIGKILL)


def start(job: tuple[int, Job] | None = None) -> tuple[BaseProcess, Connection]:
    """Start a worker process; returns it and the connection to it. It trains ``job``, given as
    number and Job, or requests jobs if that is None. Raises OSError if it cannot be started."""
    return _start(_train, job)


def validation_figures(job: Job) -> list[str] | None:
    """The figures of the validation part in the learning curve that a job would have, from a
    process that builds the training; None if it cannot be built, which the job's own result says.
    Raises OSError if the process cannot be started."""
    process, connection = _start(_send_figures, job)
    try:
        while not connection.poll(INTERVAL):
            raise_if_interrupted()
        figures: list[str] | None = connection.recv()
    except EOFError:
        figures = None
    finally:
        process.kill()
        process.join()
        connection.close()
    return figures


def _start(target: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """Start a process that calls ``target`` with one end of a connection and the arguments."""
    prepare()
    ours, theirs = CONTEXT.Pipe()
    process: BaseProcess = CONTEXT.Process(target=target, args=(theirs, *arguments))
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
    try:
        if job is None:
            train(connection)
        else:
            train_one(connection, *job)
    except OSError as error:  # a result cannot be written: the disk is full, or its folder gone
        print(f"exprun: {error}", file=sys.stderr)
        sys.exit(1)


def _send_figures(connection: Connection, job: Job) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with importing():
        from exprun.sweeps.worker import validation_figures
    with suppress(Exception):  # the job's own result says it
        connection.send(validation_figures(job))


def _end_with_parent() -> None:
    """Wait for the dispatcher to end, and then end this process immediately; runs in a thread, so
    that it also works during training."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
