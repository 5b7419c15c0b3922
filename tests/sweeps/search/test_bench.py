"""``bench.search``, on a few rows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from bench.search import (
    Plan,
    Regret,
    Times,
    as_good,
    best,
    incumbents,
    random_search,
    regret,
    regret_table,
    times_table,
)
from bench.search_data import TEST_ROWS, TRAIN_ROWS, write
from bench.search_loops import Rows, optimizer_of, train
from torch import nn

from exprun.techniques.optimizers import Momentum

SPACE = {"optimizer": ("sgd", "adam"), "optimizer.lr": ("0.001", "0.1"), "reg": ("none",)}
SLOW, FAST = (
    ("optimizer=sgd", "optimizer.lr=0.001", "reg=none"),
    (
        "optimizer=sgd",
        "optimizer.lr=0.1",
        "reg=none",
    ),
)


def plan(folder: Path) -> Plan:
    return Plan(folder, folder / "work", SPACE, 3, 1, 1, 2)


def frame(rows: int) -> object:
    x, z = np.random.default_rng(0).normal(size=(2, rows))
    inside = np.where(x**2 + z**2 < 1.2, "in", "out")
    return pd.DataFrame({"class": inside, "x": x, "z": z})


def test_random_search_over_everything_has_the_pick_of_the_grid(tmp_path: Path) -> None:
    write(frame(150), "class", "toy", tmp_path)
    found = regret(plan(tmp_path), "toy", 3)
    # 4 configurations to epoch 1, 3 of them to epoch 3; 10 epochs are more than 3 whole jobs
    assert found.share == 10 / 12
    assert found.random_configs == 4
    assert found.random == [0.0]
    assert len(found.searched) == 1
    assert 0 < found.grid_accuracy <= 100


def test_files_share_no_row(tmp_path: Path) -> None:
    write(frame(5000), "class", "large", tmp_path)
    parts = [pd.read_csv(tmp_path / f"{name}.csv") for name in ("large", "large_test")]
    assert [len(part) for part in parts] == [TRAIN_ROWS, TEST_ROWS]
    assert list(parts[0]) == ["y", "x", "z"]
    assert not set(parts[0].x) & set(parts[1].x)


def test_the_best_has_not_diverged() -> None:
    losses = {SLOW: [[3.0, 2.0], [3.0, 2.0]], FAST: [[1.0, 0.1], [1.0]]}
    assert best(losses, 1, losses) == FAST
    assert best(losses, 2, losses) == SLOW
    losses[FAST][1] = [0.5, math.nan]
    assert best(losses, 2, losses) == SLOW


def test_random_search_takes_as_many_as_the_epochs_allow(tmp_path: Path) -> None:
    own = plan(tmp_path)
    losses = {config: [[float(i)] * 3] for i, config in enumerate(own.configs)}
    picks = [random_search(own, losses, 3, 4, number) for number in range(20)]  # two of four
    assert set(picks) == set(own.configs[:3])


def test_the_first_trial_that_is_as_good(tmp_path: Path) -> None:
    words = [dict(word.split("=") for word in config) for config in (SLOW, FAST, SLOW)]
    trials = [
        {"ended": ended, "val_loss": loss, "config": config}
        for ended, loss, config in zip((5.0, 7.0, 9.0), (0.9, 0.8, 0.85), words, strict=True)
    ]
    found = incumbents(plan(tmp_path), trials)
    assert found == [(5.0, SLOW), (7.0, FAST)]
    assert as_good(FAST, found, {FAST: 90.0, SLOW: 89.0}) == 7.0
    assert as_good(FAST, found, {FAST: 90.0, SLOW: 89.9}) == 5.0
    assert as_good(FAST, found[:1], {FAST: 90.0, SLOW: 89.0}) is None


def test_tables() -> None:
    one = Regret(90.0, [0.0, 0.2], [0.0, 1.0], 7, 1 / 11, {2: 1})
    other = Regret(80.0, [0.3, 0.3], [1.0, 1.0], 7, 1 / 11, {})
    rows = regret_table({"one": one, "other": other}, 27).splitlines()
    assert rows[2] == "| one | 90.00 % | 1/11.0 | 0.10 | 0.20 | 0.50 (7) | 0.40 | 1 at rung 2 |"
    assert rows[4].startswith("| mean |  |  | 0.20 (-1.07 to 1.47) |  | 0.75 (")
    rows = times_table({"one": Times(10, 400, 55, 120), "other": Times(10, 400, None, 120)}, 27)
    assert "| one | 10.0 | 55 | 5.5× | 400 | 40.0× |" in rows
    assert "| other | 10.0 | not in 120 | > 10× | 400 | 40.0× |" in rows


def test_momentum_of_the_plain_loop_is_the_average_of_gradients() -> None:
    """After a first step, whose average torch starts with the gradient instead of 0."""
    layers = [nn.Linear(3, 1, bias=False) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    ours = Momentum(layers[0].parameters(), lr=0.1, momentum=0.9, weight_decay=0.0)
    theirs = optimizer_of("momentum", 0.1, layers[1])
    for value in [0.0, 1.0, 2.0, 3.0]:
        for layer, optimizer in zip(layers, (ours, theirs), strict=True):
            layer.weight.grad = torch.full_like(layer.weight, value)
            optimizer.step()
    torch.testing.assert_close(layers[0].weight, layers[1].weight)


def test_the_plain_loop_learns() -> None:
    x = torch.linspace(-1, 1, 64)[:, None]
    y = (x[:, 0] > 0).long()
    losses: list[float] = []
    config = {"optimizer": "adam", "optimizer.lr": "0.03", "reg": "l2"}
    train(Rows(x, y, x, y), config, 0, 20, lambda _, loss: losses.append(loss))
    assert len(losses) == 20
    assert losses[-1] < losses[0] / 2
