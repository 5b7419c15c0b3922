"""Files are replaced whole, several of them together."""

from __future__ import annotations

from pathlib import Path

import pytest

from exprun.record.files import NewFile, write_files


def test_files_in_several_folders_and_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    last, other = tmp_path / "a" / "last", tmp_path / "other"
    for content in (b"1", b"2"):
        files = [NewFile(last, content, old=last.with_name("previous")), NewFile(other, content)]
        write_files(files)
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == {
        "last": b"2",
        "previous": b"1",
        "other": b"2",
    }


@pytest.mark.parametrize("place", [0, 1, 39])
def test_if_one_cannot_be_written_all_stay_as_they_were(tmp_path: Path, place: int) -> None:
    files = [NewFile(tmp_path / str(i), b"new") for i in range(40)]
    write_files([NewFile(file.path, b"old") for file in files])
    files[place] = NewFile(tmp_path / "no folder" / "name", b"new")
    with pytest.raises(FileNotFoundError):
        write_files(files)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(map(str, range(40)))
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"old"}


def test_an_error_names_the_file_and_not_a_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "no folder" / "name"
    with pytest.raises(FileNotFoundError) as caught:
        write_files([NewFile(tmp_path / "other", b""), NewFile(path, b"")])
    assert caught.value.filename == str(path)
