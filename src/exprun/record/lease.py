"""A folder in which a process is at work is held by it, with a lock and a lease beside it.

The lock (``flock``) ends with its process, whatever becomes of that, but many file systems do not
carry it from one machine to another. There the lease counts: ``lease.json`` in the folder names the
host and the process, and the file's time of modification is the last heartbeat, by the clock of the
file system. A holder that was not heard of for STALE seconds has lost the folder to whoever takes
it; should it still be alive (it was stopped, or cut off), it finds the lease of another there and
ends at once, without writing any more.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from exprun.common.errors import UsageError

with suppress(ImportError):  # on Windows
    import fcntl

NAME = "lease.json"

HEARTBEAT = 10.0
"""Seconds between two heartbeats."""

STALE = 60.0
"""Seconds without one after which a holder on another machine is taken for dead."""


class HeldError(UsageError):
    """Another process holds the folder."""


@dataclass(frozen=True)
class Holder:
    """What ``lease.json`` says: on which ``host``, and ``machine`` (that name is there once), which
    ``process`` is at work; ``heard`` is the time of its last heartbeat, in seconds since 1970."""

    host: str
    machine: str
    process: int
    heard: float
    text: str

    @property
    def at_work(self) -> bool:
        """Whether its last heartbeat is recent and its process, if it is one of this host, exists.
        (Containers on one machine have hosts of their own.)"""
        here = (self.host, self.machine) == (socket.gethostname(), _machine())
        if here and os.name == "posix":
            try:
                os.kill(self.process, 0)
            except ProcessLookupError:
                return False
            except PermissionError:  # somebody else's process
                pass
        return time.time() - self.heard <= STALE

    def __str__(self) -> str:
        return f"{self.host}, process {self.process}" if self.process else f"see {NAME}"


def holder(folder: Path) -> Holder | None:
    """Who holds the folder, or has held it when it was killed; None if there is no lease."""
    try:
        with (folder / NAME).open(encoding="utf-8", errors="replace") as file:
            text, heard = file.read(), os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    try:
        content = json.loads(text)
        host, machine, process = content["host"], content["machine"], int(content["process"])
    except (ValueError, KeyError, TypeError):  # somebody is just writing it
        return Holder("", "", 0, heard, text)
    return Holder(str(host), str(machine), process, heard, text)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Inside, a folder is this process's: whoever else wants to hold it gets a HeldError. Raises
    UsageError for a folder that cannot be written to."""
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise UsageError(
            f"{folder}: is read-only; expected a folder to write to, like a copy of it"
        )
    lease = Lease(folder)
    try:
        yield
    finally:
        lease.release()


class Lease:
    """A folder that is held until ``release``, or until the process ends. Raises HeldError if
    another process holds it. Where neither locks nor files can be made nobody is refused."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        content = {"host": socket.gethostname(), "machine": _machine(), "process": os.getpid()}
        self.text = json.dumps(content | {"token": os.urandom(8).hex()})
        self.lock = self._lock()
        try:
            self._claim()
        except HeldError:
            self._unlock()
            raise
        except OSError:
            return
        _HEART.add(self)

    def _lock(self) -> int | None:
        """The file descriptor that holds the lock; None where folders cannot be locked."""
        lock = None
        try:
            lock = os.open(self.folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            assert lock is not None
            os.close(lock)
            other = holder(self.folder)
            raise HeldError(_refusal(self.folder, other)) from None
        except (OSError, NameError):  # some network's file system, or Windows
            if lock is not None:
                os.close(lock)
            return None
        return lock

    def _unlock(self) -> None:
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def _claim(self) -> None:
        """Write the lease, if nobody alive has one."""
        while not _created(self.path, self.text):
            other = holder(self.folder)
            if other is None:  # released meanwhile
                continue
            if not self._dead(other):
                raise HeldError(_refusal(self.folder, other))
            self._replace(other)
            return

    def _dead(self, other: Holder) -> bool:
        """Whether a holder of the lease is at work no more."""
        if self.lock is not None and other.machine == _machine():
            return True  # else it would have the lock
        return _now(self.folder) - other.heard > STALE

    def _replace(self, dead: Holder) -> None:
        """Put this lease in the place of a dead holder's; of several that want to, one may."""
        turn = self.path.with_name(f".{NAME}.turn.tmp")
        if not _created(turn):
            with suppress(FileNotFoundError):
                if _now(self.folder) - turn.stat().st_mtime > STALE:  # killed in its turn
                    turn.unlink()
            raise HeldError(_refusal(self.folder, dead))
        try:
            if holder(self.folder) == dead:
                self.path.unlink()
            if not _created(self.path, self.text):
                raise HeldError(_refusal(self.folder, holder(self.folder)))
        finally:
            turn.unlink()

    def renew(self) -> bool:
        """Write a heartbeat; False if the lease has gone to another process."""
        try:
            if self.path.read_text(encoding="utf-8", errors="replace") != self.text:
                return False
            os.utime(self.path)
        except FileNotFoundError:
            return not self.folder.is_dir()
        except OSError:  # the network may come back
            pass
        return True

    def release(self) -> None:
        """Give the folder back: the lease first, for without the lock it counts as a dead one's."""
        _HEART.remove(self)
        current = holder(self.folder)
        if current is not None and current.text == self.text:
            with suppress(OSError):
                self.path.unlink()
        self._unlock()


def clear_stale(folder: Path) -> None:
    """Remove the lease that a killed process has left; that of a process at work stays."""
    if holder(folder) is not None:
        with suppress(HeldError):
            Lease(folder).release()


class _Heart:
    """Renews the leases of this process, in a thread that is started with the first of them."""

    def __init__(self) -> None:
        self.leases: set[Lease] = set()
        self.guard = threading.Lock()
        self.thread: threading.Thread | None = None

    def add(self, lease: Lease) -> None:
        with self.guard:
            self.leases.add(lease)
            if self.thread is None:
                self.thread = threading.Thread(target=self._beat, daemon=True)
                self.thread.start()

    def remove(self, lease: Lease) -> None:
        with self.guard:
            self.leases.discard(lease)

    def stop(self) -> None:
        """The process ends: give back what it holds."""
        for lease in list(self.leases):
            lease.release()

    def _beat(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(HEARTBEAT)
            with self.guard:
                lost = [lease for lease in self.leases if not lease.renew()]
            if lost:
                reason = "not heard of for too long, this process has lost the folder"
                print(f"exprun: {lost[0].folder}: {reason}", file=sys.stderr, flush=True)
                os._exit(1)


_HEART = _Heart()
atexit.register(_HEART.stop)


def _created(path: Path, text: str = "") -> bool:
    """Make a file; False if it is there. Raises OSError, and leaves none, if it cannot be written:
    an empty lease would be taken for somebody's."""
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(text)
    except OSError:
        path.unlink()
        raise
    return True


def _refusal(folder: Path, other: Holder | None) -> str:
    who = f" ({other})" if other else ""
    return f"{folder}: another process is at work there{who}"


def _now(folder: Path) -> float:
    """The time by the clock of the folder's file system, in seconds since 1970."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


@functools.cache
def _machine() -> str:
    """A name that no two machines share, nor one before and after it was started again."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return socket.gethostname()
