"""Runs a sweep on a Dask cluster: each task runs ``exprun resume SWEEP --jobs …`` for its share.

Dask transfers only job numbers; results are read from the jobs' folders. Only as many tasks are
submitted as there are threads to run them, and a task whose worker is lost is submitted again, up
to TRIES tries in all: Dask itself may count the loss of a worker against a task that only waited on
it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exprun.common.constants import HELD
from exprun.common.errors import UsageError
from exprun.common.override_value import override_value
from exprun.common.signals import Interruption
from exprun.common.threads import cores
from exprun.sweeps.job_numbers import shares

TRIES = 5
"""Number of lost workers after which a share is given up."""

PAUSE = 2.0
"""Seconds before a share whose jobs another process holds is submitted again."""

SETTINGS = {
    "distributed.scheduler.worker-saturation": 1.0,  # no tasks are queued on workers
    "distributed.scheduler.allowed-failures": 2 * TRIES,  # ``run_share`` counts them
    "distributed.admin.log-format": "%(message)s",
}
"""Dask settings for the local cluster."""

COMMAND = """
import sys
from exprun.common.signals import end_with_input
end_with_input()
from exprun.cli import main
sys.exit(main())
"""
"""Code that runs ``exprun`` and ends it when its standard input is closed, which happens when the
Dask worker is killed."""


@dataclass(frozen=True)
class Dask:
    """The address of a ``scheduler``, or None for a local cluster with a number of ``workers``
    (None: one per core); ``jobs_per_task`` (None: chosen by the number of workers)."""

    scheduler: str | None
    workers: int | None
    jobs_per_task: int | None


def check_distributed() -> None:
    """Raise UsageError if Dask is not installed."""
    if importlib.util.find_spec("distributed") is None:
        raise UsageError(
            "hydra/launcher=dask: distributed is not installed; expected pip install '.[dask]'"
        )


def run_on_dask(folder: Path, numbers: Sequence[int], dask: Dask, *, trust: bool) -> int | None:
    """Run the jobs with these numbers of the sweep in ``folder``; returns the exit code if a signal
    ended it, else None. Raises UsageError if the scheduler cannot be reached."""
    import dask as dask_package
    from distributed import Client, Event, LocalCluster

    from exprun.sweeps.watch import watch  # importing rich is slow

    logs = folder / "dask"
    logs.mkdir(exist_ok=True)
    for starts in logs.glob("*.starts"):  # of an earlier request
        starts.unlink()
    with ExitStack() as stack:
        stack.enter_context(dask_package.config.set(SETTINGS))
        address: Any = dask.scheduler
        if address is None:
            count = dask.workers or cores()
            address = stack.enter_context(
                LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None)
            )
        try:
            client = stack.enter_context(Client(address, timeout=10))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"hydra.launcher.scheduler={dask.scheduler}: {error}; the jobs stand in {folder}: "
                f"ask for them again with sweep.into={override_value(folder)}"
            ) from None
        stop = Event(f"exprun-{os.urandom(8).hex()}", client=client)
        size = dask.jobs_per_task or _share(len(numbers), client)
        tasks = Tasks(client, folder, shares(numbers, size), stop, trust=trust)
        code = watch(folder, numbers, tasks.over)
        tasks.end()
    return code


def _share(jobs: int, client: Any) -> int | None:
    """The number of jobs per task, at most 32, so that all threads of the cluster have a task; None
    (the default number) if it has no workers yet."""
    threads = sum(client.nthreads().values())
    return min(-(-jobs // threads), 32) if threads else None


class Tasks:
    """The shares of the jobs that are waiting or running on the cluster."""

    def __init__(
        self, client: Any, folder: Path, shares: Sequence[str], stop: Any, *, trust: bool
    ) -> None:
        self.client = client
        self.stop = stop
        command = ["resume", str(folder.absolute()), *(["--trust"] if trust else [])]
        self.arguments = command, str(Path.cwd()), str(folder.absolute() / "dask"), stop.name
        self.waiting = deque((share, 0.0) for share in shares)  # with the earliest start time
        self.running: dict[Any, str] = {}  # shares by Dask future
        self.failed: Counter[str] = Counter()  # submissions of each share that Dask gave up
        self.has_workers = True

    def over(self, interrupted: Interruption) -> bool:
        """Collect ended tasks and submit waiting ones to free threads; returns whether no shares
        are left or the sweep is interrupted."""
        if interrupted():
            return True
        for future in [future for future in self.running if future.done()]:
            self._take(self.running.pop(future), future)
        threads = sum(self.client.nthreads().values())
        if not threads and self.has_workers:
            print(
                "exprun: the Dask cluster has no workers; the sweep goes on when one joins it, and "
                "Ctrl-C ends it",
                file=sys.stderr,
            )
        self.has_workers = threads > 0
        room = threads - len(self.running)
        now = time.monotonic()
        for _ in range(len(self.waiting)):
            share, begin = self.waiting.popleft()
            if room > 0 and now >= begin:
                room -= 1
                future = self.client.submit(run_share, share, *self.arguments, pure=False)
                self.running[future] = share
            else:
                self.waiting.append((share, begin))
        return not (self.waiting or self.running)

    def _take(self, share: str, future: Any) -> None:
        if future.status == "finished":
            code = future.result()
            if code is None:
                print(f"exprun: jobs {share}: {TRIES} workers were lost with them", file=sys.stderr)
            elif code == HELD:
                self.waiting.append((share, time.monotonic() + PAUSE))
            return
        self.failed[share] += 1
        if self.failed[share] < TRIES:
            self.waiting.append((share, 0.0))
        else:
            reason = f"no worker can run them: {future.exception()}"
            print(f"exprun: jobs {share}: {reason}", file=sys.stderr)

    def end(self) -> None:
        """Signal running tasks to save and end, and wait for them, at most 30 s."""
        from distributed import wait

        if self.running:
            self.stop.set()
            wait(list(self.running), timeout=30)


def run_share(share: str, command: list[str], cwd: str, logs: str, stop: str) -> int | None:
    """Train the jobs of a share in a subprocess and return its exit code; runs on a Dask worker.
    None if TRIES workers have been lost with these jobs, which Dask's scheduler runs again by
    itself: each start that has not returned leaves a byte in a file."""
    from distributed import Event, worker_client

    starts = Path(logs) / f"{share}.starts"
    with starts.open("ab") as file:
        if file.tell() >= TRIES:
            return None
        file.write(b".")
    words = [sys.executable, "-c", COMMAND, *command, "--jobs", share]
    log = Path(logs) / f"{share}.out"
    with (
        log.open("ab") as output,
        worker_client(separate_thread=False) as client,
        subprocess.Popen(
            words, cwd=cwd, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        asked = Event(stop, client=client)
        while (code := _ended(process)) is None:
            if asked.is_set():
                process.terminate()
    starts.unlink(missing_ok=True)
    return code


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """The exit code of a process that ends within a second, else None."""
    try:
        return process.wait(1)
    except subprocess.TimeoutExpired:
        return None
