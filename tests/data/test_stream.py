"""Data larger than memory: temporary files and shuffling in blocks."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exprun.build import load_data
from exprun.common.errors import UsageError
from exprun.config.compose import compose_run, plain
from exprun.data import prepare as preparing
from exprun.data.storage import (
    FILE_BYTES,
    TemporaryFiles,
    allocate,
    file_system_of,
    streamed,
    zeros,
)
from exprun.training.batches import BLOCKS, shuffled
from tests.command import EXPRUN, run_command

CPU = torch.device("cpu")


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 5))
def test_rows_are_shuffled_in_blocks_of_which_none_is_lost(rows, buffer, seed):
    order = shuffled(rows, buffer, torch.Generator().manual_seed(seed))
    assert order.sort().values.tolist() == list(range(rows))
    if rows <= buffer:
        whole = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
        assert order.equal(whole)
        return
    length = max(1, buffer // BLOCKS)
    position = order.argsort()  # of each row in the order
    spans = [int(block.max() - block.min()) for block in position.split(length)]
    assert max(spans) < BLOCKS * length  # so much of the file is read at a time


def test_a_buffer_has_rows_from_all_of_a_file_in_another_order_each_epoch():
    generator = torch.Generator().manual_seed(1)
    first, second = (shuffled(100_000, 10_000, generator) for _ in range(2))
    assert not first.equal(second)
    for order in (first, second):
        for part in order.split(BLOCKS * (10_000 // BLOCKS))[:10]:
            assert part[:100].diff().abs().float().median() > 10_000  # neighbours come from afar


@pytest.fixture
def on_disk(tmp_path, monkeypatch):
    if file_system_of(tmp_path) in ("tmpfs", "ramfs"):
        pytest.skip("the temporary folder is kept in memory")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_arrays_in_temporary_files_are_zeros_that_do_not_overlap(on_disk):
    with streamed(True):
        arrays = [zeros((n, 3), np.float32) for n in (1, 5, 1000)]
        large = np.frombuffer(allocate(FILE_BYTES + 8), np.uint8)
    arrays.append(large)
    for k, array in enumerate(arrays):
        assert not array.any()
        array[...] = k + 1
    assert [set(np.unique(array).tolist()) for array in arrays] == [{1}, {2}, {3}, {4}]
    assert all(array.ctypes.data % 8 == 0 for array in arrays)
    with streamed(True):  # few files, and small ones for small data
        sizes = [len(allocate(2**20).obj) for _ in range(400)]
    assert sorted(set(sizes)) == [2**24, 2**25, 2**26, 2**27, 2**28]
    assert not any(on_disk.iterdir())  # the files have no names, so nothing is ever left


@pytest.mark.skipif(not Path("/dev/shm").exists(), reason="no file system in memory")
def test_a_folder_in_memory_is_refused():
    with pytest.raises(UsageError, match=r"/dev/shm is kept in memory; .* TMPDIR"):
        TemporaryFiles(Path("/dev/shm"))


@pytest.mark.parametrize("kind", ["missing", "file", "closed"])
def test_a_folder_that_cannot_be_written_to_is_not_replaced(kind, tmp_path, monkeypatch):
    folder = tmp_path / kind
    if kind == "file":
        folder.touch()
    if kind == "closed":
        folder.mkdir(mode=0o500)
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write everywhere")
    monkeypatch.setenv("TMPDIR", str(folder))
    with pytest.raises(UsageError, match=f"{folder}: .*TMPDIR to name a folder"), streamed(True):
        pass


@pytest.fixture
def table(tmp_path):
    drawn = np.random.default_rng(0)
    columns = {f"x{k}": drawn.normal(size=3000) for k in range(4)}
    columns["x1"][::7] = np.nan
    columns["word"] = drawn.choice(["a", "b", "c"], 3000).tolist()
    columns["y"] = (columns["x0"] + drawn.normal(size=3000) > 0).astype(int)
    frame = pl.DataFrame(columns).with_columns(pl.col("x1").fill_nan(None))
    frame.write_parquet(tmp_path / "t.parquet", row_group_size=500)
    frame.write_csv(tmp_path / "t.csv")
    frame.write_ipc(tmp_path / "t.arrow", compression="uncompressed")
    return tmp_path


def loaded(kind: str, table: Path, *more: str):
    words = [f"data={kind}", f"data.path={table}/t.{kind}", "data.target=y", *more]
    return load_data(plain(compose_run(words, None))["data"], CPU)


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow"])
@pytest.mark.parametrize("more", [(), ("data.folds=3", "data.fold=1"), ("data.scaling=quantile",)])
def test_streamed_data_equal_those_in_memory(kind, more, table, on_disk):
    held, streamed_ = (
        loaded(kind, table, f"data.stream={word}", *more) for word in ("false", "true")
    )
    assert streamed_.preprocessing == held.preprocessing
    assert streamed_.notes == held.notes
    for name in ("train", "val", "test"):
        one, other = getattr(held, name), getattr(streamed_, name)
        assert one.x.equal(other.x)
        assert one.y.equal(other.y)
    assert held.shuffle_buffer is None
    assert streamed_.shuffle_buffer == preparing.BUFFER_BYTES // (4 * 7)


def backing(tensor: torch.Tensor) -> str:
    """The file whose pages hold a tensor, as the kernel lists it; empty for memory."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(end, 16) for end in line.split()[0].split("-"))
        if first <= tensor.data_ptr() < last:
            return " ".join(line.split()[5:])
    raise AssertionError("no such address")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux only")
def test_streamed_inputs_are_pages_of_a_file(table, on_disk):
    for kind in ("csv", "parquet", "arrow"):
        data = loaded(kind, table, "data.stream=true", "data.train_rows=1000")
        for part in (data.train, data.val, data.test):
            assert backing(part.x).startswith(str(on_disk))
            assert not backing(part.y).startswith("/")


def test_a_note_says_that_rows_are_shuffled_in_blocks(table, on_disk, monkeypatch):
    monkeypatch.setattr(preparing, "BUFFER_BYTES", 2**12)
    data = loaded("csv", table, "data.stream=true", "data.val_fraction=0.1")
    assert data.notes[-1] == "shuffled in blocks, among 146 rows at a time (data.stream)"


def test_streaming_is_for_the_cpu():
    words = ["data=csv", "data.path=pyproject.toml", "data.target=y", "data.stream=true"]
    node = plain(compose_run(words, None))["data"]
    from exprun.data.bundled import iris

    assert node["stream"] is True
    with pytest.raises(UsageError, match=r"data.stream=true: .* expected device=cpu"):
        preparing.prepare(iris(), stream=True, device="meta")


def test_a_streamed_training_gives_the_same_model(table):
    words = ["data=csv", f"data.path={table}/t.csv", "data.target=y", "trainer.max_epochs=2"]
    models = []
    for word in ("false", "true"):
        folder = f"stream-{word}"
        done = run_command(table, *words, f"data.stream={word}", f"hydra.run.dir={folder}")
        assert done.returncode == 0, done.stderr
        models.append((table / folder / "model.safetensors").read_bytes())
    assert models[0] == models[1]


def limited(kind: int, bytes_: int, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command with at most so many bytes of a resource."""
    return subprocess.run(
        [*EXPRUN, *words],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder), "COLUMNS": "200"},
        preexec_fn=lambda: resource.setrlimit(kind, (bytes_, bytes_)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_too_little_room_for_the_files_is_said(table, on_disk):
    words = ["data=csv", f"data.path={table}/t.csv", "data.target=y", "data.stream=true"]
    done = limited(resource.RLIMIT_FSIZE, 2**22, *words, folder=table)
    assert done.returncode == 2
    assert "data.stream=true: no 16 MiB more in" in done.stderr
    assert "Traceback" not in done.stderr


GROUP = Path("/sys/fs/cgroup/memory")
"""Where a memory limit can be set without systemd."""


@pytest.mark.long
@pytest.mark.skipif(not os.access(GROUP, os.W_OK), reason="needs a writable memory cgroup")
def test_data_larger_than_memory_are_trained_on(tmp_path, on_disk):
    columns, group = 100, GROUP / "exprun-test"
    drawn, writer = np.random.default_rng(0), None
    for _ in range(50):
        x = drawn.normal(size=(30_000, columns)).astype(np.float32)
        names = [f"x{k}" for k in range(columns)]
        batch = pa.table([*x.T, x.sum(1) > 0], [*names, "label"])
        writer = writer or pq.ParquetWriter(tmp_path / "t.parquet", batch.schema)
        writer.write_table(batch)
    assert writer is not None
    writer.close()
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(500 * 2**20))  # the inputs take 572 MiB
        data = ["data=parquet", "data.path=t.parquet", "data.target=label", "data.stream=true"]
        done = subprocess.run(
            [*EXPRUN, *data, "trainer.max_epochs=1", "batching.batch_size=1024"],
            cwd=tmp_path,
            env=os.environ | {"TMPDIR": str(tmp_path)},
            preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())),
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        group.rmdir()
    assert done.returncode == 0, done.stderr
    assert "shuffled in blocks, among 335,544 rows at a time" in done.stdout
