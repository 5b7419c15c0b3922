"""A SLURM cluster of this machine alone (Debian's slurmctld, slurmd and slurm-client), without root
rights."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.sweeps.processes import wait_until

CONTROLLER = shutil.which("slurmctld") or shutil.which("slurmctld-wlm")
NODE = shutil.which("slurmd") or shutil.which("slurmd-wlm")
INSTALLED = bool(CONTROLLER and NODE and shutil.which("sbatch"))

CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/none
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
PluginDir={plugins}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ReturnToService=2
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=2,bf_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""
"""The tasks of partition ``urgent`` preempt those of ``test``, which are queued again."""


@contextmanager
def slurm_cluster() -> Iterator[None]:
    """Start the daemons and set ``SLURM_CONF``; at the end, cancel all jobs and stop them."""
    assert CONTROLLER
    assert NODE
    before = os.environ.get("SLURM_CONF")
    with tempfile.TemporaryDirectory(prefix="slurm") as name:
        folder = Path(name)
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        root = Path(CONTROLLER).resolve().parents[1]
        (plugins,) = root.glob("lib/*/slurm-wlm")
        config = folder / "slurm.conf"
        config.write_text(
            CONFIG.format(
                host=socket.gethostname(),
                user=getpass.getuser(),
                plugins=plugins,
                folder=folder,
                ports=_free_ports(2),
            )
        )
        step = Path(NODE).resolve().with_name("slurmstepd-wlm")
        commands = [CONTROLLER, "-D"], [NODE, "-D", *(["-d", str(step)] if step.exists() else [])]
        os.environ["SLURM_CONF"] = str(config)
        quiet = subprocess.DEVNULL
        daemons = [subprocess.Popen(words, stdout=quiet, stderr=quiet) for words in commands]
        try:
            wait_until(lambda: "idle" in said("sinfo", "--noheader", "--format=%T"))
            yield
        finally:
            said("scancel", "--user", getpass.getuser())
            for daemon in reversed(daemons):
                daemon.terminate()
                daemon.wait(60)
            if before is None:
                del os.environ["SLURM_CONF"]
            else:
                os.environ["SLURM_CONF"] = before


def said(*words: str) -> str:
    """What a command prints."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def tasks(array: str) -> dict[str, str]:
    """The states of an array's tasks, by their numbers: R, PD, …"""
    lines = said("squeue", "--noheader", "--array", f"--jobs={array}", "--format=%K %t").split("\n")
    return dict(line.split() for line in lines if line)  # type: ignore[misc]


def array_of(sweep: Path) -> str:
    """The job ID of the only array that a sweep was submitted as."""
    (script,) = (sweep / "slurm").glob("*.sh")
    return script.stem


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports
