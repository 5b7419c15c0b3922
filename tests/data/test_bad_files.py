"""Files that cannot be used, and what is said of each, word for word."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import pytest

from exprun.common.errors import UsageError
from exprun.data import tabular
from tests.data.bad_files import said


def rows(pattern: str, count: int) -> bytes:
    """Lines with {0}, which counts up, and {1}, which is 0 and 1 in turn."""
    return "".join(f"{pattern.format(i, i % 2)}\n" for i in range(count)).encode()


CSV: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "empty file": (b"", {}, "FILE: is empty"),
    "blank lines only": (b"\n  \n\n", {}, "FILE: is empty"),
    "header only": (b"a,b,y\n", {}, "FILE: there is a header and no rows"),
    "only blanks after the header": (b"a,b,y\n\n\n", {}, "FILE: there is a header and no rows"),
    "short row": (b"a,b,y\n1,2,x\n1,y\n", {}, "FILE: row 3 has 2 cells; the header has 3"),
    "long row": (b"a,b,y\n1,2,x\n\n1,2,3,y\n", {}, "FILE: row 4 has 4 cells; the header has 3"),
    "row of one cell": (b"a,b,y\n1,2,x\nend\n", {}, "FILE: row 3 has 1 cell; the header has 3"),
    "long row without a header": (
        b"1,2,x\n1,2,3,y\n",
        {"target": 3, "header": False},
        "FILE: row 2 has 4 cells; the first row has 3",
    ),
    "short row of blanks": (
        b"1 2 x\n1  y\n",
        {"target": 3, "header": False, "delimiter": "space"},
        "FILE: row 2 has 2 cells; the first row has 3",
    ),
    "text among numbers": (
        b"a,b,y\n1,2,x\n1,red,y\n3,4,x\n",
        {},
        "FILE: row 3, column 'b': 'red' is not a number; if it means a missing value, add it to data.missing, else 'data.categorical=[b]' or 'data.drop=[b]'",
    ),
    "text among numbers, far down": (
        b"a,y\n" + b"1,x\n2,y\n" * 2000 + b"red,x\n",
        {},
        "FILE: row 4002, column 'a': 'red' is not a number; if it means a missing value, add it to data.missing, else 'data.categorical=[a]' or 'data.drop=[a]'",
    ),
    "text among numbers after a blank line": (
        b"a,y\n1,x\n\n2,y\n\nred,x\n3,y\n",
        {},
        "FILE: row 6, column 'a': 'red' is not a number; if it means a missing value, add it to data.missing, else 'data.categorical=[a]' or 'data.drop=[a]'",
    ),
    "numbers with a unit": (
        b"a,y\n1,x\n2 cm,y\n3,x\n",
        {},
        "FILE: row 3, column 'a': '2 cm' is not a number; if it means a missing value, add it to data.missing, else 'data.categorical=[a]' or 'data.drop=[a]'",
    ),
    "number as only Python writes it": (
        b"a,y\n1,x\n1_000,y\n3,x\n",
        {},
        "FILE: row 3, column 'a': '1_000' is not a number; if it means a missing value, add it to data.missing, else 'data.categorical=[a]' or 'data.drop=[a]'",
    ),
    "hexadecimal number": (
        b"a,y\n1,x\n0x1A,y\n3,x\n",
        {},
        "FILE: row 3, column 'a': '0x1A' is not a number; if it means a missing value, add it to data.missing, else 'data.categorical=[a]' or 'data.drop=[a]'",
    ),
    "infinity": (
        b"a,y\n1,x\ninf,y\n3,x\n",
        {},
        "FILE: row 3, column 'a': 'inf' is not finite; if it means a missing value, add it to data.missing, else 'data.categorical=[a]' or 'data.drop=[a]'",
    ),
    "number beyond 64 bits": (
        b"a,y\n1,x\n1e400,y\n3,x\n",
        {},
        "FILE: row 3, column 'a': '1e400' is not finite; if it means a missing value, add it to data.missing, else 'data.categorical=[a]' or 'data.drop=[a]'",
    ),
    "text in a column called numeric": (
        b"a,y\nred,x\nblue,y\n",
        {"numeric": ["a"]},
        "FILE: row 2, column 'a': 'red' is not a number; a missing value is one of data.missing: a blank cell, ?, NA, N/A, #N/A, NaN, nan, NULL, null",
    ),
    "decimal commas": (
        b"a;b;y\n1,5;1.5;x\n2,5;2.5;y\n",
        {},
        "FILE: column 'a' has numbers like '1,5', as with data.decimal=comma, and the file is read as with data.decimal=point data.thousands=none; expected one format in all columns",
    ),
    "column twice": (b"a,a,y\n1,2,x\n", {}, "FILE: the column 'a' stands twice in the header"),
    "no header": (
        b"1,2,2,0\n3,4,2,1\n",
        {"target": "y"},
        "FILE: the column '2' stands twice in the header; the first row is numbers: data.header=false names the columns 1 to 4",
    ),
    "no header, distinct numbers": (
        b"1,2,0\n3,4,1\n",
        {"target": "y"},
        "FILE: there is no column 'y', which data.target names; the first row is numbers: data.header=false names the columns 1 to 3 (columns: 1, 2, 0)",
    ),
    "target not there": (
        b"a,b,yy\n1,2,x\n",
        {},
        "FILE: there is no column 'y', which data.target names; did you mean yy? (columns: a, b, yy)",
    ),
    "target not there, nothing near": (
        b"a,b,label\n1,2,x\n",
        {},
        "FILE: there is no column 'y', which data.target names (columns: a, b, label)",
    ),
    "target in another case": (
        b"a,b,Y\n1,2,x\n",
        {},
        "FILE: there is no column 'y', which data.target names; did you mean Y? (columns: a, b, Y)",
    ),
    "position out of range": (
        b"1,2\n3,4\n",
        {"target": 3, "header": False},
        "FILE: there is no column '3', which data.target names (columns: 1, 2)",
    ),
    "position from the end out of range": (
        b"1,2\n3,4\n",
        {"target": -3, "header": False},
        "FILE: there is no column '-3', which data.target names (columns: 1, 2)",
    ),
    "another delimiter than said": (
        b"a;b;y\n1;2;x\n",
        {"delimiter": "comma"},
        "FILE: there is no column 'y', which data.target names; the columns seem to be separated by ';', not ',' (columns: a;b;y)",
    ),
    "dropped column not there": (
        b"a,b,y\n1,2,x\n",
        {"drop": ["bb"]},
        "FILE: there is no column 'bb', which data.drop names; did you mean b? (columns: a, b, y)",
    ),
    "group not there": (
        b"scene,b,y\n1,2,x\n",
        {"group": "scenes"},
        "FILE: there is no column 'scenes', which data.group names; did you mean scene? (columns: scene, b, y)",
    ),
    "column without a name": (
        b",a,y\n0,2,x\n1,3,y\n",
        {},
        "FILE: column 1 has no name in the header (an index?); leave it out with 'data.drop=[1]'",
    ),
    "target dropped": (
        b"a,b,y\n1,2,x\n",
        {"drop": ["y"]},
        "data.drop has 'y', which data.target has too; expected other columns",
    ),
    "column both numeric and categorical": (
        b"a,b,y\n1,2,x\n",
        {"numeric": ["a"], "categorical": ["a"]},
        "data.categorical has 'a', which data.numeric has too; expected other columns",
    ),
    "nothing but the target": (
        b"y\nx\nz\n",
        {},
        "FILE: no column is left as a feature besides the target 'y'",
    ),
    "everything dropped": (
        b"a,y\n1,x\n2,z\n",
        {"drop": ["a"]},
        "FILE: no column is left as a feature besides the target 'y'",
    ),
    "target the same everywhere": (
        b"a,y\n1,x\n2,x\n",
        {},
        "FILE: the target 'y' is the same in every row",
    ),
    "target missing": (
        b"a,y\n1,x\n2,\n3,z\n",
        {},
        "FILE: row 3: the target 'y' is missing; expected a value in every row",
    ),
    "target missing by a word": (
        b"a,y\n1,x\n2,?\n3,z\n",
        {},
        "FILE: row 3: the target 'y' is missing; expected a value in every row",
    ),
    "number target missing": (
        b"a,y\n1,0.5\n2,NA\n3,1.5\n",
        {},
        "FILE: row 3: the target 'y' is missing; expected a value in every row",
    ),
    "target another word in every row": (
        b"a,y\n" + rows("{0},n{0}", 30),
        {},
        "FILE: the target 'y' is another word in every row; expected classes or numbers",
    ),
    "text target for a regression": (
        b"a,y\n1,x\n2,z\n",
        {"task": "regression"},
        "FILE: the target 'y' is text; expected data.task=classification",
    ),
    "text among several targets": (
        b"a,y,z\n1,2,3\n2,2.5,x\n3,1,2\n",
        {"target": ["y", "z"]},
        "FILE: row 3, column 'z': 'x' is not a number; a missing value is one of data.missing: a blank cell, ?, NA, N/A, #N/A, NaN, nan, NULL, null",
    ),
    "a header that is read as a row": (
        b"a,b,y\n1,2,x\n3,4,z\n5,6,x\n",
        {"header": False, "target": "3", "numeric": ["1"]},
        "FILE: row 1, column '1': 'a' is not a number; is the first row a header? data.header=true",
    ),
    "a delimiter that is another": (
        b"a,b,y\n1,2,x\n3,4,z\n",
        {"delimiter": "tab"},
        "FILE: there is no column 'y', which data.target names; the columns seem to be separated by ',', not '\\t' (columns: a,b,y)",
    ),
    "several targets to classify": (
        b"a,y,z\n1,2,3\n2,2,4\n",
        {"target": ["y", "z"], "task": "classification"},
        "data.task=classification has one target; expected one column in data.target",
    ),
    "target named twice": (
        b"a,y,z\n1,2,3\n2,2,4\n",
        {"target": ["y", "y"]},
        "data.target=['y', 'y']: expected every column once",
    ),
    "group missing": (
        b"a,g,y\n1,u,x\n2,,z\n",
        {"group": "g"},
        "FILE: row 3: the group 'g' is missing",
    ),
    "names as a feature": (
        b"a,who,y\n" + rows("{0},n{0},{1}", 30),
        {},
        "FILE: column 'who' has 30 different words in 30 rows, as names have; leave it out with 'data.drop=[who]', or say 'data.categorical=[who]'",
    ),
    "dates, months first or days": (
        b"a,when,y\n" + rows("{0},{0:02}/10/2026,{1}", 30),
        {},
        "FILE: column 'when' has dates like '00/10/2026'; expected 2026-12-31, 2026-12-31 23:59:00 or 31.12.2026, or 'data.drop=[when]'",
    ),
    "very many words": (
        b"who,y\n" + rows("n{0},{1}", 10_001),
        {},
        "FILE: column 'who' has more than 10000 different words, as names, dates or texts have; leave it out with 'data.drop=[who]'",
    ),
    "very many labels": (
        b"a,y\n" + rows("1,n{0}", 10_001),
        {},
        "FILE: the target 'y' has more than 10000 different words; expected classes or numbers",
    ),
    "a name that needs quotes": (
        b"body mass (g),y\n1,x\n2 kg,y\n3,x\n",
        {},
        """FILE: row 3, column 'body mass (g)': '2 kg' is not a number; if it means a missing value, add it to data.missing, else 'data.categorical=["body mass (g)"]' or 'data.drop=["body mass (g)"]'""",
    ),
    "a title with a comma above the header": (
        b"Results, 2024\na,b,c,y\n1,1,1,x\n2,2,2,y\n3,3,3,x\n",
        {},
        "FILE: its first line has 2 cells, the next 4 have 4 each; is it a title or a comment? leave it out: tail -n +2",
    ),
    "row names of R": (
        b"a,b,y\nr1,1,2,x\nr2,3,4,y\nr3,5,6,x\n",
        {},
        "FILE: its first line has 3 cells, the next 3 have 4 each; are the first ones row names, as R writes them? write.table(…, row.names=FALSE)",
    ),
    "ARFF": (
        b"% a comment\n\n@RELATION iris\n@ATTRIBUTE a NUMERIC\n@DATA\n1,x\n",
        {},
        "FILE: is an ARFF file; expected data=arff",
    ),
    "quote not closed": (
        b'a,b,y\n1,"2,x\n3,4,z\n5,6,x\n',
        {},
        "FILE: row 4 has 2 cells; the header has 3; is a quote not closed?",
    ),
    "latin-1 in a category": (
        b"a,b,y\n1,\xe4,x\n2,o,y\n",
        {},
        "FILE: row 2 is not UTF-8 text; convert the file, for example with iconv -f latin1 -t UTF-8",
    ),
    "latin-1 in the header": (
        b"gr\xf6\xdfe,y\n1,x\n2,y\n",
        {},
        "FILE: row 1 is not UTF-8 text; convert the file, for example with iconv -f latin1 -t UTF-8",
    ),
    "latin-1 far down": (
        b"a,y\n" + b"x,1\nz,0\n" * 200_000 + b"\xe4,1\n",
        {},
        "FILE: row 400002 is not UTF-8 text; convert the file, for example with iconv -f latin1 -t UTF-8",
    ),
    "UTF-16": (
        b"\xff\xfea\x00,\x00y\x00\n\x001\x00,\x00x\x00\n\x00",
        {},
        "FILE: is UTF-16 text; convert it, for example with iconv -f UTF-16 -t UTF-8",
    ),
    "HTML page": (
        b"\n<!DOCTYPE html><html><body>Please log in</body></html>",
        {},
        "FILE: is an HTML or XML page, not a CSV file; was it downloaded from behind a login?",
    ),
    "HTML page with a byte order mark": (
        b"\xef\xbb\xbf<html>",
        {},
        "FILE: is an HTML or XML page, not a CSV file; was it downloaded from behind a login?",
    ),
    "JSON": (b'[{"a": 1}]', {}, "FILE: is JSON; expected a CSV file"),
    "ZIP archive": (b"PK\x03\x04\x14\x00", {}, "FILE: is a ZIP archive; expected the file in it"),
    "Excel workbook": (
        b"PK\x03\x04" + 26 * b"\x00" + b"[Content_Types].xml",
        {},
        "FILE: is an Excel workbook; expected data=xlsx",
    ),
    "Feather as CSV": (
        b"ARROW1\x00\x00",
        {},
        "FILE: is an Arrow or Feather file; expected data=arrow",
    ),
    "gzip'd Parquet": (
        gzip.compress(b"PAR1\x15\x04"),
        {},
        "FILE: is no compressed text; unpack it before",
    ),
    "Parquet as CSV": (b"PAR1\x15\x04", {}, "FILE: is a Parquet file; expected data=parquet"),
    "NumPy array as CSV": (
        b"\x93NUMPY\x01\x00",
        {},
        "FILE: is a NumPy array; expected an .npz file and data=npz",
    ),
    "PDF": (b"%PDF-1.7 \xe2\xe3", {}, "FILE: is a PDF document; expected a CSV file"),
    "binary file": (b"a,y\n\x00\x01\x02\n", {}, "FILE: is a binary file; expected text"),
    "gzip that is none": (
        b"\x1f\x8bnonsense",
        {},
        "FILE: cannot be read: Unknown compression method",
    ),
}
"""What is wrong: the file's content, options, and the message, in which FILE is the path. The
target is ``y`` if nothing else is said."""


@pytest.mark.parametrize("name", CSV)
def test_what_is_wrong_with_a_csv_file_is_said(tmp_path, name):
    content, options, message = CSV[name]
    path = tmp_path / "d.csv"
    path.write_bytes(content)
    assert said(tabular.csv, path, **{"target": "y", **options}) == message


@pytest.mark.parametrize(
    "call",
    [tabular.csv, tabular.parquet, tabular.npz, tabular.arrow, tabular.arff, tabular.xlsx],
)
def test_a_folder_and_a_file_that_is_not_there_are_no_files(tmp_path, call):
    without = " without files *.parquet" if call is tabular.parquet else ""
    assert said(call, tmp_path, "y") == f"FILE: is a folder{without}; expected a file"
    assert said(call, tmp_path / "no", "y") == "FILE: no such file"


def test_arrays_are_no_csv_file(tmp_path):
    path = tmp_path / "d.csv"
    with path.open("wb") as file:
        np.savez(file, x=np.zeros(3), y=np.zeros(3))
    assert said(tabular.csv, path, "y") == "FILE: is an .npz file; expected data=npz"


def test_a_gzip_file_that_is_cut_off_or_none(tmp_path):
    path = tmp_path / "d.csv.gz"
    path.write_bytes(gzip.compress(b"a,y\n" + rows("{0},{1}", 1000))[:200])
    assert said(tabular.csv, path, "y") == (
        "FILE: cannot be read: Compressed file ended before the end-of-stream marker was reached"
    )
    path.write_bytes(b"\x1f\x8bnonsense")
    assert said(tabular.csv, path, "y") == "FILE: cannot be read: Unknown compression method"


GOOD = "a,c,y\n1,u,yes\n2,v,no\n3,u,yes\n"


TEST_FILES = {
    "column missing": ("a,y\n1,yes\n", "FILE: column 'c' of GOOD is missing"),
    "column renamed": ("a,C,y\n1,u,yes\n", "FILE: column 'c' of GOOD is missing; did you mean C?"),
    "text among numbers": (
        "a,c,y\n1,u,yes\nred,u,no\n",
        "FILE: row 3, column 'a': 'red' is not a number; a missing value is one of data.missing: a "
        "blank cell, ?, NA, N/A, #N/A, NaN, nan, NULL, null",
    ),
    "unknown label": (
        "a,c,y\n1,u,no\n1,u,maybe\n",
        "FILE: row 3: the target 'y' is 'maybe', which no row for training has; expected no or yes",
    ),
    "target missing": (
        "a,c,y\n1,u,\n",
        "FILE: row 2: the target 'y' is missing; expected a value in every row",
    ),
}


@pytest.mark.parametrize("name", TEST_FILES)
def test_what_is_wrong_with_an_official_test_file_is_said(tmp_path, name):
    content, message = TEST_FILES[name]
    good, path = tmp_path / "good.csv", tmp_path / "test.csv"
    good.write_text(GOOD)
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        tabular.csv(str(good), "y", test_path=str(path))
    assert str(caught.value).replace(str(path), "FILE").replace(str(good), "GOOD") == message
