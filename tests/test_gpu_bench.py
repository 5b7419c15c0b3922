"""``bench.gpu`` at the smallest scale, on the CPU: every line but those that only CUDA can run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from bench import gpu
from bench.gpu_sections import SECTIONS, Options

from exprun.fit import stack


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bench makes stacks on the CPU, too."""
    monkeypatch.setattr(stack, "STACKED_ON", stack.STACKED_ON)


def written(section: str, seconds: float = 300.0) -> list[str]:
    lines: list[str] = []
    SECTIONS[section].write(Options("cpu", True, time.monotonic() + seconds, lines.append))
    return lines


def cells(lines: list[str], first: str) -> list[str]:
    """The cells of the row that begins so, without the first."""
    (row,) = [line for line in lines if line.startswith(f"| {first} |")]
    return row.strip("| ").split(" | ")[1:]


def test_equal_results() -> None:
    again, replay, stacked, native = cells(written("equality"), "`data=iris`")
    assert (again, replay) == ("bits", "bits")
    assert stacked == "bits" or float(stacked) < 1e-5
    assert native == "bits" or float(native) < 1e-5


def test_checkpoints() -> None:
    assert cells(written("resume"), "`data=iris`") == ["bits"] * 3


def test_stacks_beside_one_after_another() -> None:
    lines = written("digits")
    assert not [line for line in lines if "failed" in line or "out of time" in line]
    for members in (1, 3):
        at_once, _, epoch, speed, *_ = cells(lines, str(members))
        assert int(at_once) == members
        assert float(speed.replace(",", "")) == pytest.approx(
            members * 44 / float(epoch), rel=0.1, abs=1
        )


def test_ways_to_launch_an_iteration() -> None:
    lines = written("graphs")
    for name in ("tiny, alone", "tiny, stack of 2"):
        operations, eager, replayed, graph, _ = cells(lines, name)
        assert int(operations) > 20
        assert int(eager) > 0 < int(replayed)
        assert graph == "needs a GPU"


def test_what_cannot_be_measured_says_so_and_the_rest_goes_on() -> None:
    lines = written("resume", seconds=0)
    assert lines[-1] == "| `data=iris` | out of time |"


def test_sections_that_fail_or_take_too_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``cuda:99`` is nowhere; and nothing is imported in a tenth of a second."""
    out = tmp_path / "gpu.md"
    words = ["--quick", "--out", str(out), "--only", "graphs"]
    gpu.main([*words, "--device", "cuda:99", "--seconds", "60"])
    text = out.read_text()
    assert "## CUDA graphs" in text
    assert "failed: UsageError: device=cuda:99" in text
    gpu.main([*words, "--device", "cpu", "--seconds", "0.1"])
    assert "**Killed after 0 s.**" in out.read_text()
    assert capsys.readouterr().out.count("# exprun on") == 2
