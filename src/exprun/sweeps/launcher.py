"""How the jobs of a sweep are run, as ``hydra/launcher`` says and ``sweep.json`` keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from exprun.common.threads import cores

BASIC, LOCAL, STACKED, SLURM, DASK = "basic", "local", "stacked", "slurm", "dask"
"""One after the other, a process each; as many at once as there are cores; many as one; shares of
the jobs, each stacked, as tasks of a SLURM array or of Dask."""

JOBS_PER_TASK = 32
"""Jobs of a share, usually: to import torch takes as long as to train a small network."""


@dataclass(frozen=True)
class LauncherSettings:
    """``size`` jobs at once in each of ``workers`` processes; None is the dispatcher's choice. With
    ``BASIC`` and ``LOCAL`` each job has a process of its own; with ``SLURM`` and ``DASK`` the
    processes are those of a task.

    A job that takes more than ``timeout`` seconds is killed. One that fails is tried again, at most
    ``retries`` times, from its newest checkpoint.
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
        """CPU threads of each job: the cores are shared out. None if that is the job's choice."""
        if not self.one_job_per_process:
            return 1
        processes = self.processes
        return None if processes == 1 else max(cores() // processes, 1)

    @property
    def processes(self) -> int:
        """At most, if each job has its own."""
        return min(self.workers or cores(), cores())

    def whole(self) -> LauncherSettings:
        """Those for all jobs of the sweep, to be run on this machine."""
        return replace(self, workers=None) if self.name in (SLURM, DASK) else self

    def as_written(self) -> dict[str, Any]:
        """What ``sweep.json`` says of it."""
        settings = asdict(self)
        return {"launcher": settings.pop("name"), "settings": settings}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> LauncherSettings:
        """What ``sweep.json`` said; exprun 0.1 wrote down the name alone."""
        name = content["launcher"]
        usual = {"workers": 1} if name == BASIC else {}
        return cls(name, **content.get("settings", usual))
