"""A folder is held by one process: by a lock on one machine, by a lease between machines."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from exprun.common.errors import UsageError
from exprun.record import lease
from exprun.record.lease import HeldError, Holder, Lease, clear_stale, held, holder

OF_ANOTHER = {"host": "node7", "machine": "of another start", "process": 12, "token": "a"}


def leave(folder: Path, content: str | None = None, *, age: float = 0) -> None:
    """A lease as another process has left it ``age`` seconds ago."""
    (folder / lease.NAME).write_text(json.dumps(OF_ANOTHER) if content is None else content)
    os.utime(folder / lease.NAME, (time.time() - age,) * 2)


def known(folder: Path) -> Holder:
    found = holder(folder)
    assert found is not None
    return found


def test_a_process_of_this_host_is_at_work_while_it_exists(tmp_path: Path) -> None:
    """Killed, it needs no minute without a heartbeat; of another host only those tell."""
    with held(tmp_path):
        mine = known(tmp_path)
        assert mine.at_work
        assert not replace(mine, heard=time.time() - 2 * lease.STALE).at_work
        with subprocess.Popen([sys.executable, "-c", ""]) as other:
            pass
        assert not replace(mine, process=other.pid).at_work
        assert replace(mine, process=other.pid, host="node7").at_work
        assert replace(mine, process=other.pid, machine="of another start").at_work


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that cannot lock."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lease.fcntl, "flock", refuse)


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    with held(tmp_path):
        first = known(tmp_path)
        assert first.process == os.getpid()
        with pytest.raises(HeldError) as refused:
            Lease(tmp_path)
        who = f"({first.host}, process {os.getpid()})"
        assert str(refused.value) == f"{tmp_path}: another process is at work there {who}"
        assert holder(tmp_path) == first
    assert not list(tmp_path.iterdir())
    with held(tmp_path):
        pass


@pytest.mark.parametrize("content", [None, "", "[]", '{"host": 1'])
def test_a_holder_on_another_machine_is_dead_when_it_was_not_heard_of(
    content: str | None, tmp_path: Path
) -> None:
    """Also if its lease is half written."""
    leave(tmp_path, content, age=lease.STALE - 20)
    with pytest.raises(HeldError, match="another process is at work there"):
        Lease(tmp_path)
    leave(tmp_path, content, age=lease.STALE + 20)
    with held(tmp_path):
        assert known(tmp_path).process == os.getpid()
    assert not list(tmp_path.iterdir())


def test_a_holder_on_this_machine_is_dead_when_its_lock_is_gone(tmp_path: Path) -> None:
    leave(tmp_path, json.dumps(OF_ANOTHER | {"machine": lease._machine()}))
    with held(tmp_path):
        assert known(tmp_path).process == os.getpid()


def test_the_lease_of_a_dead_holder_can_be_removed(tmp_path: Path) -> None:
    clear_stale(tmp_path)
    leave(tmp_path, age=lease.STALE + 1)
    clear_stale(tmp_path)
    assert not list(tmp_path.iterdir())
    leave(tmp_path)
    clear_stale(tmp_path)
    assert known(tmp_path).process == OF_ANOTHER["process"], "heard of just now"


@pytest.mark.usefixtures("without_locks")
def test_without_locks_the_lease_alone_counts(tmp_path: Path) -> None:
    leave(tmp_path, json.dumps(OF_ANOTHER | {"machine": lease._machine()}))
    with pytest.raises(HeldError):
        Lease(tmp_path)
    leave(tmp_path, age=2 * lease.STALE)
    with held(tmp_path), pytest.raises(HeldError):
        Lease(tmp_path)


@pytest.mark.usefixtures("without_locks")
def test_of_many_who_find_a_dead_one_s_lease_one_gets_it(tmp_path: Path) -> None:
    for _ in range(25):
        leave(tmp_path, age=2 * lease.STALE)
        together, winners = threading.Barrier(6), []

        def claim(together: threading.Barrier, winners: list[Lease]) -> None:
            together.wait()
            with suppress(HeldError):
                winners.append(Lease(tmp_path))

        threads = [threading.Thread(target=claim, args=(together, winners)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(winners) == 1
        assert winners[0].renew()
        winners[0].release()
        assert not list(tmp_path.iterdir())


def test_heartbeats(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    mine = Lease(tmp_path / "run")
    os.utime(mine.path, (0, 0))
    assert mine.renew()
    assert time.time() - known(mine.folder).heard < lease.STALE
    leave(mine.folder)
    assert not mine.renew()
    mine.release()
    assert known(mine.folder).host == "node7"
    mine.path.unlink()
    assert not mine.renew()  # another has had it, and has ended
    mine.folder.rmdir()
    assert mine.renew()  # somebody has deleted the run: that is no other process's work


ENDLESS = """
import sys, threading
from pathlib import Path
from exprun.common.errors import UsageError
from exprun.record import lease
lease.HEARTBEAT = 0.01
with lease.held(Path(sys.argv[1])):
    print("held", flush=True)
    threading.Event().wait()
"""


def test_who_has_lost_the_folder_ends_at_once(tmp_path: Path) -> None:
    words = [sys.executable, "-c", ENDLESS, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        leave(tmp_path)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.startswith(f"exprun: {tmp_path}: not heard of for too long")
    assert known(tmp_path).host == "node7"


def test_a_full_disk_leaves_no_empty_lease(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        Lease(tmp_path).release()  # where no file can be made nobody is refused
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / lease.NAME).exists()
    with held(tmp_path):
        assert (tmp_path / lease.NAME).stat().st_size > 0


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Context in which nothing can be written into the folder, not even by root."""
    if os.geteuid():
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    mounted = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mounted, check=False).returncode:
        pytest.skip("root can write everywhere here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    with (
        read_only(tmp_path),
        pytest.raises(UsageError, match=f"{tmp_path}: is read-only; expected a folder to write to"),
        held(tmp_path),
    ):
        pass
