"""What checkpoints cost: ``python -m bench.checkpoints``.

The default training on digits for 200 epochs, everything recorded, with checkpoints as they are by
default, after every epoch, and never before the end; the three take turns.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from bench.side_by_side import figure, in_turns, machine, ratio, spread, table
from exprun import build
from exprun.config.paths import conf_dir
from exprun.config.schema import plain
from exprun.fit.loop import fit
from exprun.record.recorder import Recorder

EPOCHS = 200
ROUNDS = 7
NEVER = "at the end only"


def training(every: str | int) -> Callable[[], float]:
    """A turn: seconds from the first iteration to the end of the last epoch."""

    def turn() -> float:
        overrides = [f"trainer.max_epochs={EPOCHS}", "stopping=none", f"checkpoint.every={every}"]
        with initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="exprun"):
            config = plain(compose("config", overrides))
        made = build.mlp(config)
        with tempfile.TemporaryDirectory() as folder:
            recorder = Recorder(Path(folder), config, overrides, {}, made)
            began = time.perf_counter()
            fit(made, [recorder])
            seconds = time.perf_counter() - began
            recorder.close()
        return seconds

    return turn


def main() -> None:
    torch.set_num_threads(1)
    contestants = {
        NEVER: training(10**6),
        "checkpoint.every=auto (default)": training("auto"),
        "checkpoint.every=1": training(1),
    }
    results = in_turns(contestants, ROUNDS)
    print(f"{machine()}, torch {torch.__version__}; {EPOCHS} epochs, {ROUNDS} rounds\n")
    rows = [
        [name, figure(v, ".2f"), spread(v, ".2f"), ratio(results, name, NEVER)]
        for name, v in results.items()
    ]
    print(table(["checkpoints", "seconds (median)", "range", f"÷ {NEVER}"], rows))


if __name__ == "__main__":
    main()
