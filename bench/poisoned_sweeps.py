"""Sweeps of 60 jobs of which 40 are poisoned, with each launcher, undisturbed or not.

    python -m bench.poisoned_sweeps --launchers stacked local basic slurm dask

A poisoned job raises, exits, is killed, crashes, takes all memory, hangs, fills the disk or
diverges (``bench.poison``). While a sweep runs, nothing else happens, or its parent or a process
that trains is killed, or all processes are and the folder is moved, as when a machine is started
again. Then ``exprun resume`` goes on. All 20 healthy jobs must have finished, equal to the last bit
to those of an undisturbed sweep without poison, and every poisoned job must have been recorded as
what it is. Prints a table in Markdown; exits with 1 if a sweep failed.

SLURM is started for it (Debian's slurmctld, slurmd and slurm-client); Dask has two local workers.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from tests.sweeps.slurm_cluster import INSTALLED, said, slurm_cluster

from bench.faults import children, fingerprint
from exprun.record.lease import holder

HEALTHY = ("adam", "sgd", "rmsprop", "nadam")
ENDS = {
    "raise": ("failed", "RuntimeError: poisoned"),
    "exit": ("failed", "ended with code 3"),
    "kill": ("failed", "killed by SIGKILL"),
    "crash": ("failed", "killed by SIGSEGV"),
    "memory": ("failed", "MemoryError"),
    "hang": ("failed", "longer than hydra.launcher.timeout"),
    "disk": ("failed", "No space left on device"),
    "diverge": ("diverged", "not finite"),
}
"""The status of a poisoned job, and a part of the reason, by its poison."""

SEEDS = 5
TIMEOUT = 10
"""Seconds for each job (``hydra.launcher.timeout``)."""

WORDS = [
    "data=iris",
    "model.hidden=[16,8]",
    "reg=dropout",
    "norm=batch",
    "stopping=none",
    "trainer.max_epochs=60",
    "checkpoint.every=2",
    f"seed=range({SEEDS})",
]
LAUNCHERS = {
    "stacked": ["hydra/launcher=stacked"],
    "local": ["hydra/launcher=local"],
    "basic": ["hydra/launcher=local", "hydra.launcher.jobs=1"],
    "slurm": ["hydra/launcher=slurm", "hydra.launcher.jobs_per_task=6", "hydra.launcher.wait=true"],
    "dask": ["hydra/launcher=dask", "hydra.launcher.jobs_per_task=6", "hydra.launcher.workers=2"],
}
PATIENCE = 300
"""Seconds after which processes that have lost their parent are taken for orphans."""

MARK = "EXPRUN_BENCH"
"""A variable of the environment of all processes of a sweep."""


def variants(*, poisoned: bool) -> str:
    """The override that asks for the healthy jobs, with two poisoned ones after each if asked."""
    groups = [f"{name}: {{optimizer: {name}}}" for name in HEALTHY]
    if poisoned:
        harmful = [f"{how}: {{optimizer: poisoned, optimizer.how: {how}}}" for how in ENDS]
        groups = [x for i, one in enumerate(groups) for x in (one, *harmful[2 * i : 2 * i + 2])]
    return f"hydra.sweeper.variants={{{', '.join(groups)}}}"


def start(folder: Path, words: list[str]) -> subprocess.Popen[bytes]:
    """``exprun words…`` in ``folder``; what it prints goes to a file there."""
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), MARK: str(folder)}
    with (folder / "out.txt").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "exprun", *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def marked(folder: Path) -> set[int]:
    """The processes of the sweep that was started in ``folder``."""
    mark, found = f"{MARK}={folder}".encode(), set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.add(int(path.parent.name))
        except OSError:  # it has ended
            pass
    return found


def jobs_of(sweep: Path) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = json.loads((sweep / "sweep.json").read_text())["jobs"]
    return jobs


def result_of(folder: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    except FileNotFoundError:
        return {"status": "pending", "reason": ""}
    return result


def trainers(parent: int, launcher: str, sweep: Path) -> list[int]:
    """The processes whose loss is that of a worker: those that train; with SLURM a task's; with
    Dask the cluster's workers."""
    if launcher in ("slurm", "dask"):
        leases = [holder(path.parent) for path in sweep.glob("*/lease.json")]
        tasks = {lease.process for lease in leases if lease and lease.process}
        return [*tasks] if launcher == "slurm" else [one for pid in tasks for one in parents(pid)]
    return [worker for server in children(parent) for worker in children(server)]


def parents(process: int) -> list[int]:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(fields[1])]


def queued(launcher: str) -> bool:
    """Whether SLURM has tasks."""
    return launcher == "slurm" and bool(said("squeue", "--noheader"))


def kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def undisturbed(_parent: int, _launcher: str, _sweep: Path) -> None:
    pass


def parent_killed(parent: int, _launcher: str, _sweep: Path) -> None:
    kill(parent)


def worker_killed(parent: int, launcher: str, sweep: Path) -> None:
    while not (found := trainers(parent, launcher, sweep)):
        time.sleep(0.01)
    kill(random.choice(found))


def rebooted(_parent: int, _launcher: str, sweep: Path) -> None:
    while found := marked(sweep.parent):
        for process in found:
            kill(process)
        time.sleep(0.1)
    (sweep.parent / "moved").mkdir()
    sweep.rename(sweep.parent / "moved" / "sweep")


FAULTS: dict[str, Callable[[int, str, Path], None]] = {
    "none": undisturbed,
    "parent killed": parent_killed,
    "worker killed": worker_killed,
    "rebooted, folder moved": rebooted,
}


def trial(folder: Path, launcher: str, fault: str, rng: random.Random) -> Path:
    """Run a poisoned sweep with the fault and resume it; returns its folder."""
    conf = str(Path(__file__).parent / "poison")
    words = ["--config-dir", conf, "-m", *LAUNCHERS[launcher], f"hydra.launcher.timeout={TIMEOUT}"]
    words += [variants(poisoned=True), *WORDS, "hydra.sweep.dir=sweep"]
    process, sweep = start(folder, words), folder / "sweep"
    ends = rng.randrange(5, 30)
    while fault != "none" and len([*sweep.glob("*/result.json")]) < ends:
        assert process.poll() is None, (folder / "out.txt").read_text()
        time.sleep(0.01)
    FAULTS[fault](process.pid, launcher, sweep)
    process.wait()
    sweep = next(path for path in (sweep, folder / "moved" / "sweep") if path.exists())
    if fault != "none":
        deadline = time.monotonic() + PATIENCE
        while (marked(folder) or queued(launcher)) and time.monotonic() < deadline:
            time.sleep(0.1)  # what was started elsewhere is trained to its end
        start(folder, ["resume", str(sweep.relative_to(folder)), "--trust"]).wait()
    return sweep


def mistakes(sweep: Path, whole: dict[tuple[str, int], list[object]]) -> list[str]:
    """What is wrong with the jobs of a poisoned sweep."""
    found = []
    for number, job in enumerate(jobs_of(sweep)):
        path = sweep / job["folder"]
        result, variant = result_of(path), job["variant"]
        it = f"{number} ({variant}): {result['status']} {result['reason']}"
        if variant in HEALTHY:
            if result["status"] != "completed":
                found.append(it)
            elif fingerprint(path) != whole[variant, result["seed"]]:
                found.append(f"{it}, but not equal")
        elif result["status"] != ENDS[variant][0] or ENDS[variant][1] not in result["reason"]:
            found.append(it)
        if (path / "lease.json").exists():
            found.append(f"{number} ({variant}): is held")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.poisoned_sweeps")
    parser.add_argument("--launchers", nargs="+", choices=LAUNCHERS, default=[*LAUNCHERS])
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=[*FAULTS])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    random.seed(options.seed)
    failures = Counter[str]()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if "slurm" in options.launchers:
            assert INSTALLED, "SLURM is not installed"
            stack.enter_context(slurm_cluster())
        asked = ["-m", variants(poisoned=False), *WORDS, "hydra.sweep.dir=whole"]
        assert start(scratch, asked).wait() == 0, (scratch / "out.txt").read_text()
        jobs = jobs_of(scratch / "whole")
        paths = [scratch / "whole" / job["folder"] for job in jobs]
        whole = {
            (job["variant"], result_of(path)["seed"]): fingerprint(path)
            for job, path in zip(jobs, paths, strict=True)
        }
        print("| launcher | fault | jobs | poisoned | seconds | wrong |\n|---|---|--:|--:|--:|---|")
        for launcher in options.launchers:
            for fault in options.faults:
                folder = scratch / f"{launcher}_{fault.replace(' ', '_')}"
                folder.mkdir()
                began = time.perf_counter()
                sweep = trial(folder, launcher, fault, rng)
                seconds = time.perf_counter() - began
                wrong = mistakes(sweep, whole)
                left = marked(folder)
                wrong += [f"processes are left: {len(left)}"] if left else []
                for process in left:
                    kill(process)
                row = f"| {launcher} | {fault} | {len(jobs_of(sweep))} | {SEEDS * len(ENDS)} |"
                print(f"{row} {seconds:.0f} | {'; '.join(wrong) or 'nothing'} |", flush=True)
                failures[launcher] += bool(wrong)
                if wrong:
                    print((folder / "out.txt").read_text()[-3000:], file=sys.stderr)
    return int(failures.total() > 0)


if __name__ == "__main__":
    sys.exit(main())
