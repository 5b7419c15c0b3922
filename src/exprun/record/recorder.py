"""Write a run's folder during the training, and its result at the end."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from exprun.common.caching import cached_by_content
from exprun.common.constants import COMPLETED, DIVERGED, EARLY_STOPPED, INTERRUPTED, STOPPED
from exprun.common.errors import UsageError
from exprun.data.task import MOST_IN_TABLE
from exprun.diagnostics.measure import FIGURES
from exprun.diagnostics.settings import Diagnostics
from exprun.record import checkpoint
from exprun.record.diagnostics import DiagnosticsRecorder
from exprun.record.files import NewFile, as_json, write_files
from exprun.record.model import as_file, model_files
from exprun.record.oof import oof_file
from exprun.record.result import result_of
from exprun.record.tensorboard import EventFile, Value, best_tag, tags
from exprun.training import metrics
from exprun.training.callbacks import Callback, Outcome
from exprun.training.prediction import Model, forward
from exprun.training.training import Training

DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The YAML dumper, in C if PyYAML was built with it."""


@cached_by_content
def _yaml(key: str, value: Any) -> str:
    """An item of a config as YAML; cached, because most are equal in all jobs of a sweep."""
    text: str = yaml.dump({key: value}, Dumper=DUMPER, allow_unicode=True, sort_keys=False)
    return text


CHECKPOINT_SECONDS = 2.0
"""Minimum seconds between two checkpoints with ``checkpoint.every=auto``."""

CURVE_SECONDS = 0.25
"""Minimum seconds between two writes of the curve's rows, which are slow compared with a short
epoch."""


class Recorder(Callback):
    """Writes ``metrics.csv`` and TensorBoard events with a row per epoch, and checkpoints; at the
    end the model, the preprocessing and, last, ``result.json``."""

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        overrides: list[str],
        hparams: Mapping[str, Value],
        training: Training,
        state: dict[str, Any] | None = None,
        *,
        diagnostics: Diagnostics | None = None,
        sharing: int = 1,
    ) -> None:
        """With the ``state`` of a checkpoint the training resumes there, and later epochs are
        removed from the folder's files.

        ``sharing`` trainings take turns on one core, so the interval between checkpoints is that
        many times longer. Raises UsageError if the data differ from those of the checkpoint.
        """
        self.folder = folder
        self.config = config
        self.overrides = overrides
        self.hparams = hparams
        self.training = training
        self.every: int | str = config["checkpoint"]["every"]
        self.seconds = CHECKPOINT_SECONDS * sharing
        self.saved = time.perf_counter()
        self.written = -math.inf
        if state is not None:
            if state["preprocessing"] != as_file(training.data.preprocessing).sum:
                raise UsageError(f"{folder}: the data are not those that it was trained on")
            training.load_state_dict(state)
        self.events = EventFile(folder, until=training.epoch)
        self.curves = (folder / "metrics.csv").open("w", newline="")
        self._write_rows(training.history)
        self.rows = len(training.history)
        self.diagnostics = (
            DiagnosticsRecorder(folder, diagnostics, training, self.events) if diagnostics else None
        )

    def close(self) -> None:
        """Write pending rows of the curve and close all files."""
        self._write_curve()
        self.curves.close()
        if self.diagnostics:
            self.diagnostics.close()
        self.events.close()

    def on_start(self, training: Training) -> None:
        if not training.epoch:  # a resumed run's files have it already
            self._describe(training)
        if self.diagnostics:
            self.diagnostics.on_start(training)

    def _describe(self, training: Training) -> None:
        names = training.figures
        self.events.hparams_start(self.hparams)
        if training.averaging:
            names = [*names, *(f"ema_{name}" for name in names)]
        charts = {name: [f"{name}/train", f"{name}/validation"] for name in names}
        self.events.charts(charts, FIGURES if self.diagnostics else ())
        config = "".join(_yaml(key, value) for key, value in self.config.items())
        self.events.text("config", f"```yaml\n{config}\n```")

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        if self.diagnostics:
            self.diagnostics.on_epoch(training, row)
        due = self._due(training.epoch)
        if due or time.perf_counter() - self.written >= CURVE_SECONDS:
            self._write_curve()
        if due:
            self._save()

    def _write_curve(self) -> None:
        """Write the pending rows of the curve."""
        rows = self.training.history[self.rows :]
        self._write_rows(rows)
        for row in rows:
            self.events.scalars(tags(row), int(row["epoch"]))
        self.rows += len(rows)
        self.written = time.perf_counter()

    def _write_rows(self, rows: Sequence[dict[str, float]]) -> None:
        """Write rows into ``metrics.csv``."""
        for row in rows:
            writer = csv.DictWriter(self.curves, list(row))
            if row["epoch"] == 1:
                writer.writeheader()
            writer.writerow(row)
        self.curves.flush()

    def _due(self, epoch: int) -> bool:
        if self.every == "auto":
            return time.perf_counter() - self.saved >= self.seconds
        return epoch % int(self.every) == 0

    def _save(self) -> None:
        write_files([self._checkpoint()])
        self.saved = time.perf_counter()

    def _checkpoint(self) -> NewFile:
        preprocessing = as_file(self.training.data.preprocessing).sum
        state = {**self.training.state_dict(), "preprocessing": preprocessing}
        return checkpoint.as_file(self.folder, state)

    def finish(self, outcome: Outcome, seconds: float) -> dict[str, Any]:
        """Evaluate the test part, once and with the kept weights, and write the remaining files,
        ``result.json`` last; returns its content.

        The test part of an interrupted or stopped run is not evaluated, because it may be resumed.
        """
        training, ended = self.training, outcome.status not in (INTERRUPTED, STOPPED)
        self._write_curve()
        files = [] if outcome.status == DIVERGED else [self._checkpoint()]
        figures = {
            k: v for k, v in training.kept_row.items() if k not in ("epoch", "iteration", "lr")
        }
        if training.kept:
            training.model.load_state_dict(training.kept)
            measured, own = self._finish_model(seen=ended)
            figures |= measured
            files += own
        if ended:
            final = {k: v for k, v in figures.items() if k.startswith("test_")}
            # TensorBoard's table shows the last point of a curve, but the model is the best epoch
            best = {best_tag(k): v for k, v in figures.items() if k.startswith("val_")}
            self.events.scalars(tags(final) | best, training.epoch)
            # TensorBoard ignores all but the first end of a session
            self.events.hparams_end(outcome.status in (COMPLETED, EARLY_STOPPED))
        result = result_of(self.config, self.overrides, outcome, seconds, training, figures)
        write_files([*files, NewFile(self.folder / "result.json", as_json(result))])
        return result

    def _finish_model(self, *, seen: bool) -> tuple[dict[str, float], list[NewFile]]:
        """The metrics of the kept weights: on the validation part those that the curve does not
        have and, if ``seen``, all of the test part; and the files of the model and of its answers
        in the test part."""
        t, data = self.training, self.training.data
        activation = t.loss.output_activation
        files = model_files(self.folder, t.model, t.kept, data.preprocessing, activation)
        figures: dict[str, float] = {}
        for name, part in (("val", data.val), ("test", data.test)):
            if not len(part) or (name == "test" and not seen):
                continue
            outputs = forward(t.model, part.x)
            y, weight = part.y, part.weight
            measured = metrics.full(outputs, y, data.preprocessing, activation, weight)
            if name == "test":
                measured = {"loss": t.loss.reported(outputs, y, weight).item()} | measured
                if t.loss.class_weight is not None:
                    measured["weighted_loss"] = t.loss.weighted(outputs, y, weight).item()
                if data.test_rows is not None:
                    model = Model(t.model, data.preprocessing, activation)
                    answers = model.answers(outputs.cpu())
                    files.append(
                        oof_file(self.folder, data.test_rows, part.y, answers, data.preprocessing)
                    )
                if 0 < len(data.preprocessing.task.classes) <= MOST_IN_TABLE:
                    confusion = metrics.confusion(outputs, part.y, data.preprocessing.task)
                    files.append(self._confusion(confusion))
            named = {f"{name}_{metric}": value for metric, value in measured.items()}
            figures |= {k: v for k, v in named.items() if k not in t.kept_row}
        return figures, files

    def _confusion(self, matrix: Tensor) -> NewFile:
        """``confusion.csv``; the same table is written for TensorBoard."""
        classes = self.training.data.preprocessing.task.classes
        rows = [
            [label, *map(str, row)] for label, row in zip(classes, matrix.tolist(), strict=True)
        ]
        table = [["true \\ predicted", *classes], *rows]
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(table)
        lines = [" | ".join(word.replace("|", "\\|") for word in row) for row in table]
        lines.insert(1, " | ".join(["---:"] * len(table[0])))
        self.events.text("confusion/test", "\n".join(f"| {line} |" for line in lines))
        return NewFile(self.folder / "confusion.csv", text.getvalue().encode())


def hparams(
    config: Mapping[str, Any], choices: Mapping[str, str | None], overrides: Sequence[str]
) -> dict[str, Value]:
    """The run's row of TensorBoard's hyperparameter table: the seed and each overridden key with
    its value; the chosen regularisers by name. Keys whose value is derived from another key
    (``data.split_seed=${seed}``) are left out.

    The settings of a chosen option are left out, because its name implies them; an empty column
    stands for the default. The whole config is recorded as a text.
    """
    row: dict[str, Value] = {}
    own = [word for word in overrides if "${" not in word]
    for key in dict.fromkeys(["seed", *(word.lstrip("+~").partition("=")[0] for word in own)]):
        value = _leaf(config, key)
        if key == "reg":
            value = "+".join(config["reg"]) or "none"
        elif isinstance(value, Mapping):
            value = choices.get(key)
        if value is not None:
            row[key] = value if isinstance(value, bool | int | float | str) else str(value)
    return row


def _leaf(node: Any, key: str) -> Any:
    """The value at a dotted key; None if there is none."""
    for name in key.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return None
        node = node[name]
    return node
