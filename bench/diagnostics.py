"""What diagnostics cost: ``python -m bench.diagnostics``.

The default training on digits for 50 epochs, everything recorded, with ``diagnostics`` off, basic
and full; the three take turns. What counts is the time of the processor, the least of all rounds:
other work on the machine only adds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from bench.side_by_side import figure, in_turns, machine, spread, table
from exprun import build
from exprun.config.paths import conf_dir
from exprun.config.schema import plain
from exprun.fit.loop import fit
from exprun.record.recorder import Recorder

LEVELS = ("off", "basic", "full")


def training(level: str, epochs: int) -> Callable[[], float]:
    """A turn: seconds of the processor from the built training to the end of the last epoch."""

    def turn() -> float:
        overrides = [f"diagnostics={level}", f"trainer.max_epochs={epochs}", "stopping=none"]
        with initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="exprun"):
            config = plain(compose("config", overrides))
        made = build.mlp(config)
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            diagnostics = build.make_diagnostics(config)
            recorder = Recorder(Path(folder), config, overrides, {}, made, diagnostics=diagnostics)
            fit(made, [recorder])
            seconds = time.process_time() - began
            recorder.close()
        return seconds

    return turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--epochs", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    contestants = {f"diagnostics={level}": training(level, arguments.epochs) for level in LEVELS}
    results = in_turns(contestants, arguments.rounds)
    print(f"{machine()}, torch {torch.__version__}; {arguments.epochs} epochs\n")
    least = min(results["diagnostics=off"])
    rows = [
        [name, figure(values, ".3f"), spread(values, ".3f"), f"{min(values) / least:.3f}×"]
        for name, values in results.items()
    ]
    print(table(["", "seconds of CPU (median)", "range", "least ÷ least of off"], rows))


if __name__ == "__main__":
    main()
