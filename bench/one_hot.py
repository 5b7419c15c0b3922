"""One-hot columns kept as codes beside dense inputs: memory, start and speed.

    python -m bench.one_hot
    python -m bench.one_hot --columns 1 --categories 5000

Writes a Parquet file of so many categorical columns, two of numbers and a target of two classes,
and trains on it with ``data.encoding=one_hot`` and one thread, the two forms in turns. Prints the
medians of the seconds until the first epoch starts, of the peak of the process's memory (resident
set), and of the training rows per second; and whether the models' files are equal.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TURNS = 3
RUN = (
    "data=parquet", "data.path=table.parquet", "data.target=label", "data.encoding=one_hot",
    "batching.batch_size=256", "model.hidden=[64]", "trainer.threads=1", "trainer.max_epochs=3",
    "stopping=none", "hydra.run.dir=run",
)  # fmt: skip

FORMS = {
    "codes": "",
    "dense": "from exprun.data import prepare; prepare.MOST_DENSE = 2**60\n",
}
"""Forms of the inputs, and what makes exprun keep them so."""

COMMAND = "import sys\nfrom exprun.cli import main\nsys.exit(main())"

MEASURED = """
import os, subprocess, sys
_, status, used = os.wait4(subprocess.Popen(sys.argv[1:]).pid, 0)
print(status, used.ru_maxrss)
"""
"""Runs a command from a small process, for its peak counts that of the process it is forked from,
and prints its exit status and peak in KB."""


def write_table(path: Path, rows: int, columns: int, categories: int) -> None:
    """The target depends on a weight of each category, and on the numbers."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, categories, (columns, rows), dtype=np.int32)
    numbers = rng.normal(size=(2, rows))
    score = numbers.sum(0) + rng.normal(size=categories)[codes].sum(0)
    words = pa.array([f"category {k}" for k in range(categories)])
    held = {f"c{k}": pa.DictionaryArray.from_arrays(code, words) for k, code in enumerate(codes)}
    held |= {"x": numbers[0], "y": numbers[1], "label": score > np.median(score)}
    pq.write_table(pa.table(held), path)


class Measured(NamedTuple):
    started: float
    peak: float
    speed: float
    model: bytes


def measure(form: str, engine: str, folder: Path) -> Measured:
    """Seconds until the training starts, peak in MB, rows per second, and the model's file."""
    words = [sys.executable, "-c", FORMS[form] + COMMAND, *RUN, f"trainer.engine={engine}"]
    command = [sys.executable, "-c", MEASURED, *words]
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the line of the run
        started = time.perf_counter() - began
        status, peak = process.stdout.read().splitlines()[-1].split()
    if int(status):
        raise SystemExit(f"{form}: exit status {status}")
    speed = json.loads((folder / "run/result.json").read_text())["samples_per_second"]
    model = (folder / "run/model.safetensors").read_bytes()
    shutil.rmtree(folder / "run")
    return Measured(started, int(peak) / 1000, speed, model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--categories", type=int, default=100)
    parser.add_argument("--engines", nargs="+", default=["native", "replay"])
    options = parser.parse_args()
    shape = options.rows, options.columns, options.categories
    print("{:,} rows, {} columns of {:,} categories\n".format(*shape))
    print("| engine | inputs | starts after s | peak MB | rows per second |")
    print("|---|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_table(folder / "table.parquet", *shape)
        for engine in options.engines:
            turns = [{form: measure(form, engine, folder) for form in FORMS} for _ in range(TURNS)]
            for form in FORMS:
                found = [turn[form] for turn in turns]
                started, peak, speed = (
                    statistics.median(values) for values in list(zip(*found, strict=True))[:3]
                )
                print(
                    f"| {engine} | {form} | {started:.1f} | {peak:.0f} | {speed:,.0f} |", flush=True
                )
            models = {measured.model for turn in turns for measured in turn.values()}
            if len(models) > 1:
                raise SystemExit(f"{engine}: the models differ")
    print("\nthe models of both forms are equal to the last bit")


if __name__ == "__main__":
    main()
