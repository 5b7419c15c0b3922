"""Settings of the launcher of a sweep, from ``hydra/launcher``, stored in ``sweep.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from exprun.common.threads import cores

BASIC, LOCAL, STACKED, SLURM, DASK = "basic", "local", "stacked", "slurm", "dask"
"""Launchers. BASIC: one job after another, each in its own process; LOCAL: the same, several at a
time; STACKED: stacked jobs; SLURM and DASK: shares of the jobs, each stacked, as tasks of a SLURM
array or of Dask."""

JOBS_PER_TASK = 32
"""Default number of jobs per task; small tasks are inefficient, because importing torch takes as
long as training a small network."""


@dataclass(frozen=True)
class LauncherSettings:
    """``size`` jobs at a time in each of ``workers`` processes; with None the dispatcher chooses.
    With ``BASIC`` and ``LOCAL`` each job has its own process; with ``SLURM`` and ``DASK``
    ``workers`` is the number of processes of a task.

    A job that takes more than ``timeout`` seconds is killed. A job that fails is tried again from
    its newest checkpoint, at most ``retries`` times.
    """

    name: str = STACKED
    size: int | None = None
    workers: int | None = None
    timeout: float | None = None
    retries: int = 0

    @property
    def one_job_per_process(self) -> bool:
        return self.name in (BASIC, LOCAL)

    @property
    def threads(self) -> int | None:
        """CPU threads of each job: 1 if several jobs share a process, else an equal share of the
        cores, or None (the job's config decides) if only one process runs at a time."""
        if not self.one_job_per_process:
            return 1
        processes = self.processes
        return None if processes == 1 else max(cores() // processes, 1)

    @property
    def processes(self) -> int:
        """Maximum number of processes if each job has its own."""
        return min(self.workers or cores(), cores())

    @property
    def elsewhere(self) -> bool:
        """Whether other processes than this one run the jobs."""
        return self.name in (SLURM, DASK)

    def whole(self) -> LauncherSettings:
        """The settings to run all jobs of the sweep on this machine, without a task's number of
        processes."""
        return replace(self, workers=None) if self.elsewhere else self

    def as_written(self) -> dict[str, Any]:
        """The entries of the settings in ``sweep.json``."""
        settings = asdict(self)
        return {"launcher": settings.pop("name"), "settings": settings}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> LauncherSettings:
        """The settings from the content of ``sweep.json``; exprun 0.1 wrote only the name."""
        name = content["launcher"]
        usual = {"workers": 1} if name == BASIC else {}
        return cls(name, **content.get("settings", usual))
