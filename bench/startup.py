"""Where the time of a short run goes, from the shell to the shell, next to others that do the same.

    python -m bench.startup
    python -m bench.startup --quick    # one round

The run is 20 epochs of Adam with dropout on the digits, 64-256-128-10, batch size 32. Every
contestant is a command in an empty folder, with one thread, and they take turns; the first round,
which reads everything from the disk, does not count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from bench.contestants import US
from bench.side_by_side import (
    ONE_THREAD,
    SCRIPTS,
    command,
    in_turns,
    machine,
    missing,
    seconds_table,
    table,
    versions,
)

WORDS = ("optimizer=adam", "reg=dropout", "trainer.max_epochs=20", "stopping=none")
PHASES = f"{US}, marked"


def phases(seen: dict[str, list[float]]) -> float:
    """Run exprun with marks, and take down the seconds of every phase; returns those of all."""
    with tempfile.TemporaryDirectory() as folder:
        marks = Path(folder) / "marks"
        words = (sys.executable, SCRIPTS / "exprun_marked.py", marks, *WORDS)
        began = time.monotonic()
        subprocess.run(
            words, cwd=folder, env={**os.environ, **ONE_THREAD}, capture_output=True, check=True
        )
        ended = time.monotonic()
        last = began
        for line in marks.read_text().splitlines():
            now, name = line.split(" ", 1)
            seen[name].append(float(now) - last)
            last = float(now)
        seen["end of Python"].append(ended - last)
        return ended - began


def imports() -> list[tuple[str, float, float, int]]:
    """For each package: its name, seconds of its own modules, seconds of what it was the first to
    import, itself included, and its number of modules. The longest first."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            (sys.executable, "-X", "importtime", "-m", US, *WORDS),
            cwd=folder,
            env={**os.environ, **ONE_THREAD},
            capture_output=True,
            text=True,
            check=True,
        )
    own: dict[str, float] = defaultdict(float)
    whole: dict[str, float] = defaultdict(float)
    modules: dict[str, int] = defaultdict(int)
    above: list[tuple[int, str]] = []  # depth and package; a module's line follows its imports
    for line in reversed(done.stderr.splitlines()):
        if not line.startswith("import time:") or "cumulative" in line:
            continue
        self_us, cumulative_us, module = line.removeprefix("import time:").split("|")
        depth, package = len(module) - len(module.lstrip()), module.strip().split(".")[0]
        while above and above[-1][0] >= depth:
            above.pop()
        own[package] += int(self_us) / 1e6
        modules[package] += 1
        if package not in (name for _, name in above):
            whole[package] += int(cumulative_us) / 1e6
        above.append((depth, package))
    return [(p, own[p], whole[p], modules[p]) for p in sorted(own, key=own.__getitem__)[::-1]]


def script(name: str, *words: str) -> Callable[[], float]:
    return command(sys.executable, SCRIPTS / name, *words)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.startup", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round; the figures mean nothing")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds

    seen: dict[str, list[float]] = defaultdict(list)
    contestants: dict[str, Callable[[], float] | str] = {
        US: command(Path(sys.executable).with_name("exprun"), *WORDS),
        "minimal PyTorch script": script("bare_mlp.py"),
        "scikit-learn script": script("sklearn_mlp.py"),
        "PyTorch script": script("torch_mlp.py"),
        "Lightning with Hydra": missing(["lightning"]) or script("lightning_mlp.py", "dropout=0.2"),
        PHASES: lambda: phases(seen),
        "python -c pass": command(sys.executable, "-c", "pass"),
        "python -c 'import torch'": command(sys.executable, "-c", "import torch"),
    }
    notes = {
        US: "curves in CSV and TensorBoard, checkpoint, model, result",
        "minimal PyTorch script": "tensors, Adam by hand, curve in CSV: a lower bound",
        "scikit-learn script": "no dropout, no validation; training curve in CSV, model",
        "PyTorch script": "DataLoader, SummaryWriter, model",
        "Lightning with Hydra": "CSVLogger, checkpoint",
        PHASES: "the table below",
    }
    if not options.quick:
        in_turns(contestants, 1)
        seen.clear()
    results = in_turns(contestants, rounds)
    print(f"{machine()}; one thread each; {rounds} rounds.\n")
    print(f"{versions('torch', 'hydra-core', 'lightning', 'scikit-learn', 'tensorboard')}\n")
    print(f"`{US} {' '.join(WORDS)}` and the same in others:\n")
    print(seconds_table(results, US, notes))

    print("\nWhere the time goes, medians:\n")
    medians = {name: statistics.median(values) for name, values in seen.items()}
    whole = sum(medians.values())
    rows = [[name, f"{s * 1e3:.0f}", f"{s / whole:.0%}"] for name, s in medians.items()]
    print(table(["phase", "ms", "share"], rows))

    print("\nImports, by `python -X importtime`, which takes time itself:\n")
    rows = [
        [package, f"{own * 1e3:.0f}", f"{all_ * 1e3:.0f}", str(modules)]
        for package, own, all_, modules in imports()[:15]
    ]
    print(table(["package", "own modules, ms", "with what it imports, ms", "modules"], rows))


if __name__ == "__main__":
    main()
