"""Handle signals that end a run, without interrupting it in the middle of a write or an import."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from exprun.common.constants import EXIT_CODES, INTERRUPTED

SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2")
    if hasattr(signal, name)
]
"""Ctrl-C, ``kill``, a closed terminal, and the signals that batch schedulers send before a kill."""


IMPATIENCE = 2.0
"""Seconds in which further signals count as the first one, because people press Ctrl-C twice."""


class Interrupted(KeyboardInterrupt):
    """A signal has requested the end of the run."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = signal.Signals(number)

    @property
    def exit_code(self) -> int:
        """The exit code: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.signal


class Interruption:
    """Records a signal that requests the end of the run; calling it returns whether one came."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.time = 0.0

    def __call__(self) -> bool:
        return self.signal is not None


_asking: list[Interruption] = []
"""The active ``interruptible`` contexts, the innermost last."""


@contextmanager
def interruptible(signals: Sequence[int] = SIGNALS) -> Iterator[Interruption]:
    """Context in which a signal is recorded in an ``Interruption`` to be polled, so that nothing is
    left half done; another signal after more than IMPATIENCE seconds raises Interrupted at once.

    Handlers are installed in the main thread only; in other threads no signal is recorded. A nested
    context takes over a signal that the outer one has recorded.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    if _asking:
        outer = _asking[-1]
        interruption.signal, interruption.time = outer.signal, outer.time
        outer.signal = None
    before = {number: signal.getsignal(number) for number in signals}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: FrameType | None) -> None:
        if interruption.signal is None:
            interruption.signal, interruption.time = signal.Signals(number), time.monotonic()
        elif time.monotonic() - interruption.time > IMPATIENCE:
            raise Interrupted(number)

    for number in signals:
        signal.signal(number, ask)
    _asking.append(interruption)
    try:
        yield interruption
    finally:
        _asking.pop()
        restore()


def raise_if_interrupted() -> None:
    """Raise Interrupted if a signal was recorded; to be called where it is safe to stop."""
    if _asking and (came := _asking[-1].signal):
        raise Interrupted(came)


@contextmanager
def held_back() -> Iterator[None]:
    """Context in which signals are blocked; processes started in it, and their children, have them
    blocked until they call ``let_through``."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hold_back() -> None:
    """Block signals until this process ends, because nothing is left that they could interrupt."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def let_through() -> None:
    """Unblock the signals that this process was started with blocked; pending ones arrive now."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextmanager
def importing() -> Iterator[None]:
    """Context for imports of torch and its dependents, which take a second or two.

    A signal is deferred until they are complete and then raises Interrupted, because a partly
    imported package cannot be imported again; an earlier signal raises it at once. Garbage
    collection is disabled meanwhile and the imported objects are excluded from it (saves 0.5 s).
    """
    with interruptible():
        raise_if_interrupted()
        gc.disable()
        yield
        gc.freeze()
        gc.enable()
        raise_if_interrupted()


def end_with_input() -> None:
    """Let the process get SIGTERM when its standard input, which nobody writes to, is closed: when
    whoever holds the other end is gone."""

    def wait() -> None:
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def exit_code(result: Mapping[str, Any]) -> int:
    """The exit code of a run with this ``result.json``: 128 plus the signal's number if a signal
    ended it."""
    if result["status"] == INTERRUPTED:
        return 128 + signal.Signals[result["signal"]]
    return EXIT_CODES[result["status"]]
