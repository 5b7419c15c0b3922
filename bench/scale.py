"""How much memory large files take, and how soon their training starts.

    python -m bench.scale

Writes a CSV file of 1,000,000 × 50 numbers and a target, the same as Parquet, and 60,000 + 10,000
images of 28 × 28 bytes in MNIST's format, trains on each for an epoch, and prints the seconds until
the first epoch starts, the CPU seconds of the whole, and the peak of the process's memory
(resident set); ratio is that peak without a run on iris, over the data as float32.
"""

from __future__ import annotations

import argparse
import os
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

BASE = "iris"
SHORT = ("trainer.max_epochs=1", "batching.batch_size=1024", "model.hidden=[64]")


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


def measure(words: Sequence[str], folder: Path) -> tuple[float, float, float]:
    """Seconds until the training starts, CPU seconds altogether, and the peak of memory in MB."""
    command = [sys.executable, "-m", "exprun", *words, *SHORT]
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # the line of the run
    started = time.perf_counter() - began
    process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)}: exit status {status}")
    return started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


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


if __name__ == "__main__":
    main()
