"""Signals that ask a run to end, where they must not strike in the middle."""

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
"""Ctrl-C, ``kill``, a closed terminal, and what batch schedulers send before they kill."""


IMPATIENCE = 2.0
"""Seconds in which a second signal is still the first one: people press Ctrl-C twice."""


class Interrupted(KeyboardInterrupt):
    """A signal has asked for the end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = signal.Signals(number)

    @property
    def exit_code(self) -> int:
        """What the shell gets: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.signal


class Interruption:
    """Whether a signal has asked for the end; true or false, and which one it was."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.time = 0.0

    def __call__(self) -> bool:
        return self.signal is not None


_asking: list[Interruption] = []
"""Who takes signals, the innermost last."""


@contextmanager
def interruptible(signals: Sequence[int] = SIGNALS) -> Iterator[Interruption]:
    """Turn a signal into an answer to "interrupted?", so that nothing is half done; another one
    after IMPATIENCE seconds interrupts at once. Only the main thread can do so; others are never
    asked. Within another one it begins with the signal that has come there, if any has."""
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


def heed() -> None:
    """Raise Interrupted if a signal has come: here nothing is half done."""
    if _asking and (came := _asking[-1].signal):
        raise Interrupted(came)


@contextmanager
def held_back() -> Iterator[None]:
    """Signals wait until the end; in processes that are started meanwhile, and in those that they
    start, until ``let_through``."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_through() -> None:
    """Take the signals that this process was started without, and those that have waited."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


@contextmanager
def importing() -> Iterator[None]:
    """Around imports of torch and what needs it, which take a second or two.

    A signal waits until they are done, and then raises Interrupted, as one that has come before
    does at once: a package imported by half cannot be imported again. And no time is lost with
    looking for garbage among objects that all stay until the end, neither now nor when the process
    ends (0.5 s).
    """
    with interruptible():
        heed()
        gc.disable()
        yield
        gc.freeze()
        gc.enable()
        heed()


def end_with_input() -> None:
    """Let the process get SIGTERM when its standard input, which nobody writes to, is closed: when
    whoever holds the other end is gone."""

    def wait() -> None:
        os.read(0, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def exit_code(result: Mapping[str, Any]) -> int:
    """What the shell gets for a run with this ``result.json``; of one that a signal ended that is
    128 and the signal's number."""
    if result["status"] == INTERRUPTED:
        return 128 + signal.Signals[result["signal"]]
    return EXIT_CODES[result["status"]]
