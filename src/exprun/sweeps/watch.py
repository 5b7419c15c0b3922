"""Shows the progress of a sweep that other processes train, on this machine or others, by reading
results, leases and learning curves in its folders. Writes nothing and does not import torch."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from exprun.common.constants import FAILED, FINISHED, INTERRUPTED, STOPPED
from exprun.common.errors import UsageError
from exprun.common.signals import Interruption, interruptible
from exprun.display.panel import INTERVAL
from exprun.display.summary import job_line
from exprun.record.lease import Holder, holder
from exprun.sweeps import ledger
from exprun.sweeps.panel import SweepPanel

POLL = 0.5
"""Minimum seconds between two reads of the folders."""

SHARE = 0.1
"""Maximum fraction of the time spent on reading, because a network file system may be slow."""

TAIL = 4096
"""Bytes read at the end of ``metrics.csv``, enough for its last row."""

MAX_EPOCHS = re.compile(r"^trainer:\n(?:  .*\n)*?  max_epochs: (\d+)$", re.MULTILINE)


def watch(
    folder: Path,
    numbers: Collection[int] | None = None,
    over: Callable[[Interruption], bool] = lambda _: False,
) -> int | None:
    """Show the jobs of the sweep in ``folder``, or those in ``numbers``, until all are finished or
    failed, a signal arrives, or ``over``, which is called repeatedly, returns True.

    Returns the exit code if a signal ended it, else None.
    """
    watched = Watched(folder, numbers)
    with (
        SweepPanel(watched.asked, watched.titles()) as panel,
        interruptible() as interrupted,
    ):
        due = 0.0
        ending = False
        while watched.left:
            if ending or (now := time.monotonic()) >= due:
                watched.look(panel)
                due = time.monotonic() + max(POLL, (time.monotonic() - now) / SHARE)
            panel.draw()
            if ending or interrupted():
                break
            ending = over(interrupted)
            if not ending:
                time.sleep(INTERVAL)
    return 128 + interrupted.signal if interrupted.signal else None


class Watched:
    """The watched jobs; ``left`` has the folders of those that have not ended, by number."""

    def __init__(self, folder: Path, numbers: Collection[int] | None) -> None:
        with ledger.read_from(folder):
            content = ledger.read(folder)
            jobs = {int(job["number"]): job for job in content["jobs"]}
            self.asked = " ".join(content["overrides"])
            self.progress = ledger.Progress(content["jobs"])
        self.folder = folder
        chosen = jobs if numbers is None else {number: jobs[number] for number in numbers}
        self.overrides = {number: list(job["overrides"]) for number, job in chosen.items()}
        self.left = {number: folder / str(job["folder"]) for number, job in chosen.items()}
        self.progress.total = len(chosen)
        self.begun = False  # whether the folders have been read once
        self.curves: dict[int, float] = {}  # modification times of the curves when read
        self.lost: set[int] = set()  # jobs whose holder has sent no recent heartbeat

    def titles(self) -> dict[int, tuple[str, int]]:
        """For each job, the overrides that distinguish it, as a title, and its maximum epochs."""
        configs = ledger.Configs(self.folder)
        titles = {}
        for number, words in self.overrides.items():
            own = " ".join(word for word in words if word not in self.progress.shared)
            found = None
            with suppress(UsageError):  # exprun 0.1 did not write configs.jsonl
                found = MAX_EPOCHS.search(configs.files(number)["config"])
            titles[number] = own or "defaults", int(found[1]) if found else 1
        return titles

    def look(self, panel: SweepPanel) -> None:
        """Read the states of the jobs that are left, update the panel, and print a line for each
        job that has ended since the last read. Raises UsageError if the folder is gone."""
        ledger.check_there(self.folder)
        at_work: set[tuple[str, int]] = set()
        sweep = holder(self.folder)
        searching = sweep is not None and sweep.at_work  # paused jobs may go on
        for number, folder in list(self.left.items()):
            result, other = ledger.state_of(folder), holder(folder)
            alive = other is not None and other.at_work
            status = result["status"]
            over = (status == FAILED and not alive) or (status == STOPPED and not searching)
            if status in FINISHED or over:
                del self.left[number]
                panel.ended(number, result["status"], result["metrics"])
                done, title = self.progress.note(result)
                if self.begun:  # else it ended before the watch began
                    job_line(number, done, title, result, console=panel.console)
                continue
            if result["status"] == INTERRUPTED and not alive:
                panel.ended(number, INTERRUPTED, result["metrics"])
            if other is not None and alive:
                at_work.add((other.host, other.process))
                self._curve(number, folder, panel)
            self._say_lost(number, None if alive else other, panel)
        hosts = len({host for host, _ in at_work})
        processes = f"{len(at_work)} process" + "es" * (len(at_work) > 1)
        panel.workers = f"{processes} on {hosts} host" + "s" * (hosts > 1)
        if not at_work:
            panel.workers = "nobody at work"
        if not self.begun:
            self.begun = True
            if self.left and not panel.console.is_interactive:
                ended = f"{self.progress.done}/{self.progress.total} jobs have ended"
                panel.console.print(f"{ended}, {panel.workers}", highlight=False)

    def _curve(self, number: int, folder: Path, panel: SweepPanel) -> None:
        path = folder / "metrics.csv"
        try:
            changed = path.stat().st_mtime
            if self.curves.get(number) == changed:
                return
            row = newest_row(path)
        except OSError:
            return
        self.curves[number] = changed
        if row:
            panel.epoch(number, row)

    def _say_lost(self, number: int, dead: Holder | None, panel: SweepPanel) -> None:
        """Print once that the holder of a job, ``dead``, is not at work any more; None if the job
        has no such holder."""
        if dead is None:
            self.lost.discard(number)
        elif number not in self.lost:
            self.lost.add(number)
            text = f"not heard of for {time.time() - dead.heard:.0f} s ({dead})"
            line = f"     [{number}] {text}: exprun resume {self.folder}"
            panel.console.print(line, style="yellow", markup=False, soft_wrap=True)


def newest_row(path: Path) -> Mapping[str, float]:
    """The last complete row of a ``metrics.csv`` by column; empty if there is none. Raises
    OSError."""
    with path.open("rb") as file:
        header = file.readline()
        begin = file.tell()
        file.seek(max(begin, path.stat().st_size - TAIL))
        rows = file.read().split(b"\n")[:-1]
    if not rows or not header.endswith(b"\n"):
        return {}
    names, values = csv.reader([header.decode(), rows[-1].decode()])
    try:
        return dict(zip(names, map(float, values), strict=True))
    except ValueError:
        return {}
