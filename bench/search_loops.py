"""Plain PyTorch loops over the space of ``bench.search``, in two processes of one thread each.

``grid`` trains every job of the grid, or one in so many of them; ``optuna`` is a study of Optuna's
with its Hyperband pruner and a journal, in which both processes ask, train and report. Each is a
whole process, started by ``bench.search``; it prints what it found as JSON.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

PROCESSES = 2
BATCH_SIZE = 32
HIDDEN = 32
VAL_FRACTION = 0.2

SPACE = {
    "optimizer": ("sgd", "momentum", "rmsprop", "adam"),
    "optimizer.lr": ("0.0003", "0.001", "0.003", "0.01", "0.03", "0.1"),
    "reg": ("none", "l2", "dropout"),
}
"""The values of each key, as exprun has them: 72 configurations."""

Report = Callable[[int, float], None]
"""Takes an epoch, from 1, and the validation loss after it."""


@dataclass(frozen=True)
class Rows:
    """Standardised features (rows, features) and classes (rows,) to train and validate on."""

    x: Tensor
    y: Tensor
    x_val: Tensor
    y_val: Tensor

    @property
    def classes(self) -> int:
        return int(torch.cat([self.y, self.y_val]).max()) + 1


def read(path: Path) -> Rows:
    """The rows of a file of ``bench.search_data``, split at random, stratified."""
    from sklearn.model_selection import train_test_split

    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "y"]
    x = np.array([[float(row[name]) for name in names] for row in rows], dtype=np.float32)
    y = np.unique([row["y"] for row in rows], return_inverse=True)[1]
    x, x_val, y, y_val = train_test_split(x, y, test_size=VAL_FRACTION, stratify=y, random_state=0)
    mean, std = x.mean(axis=0), x.std(axis=0)
    std[std == 0] = 1
    x, x_val = (x - mean) / std, (x_val - mean) / std
    return Rows(*map(torch.from_numpy, (x, y, x_val, y_val)))


def optimizer_of(name: str, lr: float, network: nn.Module) -> torch.optim.Optimizer:
    if name == "momentum":  # the average of the gradients
        return torch.optim.SGD(network.parameters(), lr, momentum=0.9, dampening=0.9)
    kinds = {"sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop, "adam": torch.optim.Adam}
    return kinds[name](network.parameters(), lr)


def train(rows: Rows, config: dict[str, str], seed: int, epochs: int, report: Report) -> None:
    """Train a configuration; batches are gathered from tensors."""
    torch.manual_seed(seed)
    dropout = [nn.Dropout(0.2)] if config["reg"] == "dropout" else []
    hidden, last = nn.Linear(rows.x.shape[1], HIDDEN), nn.Linear(HIDDEN, rows.classes)
    for layer in (hidden, last):
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    network = nn.Sequential(hidden, nn.ReLU(), *dropout, last)
    optimizer = optimizer_of(config["optimizer"], float(config["optimizer.lr"]), network)
    for epoch in range(1, epochs + 1):
        network.train()
        for batch in torch.randperm(len(rows.x)).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss = cross_entropy(network(rows.x[batch]), rows.y[batch])
            if config["reg"] == "l2":
                norm = hidden.weight.square().sum() + last.weight.square().sum()
                loss = loss + norm / (2 * len(rows.x))
            loss.backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            report(epoch, cross_entropy(network(rows.x_val), rows.y_val).item())


def in_processes(work: Callable[[int], None]) -> None:
    """Call ``work`` with the number of each of PROCESSES forked processes."""
    context = get_context("fork")
    processes = [context.Process(target=work, args=(number,)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0


def warm_up(rows: Rows) -> None:
    """Let torch import what its optimizers need, before processes are forked."""
    for name in SPACE["optimizer"]:
        config = {"optimizer": name, "optimizer.lr": "0.001", "reg": "none"}
        train(rows, config, 0, 1, lambda *_: None)


def grid(rows: Rows, epochs: int, seeds: int, one_in: int) -> dict[str, float]:
    """Train one in so many jobs of the grid; their number, and the seconds that they took."""
    configs = [
        dict(zip(SPACE, values, strict=True)) for values in itertools.product(*SPACE.values())
    ]
    jobs = list(itertools.product(configs, range(seeds)))
    jobs = [jobs[i] for i in np.random.default_rng(0).permutation(len(jobs))][::one_in]

    def work(number: int) -> None:
        for config, seed in jobs[number::PROCESSES]:
            train(rows, config, seed, epochs, lambda *_: None)

    began = time.perf_counter()
    in_processes(work)
    return {"jobs": len(jobs), "seconds": time.perf_counter() - began}


def optuna_study(rows: Rows, epochs: int, limit: float) -> list[dict[str, Any]]:
    """The completed trials of a study of so many seconds: the time at which each ended, in seconds
    since the epoch, its configuration and its best validation loss."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    end = time.time() + limit

    def objective(trial: optuna.Trial) -> float:
        config = {key: trial.suggest_categorical(key, values) for key, values in SPACE.items()}
        losses: list[float] = []

        def report(epoch: int, loss: float) -> None:
            losses.append(loss)
            trial.report(loss, epoch)
            if epoch < epochs and trial.should_prune():
                raise optuna.TrialPruned
            if time.time() > end:
                trial.study.stop()
                raise optuna.TrialPruned

        train(rows, config, 0, epochs, report)
        return min(losses)

    with tempfile.TemporaryDirectory() as folder:

        def study(number: int) -> optuna.Study:
            return optuna.create_study(
                storage=JournalStorage(JournalFileBackend(f"{folder}/journal")),
                study_name="bench",
                load_if_exists=True,
                sampler=optuna.samplers.TPESampler(seed=number),
                pruner=optuna.pruners.HyperbandPruner(1, epochs, 3),
            )

        study(0)
        in_processes(lambda number: study(number).optimize(objective, timeout=limit))
        done = [trial for trial in study(0).trials if trial.state.name == "COMPLETE"]
    return [
        {"ended": t.datetime_complete.timestamp(), "config": t.params, "val_loss": t.value}
        for t in sorted(done, key=lambda trial: trial.datetime_complete)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.search_loops")
    commands = parser.add_subparsers(required=True)
    for name in ("grid", "optuna"):
        command = commands.add_parser(name)
        command.set_defaults(name=name)
        command.add_argument("path", type=Path)
        command.add_argument("--epochs", type=int, required=True)
    commands.choices["grid"].add_argument("--seeds", type=int, required=True)
    commands.choices["grid"].add_argument("--one-in", type=int, required=True)
    commands.choices["optuna"].add_argument("--limit", type=float, required=True, help="seconds")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = read(options.path)
    warm_up(rows)
    run = (
        partial(grid, seeds=options.seeds, one_in=options.one_in)
        if options.name == "grid"
        else partial(optuna_study, limit=options.limit)
    )
    print(json.dumps(run(rows, options.epochs)))


if __name__ == "__main__":
    main()
