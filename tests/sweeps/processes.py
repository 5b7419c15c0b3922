"""What a sweep has written, and its processes."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from exprun.record import checkpoint
from tests.commands.test_resume import points

STACKED = ["-m", "hydra/launcher=stacked"]


ONE_BY_ONE = ["-m", "hydra/launcher=basic"]


LONG = [
    "data=iris",
    "model.hidden=[16,8]",
    "reg=dropout",
    "scheduler=cosine",
    "stopping=none",
    "trainer.max_epochs=150",
    "checkpoint.every=5",
    "optimizer.lr=0.001,0.01",
    "seed=range(4)",
]


WORKERS = ["hydra.launcher.size=3", "hydra.launcher.workers=2"]


def jobs_of(sweep: Path) -> list[dict[str, Any]]:
    """The jobs that were asked for, and what each one's folder says of it."""
    jobs: list[dict[str, Any]] = json.loads((sweep / "sweep.json").read_text())["jobs"]
    for job in jobs:
        path = sweep / job["folder"] / "result.json"
        result = json.loads(path.read_text()) if path.exists() else {}
        job |= {name: result.get(name) for name in ("status", "reason")}
    return jobs


def names_in(folder: Path) -> set[str]:
    """The files of a folder, without what is left of checkpoints before the last; those of
    TensorBoard have the time in their names."""
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    files = [path for path in files if path.name != "previous.pt" and path.suffix != ".tmp"]
    return {str(path).partition(".tfevents.")[0] for path in files}


def result_of(folder: Path) -> dict[str, Any]:
    """The content of result.json without what it took and who did it."""
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return {
        key: value
        for key, value in result.items()
        if key not in ("seconds", "samples_per_second", "engine")
    }


def hydra_of(folder: Path) -> Any:
    """``.hydra/hydra.yaml`` without the launcher and the paths."""
    content: Any = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "hydra.yaml"))
    hydra = content["hydra"]
    del hydra["launcher"], hydra["sweep"]["dir"]
    del hydra["runtime"]["output_dir"], hydra["runtime"]["cwd"]
    del hydra["runtime"]["choices"]["hydra/launcher"], hydra["overrides"]["hydra"]
    return content


def texts(folder: Path) -> dict[str, list[Any]]:
    """The texts and the hyperparameters in TensorBoard's files."""
    events = EventAccumulator(str(folder), {"tensors": 0}).Reload()
    tags = events.Tags()["tensors"]
    found: dict[str, list[Any]] = {
        tag: [event.tensor_proto.string_val for event in events.Tensors(tag)] for tag in tags
    }
    metadata = events.summary_metadata
    found["metadata"] = sorted((tag, str(m.plugin_data.plugin_name)) for tag, m in metadata.items())
    return found


def assert_same_jobs(sweep: Path, expected: Path, resumed: bool = False) -> None:
    """Every file of every job; events of a resumed one hold the curves."""
    jobs, others = jobs_of(sweep), jobs_of(expected)
    assert jobs == others
    for job in jobs:
        run, whole = sweep / job["folder"], expected / job["folder"]
        assert names_in(run) == names_in(whole)
        for name in ("metrics.csv", "model.safetensors", "preprocess.json", "traceback.txt"):
            if (whole / name).exists():
                assert (run / name).read_bytes() == (whole / name).read_bytes(), run / name
        for name in ("config", "overrides"):
            path = Path(".hydra") / f"{name}.yaml"
            assert (run / path).read_bytes() == (whole / path).read_bytes(), run / path
        assert resumed or hydra_of(run) == hydra_of(whole)
        assert result_of(run) == result_of(whole)
        assert len(list(run.glob("events.*"))) == len(list(whole.glob("events.*")))
        if any(run.glob("events.*")):
            assert points(run) == points(whole)
            assert resumed or texts(run) == texts(whole)
        last = Path("checkpoints") / "last.pt"
        if (whole / last).exists():
            sums = [checkpoint.checksum(checkpoint.load(folder / last)) for folder in (run, whole)]
            assert sums[0] == sums[1]
    boards = [leaderboard_of(folder) for folder in (sweep, expected)]
    assert boards[0] == boards[1]


def leaderboard_of(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def states_of(sweep: Path) -> list[str | None]:
    return [job["status"] for job in jobs_of(sweep)]


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat behind the name: state, parent, …; none if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def children(parent: int) -> set[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return {pid for pid in pids if stat_of(pid)[1:2] == [str(parent)] and alive(pid)}


def workers_of(parent: int) -> set[int]:
    """The children of its server."""
    return {pid for child in children(parent) for pid in children(child)}


def alive(pid: int) -> bool:
    return bool(stat_of(pid)) and stat_of(pid)[0] != "Z"


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here")
