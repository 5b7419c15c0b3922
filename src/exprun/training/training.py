"""A training: a network, what it is trained with, and how far it has come.

Plain objects, which know nothing of configs, files and screens; ``exprun.fit.loop`` trains them.
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
from exprun.training.state_dicts import on_tensors

MEASURED_ROWS = 256
"""Training rows at least that the curve's training figures are measured on."""


@dataclass
class Training:
    """A network, what it is trained with, and how far it has come.

    ``batch_size=None`` takes all training rows at once. ``epoch`` and ``iteration`` count what is
    done; ``history`` is the learning curve, a row an epoch; ``kept`` are the weights that become
    the model (see ``Stopping``) and ``kept_row`` is their row; with ``averaging`` they are averages
    of the weights. ``engine`` computes the iterations: the fastest that can (``auto``), or one
    that is chosen; ``plain`` runs each of them as ``fit.loop.iterate`` is written.
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
    engine: Literal["auto", "native", "replay", "plain"] = "auto"

    epoch: int = 0
    iteration: int = 0
    kept: dict[str, Tensor] = field(default_factory=dict)
    kept_row: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The network's parameters and buffers by name, where they lie: looked for once, which
        ``model.state_dict()`` would do in every epoch."""
        found: dict[str, Tensor] = self.model.state_dict(keep_vars=True)
        return found

    def copied_tensors(self) -> dict[str, Tensor]:
        """``tensors`` as they are now, for good."""
        return {name: w.detach().clone() for name, w in self.tensors.items()}

    @property
    def figures(self) -> list[str]:
        """The figures of the learning curve, ``loss`` for ``train_loss`` and ``val_loss``: those of
        every curve, the weighted loss if classes are weighted, and the one that is monitored."""
        own = ["weighted_loss"] if self.loss.class_weight is not None else []
        monitored = self.stopping.monitor.removeprefix("val_")
        return list(dict.fromkeys([*metrics.names(self.data.preprocessing.task), *own, monitored]))

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return count_parameters(self.model)

    @property
    def device(self) -> torch.device:
        return self.data.train.x.device

    @property
    def threads(self) -> int:
        """CPU threads that it computes with."""
        return torch.get_num_threads()

    @cached_property
    def targets(self) -> Tensor:
        """The encoded targets of the training rows."""
        return self.loss.encode(self.data.train.y)

    @cached_property
    def measured(self) -> Part:
        """The training rows that the curve's training figures are measured on: as many as there are
        validation rows, MEASURED_ROWS at least, drawn once and for all runs alike; all, if there is
        no validation part. To measure all would cost as much as a third of the training."""
        train, rows = self.data.train, max(len(self.data.val), MEASURED_ROWS)
        if not len(self.data.val) or rows >= len(train):
            return train
        drawn = torch.randperm(len(train), generator=stream(0, "measured"))[:rows]
        drawn = drawn.sort().values.to(self.device)
        return Part(train.x[drawn], train.y[drawn])

    @cached_property
    def modes(self) -> list[dict[str, Any]]:
        """Where the layers keep their mode; none if one has its own idea of what that means."""
        modules = list(self.model.modules())
        own = any(type(module).train is not nn.Module.train for module in modules)
        return [] if own else [vars(module) for module in modules]

    def set_mode(self, training: bool) -> None:
        """``model.train(training)``, which is done twice in an epoch and asks each layer for its
        children."""
        for attributes in self.modes:
            attributes["training"] = training
        if not self.modes:
            self.model.train(training)

    @cached_property
    def smallest_batch(self) -> int:
        """Two rows with batch normalisation, for one row has no variance; else one."""
        return 1 + any(isinstance(m, nn.BatchNorm1d) for m in self.model.modules())

    @cached_property
    def iterations_per_epoch(self) -> int:
        """Batches of an epoch; a left-over batch that is too small is none."""
        rows = len(self.data.train)
        full, left_over = divmod(rows, self.batch_size or rows)
        return full + (left_over >= self.smallest_batch)

    @property
    def rows_per_epoch(self) -> int:
        """Training rows that an epoch trains on: all, but for a left-over batch that is none."""
        rows = len(self.data.train)
        return min(rows, self.iterations_per_epoch * (self.batch_size or rows))

    def state_dict(self) -> dict[str, Any]:
        """Everything that ``load_state_dict`` needs to go on exactly, as tensors and plain data."""
        return {
            "epoch": self.epoch,
            "iteration": self.iteration,
            "model": {name: w.detach() for name, w in self.tensors.items()},
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "streams": self.streams.state_dict(),
            "stopping": self.stopping.state_dict(),
            "averaging": self.averaging.state_dict() if self.averaging else None,
            "kept": self.kept,
            "kept_row": self.kept_row,
            "history": self.history,
        }

    def snapshot(self) -> dict[str, Any]:
        """``state_dict`` as it is now, for good. What is never written into is not copied: the
        history grows with every epoch, and weights that were kept just now are a copy already."""
        state = self.state_dict()
        settled = {name: state.pop(name) for name in ("streams", "kept", "kept_row", "history")}
        if self.kept_row.get("epoch") == self.epoch and not self.averaging:
            settled["model"] = self.kept
            del state["model"]
        with torch.no_grad():
            copied: dict[str, Any] = on_tensors(state, Tensor.clone)
        return copied | settled

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back, or forward, to where ``state_dict`` was taken."""
        self.epoch, self.iteration = state["epoch"], state["iteration"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.streams.load_state_dict(state["streams"])
        self.stopping.load_state_dict(state["stopping"])
        if self.averaging:
            self.averaging.load_state_dict(state["averaging"])
        self.kept, self.kept_row = state["kept"], state["kept_row"]
        self.history = state["history"]
