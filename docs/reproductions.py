"""Run the presets that are missing and write reproductions.md with a picture each:
``python docs/reproductions.py DATA [PRESET …]``.

DATA is a folder with ``mnist/``, ``landsat/`` and ``california/``. Sweeps are kept in
outputs/reproductions/ and not run again; one that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

from exprun.sweeps.published import stored
from exprun.sweeps.published_table import mean_and_std, verdict

DOCS = Path(__file__).parent
EXPERIMENTS = DOCS.parent / "conf" / "experiment"
SWEEPS = DOCS.parent / "outputs" / "reproductions"
DATA = {
    "sklearn_digits_optimizers": [],
    "nielsen_init": ["data.path={}/mnist"],
    "nielsen_overfit": ["data.path={}/mnist"],
    "vanishing_gradients": ["data.path={}/mnist"],
    "batch_norm_mnist": ["data.path={}/mnist"],
    "landsat_statlog": ["data.path={}/landsat/sat.trn", "data.test_path={}/landsat/sat.tst"],
    "california_rtdl": ["data.path={}/california/california_housing.csv"],
    "demo2d_quadratic": [],
    "demo2d_rosenbrock": [],
}
"""The presets in the order of the page, and what each needs."""

HEAD = """\
# Published results, reproduced

Every preset below is one command, and prints the published figures beside its own when it ends
(and writes them into `published.json`). This page is made by `python docs/reproductions.py DATA`,
which runs what is missing, draws the pictures and writes the text; DATA is a folder with `mnist/`
(the IDX files), `landsat/` (Statlog) and `california/`. "Here" is the mean over runs with different
seeds, ± their standard deviation. The last column says whether it lies within what the preset calls
agreement, and if not, by how much it is off.
"""

TAIL = """
## A preset of your own

A YAML file in `experiment/` of your `--config-dir` chooses options, may be a sweep by itself and
may have figures to be compared with; no code is needed. `variants` are overrides that belong
together, `params` are swept for each of them.

```yaml
# @package _global_
# SGD against Adam, as in my paper
defaults:
  - override /data: digits
hydra:
  mode: MULTIRUN
  sweeper:
    variants:
      sgd: {optimizer: sgd, optimizer.lr: 0.1}
      adam: {optimizer: adam}
    params:
      seed: range(5)
published:
  source: my paper, table 2
  figures:
    - {variant: sgd, metric: test_accuracy, value: 0.96, spread: 0.01, within: 0.02}
    - {variant: adam, metric: val_loss, epoch: 1, value: 0.5, within: [0.4, 0.6]}
```

A figure needs `metric` and `value`. It is the model's, from `result.json`; with `epoch` it is the
curve's, from `metrics.csv`; with `layer` (like `hidden.1`) and `epoch` it is one of
`diagnostics.csv`. `within` is what counts as agreement, a distance from `value` or two bounds; if
it is not given, nothing is judged. `label` says whose figure it is.
"""


def run(preset: str, data: str) -> Path:
    """The folder of the preset's finished sweep."""
    folder = SWEEPS / preset
    exprun = [sys.executable, "-m", "exprun"]
    if not (folder / "sweep.json").is_file():
        words = [word.format(data) for word in DATA[preset]]
        command = [f"experiment={preset}", *words, f"hydra.sweep.dir={folder}"]
        subprocess.run([*exprun, *command], check=True)
    elif not (folder / "published.json").is_file():
        subprocess.run([*exprun, "resume", str(folder)], check=True)
    return folder


def section(preset: str, folder: Path) -> str:
    """The preset's part of the page: the head of its file, the table and the picture."""
    heading, *lines = comment(preset)
    table = ["| figure | published | here | runs | |", "|---|--:|--:|--:|---|"]
    for row in stored(folder).comparisons:
        cells = [row.figure.title, row.figure.spelled, mean_and_std(row)]
        said = f"**{verdict(row)}**" if row.outside or row.mean is None else verdict(row)
        table.append(f"| {' | '.join(cells)} | {row.jobs} | {said} |")
    text = "\n".join(lines).strip("\n")
    picture = f"![{heading}](reproductions/{preset}.png)"
    return "\n".join([f"\n## {preset}\n", f"{heading}.\n", text, "", *table, "", picture, ""])


def comment(preset: str) -> Iterator[str]:
    """The lines of the comment that opens a preset's file; the command as code."""
    for line in (EXPERIMENTS / f"{preset}.yaml").read_text().splitlines()[1:]:
        if not line.startswith("#"):
            return
        words = line.removeprefix("#").strip()
        if words.startswith("exprun "):
            words = f"    {words}\n"
        yield re.sub(r"^(Time|Expect|Source|Differs):", r"- *\1:*", words)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def draw(preset: str, folder: Path) -> None:
    """The curves of every job, a colour a variant; for figures of layers, those by layer; for test
    functions the sweep's own picture of the paths."""
    picture = DOCS / "reproductions" / f"{preset}.png"
    picture.parent.mkdir(exist_ok=True)
    if (folder / "paths.png").is_file():
        shutil.copyfile(folder / "paths.png", picture)
        return
    books = json.loads((folder / "sweep.json").read_text())
    by_layer = any(figure.get("layer") for figure in books["published"]["figures"])
    draw_jobs = layers if by_layer else curves
    axes = plt.figure(figsize=(7, 4), layout="constrained").gca()
    variants = list(dict.fromkeys(job["variant"] for job in books["jobs"]))
    seen = set()
    for job in books["jobs"]:
        variant = job["variant"]
        label = None if variant in seen else variant
        seen.add(variant)
        colour = f"C{variants.index(variant)}"
        draw_jobs(axes, folder / job["folder"], books["published"]["figures"], colour, label)
    if variants != [None]:
        axes.legend()
    axes.grid(alpha=0.3)
    axes.set_title(textwrap.fill(next(comment(preset)), 80), fontsize=10)
    axes.figure.savefig(picture, dpi=120)
    plt.close()


def curves(axes: Any, folder: Path, figures: Any, colour: str, label: str | None) -> None:
    """A figure over the epochs: of the validation rows, or of the training rows if there are no
    others."""
    rows = rows_of(folder / "metrics.csv")
    metrics = [figure["metric"].partition("_")[2] for figure in figures]
    kind = next(m for m in metrics if m in ("accuracy", "rmse"))
    column = f"val_{kind}" if f"val_{kind}" in rows[0] else f"train_{kind}"
    epochs = [int(row["epoch"]) for row in rows]
    values = [float(row[column]) for row in rows]
    if kind == "accuracy":
        values = [1 - value for value in values]
        axes.set_yscale("log")
    axes.plot(epochs, values, color=colour, label=label, lw=1, alpha=0.8)
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"1 - {column}" if kind == "accuracy" else column)


def layers(axes: Any, folder: Path, figures: Any, colour: str, label: str | None) -> None:
    """A figure of the hidden layers, before the training."""
    metric = figures[0]["metric"]
    hidden = [
        row
        for row in rows_of(folder / "diagnostics.csv")
        if row["epoch"] == "0" and row["layer"].startswith("hidden")
    ]
    numbers = range(1, len(hidden) + 1)
    axes.plot(
        numbers, [float(r[metric]) for r in hidden], "o-", color=colour, label=label, alpha=0.5
    )
    axes.set_yscale("log")
    axes.set_xticks(range(1, 5))
    axes.set_xlabel("hidden layer")
    axes.set_ylabel(metric)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", metavar="DATA")
    parser.add_argument("presets", nargs="*", metavar="PRESET", help="only these are run")
    arguments = parser.parse_args()
    parts = [HEAD]
    for preset in DATA:
        wanted = not arguments.presets or preset in arguments.presets
        finished = (SWEEPS / preset / "published.json").is_file()
        if wanted or finished:
            folder = run(preset, arguments.data)
            draw(preset, folder)
            parts.append(section(preset, folder))
        else:
            parts.append(f"\n## {preset}\n\nNot run yet.\n")
    parts.append(TAIL)
    (DOCS / "reproductions.md").write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
