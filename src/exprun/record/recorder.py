"""Writes a run's folder while it trains, and its result at the end."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from exprun import metrics
from exprun.config.compose import to_yaml
from exprun.config.schema import leaves
from exprun.errors import UsageError
from exprun.fit import Observer, Outcome, Training, evaluate
from exprun.record import checkpoint
from exprun.record.files import write_json
from exprun.record.model import save_model
from exprun.record.result import result_of
from exprun.record.tensorboard import EventFile, tags
from exprun.vocabulary import COMPLETED, DIVERGED, EARLY_STOPPED, INTERRUPTED

CHECKPOINT_SECONDS = 2.0
"""``checkpoint.every=auto``: at least this long between two writes."""


class Recorder(Observer):
    """``metrics.csv``, TensorBoard events and checkpoints, a row or a write an epoch; then the
    model, the preprocessing and, last, ``result.json``."""

    def __init__(
        self,
        folder: Path,
        config: DictConfig,
        overrides: list[str],
        choices: Mapping[str, str | None],
        training: Training,
        state: dict[str, Any] | None = None,
        *,
        sharing: int = 1,
    ) -> None:
        """With the ``state`` of a checkpoint the training is put there, and what the files of the
        folder hold of later epochs is taken out of them.

        ``sharing`` trainings take turns on one core, so each saves as much more rarely.

        Raises UsageError if the data are not those of the checkpoint.
        """
        self.folder = folder
        self.config = config
        self.overrides = overrides
        self.choices = choices
        self.training = training
        self.every: int | str = config.checkpoint.every
        self.seconds = CHECKPOINT_SECONDS * sharing
        self.saved = time.perf_counter()
        if state is not None:
            if state["preprocessing"] != training.data.preprocessing.to_json():
                raise UsageError(f"{folder}: the data are not those that it was trained on")
            training.load_state_dict(state)
        self.events = EventFile(folder, until=training.epoch)
        self.curves = (folder / "metrics.csv").open("w", newline="")
        for row in training.history:
            self._write_row(row)

    def close(self) -> None:
        """Close the files that were open while it trained."""
        self.curves.close()
        self.events.close()

    def on_start(self, training: Training) -> None:
        if training.epoch:
            return  # resumed: all this is there already
        names = metrics.names(training.data.preprocessing.task)
        self.events.hparams_start(hparams(self.config, self.choices))
        if training.averaging:
            names = [*names, *(f"ema_{name}" for name in names)]
        self.events.charts({name: [f"{name}/train", f"{name}/validation"] for name in names})
        config = to_yaml(OmegaConf.to_container(self.config, resolve=True))
        self.events.text("config", f"```yaml\n{config}\n```")

    def on_epoch(self, training: Training, row: dict[str, float]) -> None:
        self._write_row(row)
        self.events.scalars(tags(row), training.epoch)
        if self._due(training.epoch):
            self._save()

    def _write_row(self, row: dict[str, float]) -> None:
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
        preprocessing = self.training.data.preprocessing.to_json()
        state = {**self.training.state_dict(), "preprocessing": preprocessing}
        checkpoint.save(self.folder, state)
        self.saved = time.perf_counter()

    def finish(self, outcome: Outcome, seconds: float) -> dict[str, Any]:
        """Evaluate the test part, once and with the kept weights, and write what is left;
        ``result.json``, whose content is returned, is the last of it.

        An interrupted run may be continued, so its test part stays unseen.
        """
        training = self.training
        if outcome.status != DIVERGED:
            self._save()
        figures = {
            k: v for k, v in training.kept_row.items() if k not in ("epoch", "iteration", "lr")
        }
        if training.kept:
            training.model.load_state_dict(training.kept)
            save_model(self.folder, training, architecture(self.config, training))
            if len(training.data.test) and outcome.status != INTERRUPTED:
                test = {f"test_{k}": v for k, v in evaluate(training, training.data.test).items()}
                self.events.scalars(tags(test), training.epoch)
                figures |= test
                # TensorBoard's table shows the last point of a curve, the model is the best one
                best = {f"best/{k}": v for k, v in figures.items() if k.startswith("val_")}
                self.events.scalars(best, training.epoch)
        if outcome.status != INTERRUPTED:  # TensorBoard takes the first end for the last word
            self.events.hparams_end(outcome.status in (COMPLETED, EARLY_STOPPED))
        result = result_of(self.config, self.overrides, outcome, seconds, training, figures)
        write_json(self.folder / "result.json", result)
        return result


def architecture(config: DictConfig, training: Training) -> dict[str, Any]:
    """What the network was built with, as plain data for the head of ``model.safetensors``."""
    model = OmegaConf.to_container(config.model, resolve=True)
    norm = OmegaConf.to_container(config.norm, resolve=True)
    sizes = {"inputs": training.data.preprocessing.width, "outputs": training.loss.outputs}
    return {"model": model, "norm": norm, "loss": type(training.loss).__name__, **sizes}


def hparams(
    config: DictConfig, choices: Mapping[str, str | None]
) -> dict[str, bool | int | float | str]:
    """The config as TensorBoard's table of hyperparameters takes it: flat, plain, without paths to
    code; the chosen regularisers by name."""
    flat: dict[str, bool | int | float | str]
    flat = {"reg": "+".join(config.reg) or "none"} if "reg" in config else {}
    for group, option in choices.items():
        if "/" not in group and group in config and option is not None:
            flat[group] = str(option)
    for key, value in leaves(config):
        if not key.endswith("_target_"):
            plain = isinstance(value, bool | int | float | str)
            flat[key] = value if plain else str(value)
    return flat
