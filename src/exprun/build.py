"""Build the objects of a training from the configuration as plain data; the objects themselves know
nothing of the config.

A node's ``_target_`` is the dotted path of a class or function, and its other keys are the
arguments; there is no other registry.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import os
import pydoc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from exprun.common.errors import UsageError, choices, nearest
from exprun.common.memory import trim
from exprun.common.named_files import files_in
from exprun.common.streams import Streams, stream
from exprun.common.threads import cores
from exprun.data.prepare import Data, prepare
from exprun.data.spelling import places
from exprun.data.storage import streamed
from exprun.data.table import Table
from exprun.data.task import Task
from exprun.diagnostics.settings import Diagnostics
from exprun.engine.native import random_numbers
from exprun.engine.native.network import obstacle
from exprun.techniques import torch_optim
from exprun.techniques.averaging import WeightAverage
from exprun.techniques.initializers import initialize
from exprun.techniques.losses import BinaryCrossEntropy, CrossEntropy, Loss, balanced
from exprun.techniques.regularizers import (
    Dropout,
    LabelSmoothing,
    Regularizer,
    WeightDecay,
    weights_of,
)
from exprun.techniques.schedules import FactorScheduler, Scheduler, TorchScheduler
from exprun.techniques.stopping import Stopping
from exprun.training import metrics
from exprun.training.training import Training

Node = dict[str, Any]
"""The config, or one group of it, as plain data."""

SMALL_WORK = 10_000_000
"""Multiply-adds per iteration below which a second thread costs more time than it saves."""


def mlp(config: Node) -> Training:
    """A training of a multilayer perceptron.

    Raises UsageError for errors that depend on the data or the machine, which the checks of the
    config cannot find.
    """
    random_numbers.register()
    device = choose_device(config["device"])
    data = load_data(suited(config["data"], config["loss"]), device)
    streams = Streams.from_seed(config["seed"], device)
    regularizers: list[Regularizer] = [
        call(f"reg.{name}", node) for name, node in config["reg"].items()
    ]
    loss = make_loss(config["loss"], data, regularizers)
    model = make_model(config, data, loss, regularizers, streams)
    with naming("init"):
        initialize(model, partial("init", config["init"]), streams.init)
    model.to(device)
    optimizer = make_optimizer(config["optimizer"], model, regularizers)
    batch_size = config["batching"]["batch_size"]
    training = Training(
        model=model,
        loss=loss,
        data=data,
        optimizer=optimizer,
        scheduler=make_scheduler(config["scheduler"], optimizer),
        streams=streams,
        regularizers=regularizers,
        stopping=make_stopping(config["stopping"], data, loss),
        averaging=make_averaging(config["averaging"], model),
        batch_size=None if batch_size == "full" else batch_size,
        max_epochs=config["trainer"]["max_epochs"],
        engine=config["trainer"]["engine"],
    )
    set_threads(config["trainer"]["threads"], training)
    if training.engine == "native" and (why := obstacle(training)):
        raise UsageError(f"trainer.engine=native: {why}; expected auto, replay or plain")
    return training


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` is the GPU if there is one. Raises UsageError if it is not
    available."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device(("cuda" if count else "cpu") if name == "auto" else name)
    if device.type == "cuda":
        if not count:
            raise UsageError(
                f"device={name}: this machine has no CUDA device; expected device=cpu or auto"
            )
        if (device.index or 0) >= count:
            raise UsageError(f"device={name}: expected cuda:0 to cuda:{count - 1}")
        # Deterministic kernels: equal seeds give equal bits on a GPU too.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    return device


PREPARE_KEYS = tuple(
    name for name in inspect.signature(prepare).parameters if name not in ("table", "device")
)
"""The keys of ``data`` that ``prepare`` takes, for every source of data."""


def suited(node: Node, loss: Node) -> Node:
    """The config of the data, for a loss of counts with a target of numbers that are not
    standardised."""
    if not getattr(target_of("loss", loss), "of_counts", False):
        return node
    task = {"task": "regression"} if node.get("task") == "auto" else {}
    return node | task | {"standardize_target": False}


def load_data(node: Node, device: torch.device) -> Data:
    """Read the source and prepare it; cached, so that jobs with equal settings share the data."""
    return _load_data(json.dumps(node), device, _changed(node))


def _changed(node: Node) -> tuple[int, ...]:
    """Modification times of the files that the node names, as part of the cache key."""
    named = (files_in(node[key]) for key in ("path", "test_path") if node.get(key))
    paths = itertools.chain.from_iterable(named)
    return tuple(path.stat().st_mtime_ns for path in paths if path.exists())


@functools.lru_cache(maxsize=2)
def _load_data(text: str, device: torch.device, changed: tuple[int, ...]) -> Data:
    node = json.loads(text)
    how = {key: node[key] for key in PREPARE_KEYS if key in node}
    source = {key: value for key, value in node.items() if key not in how}
    extra = {}
    if "generator" in inspect.signature(target_of("data", source)).parameters:
        extra["generator"] = stream(node["split_seed"], "data")
    try:
        with streamed(how.get("stream", False)):
            table: Table = call("data", source, **extra)
            data = prepare(table, **how, device=device)
    except MemoryError:
        if how.get("stream", True):  # it is streamed, or the source cannot be
            raise
        raise UsageError(
            f"{source['path']}: does not fit into memory; expected data.stream=true"
        ) from None
    del table
    if "path" in source:
        trim()
    return data


def make_loss(node: Node, data: Data, regularizers: list[Regularizer]) -> Loss:
    """The loss, with class weights from the config and label smoothing from ``reg``. Raises
    UsageError if they do not suit the loss or the data."""
    task = data.preprocessing.task
    weights = node.get("class_weight")
    if weights is None:  # a custom loss may lack this argument
        node = {key: value for key, value in node.items() if key != "class_weight"}
    elif not task.classes:
        raise UsageError(f"loss.class_weight: {data.name} has no classes; expected null")
    elif weights == "balanced":
        node = node | {"class_weight": balanced(data.train.y, task.width)}
    elif isinstance(weights, Mapping):
        node = node | {"class_weight": _weights_by_label(weights, task)}
    loss: Loss = call("loss", node, task)
    if loss.of_counts:
        least = min(part.y.min().item() for part in (data.train, data.val, data.test) if len(part))
        if least < 0:
            raise UsageError(
                f"loss=poisson: {data.name} has a target of {least:g}; expected counts of at least "
                "0, or loss=mse"
            )
    for regularizer in regularizers:
        if isinstance(regularizer, LabelSmoothing):
            if not isinstance(loss, CrossEntropy | BinaryCrossEntropy):
                raise UsageError(
                    "reg=label_smoothing: expected loss=cross_entropy or bce, and data with classes"
                )
            loss.label_smoothing = regularizer.smoothing
    return loss


def _weights_by_label(weights: Mapping[object, float], task: Task) -> list[float]:
    """The weights in the order of the classes; classes that are not named have weight 1."""
    ordered = [1.0] * task.width
    found = places(map(str, weights), task.classes)
    for (label, weight), place in zip(weights.items(), found, strict=True):
        if place < 0:
            raise UsageError(
                f"loss.class_weight names the class {str(label)!r}"
                f"{nearest(str(label), task.classes)}; expected {choices(task.classes[:10])}"
            )
        ordered[place] = weight
    return ordered


def make_model(
    config: Node, data: Data, loss: Loss, regularizers: list[Regularizer], streams: Streams
) -> nn.Module:
    """The network on the CPU, with torch's default initial weights."""
    norm = {key: value for key, value in config["norm"].items() if key != "position"}
    hidden = config["model"].get("hidden", [])
    dropout: list[float] = []
    for regularizer in regularizers:
        if isinstance(regularizer, Dropout):
            p = regularizer.p
            dropout = [p] * len(hidden) if isinstance(p, int | float) else list(p)
    model: nn.Module = call(
        "model",
        config["model"],
        data.preprocessing.width,
        loss.outputs,
        norm=partial("norm", norm) if norm["_target_"] else None,
        norm_position=config["norm"].get("position", "pre"),
        dropout=dropout,
        dropout_stream=streams.dropout,
    )
    return model


def make_optimizer(
    node: Node, model: nn.Module, regularizers: list[Regularizer]
) -> torch.optim.Optimizer:
    """The optimizer over all parameters; ``reg=weight_decay`` sets its weight decay, on the weights
    only or on all parameters."""
    torch_optim.skip_compiler_import()
    target = target_of("optimizer", node)
    if not (isinstance(target, type) and issubclass(target, torch.optim.Optimizer)):
        raise UsageError(f"optimizer._target_={node['_target_']}: is no torch.optim.Optimizer")
    options = inspect.signature(target).parameters
    decay = next((r for r in regularizers if isinstance(r, WeightDecay)), None)
    groups: list[Node] = [{"params": list(model.parameters())}]
    if decay is not None:
        if "weight_decay" not in options:
            raise UsageError(
                f"reg=weight_decay: {node['_target_']} has no weight_decay; expected reg=l2"
            )
        decayed = list(model.parameters()) if decay.biases else weights_of(model)
        chosen = set(map(id, decayed))
        rest = [w for w in model.parameters() if id(w) not in chosen]
        groups = [{"params": decayed, "weight_decay": decay.strength}]
        if rest:
            groups.append({"params": rest, "weight_decay": 0.0})
    betas = {"betas": tuple(node["betas"])} if "betas" in node else {}
    fused = {"fused": True} if "fused" in options else {}  # one kernel per step
    optimizer: torch.optim.Optimizer = call("optimizer", fused | node | betas, groups)
    return optimizer


def make_scheduler(node: Node, optimizer: torch.optim.Optimizer) -> Scheduler:
    """A scheduler for one of exprun's schedules or any of ``torch.optim.lr_scheduler``."""
    arguments = dict(node)
    warmup = arguments.pop("warmup_epochs", 0)
    interval = arguments.pop("interval", "epoch")
    target = target_of("scheduler", node)
    if isinstance(target, type) and issubclass(target, LRScheduler | ReduceLROnPlateau):
        made = call("scheduler", arguments, optimizer)
        return TorchScheduler(optimizer, made, interval=interval, warmup_epochs=warmup)
    factor = partial("scheduler", arguments)
    return FactorScheduler(optimizer, factor, interval=interval, warmup_epochs=warmup)


def make_stopping(node: Node, data: Data, loss: Loss) -> Stopping:
    """Early stopping; ``monitor=auto`` is the validation loss, weighted if classes have weights,
    because that is what training minimises.

    Raises UsageError for a figure that is not in the learning curve.
    """
    weighted = loss.class_weight is not None
    if node["monitor"] == "auto":
        node = node | {"monitor": "val_weighted_loss" if weighted else "val_loss"}
    stopping: Stopping = call("stopping", node)
    task, metric = data.preprocessing.task, stopping.monitor.removeprefix("val_")
    known = [
        *metrics.names(task, loss.output_activation),
        *(["weighted_loss"] if weighted else []),
        *(metrics.OF_CLASSES if task.classes else []),
        *(metrics.OF_ORDERED_CLASSES if task.ordered else []),
    ]
    if metric not in known:
        missing = "; without loss.class_weight" if metric == "weighted_loss" else ": for"
        raise UsageError(
            f"stopping.monitor={stopping.monitor}{missing} {data.name} expected "
            f"{choices(f'val_{name}' for name in known)}"
        )
    if metric == "roc_auc" and len(data.val) and len(data.val.y.unique()) < 2:
        raise UsageError(
            "stopping.monitor=val_roc_auc: the validation part has rows of one class only; "
            "expected another monitor, or a larger data.val_fraction"
        )
    return stopping


def make_averaging(node: Node, model: nn.Module) -> WeightAverage | None:
    """The average of the weights; None if the config has none."""
    if node["_target_"] is None:
        return None
    averaging: WeightAverage = call("averaging", node, model)
    return averaging


def make_diagnostics(config: Node) -> Diagnostics | None:
    """The settings of the diagnostics; None for ``diagnostics=off`` and for old configs without the
    group."""
    node = config.get("diagnostics")
    return Diagnostics(**node) if node else None


def set_threads(threads: int | str, training: Training) -> None:
    """Set the number of CPU threads; ``auto`` is one below SMALL_WORK, else all cores."""
    if threads == "auto":
        layers = sum(w.numel() for w in weights_of(training.model))
        rows = training.batch_size or len(training.data.train)
        threads = 1 if layers * rows < SMALL_WORK else cores()
    torch.set_num_threads(int(threads))


def target_of(group: str, node: Mapping[str, Any]) -> Any:
    """The object that ``_target_`` names; raises UsageError if it cannot be imported.

    The working directory is searched last, for the user's own modules.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    path = node.get("_target_")
    if not isinstance(path, str):
        raise UsageError(
            f"{group}._target_ is missing: expected a dotted path like torch.optim.Adam"
        )
    try:
        target = _located(path)
    except pydoc.ErrorDuringImport as error:
        raise UsageError(f"{group}._target_={path}: cannot be imported: {error.value}") from error
    if not callable(target):
        raise UsageError(f"{group}._target_={path}: there is no such class or function")
    return target


@functools.lru_cache(maxsize=256)
def _located(path: str) -> Any:
    """What a dotted path names, None if nothing; cached, because searching takes 0.1 ms."""
    return pydoc.locate(path)


def partial(group: str, node: Node) -> Callable[..., Any]:
    """The object that ``_target_`` names, with the node's other keys bound as arguments."""
    target = target_of(group, node)
    return functools.partial(target, **{k: v for k, v in node.items() if k != "_target_"})


def call(group: str, node: Node, *arguments: Any, **keywords: Any) -> Any:
    """Call the object that ``_target_`` names with the node's other keys."""
    made = partial(group, node)
    with naming(group):
        return made(*arguments, **keywords)


@contextmanager
def naming(group: str) -> Iterator[None]:
    """Context that turns a target's TypeError or ValueError about its arguments into a
    UsageError."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UsageError(f"{group}: {error}") from error
