"""Numbers as Europe, America and Switzerland write them: told apart where that is certain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from exprun.common.errors import UsageError
from exprun.data import tabular
from exprun.data.files import read_labelled
from exprun.data.number_format import FORMATS, Ambiguous, NumberFormat, detect, unit_of
from exprun.data.prepare import prepare
from exprun.data.preprocess_json import from_json, to_json

RNG = np.random.default_rng(0)
SMALL, LARGE = RNG.normal(size=120).round(3), RNG.uniform(500, 9e6, 120).round(2)
LABELS = ["yn"[k % 2] for k in range(120)]


def written(number: float, decimal: str, thousands: str, digits: int) -> str:
    """A number in a format."""
    whole, _, decimals = f"{number:,.{digits}f}".partition(".")
    return whole.replace(",", thousands) + decimal + decimals


def file(
    folder: Path, own: NumberFormat, delimiter: str = ";", *, name: str = "a.csv", target: str = "y"
) -> str:
    """A table whose numbers are written in a format, cells in quotes."""
    columns = {
        "small": [written(x, own.decimal, own.thousands, 3) for x in SMALL],
        "large": [written(x, own.decimal, own.thousands, 2) for x in LARGE],
        "y": LABELS,
        "amount": [written(x, own.decimal, own.thousands, 3) for x in SMALL[::-1]],
    }
    names = ["small", "large", target]
    rows = zip(*(columns[name] for name in names), strict=True)
    lines = [delimiter.join(f'"{cell}"' for cell in row) for row in [names, *rows]]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder / name)


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("own", FORMATS, ids=str)
def test_every_format_is_told_by_itself_and_read_as_pandas_reads_it(
    tmp_path: Path, own: NumberFormat, delimiter: str
) -> None:
    path = file(tmp_path, own, delimiter)
    found = tabular.csv(path, "y")
    assert (found.reading.decimal, found.reading.thousands) == (own.decimal, own.thousands)
    np.testing.assert_array_equal(found.features.numbers, np.stack([SMALL, LARGE], axis=1))
    read = pd.read_csv(path, sep=delimiter, decimal=own.decimal, thousands=own.thousands or None)
    np.testing.assert_array_equal(found.features.numbers, read[["small", "large"]])
    assert (str(own) in found.notes[0]) == (not own.is_plain)


@pytest.mark.parametrize("blank", ["\u00a0", "\u202f"])
def test_blanks_at_which_no_line_breaks(blank: str, tmp_path: Path) -> None:
    path = Path(file(tmp_path, NumberFormat(",", " ")))
    path.write_text(path.read_text().replace(" ", blank))
    found = tabular.csv(str(path), "y").features
    np.testing.assert_array_equal(found.numbers, np.stack([SMALL, LARGE], axis=1))


def test_amounts_to_predict_and_new_rows_are_read_alike(tmp_path: Path) -> None:
    path = file(tmp_path, NumberFormat(",", "."), target="amount")
    data = prepare(tabular.csv(path, "amount"), val_fraction=0, test_fraction=0)
    assert data.preprocessing.task.classes == ()
    kept = from_json(to_json(data.preprocessing))
    assert kept == data.preprocessing
    frame, targets = read_labelled(path, kept)
    np.testing.assert_array_equal(frame.numbers, np.stack([SMALL, LARGE], axis=1))
    np.testing.assert_array_equal(targets[:, 0], SMALL[::-1])
    plain = file(tmp_path, NumberFormat(), name="b.csv", target="amount")
    with pytest.raises(UsageError, match=r"b.csv: row 2, column 'small': .* is not a number"):
        read_labelled(plain, kept)


def test_a_test_file_is_in_the_format_of_the_training_file(tmp_path: Path) -> None:
    train = file(tmp_path, NumberFormat(",", "."))
    (tmp_path / "test.csv").write_text('small;large;y\n"0,5";"1.257";y\n"0,25";"1.300";n\n')
    found = tabular.csv(train, "y", test_path=str(tmp_path / "test.csv")).features
    np.testing.assert_array_equal(np.asarray(found.numbers)[-2:], [[0.5, 1257], [0.25, 1300]])


def test_runs_from_before_formats_were_written_down_read_plain_numbers(tmp_path: Path) -> None:
    path = file(tmp_path, NumberFormat())
    data = prepare(tabular.csv(path, "y"), val_fraction=0, test_fraction=0)
    content = to_json(data.preprocessing)
    for key in ("decimal", "thousands"):
        del content["reading"][key]
    assert from_json(content) == data.preprocessing
    content["reading"]["decimal"] = ";"
    with pytest.raises(ValueError, match=r"reading.decimal is damaged"):
        from_json(content)


COMMA, COMMA_POINT = NumberFormat(","), NumberFormat(",", ".")
POINT, POINT_COMMA = NumberFormat(), NumberFormat(".", ",")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([["1", "2"], ["3.14", "2"]], POINT),
        ([["3,14", "2"]], COMMA),
        ([["0,125", "0,250"]], COMMA),  # no group begins with 0
        ([["1,257", "3,1"]], COMMA),
        ([["1,257,000", "3,100"]], POINT_COMMA),
        ([["1,257.5", "3,100"]], POINT_COMMA),
        ([["1.257,5", "3.100"]], COMMA_POINT),
        ([["1.257", "3.100"], ["3,5"]], COMMA_POINT),  # the other column tells
        ([["1,257"], ["3.5", "2"]], POINT_COMMA),
        ([["a", "b,c"], ["1,2 or 3"]], POINT),
        ([["1,2,3", "4,5"]], POINT),
        ([[], ["", "x"]], POINT),
    ],
)
def test_what_tells_a_format(columns: Sequence[Sequence[str]], expected: NumberFormat) -> None:
    assert detect(columns) == expected


def test_what_does_not_tell_it() -> None:
    with pytest.raises(Ambiguous) as caught:
        detect([["a", "b"], ["1,257", "33,100"]])
    assert (caught.value.column, caught.value.cell) == (1, "1,257")
    assert set(caught.value.formats) == {COMMA, POINT_COMMA}
    assert detect([["1,257"]], decimal=",") == COMMA
    assert detect([["1,257"]], thousands=",") == POINT_COMMA


@pytest.mark.parametrize(
    ("cell", "options", "message"),
    [
        ("{k},5", {}, "column 'b' has numbers like '0,5', as with data.decimal=comma, and"),
        ("{k}.5 %", {}, "column 'b' has numbers like '0.5 %'; expected them without '%'"),
        ("€{k}", {}, "like '€0'; expected them without '€', or 'data.categorical=[b]'"),
        ("{k} km/h", {}, "like '0 km/h'; expected them without 'km/h'"),
        ("{k},5", {"decimal": "comma"}, "row 2, column 'x': '0.5' is not a number"),
        ("{k}", {"decimal": "comma", "thousands": "comma"}, "expected two different separators"),
    ],
)
def test_mistakes_name_column_and_key(
    tmp_path: Path, cell: str, options: dict[str, object], message: str
) -> None:
    lines = [f"{k}.5;{cell.format(k=k)};{'yn'[k % 2]}" for k in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["x;b;y", *lines]) + "\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        tabular.csv(str(tmp_path / "a.csv"), "y", **options)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_numbers_of_two_meanings_are_a_question(tmp_path: Path) -> None:
    lines = [f"{k};{1 + k % 9},{200 + k};{'yn'[k % 2]}" for k in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["x;b;y", *lines]) + "\n")
    path = str(tmp_path / "a.csv")
    with pytest.raises(UsageError) as caught:
        tabular.csv(path, "y")
    assert str(caught.value) == (
        f"{path}: column 'b' has numbers like '1,200'; expected data.decimal=comma if it is 1.200 "
        "or data.thousands=comma if it is 1200"
    )
    assert tabular.csv(path, "y", decimal="comma").features["b"][0] == 1.2
    assert tabular.csv(path, "y", thousands="comma").features["b"][0] == 1200
    assert tabular.csv(path, "y", drop=["b"]).features.names == ("x",)
    assert len(tabular.csv(path, "y", categorical=["b"]).features.categorical["b"].words) == 60


@pytest.mark.parametrize("words", [["A1", "A22"], ["12A", "13A"], ["1 a", "2 b"], ["x", "5 %"], []])
def test_codes_have_no_unit(words: list[str]) -> None:
    assert unit_of(words) is None
