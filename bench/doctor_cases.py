"""The runs that ``bench.doctor`` asks the doctor about: which were looked at while its rules were
made (DEVELOPMENT), and which were not (HELD_OUT: other data sets, other optimizers, activations,
sizes). Written down before the rules were tried; what a table's name means is in ``TABLES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets

Array = NDArray[np.float64]
Drawn = tuple[Array, Array]
ILL, HEALTHY, NOTHING = "ill", "healthy", "nothing to learn"


def _labels(y: NDArray[Any]) -> NDArray[Any]:
    return np.array([f"class{int(k)}" for k in y])


def _classes(made: Drawn) -> Drawn:
    return made[0], _labels(made[1])


def _rare(seed: int, share: float, shift: float, rows: int = 1500) -> Drawn:
    """Normal inputs; those of a rare class are shifted in each of four columns."""
    rng = np.random.default_rng(seed)
    rare = rng.random(rows) < share
    return rng.normal(size=(rows, 4)) + shift * rare[:, None], _labels(rare)


def _linear(seed: int, noise: float, rows: int = 400) -> Drawn:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6))
    return x, x @ np.arange(1, 7) / 5 + noise * rng.normal(size=rows)


def _sine(seed: int, noise: float, rows: int = 500) -> Drawn:
    """A sine of two periods along one input, a square along the other."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, size=(rows, 2))
    return x, np.sin(6 * x[:, 0]) + x[:, 1] ** 2 + noise * rng.normal(size=rows)


def _checkers(seed: int, rows: int = 800) -> Drawn:
    """A 3 x 3 chessboard, 5 % of its labels turned."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 3, size=(rows, 2))
    odd = x.astype(int).sum(1) % 2
    return x, _labels(np.where(rng.random(rows) < 0.05, 1 - odd, odd))


def _outlier(made: Drawn, value: float) -> Drawn:
    """The same with one target that is a slip of the pen. (Row 7 of each is a training row of
    ``data.split_seed=0``; the bench checks that.)"""
    x, y = made
    return x, np.where(np.arange(len(y)) == 7, value, y)


def _sorted(made: Drawn) -> Drawn:
    x, y = made
    order = np.argsort(y)
    return x[order], y[order]


def _permuted(made: Drawn) -> Drawn:
    return made[0], np.random.default_rng(5).permutation(made[1])


def _scaled(made: Drawn, factors: Sequence[float]) -> Drawn:
    """Columns in other units."""
    x, y = made
    return x * np.resize(np.array(factors), x.shape[1]), y


def _quantiles(seed: int) -> Drawn:
    return _classes(datasets.make_gaussian_quantiles(
        n_samples=600, n_features=3, n_classes=3, random_state=seed))  # fmt: skip


def _clusters(seed: int, flip: float, separation: float = 1.0) -> Drawn:
    return _classes(datasets.make_classification(
        n_samples=600, n_features=12, n_informative=6, n_classes=4, n_clusters_per_class=1,
        flip_y=flip, class_sep=separation, random_state=seed))  # fmt: skip


def _friedman(which: int, noise: float) -> Drawn:
    make = (datasets.make_friedman1, datasets.make_friedman2, datasets.make_friedman3)[which - 1]
    made: Drawn = make(n_samples=500, noise=noise, random_state=which)
    return made


def _hastie() -> Drawn:
    x, y = datasets.make_hastie_10_2(n_samples=1500, random_state=2)
    return x, _labels(y > 0)


TABLES: Mapping[str, Callable[[], Drawn]] = {
    # development
    "rare": lambda: _rare(0, 0.04, 1.2),
    "linear": lambda: _linear(0, 1.5),
    "linear_outlier": lambda: _outlier(_linear(1, 0.5), 1e6),
    "linear_sorted": lambda: _sorted(_linear(2, 0.5)),
    "linear_permuted": lambda: _permuted(_linear(3, 0.5)),
    "blobs_permuted": lambda: _permuted(
        _classes(datasets.make_blobs(500, centers=10, n_features=5, random_state=0))
    ),
    "units": lambda: _scaled(_linear(4, 0.5), (1, 100, 1e4)),
    # held out
    "friedman1": lambda: _friedman(1, 1.0),
    "friedman1_noisy": lambda: _friedman(1, 5.0),
    "friedman2": lambda: _friedman(2, 100.0),
    "friedman3": lambda: _friedman(3, 0.1),
    "sine": lambda: _sine(0, 0.3),
    "checkers": lambda: _checkers(0),
    "quantiles": lambda: _quantiles(0),
    "clusters": lambda: _clusters(0, 0.02),
    "clusters_noisy": lambda: _clusters(1, 0.3),
    "hastie": _hastie,
    "friedman1_outlier": lambda: _outlier(_friedman(1, 1.0), 1e6),
    "sine_outlier": lambda: _outlier(_sine(0, 0.1), -1e5),
    "friedman3_outlier": lambda: _outlier(_friedman(3, 0.1), 3e4),
    "friedman1_sorted": lambda: _sorted(_friedman(1, 1.0)),
    "sine_sorted": lambda: _sorted(_sine(0, 0.1)),
    "friedman3_sorted": lambda: _sorted(_friedman(3, 0.1)),
    "friedman2_units": lambda: _friedman(2, 100.0),
    "clusters_units": lambda: _scaled(_clusters(0, 0.02), (1, 300, 1e-3)),
    "quantiles_units": lambda: _scaled(_quantiles(0), (1000, 1, 1)),
    "rare_far": lambda: _rare(1, 0.06, 1.0),
    "rare_near": lambda: _rare(2, 0.1, 0.7),
    "rare_more": lambda: _rare(3, 0.08, 1.0, 2500),
    "clusters_permuted": lambda: _permuted(_clusters(0, 0.02)),
    "quantiles_permuted": lambda: _permuted(_quantiles(0)),
    "friedman1_permuted": lambda: _permuted(_friedman(1, 1.0)),
    "sine_permuted": lambda: _permuted(_sine(0, 0.3)),
}
"""Inputs and targets by the name of the CSV file."""


def write_table(path: Path) -> None:
    """The table of the file's name, as CSV: columns ``x1``, ``x2``, …, ``y``."""
    x, y = TABLES[path.stem]()
    head = [*(f"x{i}" for i in range(1, x.shape[1] + 1)), "y"]
    rows = [[*(f"{v:.6g}" for v in row), str(t)] for row, t in zip(x, y.tolist(), strict=True)]
    path.write_text("\n".join(map(",".join, [head, *rows])) + "\n")


def _csv(name: str) -> str:
    return f"data=csv data.path={name}.csv data.target=y"


def _crossed(sets: Sequence[str], settings: Sequence[str]) -> list[str]:
    return [f"{data} {words}".strip() for data in sets for words in settings]


DEVELOPMENT: Mapping[str, Sequence[str]] = {
    HEALTHY: [
        *_crossed(
            ["data=wine", "data=diabetes", "data=moons data.noise=0.4", "data=breast_cancer",
             _csv("linear")],
            ["", "optimizer=sgd trainer.max_epochs=150", "reg=l2", "reg=dropout norm=batch",
             "scheduler=cosine", "optimizer=rmsprop norm=layer"],
        ),
        "data=iris optimizer.lr=0.003 trainer.max_epochs=100",
        "data=iris reg=l1 optimizer.lr=0.005",
        "data=circles data.noise=0.2 reg=weight_decay",
        "data=spirals trainer.max_epochs=150 stopping.patience=30",
        "data=digits trainer.max_epochs=12 model.hidden=[32]",
        "data=digits trainer.max_epochs=12 model.hidden=[32] loss=mse",
        f"{_csv('rare')} loss.class_weight=balanced",
        "data=breast_cancer loss.class_weight=balanced",
        "data=moons data.noise=0.6 data.rows=300 model.hidden=[32]",
    ],
    ILL: [
        *_crossed(
            ["data=wine", "data=diabetes", "data=moons"],
            ["optimizer.lr=1", "optimizer.lr=1e-6", "optimizer=sgd optimizer.lr=1e6 loss=mse",
             "scheduler=exponential scheduler.gamma=0.1 optimizer=sgd",
             "reg=l2 reg.l2.strength=100", "init=zeros", "optimizer=sgd trainer.max_epochs=2",
             "model.hidden=[16,16,16,16,16,16,16,16] model.activation=sigmoid"],
        ),
        "data=iris optimizer=adam optimizer.lr=0.3 norm=batch",
        "data=circles model.activation=identity",
        "data=spirals model.hidden=[2] optimizer.lr=0.01",
        "data=diabetes stopping=none stopping.restore_best=false trainer.max_epochs=200",
        "data=moons data.rows=80 data.noise=0.4 stopping=none stopping.restore_best=false "
        "trainer.max_epochs=300",
        "data=wine data.standardize=false",
        "data=breast_cancer data.standardize=false",
        f"{_csv('units')} data.standardize=false",
        f"{_csv('rare')}",
        f"{_csv('linear_outlier')}",
        f"{_csv('linear_sorted')} data.split=last",
        "data=iris optimizer=sgd stopping.patience=1",
        "data=wine batching=stochastic optimizer.lr=0.03 trainer.max_epochs=15",
        "data=diabetes scheduler.warmup_epochs=5000",
    ],
    NOTHING: [_csv("linear_permuted"), _csv("blobs_permuted"),
              f"{_csv('linear_permuted')} optimizer.lr=0.01 reg=l2"],
}  # fmt: skip

_PLAIN = ("friedman1", "friedman1_noisy", "friedman2", "friedman3", "sine", "checkers",
          "quantiles", "clusters", "clusters_noisy", "hastie")  # fmt: skip

HELD_OUT: Mapping[str, Sequence[str]] = {
    HEALTHY: _crossed(
        list(map(_csv, _PLAIN)),
        [
            "trainer.max_epochs=100",
            "optimizer=nadam model.hidden=[64,64]",
            "optimizer=adamax optimizer.lr=0.005 model.activation=gelu trainer.max_epochs=80",
            "optimizer=radam model.activation=silu optimizer.lr=0.003 trainer.max_epochs=80",
            "optimizer=nesterov optimizer.lr=0.01 trainer.max_epochs=120 stopping.patience=20",
            "optimizer=momentum trainer.max_epochs=120 stopping.patience=20",
            "optimizer=adagrad trainer.max_epochs=100",
            "model.activation=tanh init=xavier optimizer.lr=0.003 trainer.max_epochs=100",
            "norm=batch batching.batch_size=64 model.hidden=[48]",
            "norm=layer model.hidden=[64,32] optimizer.lr=0.002",
            "reg=weight_decay model.activation=elu trainer.max_epochs=80",
            "reg=l1 model.hidden=[64] optimizer.lr=0.003 trainer.max_epochs=80",
            "reg=elastic_net model.hidden=[64] optimizer.lr=0.003 trainer.max_epochs=80",
            "reg=dropout trainer.max_epochs=100",
            "reg=max_norm optimizer=rmsprop",
            "scheduler=one_cycle optimizer.lr=0.005 trainer.max_epochs=60",
            "scheduler=step optimizer.lr=0.003 trainer.max_epochs=60",
            "scheduler=plateau optimizer.lr=0.003 trainer.max_epochs=80",
            "batching.batch_size=8 trainer.max_epochs=30",
            "averaging=ema optimizer.lr=0.003 trainer.max_epochs=80",
        ],
    ),
    ILL: [
        *_crossed(
            [_csv("friedman1"), _csv("checkers"), _csv("clusters"), _csv("sine")],
            [
                "optimizer=nadam optimizer.lr=1",
                "optimizer=momentum optimizer.lr=10",
                "optimizer=adamax optimizer.lr=1e-6",
                "optimizer=nesterov optimizer.lr=1e-6",
                "optimizer=radam scheduler=step scheduler.step_size=1 scheduler.gamma=0.2",
                "reg=weight_decay reg.weight_decay.strength=1000",
                "reg=l1 reg.l1.strength=1",
                "init=constant",
                "model.activation=tanh init=normal init.std=0.001 model.hidden=[24,24,24,24,24,24]",
                "optimizer=momentum trainer.max_epochs=1",
            ],
        ),
        f"{_csv('sine')} model.activation=identity",
        f"{_csv('checkers')} model.hidden=[1]",
        f"{_csv('quantiles')} model.hidden=[]",
        *(
            f"{_csv(name)} stopping=none stopping.restore_best=false trainer.max_epochs=200"
            for name in ("friedman1_noisy", "clusters_noisy")
        ),
        *(f"{_csv(f'{name}_units')} data.standardize=false" for name in
          ("friedman2", "clusters", "quantiles")),
        *(_csv(f"{name}_outlier") for name in ("friedman1", "sine", "friedman3")),
        *(f"{_csv(f'{name}_sorted')} data.split=last" for name in
          ("friedman1", "sine", "friedman3")),
        *map(_csv, ("rare_far", "rare_near", "rare_more")),
        f"{_csv('clusters')} optimizer=momentum optimizer.lr=0.003 stopping.patience=1 "
        "stopping.min_delta=0.05",
        f"{_csv('friedman3')} batching.batch_size=2 optimizer=nadam optimizer.lr=0.1 "
        "trainer.max_epochs=15",
        f"{_csv('sine')} scheduler.warmup_epochs=5000",
    ],
    NOTHING: [
        *map(_csv, ("clusters_permuted", "quantiles_permuted", "friedman1_permuted",
                    "sine_permuted")),
        f"{_csv('clusters_permuted')} optimizer.lr=0.01 reg=dropout",
        f"{_csv('friedman1_permuted')} optimizer.lr=0.01 reg=l1",
    ],
}  # fmt: skip
