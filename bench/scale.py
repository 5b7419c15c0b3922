"""How much memory large files take, and how soon their training starts.

    python -m bench.scale

Writes a CSV file of 1,000,000 × 50 numbers and a target, the same as Parquet, and 60,000 + 10,000
images of 28 × 28 bytes in MNIST's format, trains on each for an epoch, and prints the seconds until
the first epoch starts, the CPU seconds of the whole, and the peak of the process's memory
(resident set); ratio is that peak without a run on iris, over the data as float32. Then, in turns,
rows per second of a training of exprun and of a PyTorch loop over tensors of the same rows, each
with one thread.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import torch
from torch import nn
from torch.nn import functional

BASE = "iris"
SHORT = ("trainer.max_epochs=1", "batching.batch_size=1024", "model.hidden=[64]")
EPOCHS, TURNS = 3, 3


def write_table(folder: Path, rows: int, columns: int) -> None:
    """``table.csv`` and ``table.parquet``: normal numbers, and the sign of their sum."""
    rng = np.random.default_rng(0)
    writer = parquet = None
    for first in range(0, rows, 50_000):
        x = rng.normal(size=(min(50_000, rows - first), columns)).round(5)
        names = [f"x{k}" for k in range(columns)]
        batch = pa.table([*x.T, x.sum(1) > 0], [*names, "label"])
        if writer is None or parquet is None:
            writer = pa_csv.CSVWriter(folder / "table.csv", batch.schema)
            parquet = pq.ParquetWriter(folder / "table.parquet", batch.schema)
        writer.write_table(batch)
        parquet.write_table(batch)
    assert writer is not None
    assert parquet is not None
    writer.close()
    parquet.close()


def write_images(folder: Path) -> None:
    """60,000 and 10,000 images whose class is their brightest tenth."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, rows in (("train", 60_000), ("t10k", 10_000)):
        labels = rng.integers(0, 10, rows, dtype=np.uint8)
        pixels = rng.integers(0, 128, (rows, 784), dtype=np.uint8)
        for k in range(10):
            pixels[labels == k, 78 * k : 78 * k + 78] += 100
        head = struct.pack(">BBBB3I", 0, 0, 8, 3, rows, 28, 28)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        head = struct.pack(">BBBBI", 0, 0, 8, 1, rows)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())


MEASURED = """
import os, subprocess, sys
_, status, used = os.wait4(subprocess.Popen(sys.argv[1:]).pid, 0)
print(status, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
"""Runs a command from a small process, for its peak counts that of the process it is forked from,
and prints its exit status, CPU seconds, and peak in KB."""


def measure(words: Sequence[str], folder: Path) -> tuple[float, float, float]:
    """Seconds until the training starts, CPU seconds altogether, and the peak of memory in MB."""
    command = [sys.executable, "-c", MEASURED, sys.executable, "-m", "exprun", *words, *SHORT]
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the line of the run
        started = time.perf_counter() - began
        status, seconds, peak = process.stdout.read().splitlines()[-1].split()
    if int(status):
        raise SystemExit(f"{' '.join(words)}: exit status {status}")
    return started, float(seconds), int(peak) / 1000


def rows_per_second(words: Sequence[str], folder: Path) -> float:
    """Of EPOCHS epochs by exprun, by its own clock."""
    run = (*words, *SHORT[1:], f"trainer.max_epochs={EPOCHS}", "trainer.threads=1", "stopping=none")
    command = [sys.executable, "-m", "exprun", *run, "hydra.run.dir=epochs"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    seen: float = json.loads((folder / "epochs/result.json").read_text())["samples_per_second"]
    shutil.rmtree(folder / "epochs")
    return seen


def rows_per_second_of_torch(rows: int, columns: int) -> float:
    """Of EPOCHS epochs by a loop over tensors: shuffled batches of 1024 rows, one hidden layer of
    64 units, SGD, and the validation loss after each epoch."""
    torch.set_num_threads(1)
    x, y = torch.randn(rows, columns), torch.randint(0, 2, (rows,))
    x_val, y_val = x[: rows // 5], y[: rows // 5]
    model = nn.Sequential(nn.Linear(columns, 64), nn.ReLU(), nn.Linear(64, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    began = time.perf_counter()
    for _ in range(EPOCHS):
        for batch in torch.randperm(rows).split(1024):
            optimizer.zero_grad()
            functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        with torch.inference_mode():
            functional.cross_entropy(model(x_val), y_val)
    return rows * EPOCHS / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=50)
    options = parser.parse_args()
    rows, columns = options.rows, options.columns
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_table(folder, rows, columns)
        write_images(folder / "images")
        own = ("data.target=label",)
        cases = {
            f"CSV {rows:,} × {columns}": (
                ("data=csv", "data.path=table.csv", *own),
                rows * columns,
            ),
            f"Parquet {rows:,} × {columns}": (
                ("data=parquet", "data.path=table.parquet", *own),
                rows * columns,
            ),
            "IDX 70,000 × 784": (("data=idx", "data.path=images"), 70_000 * 784),
        }
        _, _, base = measure([f"data={BASE}"], folder)
        print(f"a run on {BASE}: {base:.0f} MB\n")
        print("| | file MB | float32 MB | starts after s | CPU s | peak MB | ratio |")
        print("|---|--:|--:|--:|--:|--:|--:|")
        for name, (words, numbers) in cases.items():
            started, cpu, peak = measure(words, folder)
            path = folder / words[1].removeprefix("data.path=")
            files = path.iterdir() if path.is_dir() else [path]
            size = sum(file.stat().st_size for file in files) / 1e6
            data = numbers * 4 / 1e6
            ratio = (peak - base) / data
            cells = (
                f"{size:.0f} | {data:.0f} | {started:.1f} | {cpu:.1f} | {peak:.0f} | {ratio:.2f}"
            )
            print(f"| {name} | {cells} |", flush=True)
        words, _ = cases[f"Parquet {rows:,} × {columns}"]
        ours, theirs = [], []
        for _ in range(TURNS):
            ours.append(rows_per_second(words, folder))
            theirs.append(rows_per_second_of_torch(round(0.7 * rows), columns))
        middle, other = statistics.median(ours), statistics.median(theirs)
        print(
            f"\nrows per second: exprun {middle:,.0f}, a PyTorch loop {other:,.0f}, ratio "
            f"{middle / other:.2f}"
        )


if __name__ == "__main__":
    main()
