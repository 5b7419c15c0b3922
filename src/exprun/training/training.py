"""``Training``: a network, its data, loss, optimizer and other techniques, and its progress.

Independent of configs, files and terminals; ``exprun.fit.loop`` trains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor, nn

from exprun.common.streams import Streams, stream
from exprun.data.prepare import Data, Part
from exprun.techniques.averaging import WeightAverage
from exprun.techniques.losses import Loss
from exprun.techniques.networks import count_parameters
from exprun.techniques.regularizers import Regularizer
from exprun.techniques.schedules import Scheduler
from exprun.techniques.stopping import Stopping
from exprun.training import metrics
from exprun.training.state_dicts import map_tensors

MEASURED_ROWS = 256
"""Minimum number of training rows on which the curve's training figures are measured."""

MOST_MEASURED = 2**16
"""Maximum number of them; an accuracy of so many has a standard error of at most 0.2 points."""


@dataclass
class Training:
    """A network, its data and techniques, and its progress.

    ``batch_size=None`` takes all training rows at once. ``epoch`` and ``iteration`` count what is
    done; ``history`` is the learning curve, a row an epoch; ``kept`` are the weights that become
    the model (see ``Stopping``) and ``kept_row`` is their row; with ``averaging`` they are averages
    of the weights. A training pauses after ``pause_epoch`` epochs, to be resumed. ``engine``
    computes the iterations: the fastest that can (``auto``), or one that is chosen; ``plain`` runs
    each of them as ``fit.loop.iterate`` is written. ``not_native`` says why the native engine was
    given up on the way: whoever resumes does without it, too, for it rounds otherwise.
    """

    model: nn.Module
    loss: Loss
    data: Data
    optimizer: torch.optim.Optimizer
    scheduler: Scheduler
    streams: Streams
    regularizers: Sequence[Regularizer] = ()
    stopping: Stopping = field(default_factory=Stopping)
    averaging: WeightAverage | None = None
    batch_size: int | None = 32
    max_epochs: int = 50
    pause_epoch: int | None = None
    engine: Literal["auto", "native", "replay", "plain"] = "auto"

    epoch: int = 0
    iteration: int = 0
    kept: dict[str, Tensor] = field(default_factory=dict)
    kept_row: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    not_native: str | None = None

    def __post_init__(self) -> None:
        self.loss.rows_weighted = self.data.train.weight is not None

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The network's parameters and buffers by name, not copied; cached, because
        ``model.state_dict()`` walks all modules on every call."""
        found: dict[str, Tensor] = self.model.state_dict(keep_vars=True)
        return found

    def copied_tensors(self) -> dict[str, Tensor]:
        """Detached copies of ``tensors``."""
        return {name: w.detach().clone() for name, w in self.tensors.items()}

    @property
    def figures(self) -> list[str]:
        """Names of the learning curve's figures without their part (``loss`` for ``train_loss`` and
        ``val_loss``): the standard ones, the weighted loss if classes have weights, and the
        monitored one."""
        own = ["weighted_loss"] if self.loss.class_weight is not None else []
        monitored = self.stopping.monitor.removeprefix("val_")
        standard = metrics.names(self.data.preprocessing.task, self.loss.output_activation)
        return list(dict.fromkeys([*standard, *own, monitored]))

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return count_parameters(self.model)

    @property
    def device(self) -> torch.device:
        return self.data.train.x.device

    @property
    def threads(self) -> int:
        """Number of CPU threads used for computation."""
        return torch.get_num_threads()

    @cached_property
    def targets(self) -> Tensor:
        """The encoded targets of the training rows, with their weights."""
        return self.loss.encode_weighted(self.data.train.y, self.data.train.weight)

    @cached_property
    def measured(self) -> Part:
        """The training rows on which the curve's training figures are measured.

        A random sample as large as the validation part, at least MEASURED_ROWS and at most
        MOST_MEASURED, the same in all runs; all rows if there is no validation part. Measuring all
        rows would cost as much as a third of the training.
        """
        train = self.data.train
        rows = min(max(len(self.data.val), MEASURED_ROWS), MOST_MEASURED)
        if not len(self.data.val) or rows >= len(train):
            return train
        drawn = torch.randperm(len(train), generator=stream(0, "measured"))[:rows]
        drawn = drawn.sort().values.to(self.device)
        return train.taken(drawn)

    @cached_property
    def modes(self) -> list[dict[str, Any]]:
        """The attribute dicts of all modules, which hold ``training``; empty if a module overrides
        ``train``."""
        modules = list(self.model.modules())
        own = any(type(module).train is not nn.Module.train for module in modules)
        return [] if own else [vars(module) for module in modules]

    def set_mode(self, training: bool) -> None:
        """``model.train(training)`` without walking the modules, because it runs twice per
        epoch."""
        for attributes in self.modes:
            attributes["training"] = training
        if not self.modes:
            self.model.train(training)

    @cached_property
    def smallest_batch(self) -> int:
        """Minimum rows of a batch: 2 with batch normalisation, because one row has no variance,
        else 1."""
        return 1 + any(isinstance(m, nn.BatchNorm1d) for m in self.model.modules())

    @cached_property
    def iterations_per_epoch(self) -> int:
        """Number of batches per epoch; a last batch below ``smallest_batch`` rows is dropped."""
        rows = len(self.data.train)
        full, left_over = divmod(rows, self.batch_size or rows)
        return full + (left_over >= self.smallest_batch)

    @property
    def rows_per_epoch(self) -> int:
        """Training rows used per epoch: all, except those of a dropped last batch."""
        rows = len(self.data.train)
        return min(rows, self.iterations_per_epoch * (self.batch_size or rows))

    def state_dict(self) -> dict[str, Any]:
        """The complete state as tensors and plain data, not copied; ``load_state_dict`` continues
        from it exactly."""
        return {
            "epoch": self.epoch,
            "iteration": self.iteration,
            "model": {name: w.detach() for name, w in self.tensors.items()},
            "frozen": [n for n, w in self.model.named_parameters() if not w.requires_grad],
            "groups": self._groups(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "streams": self.streams.state_dict(),
            "stopping": self.stopping.state_dict(),
            "averaging": self.averaging.state_dict() if self.averaging else None,
            "kept": self.kept,
            "kept_row": self.kept_row,
            "history": self.history,
            "not_native": self.not_native,
        }

    def snapshot(self) -> dict[str, Any]:
        """A copy of ``state_dict``, for restoring the start of an epoch.

        History and kept weights do not change within an epoch and are not copied; if the weights
        of this epoch were kept, they also serve as the copy of the model's weights.
        """
        state = self.state_dict()
        settled = {name: state.pop(name) for name in ("streams", "kept", "kept_row", "history")}
        if self.kept_row.get("epoch") == self.epoch and not self.averaging:
            settled["model"] = self.kept
            del state["model"]
        with torch.no_grad():
            copied: dict[str, Any] = map_tensors(state, Tensor.clone)
        return copied | settled

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` or ``snapshot`` returned."""
        self.epoch, self.iteration = state["epoch"], state["iteration"]
        self.model.load_state_dict(state["model"])
        for name, w in self.model.named_parameters():
            w.requires_grad_(name not in state.get("frozen", ()))
        if state.get("groups", self._groups()) != self._groups():
            self._regroup(state["groups"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.streams.load_state_dict(state["streams"])
        self.stopping.load_state_dict(state["stopping"])
        if self.averaging:
            self.averaging.load_state_dict(state["averaging"])
        self.kept, self.kept_row = state["kept"], state["kept_row"]
        self.history = state["history"]
        self.not_native = state.get("not_native")

    def _groups(self) -> list[list[str]]:
        """The names of the parameters in each of the optimizer's groups."""
        names = {w: name for name, w in self.model.named_parameters()}
        return [[names[w] for w in group["params"]] for group in self.optimizer.param_groups]

    def _regroup(self, names: list[list[str]]) -> None:
        """Share the parameters out as a scheduler of somebody's own has done on the way."""
        parameters = dict(self.model.named_parameters())
        first = self.optimizer.param_groups[0]
        self.optimizer.param_groups[:] = [
            first | {"params": [parameters[name] for name in group]} for group in names
        ]
