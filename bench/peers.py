"""One training run, next to other ways to do the same: µs per iteration and the ratio to exprun.

    python -m bench.peers                   # all cases, SGD with momentum and Adam: half an hour
    python -m bench.peers --case digits-32
    python -m bench.peers --clock cpu       # CPU time, for a machine that others use as well
    python -m bench.peers --only exprun --build ../older    # beside another clone with a .venv
    python -m bench.peers --quick           # shows that it works; the figures mean nothing

Every contestant lives in a process of its own, with one thread, and they take turns. What counts
is the time from the end of one epoch to the end of another, validation, logging and checkpoints
included, over the training iterations in between; starting and compiling lie before it. Peers come
with ``pip install -c constraints.txt -e '.[bench]'``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from bench.contestants import CASES, CONTESTANTS, US, Job
from bench.side_by_side import (
    ONE_THREAD,
    Results,
    figure,
    in_turns,
    machine,
    missing,
    ratio,
    table,
    versions,
)

WARM_UP = 2
"""Epochs at the beginning of each turn that do not count."""
MOST_EPOCHS = 200
LEARNING_RATES = {"sgd": 0.01, "adam": 0.001}


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def measure(name: str, case: str, optimizer: str, epochs: int, clock: str) -> float:
    """Seconds per iteration over that many epochs after the warm-up."""
    stamps: list[float] = []
    job = Job(case, optimizer, WARM_UP + epochs, LEARNING_RATES[optimizer])
    CONTESTANTS[name].train(job, lambda: stamps.append(CLOCKS[clock]()))
    assert len(stamps) == job.epochs, f"{len(stamps)} epochs instead of {job.epochs}"
    return (stamps[-1] - stamps[WARM_UP - 1]) / epochs / job.iterations


def serve(
    pipe: Connection, name: str, case: str, optimizer: str, seconds: float, clock: str
) -> None:
    """A contestant's process: warm up, then a measurement of about so many seconds whenever asked.
    Answers a float, or a text if something went wrong."""
    os.environ.update(CONTESTANTS[name].environment)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        epoch = measure(name, case, optimizer, 3, clock) * Job(case, optimizer, 0).iterations
        epochs = max(3, min(MOST_EPOCHS, round(seconds / epoch)))
        pipe.send("ready")
        while pipe.recv():
            pipe.send(measure(name, case, optimizer, epochs, clock))
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def ask(pipe: Connection) -> float:
    """One turn of the contestant at the other end."""
    pipe.send(True)
    answer = pipe.recv()
    if isinstance(answer, str):
        raise RuntimeError(answer)
    return float(answer)


SERVE = """
import sys
from multiprocessing.connection import Connection
from bench.peers import serve
serve(Connection(int(sys.argv[1])), *sys.argv[2:5], float(sys.argv[5]), sys.argv[6])
"""


@contextmanager
def served(folder: Path | None, *words: object) -> Iterator[Connection]:
    """Context in which a contestant's process serves, given the words of ``serve`` after its pipe:
    with this interpreter, or by the bench of another clone in ``folder`` with its own."""
    ours, theirs = multiprocessing.Pipe()
    python = folder / ".venv" / "bin" / "python" if folder else sys.executable
    process = subprocess.Popen(
        [python, "-c", SERVE, str(theirs.fileno()), *map(str, words)],
        cwd=folder or Path(__file__).parents[1],
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    try:
        yield ours
    finally:
        process.terminate()
        process.wait()


def race(
    case: str,
    optimizer: str,
    rounds: int,
    seconds: float,
    clock: str,
    names: Sequence[str],
    builds: Sequence[Path],
) -> Results:
    """Seconds per iteration in one case: of the contestants with these names, and of exprun in the
    clones ``builds``."""
    turns: dict[str, Callable[[], float] | str] = {}
    here: list[tuple[str, Path | None, str]] = [(name, None, name) for name in names]
    with ExitStack() as stack:
        for label, folder, name in (*here, *((f"{US}, {b.name}", b, US) for b in builds)):
            turns[label] = missing(CONTESTANTS[name].needs)
            if turns[label]:
                continue
            pipe = stack.enter_context(served(folder, name, case, optimizer, seconds, clock))
            try:
                answer = pipe.recv()
            except EOFError:
                answer = "its process died"
            turns[label] = partial(ask, pipe) if answer == "ready" else f"failed: {answer}"
        return in_turns(turns, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.peers", description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; repeatable")
    parser.add_argument("--optimizer", action="append", choices=LEARNING_RATES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn, about")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: on a machine that others use as well"
    )
    parser.add_argument(
        "--only", action="append", choices=CONTESTANTS, help="only this contestant; repeatable"
    )
    parser.add_argument(
        "--build",
        action="append",
        type=Path,
        default=[],
        metavar="FOLDER",
        help="exprun in another clone, with its .venv; repeatable",
    )
    parser.add_argument("--quick", action="store_true", help="one round of short turns")
    options = parser.parse_args()
    rounds, seconds = (1, 0.1) if options.quick else (options.rounds, options.seconds)
    os.environ.update(ONE_THREAD)

    print(f"{machine()}; one thread each.\n")
    print(versions("torch", "lightning", "skorch", "scikit-learn", "keras", "jax", "optax"))
    print(
        f"\nµs per training iteration ({options.clock} time), median of {rounds} rounds, and how "
        "many times exprun's. Cases: data and batch size."
    )
    for optimizer in options.optimizer or LEARNING_RATES:
        cases = options.case or list(CASES)
        names = options.only or list(CONTESTANTS)
        results = {
            case: race(case, optimizer, rounds, seconds, options.clock, names, options.build)
            for case in cases
        }
        rows = [
            [
                name,
                *(
                    f"{figure(r[name], '.0f', 1e6)} {ratio(r, name, US)}".strip()
                    for r in results.values()
                ),
            ]
            for name in results[cases[0]]
        ]
        title = "SGD, momentum 0.9" if optimizer == "sgd" else "Adam"
        print(f"\n{table([title, *cases], rows)}", flush=True)


if __name__ == "__main__":
    main()
