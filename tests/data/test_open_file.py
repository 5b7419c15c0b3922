"""The same table in every format of file: the same columns at training, test, prediction."""

from __future__ import annotations

import datetime
import glob
import gzip
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
import torch
from pyarrow import csv as pa_csv
from pyarrow import feather
from pyarrow import parquet as pq

from exprun.build import load_data
from exprun.cli import main
from exprun.common.errors import UsageError
from exprun.common.named_files import files_in
from exprun.config.compose import compose_run
from exprun.config.schema import plain
from exprun.data import tabular
from exprun.data.files import read_labelled
from exprun.data.open_file import data_option, open_file
from exprun.data.prepare import prepare
from exprun.data.read_options import Reading
from exprun.data.table import Table
from exprun.record.identity import content_hash

ROWS = 40
PARTS = "part-*.parquet"
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "size": RNG.normal(size=ROWS).round(3),
        "count": RNG.integers(0, 9, ROWS),
        "colour": RNG.choice(["red", "it's", 'a "b", c', "größe"], ROWS),
        "day": pd.date_range("2026-01-01", periods=ROWS),
        "y": RNG.choice(["no", "yes"], ROWS),
    }
)
FRAME["size"] = FRAME["size"].astype(object).where(FRAME.index % 7 != 3, None)
DATES = FRAME.assign(day=FRAME["day"].dt.date)


def as_csv(path: Path, frame: pd.DataFrame, **how: Any) -> None:
    frame.to_csv(path, index=False, **how)


def arff_word(word: Any) -> str:
    if word is None:
        return "?"
    text = str(word).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{text}'" if isinstance(word, str) else text


def as_arff(path: Path, frame: pd.DataFrame) -> None:
    colours = ",".join(map(arff_word, frame["colour"].unique()))
    head = [
        *("% a comment", "", "@RELATION 'a table'", "", "@attribute 'size' NUMERIC"),
        *("@attribute count integer", f"@attribute colour {{{colours}}}"),
        *("@attribute day date 'yyyy-MM-dd'", "@attribute y {no, yes}", "", "@DATA"),
    ]
    rows = [", ".join(map(arff_word, row)) for row in frame.itertuples(index=False)]
    path.write_text("\n".join([*head, *rows[:5], "% between", "", *rows[5:]]) + "\n")


def as_sparse_arff(path: Path, frame: pd.DataFrame) -> None:
    """The same with rows that leave out zeros, and colours and labels that come first."""
    as_arff(path, frame)
    head = path.read_text().partition("@DATA")[0]
    absent = [0, 0, frame["colour"].iloc[0], None, "no"]
    rows = [
        [f"{k} {arff_word(cell)}" for k, cell in enumerate(row) if cell != absent[k]]
        for row in frame.itertuples(index=False)
    ]
    assert min(map(len, rows)) < len(absent)
    path.write_text(head + "@DATA\n" + "".join(f"{{{', '.join(row)}}}\n" for row in rows))


def as_xlsx(path: Path, frame: pd.DataFrame) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append([])
    for row in [list(frame), *frame.itertuples(index=False)]:
        sheet.append(list(row))
    book.create_sheet("notes").append(["nothing"])
    book.save(path)


def as_arrow(path: Path, frame: pd.DataFrame) -> None:
    feather.write_feather(pa.Table.from_pandas(frame), str(path), chunksize=7)


def as_folder(path: Path, frame: pd.DataFrame) -> None:
    path.mkdir()
    as_parts(path / PARTS, frame)


def as_parts(path: Path, frame: pd.DataFrame) -> None:
    """Files that match ``path``."""
    schema = pa.Schema.from_pandas(frame)
    for k, part in enumerate(np.array_split(np.arange(len(frame)), 3)):
        rows = pa.Table.from_pandas(frame.iloc[part], schema)
        pq.write_table(rows, path.with_name(PARTS.replace("*", str(k))))


def as_zstd(path: Path, frame: pd.DataFrame) -> None:
    with pa.output_stream(str(path), compression="zstd") as file:
        file.write(frame.to_csv(index=False).encode())


def as_arff_gz(path: Path, frame: pd.DataFrame) -> None:
    as_arff(path, frame)
    path.write_bytes(gzip.compress(path.read_bytes()))


WRITERS: dict[str, tuple[str, Callable[[Path, pd.DataFrame], None]]] = {
    "d.csv": ("csv", as_csv),
    "d.tsv": ("csv", lambda path, frame: as_csv(path, frame, sep="\t")),
    "d.csv.gz": ("csv", as_csv),
    "d.csv.zst": ("csv", as_zstd),
    "d.parquet": ("parquet", lambda path, frame: frame.to_parquet(path)),
    "folder": ("parquet", as_folder),
    PARTS: ("parquet", as_parts),
    "d.feather": ("arrow", as_arrow),
    "d.arff": ("arff", as_arff),
    "d.arff.gz": ("arff", as_arff_gz),
    "sparse.arff": ("arff", as_sparse_arff),
    "d.xlsx": ("xlsx", as_xlsx),
}
KINDS = pytest.mark.parametrize("name", WRITERS)


def written(folder: Path, name: str, frame: pd.DataFrame = DATES) -> str:
    WRITERS[name][1](folder / name, frame)
    return str(folder / name)


def table(folder: Path, name: str, **options: Any) -> Table:
    path = written(folder, name)
    return getattr(tabular, WRITERS[name][0])(path, "y", **options)  # type: ignore[no-any-return]


def assert_equal(made: Table, expected: Table) -> None:
    a, b = made.features, expected.features
    assert a.names == b.names
    assert a.datetimes == b.datetimes == {"day"}
    np.testing.assert_allclose(a.numbers, b.numbers)
    assert a["colour"].tolist() == b["colour"].tolist()
    assert (made.task, made.y.tolist()) == (expected.task, expected.y.tolist())


@KINDS
def test_every_format_gives_the_table_of_the_csv_file(tmp_path, name):
    (tmp_path / "other").mkdir()
    expected = table(tmp_path / "other", "d.csv")
    assert_equal(table(tmp_path, name), expected)
    numbers = expected.features["size"].tolist()
    assert numbers == pytest.approx(FRAME["size"].astype(float).tolist(), nan_ok=True)


@KINDS
def test_a_test_file_and_a_new_file_may_be_of_any_format(tmp_path, name):
    train, test = tmp_path / "train", tmp_path / "test"
    train.mkdir()
    test.mkdir()
    made = table(train, "d.parquet", test_path=written(test, name))
    assert made.test_rows == ROWS
    assert made.y[ROWS:].tolist() == made.y[:ROWS].tolist()
    frame, ids = read_labelled(test / name, prepare(made).preprocessing)
    assert ids.tolist() == made.y[:ROWS].tolist()
    assert frame["colour"].tolist() == FRAME["colour"].tolist()


@KINDS
def test_inspect_names_the_option_that_reads_it(tmp_path, capsys, name):
    path = written(tmp_path, name)
    assert data_option(open_file(path, Reading())) == WRITERS[name][0]
    assert main(["inspect", path, "--target", "y"]) == 0
    assert f"exprun data={WRITERS[name][0]} " in capsys.readouterr().out


# ----------------------------------------------------------------------------- what is wrong


def said(call: Callable[..., Table], path: Path) -> str:
    with pytest.raises(UsageError) as error:
        call(str(path), "y")
    return str(error.value).replace(str(path), "FILE")


ARFF = "@relation r\n@attribute x numeric\n@attribute y {a,b}\n@data\n1,a\n"
ARFF_FAULTS = {
    "two,b": "FILE: row 6, column 'x': 'two' is not a number",
    "2,b,c": "FILE: row 6 has 3 cells; expected 2",
    "{0 3, 2 4}": "FILE: row 6: '{0 3, 2 4}'; expected a sparse row {column value, …} with columns "
    "from 0 to 1",
    "{0 3": "FILE: row 6: '{0 3'; expected a sparse row {column value, …} with columns from 0 to 1",
    "{1, 3}": "FILE: row 6: '{1, 3}'; expected a sparse row {column value, …} with columns from 0 "
    "to 1",
    "{0 x}": "FILE: row 6, column 'x': 'x' is not a number",
    "2,c": "FILE: row 6, column 'y': 'c' is none of its values; expected a or b",
    "{0 2, 1 c}": "FILE: row 6, column 'y': 'c' is none of its values; expected a or b",
    "2,a % no comment": "FILE: row 6, column 'y': 'a % no comment' is none of its values; expected "
    "a or b",
    "2,'a": 'FILE: row 6: "\'a"; expected a quote at the end of the word, or a backslash before '
    "one in it",
}


@pytest.mark.parametrize("row", ARFF_FAULTS)
def test_faults_of_an_arff_file_have_their_row(tmp_path, row):
    path = tmp_path / "d.arff"
    path.write_text(ARFF + row + "\n")
    assert said(tabular.arff, path) == ARFF_FAULTS[row]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,y\n1,2\n", "FILE: is not an ARFF file: there is no @relation at its start"),
        (
            "@relation r\n@attribute x what\n",
            "FILE: row 2: '@attribute x what'; expected @attribute",
        ),
        ("@relation r\n@attribute x real\n", "FILE: there is no @data in it"),
        ("@relation r\n@attribut x real\n", "FILE: row 2: '@attribut x real'; expected @relation"),
        (ARFF.replace("1,a\n", ""), "FILE: there are no rows"),
    ],
)
def test_what_is_no_arff_file(tmp_path, text, message):
    path = tmp_path / "d.arff"
    path.write_text(text)
    assert said(tabular.arff, path).startswith(message)


def test_a_cell_of_a_workbook_that_is_no_number_has_the_row_that_excel_shows(tmp_path):
    as_xlsx(tmp_path / "d.xlsx", DATES.assign(count=[*range(ROWS - 1), "many"]))
    message = f"FILE: row {ROWS + 2}, column 'count': 'many' is not a number"
    assert said(tabular.xlsx, tmp_path / "d.xlsx") == message


def test_a_workbook_without_openpyxl(tmp_path, monkeypatch):
    as_xlsx(tmp_path / "d.xlsx", DATES)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert "expected pip install 'exprun[xlsx]'" in said(tabular.xlsx, tmp_path / "d.xlsx")


def test_dates_and_times_of_a_workbook(tmp_path):
    days = [datetime.datetime(2026, 1, 1, 6) + datetime.timedelta(days=k) for k in range(ROWS)]
    as_xlsx(tmp_path / "d.xlsx", DATES.assign(day=days))
    made = tabular.xlsx(str(tmp_path / "d.xlsx"), "y")
    expected = [day.replace(tzinfo=datetime.UTC).timestamp() for day in days]
    assert made.features["day"].tolist() == expected


@pytest.mark.parametrize(
    ("call", "kind"),
    [(tabular.arrow, "an Arrow or Feather file"), (tabular.xlsx, "an Excel workbook (.xlsx)")],
)
def test_other_files_are_told(tmp_path, call, kind):
    FRAME.to_parquet(tmp_path / "d")
    assert said(call, tmp_path / "d") == f"FILE: is not {kind}; expected data=parquet"


def test_parquet_files_of_a_folder_have_the_same_columns(tmp_path):
    as_folder(tmp_path / "f", DATES)
    more = tmp_path / "f" / "part-9.parquet"
    DATES.drop(columns="size").to_parquet(more)
    assert "part-9.parquet: has no column 'size'" in said(tabular.parquet, tmp_path / "f")
    DATES.assign(count="x").to_parquet(more)
    assert "column 'count' is of type" in said(tabular.parquet, tmp_path / "f")


@pytest.mark.parametrize("name", ["d.parquet", PARTS])
def test_two_columns_of_one_name(tmp_path, name):
    columns = [pa.array([1.0, 2.0])] * 3
    pq.write_table(pa.table(columns, names=["x", "x", "y"]), tmp_path / name.replace("*", "0"))
    (file,) = files_in(tmp_path / name)
    with pytest.raises(UsageError, match=f"{file}: there are two columns 'x'"):
        tabular.parquet(str(tmp_path / name), "y")


def test_more_files_than_a_process_may_open(tmp_path):
    for k in range(80):
        pq.write_table(pa.table({"x": [k, k + 1], "y": ["a", "b"]}), tmp_path / f"part-{k}.parquet")
    few = ["bash", "-c", 'ulimit -n 64; "$0" "$@"', sys.executable, "-m", "exprun"]
    done = subprocess.run(
        [*few, "inspect", str(tmp_path / PARTS)], capture_output=True, text=True, check=True
    )
    assert f"{PARTS}: 160 rows" in done.stdout


def test_a_pattern_of_other_files_and_of_none(tmp_path):
    as_csv(tmp_path / "d.csv", DATES)
    pattern = str(tmp_path / "*")
    with pytest.raises(UsageError, match=r"d\.csv; only Parquet files are read together"):
        open_file(pattern, Reading())
    assert said(tabular.parquet, tmp_path / "e*") == "FILE: no file matches this pattern"


@pytest.mark.parametrize(
    "name", ["it's.parquet", "a [1], b.parquet", "part-[0-9].parquet", "(#.csv"]
)
def test_inspect_prints_a_command_that_trains(tmp_path, capsys, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    frame = DATES.rename(columns={"y": "y (t), 'it'"})
    writer = as_csv if name.endswith("csv") else pd.DataFrame.to_parquet
    for file in [f"part-{k}.parquet" for k in range(2)] if "0-9" in name else [name]:
        writer(*((Path(file), frame) if writer is as_csv else (frame, file)))
    assert main(["inspect", name, "--target", "y (t), 'it'"]) == 0
    *_, command = capsys.readouterr().out.splitlines()
    words = shlex.split(command)[2:]
    assert main([*words, "trainer.max_epochs=1"]) == 0


def test_a_fault_in_a_folder_names_its_file_and_row(tmp_path):
    frame = DATES.assign(count=DATES["count"].astype(float))
    frame.loc[ROWS - 1, "count"] = np.inf
    as_folder(tmp_path / "f", frame)
    assert "part-2.parquet: row 13, column 'count': inf is not finite" in said(
        tabular.parquet, tmp_path / "f"
    )


def test_a_job_is_identified_by_the_files_that_match(tmp_path):
    folder = tmp_path / "a[b]"
    as_folder(folder, DATES)
    whole = content_hash(folder)
    (folder / "notes.txt").write_text("no table")
    pattern = Path(glob.escape(str(tmp_path)), "**", PARTS)
    assert content_hash(pattern) == content_hash(folder) == whole
    assert_equal(tabular.parquet(str(pattern), "y"), tabular.parquet(str(folder), "y"))
    (folder / "part-1.parquet").unlink()
    assert content_hash(pattern) == content_hash(folder) != whole
    assert content_hash(tmp_path / "part-*") is None


def test_data_are_read_again_if_files_that_match_have_changed(tmp_path):
    as_parts(tmp_path / PARTS, DATES)
    words = ["data=parquet", f"data.path={tmp_path / PARTS}", "data.target=y"]
    node = plain(compose_run(words, None))["data"]
    rows = [len(load_data(node, torch.device("cpu")).train)]
    (tmp_path / "part-0.parquet").unlink()
    rows.append(len(load_data(node, torch.device("cpu")).train))
    assert rows[0] > rows[1]


@pytest.mark.parametrize("call", [tabular.csv, tabular.npz, tabular.arff, tabular.xlsx])
def test_other_files_are_read_one_by_one(tmp_path, call):
    option = call.__name__
    expected = f"FILE: is a pattern; data={option} reads one file, data=parquet many"
    assert said(call, tmp_path / "part-*") == expected


@pytest.mark.parametrize("words", [["inspect"], ["data=csv", "data.target=y"]])
def test_an_address_is_told_to_be_fetched(capsys, words):
    address = "https://host.example/train.csv"
    words = [*words, address] if words[0] == "inspect" else [*words, f"data.path={address}"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"exprun reads files on the disk; fetch it first: curl -LO {address}" in said


# --------------------------------------------------------------- quirks of published files


@pytest.mark.parametrize(
    "above", ["|1x3 Cross validator\n", "# made by x\n\n# at noon\n", "A title\n"]
)
@pytest.mark.parametrize("header", [True, False])
def test_lines_of_one_cell_above_the_table_are_left_out(tmp_path, header, above):
    path = tmp_path / "d.csv"
    body = DATES.to_csv(index=False, header=header)
    path.write_text(above + body)
    made = tabular.csv(str(path), "y" if header else "-1", header=header)
    assert len(made) == ROWS
    lines = above.count("\n")
    said = "line" if lines == 1 else f"{lines} lines"
    assert f"without the first {said}, above the table" in made.notes[0]
    path.write_text(above + body + "x,1,red,2026-01-01,no\n")
    with pytest.raises(UsageError, match=f"row {lines + header + ROWS + 1}, column"):
        tabular.csv(str(path), "y" if header else "-1", header=header)


def test_the_second_file_of_uci_adult(tmp_path):
    """A first line that is no row, and labels with a full stop."""
    work, income = ["?", "Private", "Never-worked"], [">50K", "<=50K"]
    rows = [f"{20 + k}, {work[k % 3]}, {k % 7}, {income[k % 2]}" for k in range(30)]
    (tmp_path / "adult.data").write_text("\n".join(rows) + "\n\n")
    test = "|1x3 Cross validator\n" + "".join(f"{row}.\n" for row in rows) + "\n"
    (tmp_path / "adult.test").write_text(test)
    made = tabular.csv(
        str(tmp_path / "adult.data"), -1, test_path=str(tmp_path / "adult.test"), header=False
    )
    assert made.y[30:].tolist() == made.y[:30].tolist()
    assert made.notes[-1].endswith("labels read without the full stop at their end")
    _, ids = read_labelled(tmp_path / "adult.test", prepare(made).preprocessing)
    assert ids.tolist() == made.y[:30].tolist()


def test_labels_with_a_full_stop_of_their_own_are_other_labels(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("x,y\n" + "1,a\n2,a.\n" * 10)
    assert tabular.csv(str(path), "y").task.classes == ("a", "a.")


def test_arrows_own_reader_gives_the_same_numbers(tmp_path):
    path = written(tmp_path, "d.tsv")
    theirs = pa_csv.read_csv(path, parse_options=pa_csv.ParseOptions(delimiter="\t"))
    expected = theirs.column("size").to_numpy()
    assert tabular.csv(path, "y").features["size"] == pytest.approx(expected, nan_ok=True)
