"""What several test files share: one thread, two small data sets, and a training made of them."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from omegaconf import DictConfig, OmegaConf

from exprun.build import mlp
from exprun.common.font_cache import use_no_font_cache
from exprun.common.streams import Streams
from exprun.common.threads import let_threads_sleep
from exprun.config.paths import conf_dir
from exprun.config.schema import plain
from exprun.data import bundled
from exprun.data.frame import Frame
from exprun.data.prepare import Data, prepare
from exprun.data.table import Table
from exprun.data.task import Task
from exprun.fit import learning_curve
from exprun.techniques import losses
from exprun.techniques.initializers import initialize, variance_scaling
from exprun.techniques.networks import MLP
from exprun.techniques.schedules import FactorScheduler
from exprun.training.training import Training
from tests.command import Run, run_command

torch.set_num_threads(1)
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")
signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell's background job ignores Ctrl-C, and so would every process that a test starts."""
use_no_font_cache()
let_threads_sleep()
"""Both set variables of the environment, and would do so in the first test that calls ``main``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also tests marked long: minutes each")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that take minutes, and a quiet machine, unless they are asked for."""
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="takes minutes: pytest --long"))


HE = partial(variance_scaling, scale=2.0, mode="fan_in", distribution="normal")
GRADIENT_DESCENT = partial(torch.optim.SGD, lr=0.1)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """A test writes into folders of its own, not into the one that the tests are started in, and
    variables that a library sets are taken back: ``run_command`` is slow where they differ."""
    here = Path.cwd()
    before = set(here.glob("[!.]*"))
    environment = dict(os.environ)
    yield
    assert set(here.glob("[!.]*")) <= before
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture(scope="session")
def iris() -> Data:
    """150 rows of 3 classes: 104 to train on, 23 for validation and test each."""
    return prepare(bundled.iris(), val_fraction=0.15, test_fraction=0.15)


@pytest.fixture(scope="session")
def line() -> Data:
    """96 training rows, no others: a noisy linear function of 3 features."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 3))
    y = x @ [[1.0], [-2.0], [0.5]] + 3 + 0.1 * rng.normal(size=(96, 1))
    table = Table("line", Frame(("a", "b", "c"), x), y, Task(("y",)))
    return prepare(table, val_fraction=0, test_fraction=0)


def training(
    data: Data,
    *,
    seed: int = 0,
    hidden: Sequence[int] = (16, 8),
    activation: str = "relu",
    norm: Callable[[int], torch.nn.Module] | None = None,
    dropout: Sequence[float] = (),
    loss: Callable[..., losses.Loss] = losses.auto,
    optimizer: Callable[..., torch.optim.Optimizer] = GRADIENT_DESCENT,
    scheduler: Callable[..., Any] = FactorScheduler,
    **options: Any,
) -> Training:
    """A multilayer perceptron with He's initial weights, ready to be fitted for 4 epochs."""
    streams = Streams.from_seed(seed)
    made_loss = loss(data.preprocessing.task)
    model = MLP(
        data.train.x.shape[1],
        made_loss.outputs,
        hidden=hidden,
        activation=activation,
        norm=norm,
        dropout=dropout,
        dropout_stream=streams.dropout,
    )
    initialize(model, HE, streams.init)
    made_optimizer = optimizer(model.parameters())
    return Training(
        model=model,
        loss=made_loss,
        data=data,
        optimizer=made_optimizer,
        scheduler=scheduler(made_optimizer),
        streams=streams,
        **({"batch_size": 16, "max_epochs": 4} | options),
    )


@pytest.fixture
def make_training() -> Callable[..., Training]:
    """``make_training(data, **what_differs)``."""
    return training


@pytest.fixture
def exprun(tmp_path: Path) -> Run:
    """``exprun("optimizer=adam")`` runs the command in an empty folder."""

    return partial(run_command, tmp_path)


@pytest.fixture
def without_torch(tmp_path: Path) -> str:
    """A PYTHONPATH on which importing torch raises."""
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "torch.py").write_text("raise ImportError('torch was imported')\n")
    return str(guard)


@pytest.fixture
def measured_by_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short as trainings of tests are, what is measured after their epochs is replayed, too."""
    monkeypatch.setattr(learning_curve, "RECORD_AFTER", 2)


GROUPS = {
    "problem": "mlp",
    "data": "iris",
    "model": "mlp",
    "init": "he",
    "norm": "none",
    "optimizer": "adam",
    "scheduler": "constant",
    "loss": "auto",
    "batching": "minibatch",
    "stopping": "none",
    "averaging": "none",
}
"""Groups of ``conf/`` and what ``built`` chooses in them if not told."""


def built(*words: str) -> Training:
    """The training that ``exprun`` makes of ``key=value`` words, without Hydra, which takes its
    time: a small network on iris, with a left-over batch, for 3 epochs. ``reg=l1,l2`` combines."""
    chosen = dict(word.split("=", 1) for word in words)
    nodes = {group: option(group, chosen.get(group, usual)) for group, usual in GROUPS.items()}
    regularizers = [name for name in chosen.get("reg", "none").split(",") if name]
    config = OmegaConf.create({"seed": 0, "device": "cpu", **nodes})
    config.trainer = {"max_epochs": 3, "threads": "auto", "engine": "auto"}
    config.reg = OmegaConf.merge(*(option("reg", name) for name in regularizers))
    config.batching.batch_size, config.model.hidden = 16, [8, 5]
    values = [word for word in words if word.split("=")[0] not in (*GROUPS, "reg")]
    return mlp(plain(OmegaConf.merge(config, OmegaConf.from_dotlist(values))))  # type: ignore[arg-type]


@functools.cache
def option(group: str, name: str) -> DictConfig:
    """The content of a YAML file in ``conf/``."""
    node = OmegaConf.load(conf_dir() / group / f"{name}.yaml")
    assert isinstance(node, DictConfig)
    return node


def same_bits(a: object, b: object) -> bool:
    """Equal through dicts, lists, dataclasses and tensors, and one nan is like another."""
    if isinstance(a, torch.Tensor):
        if not (isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape):
            return False
        return bool(((a == b) | (a.isnan() & b.isnan())).all())
    if isinstance(a, dict):
        if not (isinstance(b, dict) and a.keys() == b.keys()):
            return False
        return all(same_bits(a[key], b[key]) for key in a)
    if is_dataclass(a):
        return type(a) is type(b) and same_bits(vars(a), vars(b))
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same_bits, a, b))
    return a == b or (a != a and b != b)
