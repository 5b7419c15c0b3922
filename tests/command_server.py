"""Runs ``python -m exprun`` in forks of a process that has imported torch, which takes two seconds.

``python command_server.py SOCKET`` listens at that path until its standard input is closed. A
connection is one command: it brings the standard streams, the process group, the folder, the words
and the environment, and gets the exit code (negative: the number of a signal). To close it is to
kill the command. ``command_relay.py`` is the other end.

A fork calls what ``python -m exprun`` calls and ends as an interpreter ends. It differs from a new
interpreter in what is done at start-up: modules are imported already, and strings have the hashes
that they have in the server. A connection is closed at once if its command has to differ in that,
or needs a terminal or another process group.
"""

from __future__ import annotations

import atexit
import fcntl
import importlib
import os
import pickle
import runpy
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing import process, util
from typing import TextIO

import numpy as np

from exprun.common import font_cache
from exprun.common.signals import importing
from exprun.common.threads import let_threads_sleep

READ_AT_START = (
    *("PYTHON", "LC_", "LANG", "LD_", "GLIBC", "MALLOC", "OMP_", "GOMP_", "KMP_", "MKL_"),
    *("OPENBLAS", "TORCH", "ATEN", "CUDA", "NVIDIA"),
)
"""How the names of variables begin that interpreter and libraries read when they start."""

AT_START = dict(os.environb)


class Command:
    """What a connection asks for."""

    def __init__(self, connection: socket.socket) -> None:
        start, self.streams, _, _ = socket.recv_fds(connection, 4, 3)
        content = connection.recv(int.from_bytes(start, "little"), socket.MSG_WAITALL)
        group, folder, words, *rest = content.split(b"\0")
        self.group, self.folder = int(group), os.fsdecode(folder)
        self.words = [os.fsdecode(word) for word in rest[: int(words)]]
        self.environment = dict(variable.split(b"=", 1) for variable in rest[int(words) :])

    def can_be_a_fork(self) -> bool:
        """Whether a fork of this process is as good as a new interpreter."""
        return (
            self.group == os.getpgrp()
            and not any(map(os.isatty, self.streams))
            and _read_at_start(self.environment) == _read_at_start(AT_START)
        )

    def begin(self) -> None:
        """Give this process what the command has of its own."""
        for standard, stream in enumerate(self.streams):
            os.dup2(stream, standard)
            os.close(stream)
        for standard, name in enumerate(("stdin", "stdout", "stderr")):
            stream = _opened_anew(getattr(sys, name), standard)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        os.environb.clear()
        os.environb.update(self.environment)
        os.chdir(self.folder)
        process.ORIGINAL_DIR = self.folder
        sys.path.insert(0, self.folder)
        sys.argv = ["-m", *self.words]
        sys.orig_argv = [sys.executable, "-m", "exprun", *self.words]
        tempfile.tempdir = None
        time.tzset()
        np.random.seed()
        importlib.reload(font_cache)
        fork_the_server_of_workers()


def _opened_anew(stream: TextIO, number: int) -> TextIO:
    """What the interpreter makes of a file descriptor, like ``stream``, which is closed."""
    buffering = 1 if number == 2 else -1
    coding = stream.encoding, stream.errors
    return open(number, stream.mode, buffering, *coding, newline="\n", closefd=False)


def _read_at_start(environment: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    names = tuple(map(str.encode, READ_AT_START))
    return {name: value for name, value in environment.items() if name.startswith(names)}


def serve(path: str) -> Command | None:
    """Serve connections until standard input is closed, then return None; in the fork that is to
    run a command, return that."""
    forks: set[int] = set()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        os.write(1, b"ready")
        while 0 not in select.select([0, listener], [], [])[0]:
            with listener.accept()[0] as connection:
                if not (pid := os.fork()):
                    listener.close()
                    return answer(connection)
            forks = {fork for fork in {*forks, pid} if not os.waitpid(fork, os.WNOHANG)[0]}
    return None


def answer(connection: socket.socket) -> Command:
    """In a fork of this fork, return the command; wait for it here."""
    command = Command(connection)
    if not command.can_be_a_fork():
        os._exit(0)
    pid = os.fork()
    if not pid:
        return command
    ended = os.pidfd_open(pid)
    wanted = ended in select.select([ended, connection], [], [])[0]
    if not wanted:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if wanted:
        connection.send(code.to_bytes(4, "little", signed=True))
    os._exit(0)


def fork_the_server_of_workers() -> None:
    """Let multiprocessing's forkserver, whose workers import torch, be a fork of this process as it
    is now instead of a new interpreter, once; it is forked now and waits for its code."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        run_received_code(theirs)
    theirs.close()
    spawn = util.spawnv_passfds

    def fork(path: str, args: Sequence[str], fds: Sequence[int]) -> int:
        if "multiprocessing.forkserver" not in args[-1] or ours.fileno() < 0:
            return spawn(path, args, fds)
        content = args[-1], list(fds), signal.pthread_sigmask(signal.SIG_BLOCK, [])
        with ours:
            socket.send_fds(ours, [pickle.dumps(content)], list(fds))
        return pid

    def end() -> None:
        """Without workers it would wait for ever."""
        if ours.fileno() >= 0:
            ours.close()
            os.waitpid(pid, 0)

    util.spawnv_passfds = fork
    atexit.register(end)


def run_received_code(connection: socket.socket) -> None:
    """Run the code that comes with file descriptors and a signal mask, and end this process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    content, fds, _, _ = socket.recv_fds(connection, 1 << 20, 8)
    connection.close()
    if content:
        code, numbers, mask = pickle.loads(content)
        out_of_the_way = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100 + max(numbers)) for fd in fds]
        for fd in fds:
            os.close(fd)
        for fd, number in zip(out_of_the_way, numbers, strict=True):
            os.dup2(fd, number)
            os.close(fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            exec(code, {})
        except SystemExit:
            pass
        except BaseException:
            sys.excepthook(*sys.exc_info())
    os._exit(0)


let_threads_sleep()
with importing():
    import exprun.cli
    import exprun.hydra_callbacks
    import exprun.sweeps.worker  # noqa: F401

if command := serve(sys.argv[1]):
    command.begin()
    runpy.run_module("exprun", run_name="__main__", alter_sys=True)
