"""A process that ends after a bad row, while Arrow's thread still reads ahead."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.command import run_interpreter


@pytest.mark.parametrize("kind", ["plain", "compressed", "spaced"])
def test_a_bad_row_is_said_and_nothing_is_aborted(kind: str, tmp_path: Path) -> None:
    sign = " " if kind == "spaced" else ","
    rows = [sign.join(["a", "b", "y"])]
    rows += [sign.join([str(k), str(k * k % 7), f"x{k % 2}"]) for k in range(60)]
    rows[31] += f"{sign}9"
    file = tmp_path / ("t.csv.gz" if kind == "compressed" else "t.csv")
    text = "\n".join(rows).encode()
    file.write_bytes(gzip.compress(text) if kind == "compressed" else text)
    for _ in range(4):  # before it was mended about every third run was
        done = run_interpreter(tmp_path, "inspect", file.name)
        assert done.returncode == 2, done.stderr
        assert "has 4 cells" in done.stderr
