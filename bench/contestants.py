"""The same training in exprun and in its peers.

A contestant takes a ``Job`` and calls ``stamp`` at the same point of every epoch, so that what lies
between two calls is one whole epoch: training, validation and whatever else it does by default.
A peer is imported by its contestant only.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

Stamp = Callable[[], None]
Arrays = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]
"""x (n, features) and y (n,) to train on, then those of the validation."""


@dataclass(frozen=True)
class Case:
    """A data set, hidden layers and a batch size; ``words`` choose the data in exprun."""

    words: tuple[str, ...]
    source: Callable[[], tuple[NDArray[Any], NDArray[Any]]]
    hidden: tuple[int, ...]
    batch_size: int


@dataclass(frozen=True)
class Job:
    """One training: the name of a case, ``sgd`` (momentum 0.9) or ``adam``, and how long."""

    case: str
    optimizer: str
    epochs: int
    lr: float = 0.001
    seed: int = 0

    @property
    def batch_size(self) -> int:
        return CASES[self.case].batch_size

    @property
    def iterations(self) -> int:
        """Of an epoch; the last batch may be smaller."""
        return -(-len(arrays(self.case)[0]) // self.batch_size)

    @property
    def sizes(self) -> list[int]:
        """Units of every layer, from the inputs to the classes."""
        x, y, *_ = arrays(self.case)
        return [x.shape[1], *CASES[self.case].hidden, int(y.max()) + 1]


def digits() -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def moons() -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.datasets import make_moons

    return make_moons(1000, noise=0.1, random_state=0)


def noise() -> tuple[NDArray[Any], NDArray[Any]]:
    """4096 rows in the shape of MNIST: 784 features, 10 classes."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(4096, 784)), generator.permutation(4096) % 10


def noise_table(rows: int) -> Any:
    """``noise`` as a data set of exprun's."""
    from exprun.data.frame import Frame
    from exprun.data.table import Table
    from exprun.data.task import Task

    x, y = noise()
    features = tuple(f"pixel_{i}" for i in range(x.shape[1]))
    return Table(
        "noise", Frame(features, x[:rows]), y[:rows], Task(("class",), tuple("0123456789"))
    )


NOISE_WORDS = ("data=moons", "~data.noise", "data._target_=bench.contestants.noise_table")
CASES = {
    "digits-32": Case(("data=digits",), digits, (100, 100), 32),
    "digits-128": Case(("data=digits",), digits, (100, 100), 128),
    "tiny-16": Case(("data=moons",), moons, (32, 32), 16),
    "mnist-32": Case((*NOISE_WORDS, "data.rows=4096"), noise, (512, 256), 32),
    "mnist-128": Case((*NOISE_WORDS, "data.rows=4096"), noise, (512, 256), 128),
}


@functools.cache
def arrays(case: str) -> Arrays:
    """The training and validation rows, 70 % and 15 % as in exprun, standardised."""
    from sklearn.model_selection import train_test_split

    x, y = CASES[case].source()
    x, rest, y, y_rest = train_test_split(x, y, test_size=0.3, stratify=y, random_state=0)
    x_val, _, y_val, _ = train_test_split(
        rest, y_rest, test_size=0.5, stratify=y_rest, random_state=0
    )
    mean, std = x.mean(axis=0), x.std(axis=0)
    std[std == 0] = 1
    x, x_val = (((part - mean) / std).astype(np.float32) for part in (x, x_val))
    return x, y.astype(np.int64), x_val, y_val.astype(np.int64)


def words_of(job: Job) -> list[str]:
    """A job in the words of exprun's command line."""
    return [
        *CASES[job.case].words,
        f"model.hidden={list(CASES[job.case].hidden)}",
        f"batching.batch_size={job.batch_size}",
        f"optimizer={job.optimizer}",
        f"optimizer.lr={job.lr}",
        *(["optimizer.momentum=0.9"] if job.optimizer == "sgd" else []),
        f"seed={job.seed}",
        f"trainer.max_epochs={job.epochs}",
        "stopping=none",
    ]


def composed(words: Sequence[str]) -> Any:
    """exprun's config of these words, with Hydra's node."""
    from hydra import compose, initialize_config_dir

    from exprun.config.hydra_internals import VERSION_BASE
    from exprun.config.paths import conf_dir

    with initialize_config_dir(str(conf_dir()), job_name="exprun", **VERSION_BASE):
        return compose("config", list(words), return_hydra_config=True)


def exprun(job: Job, stamp: Stamp, *, more: Sequence[str] = ()) -> None:
    """A run into a temporary folder, as the command line makes it with ``more`` words."""
    from exprun import run as runner
    from exprun.config.schema import plain
    from exprun.fit.loop import fit
    from exprun.job import Job as OurJob
    from exprun.training.callbacks import Callback

    class Stamps(Callback):
        def on_epoch(self, training: Any, row: dict[str, float]) -> None:
            stamp()

    def stamped(training: Any, callbacks: list[Callback], *rest: Any) -> Any:
        return fit(training, [*callbacks, Stamps()], *rest)

    words = [*words_of(job), "trainer.threads=1", "device=cpu", *more]
    config = composed(words)
    choices = config.hydra.runtime.choices
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(patch.object(runner, "fit", stamped))
        result = runner.run(OurJob(plain(config), folder, words, choices))
    assert result["status"] == "completed", result["reason"]


def torch_network(sizes: list[int]) -> Any:
    """ReLU between linear layers of these sizes."""
    from torch import nn

    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def torch_optimizer(job: Job, parameters: Any) -> Any:
    import torch

    if job.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=job.lr, momentum=0.9)
    return torch.optim.Adam(parameters, lr=job.lr)


def torch_loop(job: Job, stamp: Stamp, *, loader: bool) -> None:
    """A plain PyTorch loop; the batches come from a DataLoader, or are gathered from tensors."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader, TensorDataset

    x, y, x_val, y_val = map(torch.from_numpy, arrays(job.case))
    torch.manual_seed(job.seed)
    model = torch_network(job.sizes)
    optimizer = torch_optimizer(job, model.parameters())
    batches = DataLoader(TensorDataset(x, y), batch_size=job.batch_size, shuffle=True)

    def gathered() -> Any:
        for rows in torch.randperm(len(x)).split(job.batch_size):
            yield x[rows], y[rows]

    for _ in range(job.epochs):
        model.train()
        for xb, yb in batches if loader else gathered():
            optimizer.zero_grad()
            cross_entropy(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            outputs = model(x_val)
            cross_entropy(outputs, y_val).item()
            (outputs.argmax(dim=1) == y_val).float().mean().item()
        stamp()


def lightning(job: Job, stamp: Stamp) -> None:
    """A Trainer as it is: progress bar, checkpoint of every epoch; with a CSVLogger."""
    import lightning as pl
    import torch
    from lightning.pytorch.loggers import CSVLogger
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader, TensorDataset

    class Classifier(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = torch_network(job.sizes)

        def training_step(self, batch: Any, _: int) -> Any:
            xb, yb = batch
            loss = cross_entropy(self.model(xb), yb)
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            xb, yb = batch
            outputs = self.model(xb)
            self.log("val_loss", cross_entropy(outputs, yb))
            self.log("val_accuracy", (outputs.argmax(dim=1) == yb).float().mean())

        def configure_optimizers(self) -> Any:
            return torch_optimizer(job, self.parameters())

    class Stamps(pl.Callback):
        def on_train_epoch_end(self, *_: Any) -> None:
            stamp()

    x, y, x_val, y_val = map(torch.from_numpy, arrays(job.case))
    pl.seed_everything(job.seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=job.epochs,
            accelerator="cpu",
            devices=1,
            logger=CSVLogger(folder),
            default_root_dir=folder,
            callbacks=[Stamps()],
        )
        trainer.fit(
            Classifier(),
            DataLoader(TensorDataset(x, y), batch_size=job.batch_size, shuffle=True),
            DataLoader(TensorDataset(x_val, y_val), batch_size=len(x_val)),
        )


def skorch(job: Job, stamp: Stamp) -> None:
    """A NeuralNetClassifier as it is: validation loss and accuracy, a line an epoch."""
    import torch
    from skorch import NeuralNetClassifier
    from skorch.callbacks import Callback
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    class Stamps(Callback):
        def on_epoch_end(self, net: Any, **_: Any) -> None:
            stamp()

    x, y, x_val, y_val = arrays(job.case)
    torch.manual_seed(job.seed)
    sgd = {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9}
    NeuralNetClassifier(
        torch_network(job.sizes),
        criterion=torch.nn.CrossEntropyLoss,
        **(sgd if job.optimizer == "sgd" else {"optimizer": torch.optim.Adam}),
        lr=job.lr,
        max_epochs=job.epochs,
        batch_size=job.batch_size,
        iterator_train__shuffle=True,
        train_split=predefined_split(Dataset(x_val, y_val)),
        callbacks=[Stamps()],
    ).fit(x, y)


def sklearn(job: Job, stamp: Stamp) -> None:
    """An MLPClassifier, an epoch a call of ``partial_fit``; the validation is its ``score``."""
    from sklearn.neural_network import MLPClassifier

    x, y, x_val, y_val = arrays(job.case)
    model = MLPClassifier(
        hidden_layer_sizes=tuple(job.sizes[1:-1]),
        solver=job.optimizer,
        learning_rate_init=job.lr,
        momentum=0.9,
        nesterovs_momentum=False,
        alpha=0.0,
        batch_size=job.batch_size,
        random_state=job.seed,
    )
    classes = np.unique(y)
    for _ in range(job.epochs):
        model.partial_fit(x, y, classes=classes)
        model.score(x_val, y_val)
        stamp()


def keras(job: Job, stamp: Stamp) -> None:
    """A Sequential model as it is: compiled if the backend does, progress bar."""
    from keras import Input, Sequential, callbacks, layers, losses, optimizers, utils

    x, y, x_val, y_val = arrays(job.case)
    utils.set_random_seed(job.seed)
    inputs, *hidden, outputs = job.sizes
    model = Sequential(
        [
            Input((inputs,)),
            *(layers.Dense(units, activation="relu") for units in hidden),
            layers.Dense(outputs),
        ]
    )
    sgd = job.optimizer == "sgd"
    model.compile(
        optimizer=optimizers.SGD(job.lr, momentum=0.9) if sgd else optimizers.Adam(job.lr),
        loss=losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        x,
        y,
        batch_size=job.batch_size,
        epochs=job.epochs,
        validation_data=(x_val, y_val),
        callbacks=[callbacks.LambdaCallback(on_epoch_end=lambda *_: stamp())],
    )


@functools.lru_cache(maxsize=64)
def initial_weights(job: Job) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """He's, in NumPy: JAX would compile its random numbers for seconds."""
    generator = np.random.default_rng(job.seed)
    return [
        (
            generator.normal(0, (2 / m) ** 0.5, (m, n)).astype(np.float32),
            np.zeros(n, dtype=np.float32),
        )
        for m, n in pairwise(job.sizes)
    ]


@functools.cache
def jax_training(case: str, optimizer: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """``initial(weights)`` makes the state of a training, ``epoch(state, key, lr, x, y)`` the
    next; neither is compiled yet."""
    import jax
    import optax

    size = CASES[case].batch_size

    def update_rule(lr: Any) -> Any:
        return optax.sgd(lr, momentum=0.9) if optimizer == "sgd" else optax.adam(lr)

    def initial(weights: Any) -> Any:
        return weights, update_rule(0.0).init(weights)

    def objective(weights: Any, xb: Any, yb: Any) -> Any:
        *hidden, (w, b) = weights
        for v, c in hidden:
            xb = jax.nn.relu(xb @ v + c)
        return optax.softmax_cross_entropy_with_integer_labels(xb @ w + b, yb).mean()

    def epoch(state: Any, key: Any, lr: Any, x: Any, y: Any) -> Any:
        def step(state: Any, batch: Any) -> Any:
            weights, moments = state
            gradients = jax.grad(objective)(weights, *batch)
            updates, moments = update_rule(lr).update(gradients, moments)
            return (optax.apply_updates(weights, updates), moments), None

        order = jax.random.permutation(key, len(x))
        x, y = x[order], y[order]
        full = len(x) // size * size
        batches = x[:full].reshape(-1, size, x.shape[1]), y[:full].reshape(-1, size)
        state, _ = jax.lax.scan(step, state, batches)
        if full < len(x):
            state, _ = step(state, (x[full:], y[full:]))
        return state

    return initial, epoch


@functools.cache
def jax_compiled(case: str, optimizer: str) -> Callable[..., Any]:
    import jax

    compiled: Callable[..., Any] = jax.jit(jax_training(case, optimizer)[1])
    return compiled


def jax_scan(job: Job, stamp: Stamp) -> None:
    """Written by hand: one compiled call an epoch, no validation."""
    import jax

    x, y = map(jax.numpy.asarray, arrays(job.case)[:2])
    key = jax.random.key(job.seed)
    weights = jax.tree.map(jax.numpy.asarray, initial_weights(job))
    state = jax_training(job.case, job.optimizer)[0](weights)
    for number in range(job.epochs):
        order = jax.random.fold_in(key, number)
        epoch = jax_compiled(job.case, job.optimizer)
        state = jax.block_until_ready(epoch(state, order, job.lr, x, y))
        stamp()


def products(job: Job, stamp: Stamp) -> None:
    """The matrix products of training and validation by ``torch.mm`` and nothing else, laid out as
    exprun's, into memory that is there already: less cannot be done."""
    import torch

    def layers(rows: int) -> list[list[Any]]:
        """Of every layer the factors and the place of W xᵀ, and those of dz x and of dzᵀ W; the
        hidden layers have zᵀ = x Wᵀ instead."""
        made = []
        for number, (fan_in, fan_out) in enumerate(pairwise(job.sizes), 1):
            x, w = torch.randn(rows, fan_in), torch.randn(fan_out, fan_in)
            dx, dw = map(torch.empty_like, (x, w))
            if number == len(job.sizes) - 1:
                z, dz = torch.randn(2, fan_out, rows)
                made.append([(w, x.T, z), (dz, x, dw), (dz.T, w, dx)])
            else:
                z, dz = torch.randn(2, rows, fan_out)
                made.append([(x, w.T, z), (dz.T, x, dw), (dz, w, dx)])
        return made

    rows, rows_val = (len(part) for part in arrays(job.case)[::2])
    full, left_over = divmod(rows, job.batch_size)
    trained = [layers(job.batch_size)] * full + [layers(left_over)] * (left_over > 0)
    validated = layers(rows_val)
    with torch.inference_mode():
        for _ in range(job.epochs):
            for batch in trained:
                for forward, _, _ in batch:
                    torch.mm(*forward[:2], out=forward[2])
                for number, (_, of_weights, of_inputs) in reversed([*enumerate(batch)]):
                    torch.mm(*of_weights[:2], out=of_weights[2])
                    if number:
                        torch.mm(*of_inputs[:2], out=of_inputs[2])
            for forward, _, _ in validated:
                torch.mm(*forward[:2], out=forward[2])
            stamp()


@dataclass(frozen=True)
class Contestant:
    """How to train, the packages that it takes, and environment variables to set before them."""

    train: Callable[[Job, Stamp], None]
    needs: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


US = "exprun"
JAX = "JAX scan (no validation, no logging)"
PRODUCTS = "matrix products alone"
CONTESTANTS = {
    US: Contestant(exprun, ("exprun",)),
    f"{US}, replay": Contestant(
        functools.partial(exprun, more=["trainer.engine=replay"]), ("exprun",)
    ),
    f"{US}, plain loop": Contestant(
        functools.partial(exprun, more=["trainer.engine=plain"]), ("exprun",)
    ),
    "PyTorch loop, DataLoader": Contestant(functools.partial(torch_loop, loader=True), ("torch",)),
    "PyTorch loop, tensors": Contestant(functools.partial(torch_loop, loader=False), ("torch",)),
    "Lightning": Contestant(lightning, ("lightning",)),
    "skorch": Contestant(skorch, ("skorch",)),
    "scikit-learn": Contestant(sklearn, ("sklearn",)),
    "Keras on JAX": Contestant(keras, ("keras", "jax"), (("KERAS_BACKEND", "jax"),)),
    "Keras on torch": Contestant(keras, ("keras", "torch"), (("KERAS_BACKEND", "torch"),)),
    JAX: Contestant(jax_scan, ("jax", "optax")),
    PRODUCTS: Contestant(products, ("torch",)),
}
