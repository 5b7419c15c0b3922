"""The files that a path names."""

from __future__ import annotations

from pathlib import Path

import pytest

from exprun.common.named_files import expanded, files_in, is_pattern, is_there

FILES = ("a-0.x", "a-1.x", "b.x", ".a-2.x", "_SUCCESS", "in/a-3.x", "in/deeper/a-4.x")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in FILES:
        file = tmp_path / "f" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "f" / "up").symlink_to(tmp_path / "f", target_is_directory=True)
    (tmp_path / "f" / "a-9.x").symlink_to(tmp_path / "f" / "a-0.x")
    monkeypatch.chdir(tmp_path / "f")
    return tmp_path / "f"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a-?.x", ["a-0.x", "a-1.x"]),
        ("[ab]*", ["a-0.x", "a-1.x", "b.x"]),
        ("*", ["a-0.x", "a-1.x", "b.x", "_SUCCESS"]),
        ("in/**/*.x", ["in/a-3.x", "in/deeper/a-4.x"]),
        ("in/**/**/*.x", ["in/a-3.x", "in/deeper/a-4.x"]),
        ("**/a-*.x", ["a-0.x", "a-1.x", "in/a-3.x", "in/deeper/a-4.x"]),
        ("in/*/a*", ["in/deeper/a-4.x"]),
        ("in/d*", ["in/d*"]),
        ("c*", ["c*"]),
    ],
)
def test_each_file_that_matches_is_there_once(
    folder: Path, pattern: str, expected: list[str]
) -> None:
    """Also if links or several ``**`` lead to it; folders are none."""
    assert is_pattern(pattern)
    assert sorted(map(str, files_in(pattern))) == sorted(expected)
    whole = {file.resolve() for file in files_in(folder / pattern)}
    assert whole == {(folder / name).resolve() for name in expected}


def test_a_folder_has_no_hidden_files(folder: Path) -> None:
    found = {file.name for file in files_in(folder)}
    assert found == {"a-0.x", "a-1.x", "a-9.x", "b.x", "in", "up"}


def test_what_is_there_is_no_pattern(folder: Path) -> None:
    (folder / "a*").touch()
    assert not is_pattern("a*")
    assert files_in("a*") == [Path("a*")]


def test_what_is_there(folder: Path) -> None:
    """Empty folders, too, of which their reader says what they lack."""
    (folder / "empty").mkdir()
    for path in ("empty", folder, "b.x", "b*", "**/a-4.x"):
        assert is_there(path)
    for path in ("c", "c*", "in/d*", "~no_such_user/a"):
        assert not is_there(path)


def test_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/my/home")
    assert expanded("~/a") == Path("/my/home/a")
    assert expanded("~no_such_user/a") == Path("~no_such_user/a")
