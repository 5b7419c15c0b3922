"""Open a data file by its content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from exprun.common.errors import UsageError, refuse_remote
from exprun.common.named_files import expanded, files_in, is_pattern
from exprun.data.arff_file import ArffFile
from exprun.data.arrow_file import ArrowFile
from exprun.data.csv_file import CsvFile
from exprun.data.file_kinds import first_bytes, option_for
from exprun.data.npz_file import NpzFile
from exprun.data.parquet_file import ParquetFile
from exprun.data.read_options import Reading
from exprun.data.source import Source
from exprun.data.xlsx_file import XlsxFile

READERS: Mapping[str, Callable[[str, Reading], Source]] = {
    "csv": CsvFile,
    "parquet": ParquetFile,
    "arrow": ArrowFile,
    "npz": NpzFile,
    "arff": ArffFile,
    "xlsx": XlsxFile,
}
"""The readers of files with named columns, by their option of ``data``."""

SUFFIXES = {".feather": "arrow", **{f".{option}": option for option in READERS}}


def open_file(path: str | Path, reading: Reading) -> Source:
    """Open a file by its first bytes, or, if these are text or unknown, by its suffix, else as CSV;
    a folder or a pattern as Parquet files."""
    refuse_remote(str(path))
    file = expanded(path)
    try:
        first = files_in(file)[0] if is_pattern(file) else file
        option = "parquet" if file.is_dir() else option_for(first_bytes(first))
    except OSError:  # reported when it is read
        option = None
    if is_pattern(file):
        if option not in (None, "parquet"):
            raise UsageError(f"{path}: matches {first}; only Parquet files are read together")
        option = "parquet"
    if option not in READERS or option == "csv":
        suffix = Path(file.name.removesuffix(".gz")).suffix.lower()
        option = SUFFIXES.get(suffix, "csv")
    assert option is not None
    return READERS[option](str(file), reading)


def columns_listed(path: str, header: bool) -> str:
    """`` (columns: a, b, …)``, the end of a message on a column of this file that is to be named;
    empty if it cannot be read."""
    try:
        names = open_file(path, Reading(header=header)).names
    except UsageError:
        return ""
    return f" (columns: {', '.join(names if len(names) <= 20 else [*names[:18], '…', names[-1]])})"


def data_option(source: Source) -> str:
    """The option of ``data`` that reads such a file."""
    return next(option for option, reader in READERS.items() if type(source) is reader)
