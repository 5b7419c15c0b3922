"""One-hot columns kept as codes beside dense inputs: memory, start and speed.

    python -m bench.one_hot
    python -m bench.one_hot --columns 1 --categories 5000

Writes a Parquet file of so many categorical columns, two of numbers and a target of two classes,
and trains on it with ``data.encoding=one_hot`` and one thread, the two forms in turns. Prints the
medians of the seconds until the first epoch starts and of the CPU seconds until then, of the peak
of the process's memory (resident set), and of the CPU seconds of an epoch, without and with its
evaluation; and whether the models' files are equal.
"""

from __future__ import annotations

import argparse
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

COMMAND = """
import sys, time
from exprun.fit import loop
from exprun.cli import main
def timed(name, function):
    def call(*words):
        began = time.process_time()
        print("MEASURED start", began)
        found = function(*words)
        print("MEASURED", name, time.process_time() - began)
        return found
    return call
loop.train_epoch = timed("epoch", loop.train_epoch)
loop.end_epoch = timed("evaluation", loop.end_epoch)
sys.exit(main())
"""
"""Runs exprun, and prints CPU seconds: until an epoch or an evaluation starts, and of these."""

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
    """Of a run: wall and CPU seconds until the first epoch starts, the peak in MB, CPU seconds of
    an epoch and of its evaluation, and the model's file."""

    started: float
    start: float
    peak: float
    epoch: float
    evaluation: float
    model: bytes


def measure(form: str, engine: str, folder: Path) -> Measured:
    words = [sys.executable, "-c", FORMS[form] + COMMAND, *RUN, f"trainer.engine={engine}"]
    command = [sys.executable, "-c", MEASURED, *words]
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the line of the run
        started = time.perf_counter() - began
        lines = [line.split() for line in process.stdout]
    status, peak = lines[-1]
    if int(status):
        raise SystemExit(f"{form}: exit status {status}")
    seconds: dict[str, list[float]] = {"start": [], "epoch": [], "evaluation": []}
    for line in lines:
        if line[:1] == ["MEASURED"]:
            seconds[line[1]].append(float(line[2]))
    model = (folder / "run/model.safetensors").read_bytes()
    shutil.rmtree(folder / "run")
    epoch, evaluation = (statistics.median(seconds[of]) for of in ("epoch", "evaluation"))
    return Measured(started, seconds["start"][0], int(peak) / 1000, epoch, evaluation, model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--categories", type=int, default=100)
    parser.add_argument("--engines", nargs="+", default=["native", "replay"])
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    shape = options.rows, options.columns, options.categories
    print("{:,} rows, {} columns of {:,} categories\n".format(*shape))
    print("| engine | inputs | starts after s | CPU s | peak MB | epoch, CPU s | its evaluation |")
    print("|---|---|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_table(folder / "table.parquet", *shape)
        for engine in options.engines:
            turns = [
                {form: measure(form, engine, folder) for form in options.forms}
                for _ in range(options.turns)
            ]
            for form in options.forms:
                columns = list(zip(*(turn[form] for turn in turns), strict=True))[:-1]
                started, start, peak, epoch, evaluation = map(statistics.median, columns)
                print(
                    f"| {engine} | {form} | {started:.1f} | {start:.1f} | {peak:.0f} | "
                    f"{epoch:.2f} | {evaluation:.2f} |",
                    flush=True,
                )
            models = {measured.model for turn in turns for measured in turn.values()}
            if len(models) > 1:
                raise SystemExit(f"{engine}: the models differ")
    if len(options.forms) > 1:
        print("\nthe models of both forms are equal to the last bit")


if __name__ == "__main__":
    main()
