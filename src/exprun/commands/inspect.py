"""``exprun inspect``: the content of a data file, and how a training would use it."""

from __future__ import annotations

import dataclasses
import json

from exprun.commands import Parser
from exprun.data.inspection import Inspection, command, inspect
from exprun.data.open_file import data_option, open_file
from exprun.data.read_options import Reading
from exprun.display.inspection import show_inspection


def main(words: list[str]) -> int:
    parser = Parser("inspect", "What a file holds, and what would become of it in a training.")
    parser.add_argument("file", metavar="FILE", help="CSV, Parquet, Arrow, .npz, ARFF or .xlsx")
    parser.add_argument("--target", metavar="COLUMN", help="default: a usual name, or the last one")
    parser.add_argument("--test", metavar="FILE", help="an official test split, to be compared")
    parser.add_argument("--no-header", action="store_true", help="columns are called 1, 2, …")
    parser.add_argument("--json", action="store_true", help="as JSON, for scripts")
    arguments = parser.parse_args(words)
    reading = Reading(header=not arguments.no_header)
    source = open_file(arguments.file, reading)
    test = open_file(arguments.test, reading) if arguments.test else None
    found = inspect(source, arguments.target, test)
    train = command(found, arguments.file, data_option(source), arguments.test)
    if arguments.no_header:
        train.append("data.header=false")
    if arguments.json:
        print(json.dumps(_as_json(found, train), indent=2, ensure_ascii=False))
    else:
        show_inspection(arguments.file, found, train)
    return 0


def _as_json(found: Inspection, train: list[str]) -> dict[str, object]:
    content = dataclasses.asdict(found)
    content["task"] = found.task.kind if found.task else None
    content["command"] = None if found.problems else f"exprun {' '.join(train)}"
    return content
