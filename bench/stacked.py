"""A sweep of 64 jobs from the shell, next to other ways to train them: wall time of it all.

    python -m bench.stacked
    python -m bench.stacked --members 16,64,256    # exprun's throughput as the sweep grows
    python -m bench.stacked --build ../older       # exprun here and in another clone with a .venv
    python -m bench.stacked --quick                # shows that it works; the figures mean nothing

8 learning rates × 8 seeds, Adam, digits 64-100-100-10, batch size 32, 20 epochs with a validation
each. Every contestant is a command in an empty folder, from the start of Python to its end; they
take turns. A process computes with one thread, unless it is said otherwise.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from bench.contestants import (
    CASES,
    CONTESTANTS,
    JAX,
    PRODUCTS,
    US,
    Job,
    Stamp,
    arrays,
    initial_weights,
    jax_training,
)
from bench.side_by_side import (
    ONE_THREAD,
    SCRIPTS,
    Results,
    command,
    figure,
    in_turns,
    machine,
    median,
    missing,
    ratio,
    seconds_table,
    table,
    versions,
)

CASE = "digits-32"
LEARNING_RATES = (0.0003, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02)
PEERS = {
    "torch": "PyTorch loop, tensors",
    "products": PRODUCTS,
    "sklearn": "scikit-learn",
    "jax": JAX,
}
THREADS: dict[str, str] = {}
"""An environment in which everybody takes as many threads as they like."""


def grid(seeds: int, epochs: int) -> list[Job]:
    return [
        Job(CASE, "adam", epochs, lr, seed)
        for lr, seed in itertools.product(LEARNING_RATES, range(seeds))
    ]


def train_one(name: str, job: Job) -> None:
    CONTESTANTS[PEERS[name]].train(job, lambda: None)


def train_each(name: str, jobs: Sequence[Job], workers: int) -> None:
    """One after another, in this process or in so many forked from it when it has everything."""
    arrays(CASE)
    if name in ("torch", "products"):
        import torch

        torch.set_num_threads(1)
    if workers == 1:
        for job in jobs:
            train_one(name, job)
    else:
        with ProcessPoolExecutor(workers, get_context("fork")) as pool:
            list(pool.map(partial(train_one, name), jobs))


def train_vmap(jobs: Sequence[Job], stamp: Stamp = lambda: None) -> None:
    """All at once in JAX, epoch after epoch, compiled once. The jobs differ in seed and learning
    rate; ``stamp`` is called after each epoch."""
    import jax
    import jax.numpy as jnp

    first = jobs[0]
    x, y = map(jnp.asarray, arrays(first.case)[:2])
    initial, epoch = jax_training(first.case, first.optimizer)
    lrs = jnp.array([job.lr for job in jobs])
    keys = jax.vmap(jax.random.key)(jnp.array([job.seed for job in jobs]))
    weights = jax.tree.map(lambda *each: jnp.asarray(np.stack(each)), *map(initial_weights, jobs))
    states = jax.jit(jax.vmap(initial))(weights)
    epochs = jax.jit(jax.vmap(epoch, in_axes=(0, 0, 0, None, None)))
    for number in range(first.epochs):
        orders = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)
        states = jax.block_until_ready(epochs(states, orders, lrs, x, y))
        stamp()


DIGITS = ("data=digits", f"model.hidden={list(CASES[CASE].hidden)}")
SMALL = ("data=iris", "model.hidden=[16]")


def exprun_command(
    seeds: int,
    epochs: int,
    *words: str,
    environment: Mapping[str, str] = ONE_THREAD,
    python: Path = Path(sys.executable),
    data: Sequence[str] = DIGITS,
) -> Callable[[], float]:
    return command(
        python,
        "-m",
        "exprun",
        "-m",
        *data,
        "optimizer=adam",
        f"optimizer.lr={','.join(map(str, LEARNING_RATES))}",
        f"seed=range({seeds})",
        f"batching.batch_size={CASES[CASE].batch_size}",
        f"trainer.max_epochs={epochs}",
        "stopping=none",
        "device=cpu",
        *words,
        environment=environment,
    )


def lightning_command(jobs: int, epochs: int) -> Callable[[], float]:
    """So many jobs, at most 8, one for each learning rate."""
    return command(
        sys.executable,
        SCRIPTS / "lightning_mlp.py",
        "-m",
        f"lr={','.join(map(str, LEARNING_RATES[:jobs]))}",
        "hidden=[100,100]",
        f"epochs={epochs}",
    )


def extrapolated(timed: Callable[[int], Callable[[], float]], some: int, total: int) -> float:
    """Seconds that ``total`` jobs would take, by those of 1 job and of ``some``."""
    one, several = timed(1)(), timed(some)()
    return one + (several - one) / (some - 1) * (total - 1)


STACKED = "hydra/launcher=stacked"
ONE_WORKER = "hydra.launcher.workers=1"


def race(seeds: int, epochs: int, few: int, rounds: int) -> str:
    """The table of wall times."""
    jobs = len(LEARNING_RATES) * seeds

    def peer(
        name: str, workers: int = 1, environment: Mapping[str, str] = ONE_THREAD
    ) -> Callable[[], float]:
        words = f"-m bench.stacked --train {name} --workers {workers}".split()
        size = ["--seeds", str(seeds), "--epochs", str(epochs)]
        return command(sys.executable, *words, *size, environment=environment)

    ours = f"{US} stacked"
    contestants: dict[str, Callable[[], float] | str] = {
        ours: exprun_command(seeds, epochs, STACKED, environment=THREADS),
        f"{US} stacked, one worker": exprun_command(seeds, epochs, STACKED, ONE_WORKER),
        f"{US} one after another": exprun_command(seeds, epochs, "hydra/launcher=basic"),
        "PyTorch loop": peer("torch"),
        "PyTorch loop, two workers": peer("torch", 2),
        f"{PRODUCTS}, two workers": peer("products", 2),
        "scikit-learn": peer("sklearn"),
        "scikit-learn, two workers": peer("sklearn", 2),
        "JAX scan": missing(["jax", "optax"]) or peer("jax"),
        "JAX vmap": missing(["jax", "optax"]) or peer("vmap"),
        "JAX vmap, all threads": missing(["jax", "optax"]) or peer("vmap", environment=THREADS),
        "Lightning through Hydra": missing(["lightning"])
        or partial(extrapolated, lambda n: lightning_command(n, epochs), few, jobs),
    }
    notes = {
        ours: "as it is: as many workers as pay; curves, checkpoints, models, leaderboard",
        f"{US} stacked, one worker": "the same files",
        f"{US} one after another": "the same files, Hydra's basic launcher",
        "PyTorch loop": "batches gathered from tensors, no DataLoader; no files",
        "PyTorch loop, two workers": "no files; forked when torch was imported",
        f"{PRODUCTS}, two workers": "torch.mm, and the imports of torch and scikit-learn",
        "scikit-learn": "no files",
        "scikit-learn, two workers": "no files",
        "JAX scan": "one after another, compiled once; no validation, no logging",
        "JAX vmap": "no validation, no logging",
        "JAX vmap, all threads": "no validation, no logging",
        "Lightning through Hydra": f"extrapolated to {jobs} jobs from runs of 1 and of {few}",
    }
    return seconds_table(in_turns(contestants, rounds), ours, notes)


def growth(members: Sequence[int], epochs: int, rounds: int) -> str:
    """The table of exprun's throughput: what 3 times the epochs take longer is training alone."""
    turns: dict[str, Callable[[], float] | str] = {}
    for k in members:
        if k % len(LEARNING_RATES):
            raise SystemExit(f"--members {k}: expected multiples of {len(LEARNING_RATES)}")
        for e, words in itertools.product((epochs, 3 * epochs), ((), (ONE_WORKER,))):
            threads = ONE_THREAD if words else THREADS
            turns[f"{k} {e} {len(words)}"] = exprun_command(
                k // len(LEARNING_RATES), e, STACKED, *words, environment=threads
            )
    results: Results = in_turns(turns, rounds)
    iterations = Job(CASE, "adam", epochs).iterations * epochs
    rows = []
    for k in members:
        row = [str(k)]
        for one_worker in (0, 1):
            short, long = (median(results[f"{k} {e} {one_worker}"]) for e in (epochs, 3 * epochs))
            rate = f"{k * iterations * 2 / (long - short):,.0f}" if long > short else "–"
            row += [f"{short:.2f}", rate]
        rows.append(row)
    head = ["members", "seconds", "member-iterations/s", "one worker: seconds"]
    failed = [f"\n{name}: {why}" for name, why in results.items() if isinstance(why, str)]
    return table([*head, "member-iterations/s"], rows) + "".join(failed)


def beside(build: Path, epochs: int, rounds: int) -> str:
    """The table of exprun here and in another clone, for three sweeps by the stacked launcher."""
    sweeps = {
        f"64 jobs, {epochs} epochs of the digits": (8, epochs, DIGITS),
        f"256 jobs, {epochs} epochs of the digits": (32, epochs, DIGITS),
        "1024 jobs, 3 epochs of iris, 16 hidden units": (128, 3, SMALL),
    }
    pythons = {"here": Path(sys.executable), build.name: build / ".venv" / "bin" / "python"}
    rows = []
    for name, (seeds, own, data) in sweeps.items():
        turns: dict[str, Callable[[], float] | str] = {
            who: exprun_command(seeds, own, STACKED, environment=THREADS, python=python, data=data)
            for who, python in pythons.items()
        }
        results = in_turns(turns, rounds)
        times = [figure(results[who], ".1f") for who in pythons]
        rows.append([name, *times, ratio(results, build.name, "here")])
    return table(["sweep", *(f"{who}, s" for who in pythons), "ratio"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.stacked", description=__doc__.splitlines()[0])
    parser.add_argument("--members", help="sizes of sweeps, like 16,64,256, instead of the race")
    parser.add_argument(
        "--build", type=Path, metavar="FOLDER", help="beside this clone instead of the race"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=8, help="jobs for each of 8 learning rates")
    parser.add_argument("--quick", action="store_true", help="one round, one seed, two epochs")
    parser.add_argument("--train", choices=[*PEERS, "vmap"], help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.epochs, options.seeds = 1, 2, 1
    jobs = grid(options.seeds, options.epochs)
    if options.train == "vmap":
        train_vmap(jobs)
        return
    if options.train:
        train_each(options.train, jobs, options.workers)
        return

    print(f"{machine()}\n\n{versions('torch', 'lightning', 'scikit-learn', 'jax', 'optax')}\n")
    print(f"{options.epochs} epochs, median of {options.rounds} rounds.\n")
    if options.build:
        print(beside(options.build.absolute(), options.epochs, options.rounds))
    elif options.members:
        members = [int(k) for k in options.members.split(",")]
        print(growth(members, options.epochs, options.rounds))
    else:
        print(f"{len(jobs)} jobs from the shell:\n")
        few = 2 if options.quick else len(LEARNING_RATES)
        print(race(options.seeds, options.epochs, few, options.rounds))


if __name__ == "__main__":
    main()
