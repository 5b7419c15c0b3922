"""``exprun export``: a trained model as one file for other software, verified before it is
written; or a search as a study of Optuna."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from exprun.commands import Parser, check_output
from exprun.commands.best_job import run_of
from exprun.common.constants import EXIT_CODES, FAILED
from exprun.export.inputs import Columns, Disagreement
from exprun.export.verified import FORMATS, SUFFIXES
from exprun.record.files import write_atomic
from exprun.record.model import load_model
from exprun.sweeps.search.study import write_study
from exprun.training.prediction import Model

OPTUNA, STUDY = "optuna", ".log"
"""The format of a search's study, and the suffix of its file, a journal of Optuna."""

SHOWN = 6
"""Most names that are listed before the list is cut short."""


def main(words: list[str]) -> int:
    parser = Parser("export", "A trained model with its preprocessing as one file.")
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="the folder of a run, or of a sweep: its best job"
    )
    parser.add_argument(
        "--format",
        choices=(*FORMATS, OPTUNA),
        required=True,
        help=f"{OPTUNA}: a search (RUN is its folder) as a study, for optuna-dashboard",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="else exported/model.… in the run's folder"
    )
    arguments = parser.parse_args(words)
    if arguments.format == OPTUNA:
        return _export_study(arguments.run, arguments.output)
    suffix = SUFFIXES[arguments.format]
    if arguments.output:
        check_output(arguments.output, (suffix,))
    arguments.run = run_of(arguments.run)
    model = load_model(arguments.run)
    folder = arguments.run if arguments.run.is_dir() else arguments.run.parent
    path = arguments.output or folder / "exported" / f"model{suffix}"
    try:
        content, apart = FORMATS[arguments.format](model)
    except Disagreement as error:
        print(f"exprun: {arguments.run}: not exported: {error}", file=sys.stderr)
        return EXIT_CODES[FAILED]
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, content)
    print(f"{path}: {len(content):,} bytes")
    print(f"tried   on random and edge rows; differs from exprun predict by {apart:.1g} at most")
    for line in _shapes(model, arguments.format):
        print(line)
    return 0


def _export_study(sweep: Path, output: Path | None) -> int:
    """Write the study of a search."""
    if output:
        check_output(output, (STUDY,))
    path = output or sweep / "exported" / f"study{STUDY}"
    trials = write_study(sweep, path)
    print(f"{path}: {trials:,} trials")
    print(f"read    optuna-dashboard {path}, or optuna.storages.JournalStorage")
    return 0


def _shapes(model: Model, form: str) -> list[str]:
    """Lines about the inputs and outputs of the exported model: dtypes, shapes, names."""
    if form == "safetensors":
        return ["read    exprun predict, or exprun.record.model.load_model"]
    columns, task = Columns.of(model.preprocessing), model.preprocessing.task
    lines = []
    if columns.numeric:
        names = _listed([column.name for column in columns.numeric])
        lines.append(f"numbers (rows, {len(columns.numeric)}) float64, NaN for a gap: {names}")
    if columns.datetimes:
        names = _listed([column.name for column in columns.datetimes])
        lines.append(f"seconds since 1970-01-01 00:00: {names}")
    if columns.categorical:
        names = _listed([column.name for column in columns.categorical])
        rows = f"(rows, {len(columns.categorical)})"
        kind = {
            "onnx": f"words   {rows} string, empty for a gap",
            "torch": f"codes   {rows} int64, places in the lists of exprun.json, or -1",
        }
        lines.append(f"{kind[form]}: {names}")
    if task.classes:
        kind = {"onnx": "label (rows,) string", "torch": "class id (rows,) int64"}
        labels = _listed(task.classes)
        answer = f"{kind[form]}, probabilities (rows, {len(task.classes)}) float32: {labels}"
    else:
        answer = f"values (rows, {len(task.targets)}) float64: {_listed(task.targets)}"
    return [*lines, f"answers {answer}"]


def _listed(names: Sequence[str]) -> str:
    return ", ".join([*names[:SHOWN], "…"] if len(names) > SHOWN else names)
