"""``exprun evaluate``: the metrics of a trained model on the labelled rows of a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from exprun.commands import Parser
from exprun.commands.best_job import run_of
from exprun.commands.predict import check_order, naming, tell_unseen, tell_zones
from exprun.data.files import read_labelled, read_weights
from exprun.display.evaluation import show_evaluation
from exprun.record.model import load_model
from exprun.training import metrics


def main(words: list[str]) -> int:
    parser = Parser("evaluate", "What a trained model is worth on the rows of a file.")
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="the folder of a run, or of a sweep: its best job"
    )
    parser.add_argument("file", metavar="FILE", help="rows with the same columns and the target")
    parser.add_argument("--json", action="store_true", help="as JSON, for scripts")
    arguments = parser.parse_args(words)
    check_order("evaluate", arguments.run, arguments.file)
    arguments.run = run_of(arguments.run)
    model = load_model(arguments.run)
    preprocessing, task = model.preprocessing, model.preprocessing.task
    with naming(arguments.file) as path:
        frame, target = read_labelled(path, preprocessing)
        weights = read_weights(path, preprocessing)
        outputs = model.outputs(frame)
    tell_zones(arguments.file, frame, preprocessing)
    tell_unseen(arguments.file, frame, preprocessing)
    if preprocessing.weight is not None and weights is None:
        lacking = f"has no column {preprocessing.weight!r} of weights, so all rows count alike"
        print(f"exprun: {arguments.file}: {lacking}", file=sys.stderr)
    if not task.classes:
        target = preprocessing.target.apply(target.astype(np.float64))
    y = torch.from_numpy(target)
    weight = None if weights is None else torch.from_numpy(weights)
    figures = metrics.full(outputs, y, preprocessing, model.output_activation, weight)
    matrix = metrics.confusion(outputs, y, task).tolist() if task.classes else []
    if arguments.json:
        of_classes = {"classes": list(task.classes), "confusion": matrix} if task.classes else {}
        print(json.dumps({"rows": len(frame), "metrics": figures, **of_classes}, indent=2))
    else:
        show_evaluation(arguments.file, len(frame), task, figures, matrix)
    return 0
