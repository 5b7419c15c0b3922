"""How much memory large files take, and how soon their training starts.

    python -m bench.scale
    python -m bench.scale --build ../older    # beside another clone with a .venv

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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

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
import os, pathlib, subprocess, sys, time
process = subprocess.Popen(sys.argv[1:])
done, anonymous = 0, 0
while not done:
    lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
    sizes = [int(line.split()[1]) for line in lines if line.startswith("RssAnon")]
    anonymous = max(anonymous, *sizes, 0)
    time.sleep(0.005)
    done, status, used = os.wait4(process.pid, os.WNOHANG)
print(status, used.ru_utime + used.ru_stime, used.ru_maxrss, anonymous)
"""
"""Runs a command from a small process, for its peak counts that of the process it is forked from,
and prints its exit status, CPU seconds, and peaks in KB: of all memory, and of anonymous pages."""


class Measured(NamedTuple):
    """Seconds until the training starts, CPU seconds altogether, and peaks of memory in MB."""

    started: float
    cpu: float
    peak: float
    anonymous: float


def measure(words: Sequence[str], folder: Path, python: Path | str = sys.executable) -> Measured:
    """Train with these overrides, by exprun of that interpreter."""
    command = [sys.executable, "-c", MEASURED, str(python), "-m", "exprun", *words, *SHORT]
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the line of the run
        started = time.perf_counter() - began
        status, cpu, peak, anonymous = process.stdout.read().splitlines()[-1].split()
    if int(status):
        raise SystemExit(f"{' '.join(words)}: exit status {status}")
    return Measured(started, float(cpu), int(peak) / 1000, int(anonymous) / 1000)


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


def table_of(cases: Mapping[str, Sequence[str]], numbers: Mapping[str, int], folder: Path) -> None:
    """Print the table of memory."""
    base = measure([f"data={BASE}"], folder)
    print(f"a run on {BASE}: {base.peak:.0f} MB, {base.anonymous:.0f} of them anonymous\n")
    print("| | file MB | float32 MB | starts after s | CPU s | peak MB | ratio | anonymous MB |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, words in cases.items():
        seen = measure(words, folder)
        path = folder / words[1].removeprefix("data.path=")
        files = path.iterdir() if path.is_dir() else [path]
        size = sum(file.stat().st_size for file in files) / 1e6
        data = numbers[name] * 4 / 1e6
        ratio = (seen.peak - base.peak) / data
        print(
            f"| {name} | {size:.0f} | {data:.0f} | {seen.started:.1f} | {seen.cpu:.1f} | "
            f"{seen.peak:.0f} | {ratio:.2f} | {seen.anonymous:.0f} |",
            flush=True,
        )


def beside(cases: Mapping[str, Sequence[str]], build: Path, folder: Path) -> None:
    """Print the table of this clone and another."""
    pythons = {"here": Path(sys.executable), build.name: build / ".venv/bin/python"}
    print(
        f"| | starts after s, here | {build.name} | CPU s, here | {build.name} | peak MB, here |",
        end="",
    )
    print(f" {build.name} |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, words in cases.items():
        turns = [[measure(words, folder, p) for p in pythons.values()] for _ in range(TURNS)]
        cells = [
            f"{statistics.median(figures):{digits}}"
            for field, digits in (("started", ".1f"), ("cpu", ".1f"), ("peak", ".0f"))
            for figures in zip(
                *([getattr(one, field) for one in turn] for turn in turns), strict=True
            )
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--build", type=Path, metavar="FOLDER", help="beside this clone, in turns")
    options = parser.parse_args()
    rows, columns = options.rows, options.columns
    csv, parquet = f"CSV {rows:,} × {columns}", f"Parquet {rows:,} × {columns}"
    streamed, images = f"{parquet}, data.stream=true", "IDX 70,000 × 784"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_table(folder, rows, columns)
        own = ("data.target=label",)
        cases: dict[str, Sequence[str]] = {
            csv: ("data=csv", "data.path=table.csv", *own),
            parquet: ("data=parquet", "data.path=table.parquet", *own),
        }
        if options.build:
            beside(cases, options.build.absolute(), folder)
            return
        write_images(folder / "images")
        cases[streamed] = (*cases[parquet], "data.stream=true")
        cases[images] = ("data=idx", "data.path=images")
        numbers = dict.fromkeys(cases, rows * columns) | {images: 70_000 * 784}
        table_of(cases, numbers, folder)
        for name in (parquet, streamed):
            ours, theirs = [], []
            for _ in range(TURNS):
                ours.append(rows_per_second(cases[name], folder))
                theirs.append(rows_per_second_of_torch(round(0.7 * rows), columns))
            middle, other = statistics.median(ours), statistics.median(theirs)
            print(
                f"\n{name}, rows per second: exprun {middle:,.0f}, a PyTorch loop over tensors "
                f"{other:,.0f}, ratio {middle / other:.2f}"
            )


if __name__ == "__main__":
    main()
