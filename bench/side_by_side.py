"""Contestants side by side: they take turns, in one run on one machine; then a Markdown table.

A machine that is busy or hot for a while slows all of them, so a ratio is taken within a round, and
the median over the rounds is what counts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPTS = Path(__file__).parent / "scripts"

Results = dict[str, list[float] | str]
"""What each contestant measured, one value a round; or why there is nothing."""

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "NPROC": "1",  # the size of XLA's thread pool
}
"""An environment in which numpy, torch and JAX compute with one thread."""


def missing(packages: Iterable[str]) -> str:
    """What to say if one of the packages is not installed, else an empty string."""
    absent = [name for name in packages if find_spec(name) is None]
    return f"not installed ({', '.join(absent)})" if absent else ""


def in_turns(contestants: Mapping[str, Callable[[], float] | str], rounds: int) -> Results:
    """Let every contestant measure once a round; who comes first changes from round to round.

    A contestant that is a string, or that raises, is out, and that is its result.
    """
    results: Results = {
        name: turn if isinstance(turn, str) else [] for name, turn in contestants.items()
    }
    names = list(contestants)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            turn, values = contestants[name], results[name]
            if isinstance(turn, str) or isinstance(values, str):
                continue
            progress(f"round {number + 1}/{rounds}: {name}")
            try:
                values.append(turn())
            except Exception as error:
                results[name] = f"failed: {' '.join(str(error).split())[-160:]}"
    progress("")
    return results


def progress(line: str) -> None:
    """Show what is going on, if somebody is looking."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def median(result: list[float] | str) -> float:
    """NaN if there is no value."""
    return float("nan") if isinstance(result, str) else statistics.median(result)


def ratio(results: Results, name: str, reference: str) -> str:
    """How many times the reference's, e.g. ``1.52×``; empty if one of the two is missing."""
    ours, theirs = results[reference], results[name]
    if isinstance(ours, str) or isinstance(theirs, str):
        return ""
    return f"{statistics.median(b / a for a, b in zip(ours, theirs, strict=True)):.2f}×"


def figure(result: list[float] | str, form: str, scale: float = 1.0) -> str:
    """The median in the given format, or why there is none."""
    return result if isinstance(result, str) else format(median(result) * scale, form)


def spread(result: list[float] | str, form: str) -> str:
    """From the least to the greatest value."""
    return "" if isinstance(result, str) else f"{min(result):{form}} – {max(result):{form}}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown; all but the first column to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)


def seconds_table(results: Results, reference: str, notes: Mapping[str, str]) -> str:
    """Of results in seconds: median, range, ratio to the reference, and a note."""
    rows = [
        [
            name,
            figure(values, ".2f"),
            spread(values, ".2f"),
            ratio(results, name, reference),
            notes.get(name, ""),
        ]
        for name, values in results.items()
    ]
    return table(["", "seconds (median)", "range", f"÷ {reference}", ""], rows)


def command(*words: str | Path, environment: Mapping[str, str] = ONE_THREAD) -> Callable[[], float]:
    """A turn that runs a command in an empty folder and measures its wall time in seconds."""

    def turn() -> float:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            done = subprocess.run(
                words,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                capture_output=True,
                text=True,
                check=False,
            )
            seconds = time.perf_counter() - began
        if done.returncode:
            raise RuntimeError(done.stderr or done.stdout or f"exit code {done.returncode}")
        return seconds

    return turn


def machine() -> str:
    """One line on where this was measured."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line for line in lines if line.startswith("model name")]
    model = models[0].split(":", 1)[1].strip() if models else "unknown CPU"
    return f"{model}, {os.cpu_count()} cores, Python {sys.version.split()[0]}"


def versions(*distributions: str) -> str:
    """Names with versions of what is installed of them."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in distributions:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)
