"""What it costs two threads to wait for each other: ``python -m bench.threads``.

A training with two threads in a terminal, alone and beside one busy program in another terminal
(Linux shares the cores out among sessions), with the turns of spinning before a waiting thread
sleeps as exprun sets them and as OpenMP has them by itself; all take turns.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from bench.side_by_side import figure, in_turns, machine, ratio, spread, table, versions
from exprun.common.threads import SPINS

ROUNDS = 3
BATCH = 512
LIBRARYS_OWN = "300000"
"""libgomp's turns if nothing is said, by its manual."""

TRAINING = [
    str(Path(sys.executable).with_name("exprun")),
    "data=moons",
    "data.rows=60000",
    "model.hidden=[256,128]",
    "trainer.max_epochs=4",
    "stopping=none",
    "trainer.threads=2",
    f"batching.batch_size={BATCH}",
    "hydra.run.dir=run",
]


def training(spins: str, *, busy: bool) -> Callable[[], float]:
    """A turn: µs of an iteration."""

    def turn() -> float:
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            if busy:
                other = subprocess.Popen(
                    [sys.executable, "-c", "while True: pass"], start_new_session=True
                )
                stack.callback(other.wait)
                stack.callback(other.kill)
            in_terminal(TRAINING, Path(folder), {**os.environ, "GOMP_SPINCOUNT": spins})
            result = json.loads((Path(folder) / "run" / "result.json").read_text())
        return 1e6 * BATCH / float(result["samples_per_second"])

    return turn


def in_terminal(words: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run a command whose output is a terminal that nobody looks at."""
    ours, theirs = pty.openpty()

    def read() -> None:
        with contextlib.suppress(OSError):  # the end of a terminal
            while os.read(ours, 65536):
                pass

    reader = threading.Thread(target=read)
    reader.start()
    try:
        subprocess.run(
            words,
            cwd=folder,
            env=environment,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            check=True,
        )
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)


def main() -> None:
    contestants = {
        f"{where}, {name}": training(spins, busy=where != "alone")
        for where in ("alone", "beside a busy program")
        for name, spins in {"exprun": SPINS, "as OpenMP has it": LIBRARYS_OWN}.items()
    }
    reference = next(iter(contestants))
    results = in_turns(contestants, ROUNDS)
    print(f"{machine()}; {ROUNDS} rounds\n\n{versions('torch')}\n")
    rows = [
        [name, figure(v, ".0f"), spread(v, ".0f"), ratio(results, name, reference)]
        for name, v in results.items()
    ]
    print(table(["two threads", "µs an iteration (median)", "range", f"÷ {reference}"], rows))


if __name__ == "__main__":
    main()
