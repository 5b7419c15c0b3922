"""Train epochs and compute the learning curve with the native engine."""

from __future__ import annotations

import copy
import ctypes
import math
import time
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import Tensor

from exprun.data.one_hot_inputs import OneHotInputs
from exprun.engine.native import library
from exprun.engine.native.network import Changed, NativeNetwork, fixed_settings, read
from exprun.engine.replay import AT_ONCE_SECONDS, Storages, storages_of
from exprun.techniques.losses import CrossEntropy
from exprun.training import metrics
from exprun.training.divergence import locate

if TYPE_CHECKING:
    from exprun.data.prepare import Part
    from exprun.training.training import Training


class NativeTraining:
    """``fit.loop.iterate`` for a training, in compiled code.

    It reads and writes weights, optimizer state and statistics directly in the memory of torch's
    tensors, so changes made to them between two calls take effect.
    """

    def __init__(self, training: Training, *, target: int = 0, threads: int | None = None) -> None:
        """``target`` is an index of ``library.targets()``; ``threads`` defaults to torch's. Raises
        MemoryError if the activations of a batch do not fit into memory."""
        t = training
        self.training = t
        self.library = library.load()
        self.network = NativeNetwork(t, threads or t.threads)
        self.workspace = self.library.native_open(self.network.structure, target)
        if not self.workspace:
            raise MemoryError("the native engine: not enough memory for the activations of a batch")
        weakref.finalize(self, self.library.native_close, self.workspace)
        self.at_once = 1
        self.storages: list[Storages] = []  # weights and states, once the optimizer has all of them
        targets = t.loss.encode(t.data.train.y)
        self.rows = _Rows(t, t.data.train, targets)
        weights = t.data.train.weight
        if t.loss.class_weight is not None:
            of_classes = t.loss.class_weight[t.loss.ids(targets)]
            weights = of_classes if weights is None else of_classes * weights
        if weights is not None:
            self.rows.set_weights(weights)
        self.measured: dict[int, _Rows] = {}
        self.saved = ctypes.create_string_buffer(self.library.native_saved(self.network.structure))
        t.optimizer._opt_called = True  # type: ignore[attr-defined]  # torch's schedulers check it

    def __call__(self, order: Tensor, number: int) -> int:
        """Run iterations from ``number`` of the epoch on, over the rows ``order`` (n,) int64;
        returns how many were run. Raises Diverged; raises Changed before any iteration."""
        t = self.training
        began = time.perf_counter()
        ahead = t.scheduler.steady or t.scheduler.ahead
        count = min(self.at_once if ahead else 1, t.iterations_per_epoch - number)
        size = t.batch_size or len(order)
        first, last = number * size, min((number + count) * size, len(order))
        iteration = t.iteration + number
        done: int = self.library.native_train(
            self.workspace,
            self.rows.structure,
            order.data_ptr() + 8 * first,
            last - first,
            count,
            iteration,
            self._hyper(iteration, count),
            t.scheduler.steady,
        )
        t.streams.dropout.advance(done)
        if not self.attached:
            self._attach()
        if done < count:
            rows = order[first + done * size : first + (done + 1) * size]
            failed = iteration + done
            raise locate(t.model, t.data.train.x[rows], t.epoch + 1, failed + 1, updates=failed)
        self.at_once = max(1, int(done / (time.perf_counter() - began) * AT_ONCE_SECONDS))
        return done

    def _hyper(self, iteration: int, count: int) -> ctypes.Array[library.Hyper]:
        """Hyperparameters for ``count`` iterations and all parameter groups; for one iteration if
        the schedule is steady. Raises Changed."""
        t = self.training
        kind, groups = self.network.kind, t.optimizer.param_groups
        hypers: list[library.Hyper] = []
        for i in range(1 if t.scheduler.steady else count):
            t.scheduler.before_iteration(iteration + i, t.iterations_per_epoch)
            for group, known in zip(groups, self.network.fixed_settings, strict=False):
                if (now := fixed_settings(kind, group)) != known:
                    new = " and ".join(name for name in now if now[name] != known[name])
                    raise Changed(f"{new} of the optimizer changed on the way")
                hypers.append(library.Hyper(*read(kind, group)))
        if (replaced := self._replaced()) is not None:
            raise Changed(f"{replaced} changed on the way")
        return (library.Hyper * len(hypers))(*hypers)

    def _replaced(self) -> str | None:
        """What the optimizer moves otherwise than when the engine was made, or somewhere else."""
        optimizer = self.training.optimizer
        groups = {w: i for i, group in enumerate(optimizer.param_groups) for w in group["params"]}
        if groups != self.network.groups:
            return "the optimizer's parameter groups"
        if not all(w.requires_grad for w in groups):
            return "which weights are trained"
        if any(
            w.data_ptr() != memory.data_ptr()
            for w, memory in zip(groups, self.network.memory, strict=True)
        ):
            return "the storage of the weights"
        if self.attached and storages_of([optimizer]) != self.storages:
            return "the state of the optimizer"
        return None

    attached = False
    """Whether the states created by the engine are registered in the optimizer."""

    def _attach(self) -> None:
        optimizer = self.training.optimizer
        for w, made in self.network.states.items():
            if made and w not in optimizer.state:
                optimizer.state[w] = made
        self.attached = True
        self.storages = storages_of([optimizer])

    def save(self) -> dict[str, Any]:
        """Save the state for ``restore``; the buffer holds only the most recent save."""
        t = self.training
        self.library.native_save(self.network.structure, self.saved)
        return {
            "streams": t.streams.state_dict(),
            "scheduler": copy.deepcopy(t.scheduler.state_dict()),
            "groups": [
                group | {"params": list(group["params"])} for group in t.optimizer.param_groups
            ],
            "states": {w: dict(state) for w, state in t.optimizer.state.items()},
            "weights": [(w, w.data, w.requires_grad) for w in t.model.parameters()],
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Restore the state of the last ``save``, which returned ``saved``."""
        t = self.training
        self.library.native_restore(self.network.structure, self.saved)
        t.streams.load_state_dict(saved["streams"])
        t.scheduler.load_state_dict(saved["scheduler"])
        t.optimizer.param_groups[:] = saved["groups"]
        t.optimizer.state.clear()
        t.optimizer.state.update(saved["states"])
        self.attached = self.attached and bool(saved["states"])
        for w, memory, trained in saved["weights"]:
            w.data = memory
            w.requires_grad_(trained)

    def measures(self, names: Sequence[str]) -> bool:
        """Whether ``figures`` can compute all of these; it does not know weights of rows."""
        return self.training.data.train.weight is None and set(names) <= set(self._names)

    @property
    def _names(self) -> list[str]:
        """The figures that the engine computes, all others being torch's."""
        loss = self.training.loss
        return metrics.names(loss.task, loss.output_activation)

    def figures(self, parts: Mapping[str, Part], names: Sequence[str]) -> tuple[list[float], bool]:
        """``learning_curve.evaluate`` of the parts of the data, and whether a weight is not finite.

        The figures are ordered by name first, then by part.
        """
        measured = [self._measure(part) for part in parts.values()]
        broken = not self.library.native_finite(self.network.structure)
        return [of[name] for name in names for of in measured], broken

    def _measure(self, part: Part) -> dict[str, float]:
        """Mean loss and metrics of one part of the data."""
        t = self.training
        rows = self.measured.get(id(part))
        if rows is None:
            targets = part.y if _uses_class_ids(t) else t.loss.encode(part.y)
            rows = self.measured[id(part)] = _Rows(t, part, targets)
        outputs, n = t.loss.outputs, len(part)
        found = (ctypes.c_double * (2 + 2 * outputs))()
        self.library.native_evaluate(self.workspace, rows.structure, found)
        loss, right, *errors = found
        if t.loss.task.classes:
            return {"loss": loss / n, "accuracy": right / n}
        squared = [e / n for e in errors[::2]]
        units = t.data.preprocessing.target.std
        r2 = [
            1 - s / max(v, 1e-300) if v > 0 else float(s == 0)
            for s, v in zip(squared, rows.spread, strict=True)
        ]
        rmse = [math.sqrt(s) * unit for s, unit in zip(squared, units, strict=True)]
        mae = [e / n * unit for e, unit in zip(errors[1::2], units, strict=True)]
        means = {"rmse": rmse, "mae": mae, "r2": r2}
        figures = {"loss": loss / n} | {name: sum(v) / outputs for name, v in means.items()}
        if metrics.DEVIANCE in self._names:
            figures[metrics.DEVIANCE] = 2 * (figures["loss"] - rows.least_loss)
        return figures


def _uses_class_ids(training: Training) -> bool:
    return type(training.loss) is CrossEntropy


class _Rows:
    """The structure ``Rows`` of a part; keeps the tensors alive whose addresses it has."""

    def __init__(self, training: Training, part: Part, targets: Tensor) -> None:
        classes = bool(training.loss.task.classes)
        self.y, self.targets = part.y.contiguous(), targets.contiguous()
        self.structure = library.Rows(
            ids=self.y.data_ptr() if classes else None,
            targets=None if _uses_class_ids(training) else self.targets.data_ptr(),
            rows=len(part),
        )
        if isinstance(part.x, OneHotInputs):
            self._set_codes(part.x)
        else:
            self.x = part.x.contiguous()
            self.structure.x = self.x.data_ptr()
        self.spread = [] if classes else self.y.double().var(0, correction=0).tolist()

    def _set_codes(self, x: OneHotInputs) -> None:
        self.x, self.codes = x.numbers.contiguous(), x.codes.contiguous()
        self.places = x.places.contiguous()
        self.structure.x = self.x.data_ptr()
        self.structure.codes, self.structure.columns = self.codes.data_ptr(), self.codes.shape[1]
        self.structure.places, self.structure.numbers = self.places.data_ptr(), len(self.places)

    @cached_property
    def least_loss(self) -> float:
        """The loss ``Poisson`` of a model that predicts every target."""
        y = self.y.double()
        return (y - y.xlogy(y)).mean().item()

    def set_weights(self, weights: Tensor) -> None:
        """Set the factors (n,) of the rows' losses."""
        self.weights = weights.float().contiguous()
        self.structure.weights = self.weights.data_ptr()
