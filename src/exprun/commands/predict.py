"""``exprun predict``: a trained model's predictions for the rows of a file."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv as pa_csv
from pyarrow import parquet

from exprun.commands import Parser, check_output
from exprun.commands.best_job import run_of
from exprun.common.errors import UsageError
from exprun.common.named_files import expanded
from exprun.data.files import read_columns, read_kept
from exprun.data.frame import Frame
from exprun.data.preprocess import Preprocessing
from exprun.record.files import write_atomic
from exprun.record.model import load_model

SUFFIXES = (".csv", ".parquet")

STDIN = "-"


def main(words: list[str]) -> int:
    parser = Parser("predict", "The answers of a trained model for the rows of a file.")
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="the folder of a run, or of a sweep: its best job"
    )
    parser.add_argument("file", metavar="FILE", help="rows with the same columns; - is stdin, CSV")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help=".csv or .parquet; else it is printed"
    )
    parser.add_argument(
        "--keep", action="append", default=[], metavar="COLUMN", help="repeat a column of FILE"
    )
    arguments = parser.parse_args(words)
    if arguments.output:
        check_output(
            arguments.output, SUFFIXES, None if arguments.file == STDIN else arguments.file
        )
    check_order("predict", arguments.run, arguments.file)
    arguments.run = run_of(arguments.run)
    model = load_model(arguments.run)
    with naming(arguments.file) as path:
        frame = read_columns(path, model.preprocessing)
        columns: Mapping[str, NDArray[Any]] = model.predict(frame).columns()
        twice = [name for name in arguments.keep if name in columns]
        if twice:
            raise UsageError(f"--keep {twice[0]}: the answer has a column of that name")
        columns = {**read_kept(path, model.preprocessing, arguments.keep), **columns}
    tell_zones(arguments.file, frame, model.preprocessing)
    tell_unseen(arguments.file, frame, model.preprocessing)
    if arguments.output is None:
        sys.stdout.buffer.write(as_csv(columns))
        sys.stdout.buffer.flush()
        return 0
    is_csv = arguments.output.suffix == ".csv"
    write_atomic(arguments.output, as_csv(columns) if is_csv else as_parquet(columns))
    width = f"{len(columns)} columns" if len(columns) > 1 else "1 column"
    print(f"{arguments.output}: {len(frame)} rows, {width}")
    return 0


def check_order(command: str, run: Path, file: str) -> None:
    """Raise UsageError if the run and the file are given in the wrong order."""
    if run.is_file() and run.suffix != ".safetensors" and expanded(file).is_dir():
        raise UsageError(f"{file} is a folder; expected exprun {command} {file} {run}")


@contextlib.contextmanager
def naming(file: str) -> Iterator[Path]:
    """Context with the path of the user's ``file``, a temporary copy for standard input;
    UsageErrors raised in it begin with the name that the user gave."""
    if file != STDIN:
        try:
            yield expanded(file)
        except UsageError as error:
            named = str(error).startswith((file, str(expanded(file))))
            raise UsageError(str(error) if named else f"{file}: {error}") from None
        return
    with tempfile.NamedTemporaryFile(suffix=".csv") as copied:
        copied.write(sys.stdin.buffer.read())
        copied.flush()
        try:
            yield Path(copied.name)
        except UsageError as error:
            words = str(error).removeprefix(f"{copied.name}: ")
            raise UsageError(f"standard input: {words}") from None


def tell_zones(file: str, frame: Frame, preprocessing: Preprocessing) -> None:
    """Print a line on stderr about times without a zone beside a training with zones, or the other
    way round."""
    for name in preprocessing.unlike_zones(frame):
        where = "training" if name in frame.zoned else file
        print(
            f"exprun: {file}: column {name!r}: times without a zone in {where} are taken as UTC",
            file=sys.stderr,
        )


def tell_unseen(file: str, frame: Frame, preprocessing: Preprocessing) -> None:
    """Print a line on stderr about categories that do not occur in the training rows."""
    counts = preprocessing.unseen(frame)
    if counts:
        each = ", ".join(
            f"{name} in {count} of {len(frame)} rows" for name, count in counts.items()
        )
        print(f"exprun: {file}: categories that training has not seen: {each}", file=sys.stderr)


def as_csv(columns: Mapping[str, NDArray[Any]]) -> bytes:
    """The columns as CSV with a header; strings are quoted only if one of them needs it."""
    content = io.BytesIO()
    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(columns)
    content.write(header.getvalue().encode())
    table = _table(columns)
    texts = [column for column in table.columns if pa.types.is_string(column.type)]
    special = any(
        set(word) & set(',"\r\n') or word != word.strip()
        for column in texts
        for word in column.unique().drop_null().to_pylist()
    )
    options = pa_csv.WriteOptions(
        include_header=False, quoting_style="needed" if special else "none"
    )
    pa_csv.write_csv(table, content, options)
    return content.getvalue()


def as_parquet(columns: Mapping[str, NDArray[Any]]) -> bytes:
    content = io.BytesIO()
    parquet.write_table(_table(columns), content)
    return content.getvalue()


def _table(columns: Mapping[str, NDArray[Any]]) -> pa.Table:
    return pa.Table.from_arrays([pa.array(column) for column in columns.values()], list(columns))
