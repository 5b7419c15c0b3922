"""Dates and times: parsed alike from every format, elapsed time and phases, the split by time."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exprun.cli import main
from exprun.common.errors import UsageError
from exprun.common.streams import stream
from exprun.data import tabular
from exprun.data.columns import Datetime
from exprun.data.csv_file import BLOCK
from exprun.data.datetimes import DAY, PERIODS, NoDate, circle, iso, periods_of, seconds
from exprun.data.files import read_columns
from exprun.data.frame import DATETIME
from exprun.data.prepare import Data, prepare
from exprun.data.preprocess_json import from_json, to_json
from exprun.data.split import TIME, split_rows

START = datetime(2024, 1, 1)  # a Monday
HOURS = [START + timedelta(hours=6 * k) for k in range(4 * 60)]
ROWS = len(HOURS)
AMOUNTS = [20.5 + 5 * (t.hour == 12) + k / 50 for k, t in enumerate(HOURS)]


@pytest.mark.parametrize(
    ("word", "same"),
    [
        ("2026-12-31", "2026-12-31T00:00:00"),
        ("2026-12-31 23:59", "2026-12-31T23:59:00"),
        ("2026-12-31T23:59:58", "2026-12-31T23:59:58"),
        ("2026-12-31T23:59:58.25", "2026-12-31T23:59:58.250000"),
        ("2026-12-31 23:59:58.123456789", "2026-12-31T23:59:58.123456"),
        ("2026-12-31T23:59:58Z", "2026-12-31T23:59:58+00:00"),
        ("2026-12-31T23:59:58+02:00", "2026-12-31T23:59:58+02:00"),
        ("2026-12-31 23:59-0530", "2026-12-31T23:59:00-05:30"),
        ("2026/02/28", "2026-02-28T00:00:00"),
        ("2026/02/28 01:02:03", "2026-02-28T01:02:03"),
        ("28.02.2026", "2026-02-28T00:00:00"),
        ("28.02.2026 17:45", "2026-02-28T17:45:00"),
        ("2026-02", "2026-02-01T00:00:00"),
        ("1789-07-14", "1789-07-14T00:00:00"),
        ("2024-02-29", "2024-02-29T00:00:00"),
    ],
)
def test_a_date_is_what_python_takes_it_for(word: str, same: str) -> None:
    expected = datetime.fromisoformat(same)
    instant = expected if expected.tzinfo else expected.replace(tzinfo=UTC)
    assert seconds(pa.array([word, None])).tolist()[0] == instant.timestamp()
    assert np.isnan(seconds(pa.array([word, None]))[1])


@pytest.mark.parametrize(
    ("words", "row", "why"),
    [
        (["2026-12-31", "12/31/2026"], 1, "is not a date; expected 2026-12-31"),
        (["2026-12-31", None, "soon"], 2, "is not a date"),
        (["2026-12-31 5 pm"], 0, "is not a date"),
        (["2026-01-31", "2026-02-31"], 1, "is a date that does not exist"),
        (["2026-01-31", "2026-01-31 25:00"], 1, "is a date that does not exist"),
        (["29.02.2024", "29.02.2025"], 1, "is a date that does not exist"),
        (["2026-01-31 10:00Z", "2026-01-31 10:00"], 1, "has no time zone, unlike those before"),
        (["2026-01-31 10:00", "2026-01-31 10:00Z"], 1, "has a time zone, unlike those before"),
        ([None, "2026-01-31", "2026-01-31 10:00+01:00"], 2, "has a time zone, unlike"),
    ],
)
def test_what_is_no_date_is_told_by_its_row(words: list[str | None], row: int, why: str) -> None:
    with pytest.raises(NoDate, match=why) as caught:
        seconds(pa.array(words))
    assert caught.value.row == row


@pytest.mark.parametrize("first", ["", "Z"])
def test_zones_that_begin_or_end_later_in_a_file(tmp_path: Path, first: str) -> None:
    """A file of several batches is read as one."""
    zones = [first] * 60_000 + ["" if first else "Z"] * 5
    lines = [f"2024-01-{1 + k % 28:02}T10:00:00{zone},{k % 9}" for k, zone in enumerate(zones)]
    (tmp_path / "a.csv").write_text("\n".join(["t,y", *lines]) + "\n")
    assert (tmp_path / "a.csv").stat().st_size > BLOCK
    with pytest.raises(UsageError, match=r"row 60002, column 't': '[^']*' has (a|no) time zone"):
        tabular.csv(str(tmp_path / "a.csv"), "y")


def test_dates_as_text_are_those_that_they_were_written_from() -> None:
    for moment in (START, datetime(1969, 12, 31, 23, 59, 59), datetime(2000, 2, 29, 12)):
        written = str(moment).removesuffix(" 00:00:00")
        assert iso(moment.replace(tzinfo=UTC).timestamp()) == written


def every(step: float, count: int) -> np.ndarray:
    return START.timestamp() + step * np.arange(count)


@pytest.mark.parametrize(
    ("times", "periods"),
    [
        (every(DAY / 4, 240), ("time of day", "day of week")),
        (every(DAY / 24, 48), ("time of day",)),
        (every(DAY / 24, 24), ()),
        (every(DAY, 100), ("day of week",)),
        (every(DAY, 13), ()),
        (every(DAY, 731), ("day of week", "time of year")),
        (every(30 * DAY, 60), ("time of year",)),
        (every(365 * DAY, 60), ()),
        (every(DAY / 24, 20_000), ("time of day", "day of week", "time of year")),
        (np.array([np.nan, 5.0, 5.0]), ()),
        (np.array([np.nan]), ()),
    ],
)
def test_periods_that_can_be_seen(times: np.ndarray, periods: tuple[str, ...]) -> None:
    assert periods_of(np.random.default_rng(0).permutation(times)) == periods


def test_phases_lie_on_the_circle() -> None:
    moments = [datetime(2024, 1, 1, 6, tzinfo=UTC), datetime(2024, 1, 1, 12, tzinfo=UTC)]
    times = np.array([moment.timestamp() for moment in moments])
    np.testing.assert_allclose(circle(times, ["time of day"]), [[1, 0], [0, -1]], atol=1e-9)
    whole = circle(times, [*PERIODS])
    np.testing.assert_allclose(whole[:, ::2] ** 2 + whole[:, 1::2] ** 2, 1)
    weeks = circle(times[0] + 7 * DAY * np.arange(5), ["day of week"])
    np.testing.assert_allclose(weeks, np.tile(weeks[:1], (5, 1)), atol=1e-9)
    years = np.array([datetime(y, 7, 1, tzinfo=UTC).timestamp() for y in range(1970, 2070)])
    angles = np.arctan2(*circle(years, ["time of year"]).T) / (2 * np.pi) * 365.2425
    assert np.ptp(angles) < 2.3  # days


def files(folder: Path) -> dict[str, tabular.Table]:
    """The same table in every form in which dates are written."""
    texts = [str(t) for t in HOURS]
    (folder / "a.csv").write_text(
        "when,amount\n" + "".join(f"{t},{a}\n" for t, a in zip(texts, AMOUNTS, strict=True))
    )
    columns = {
        "text": pa.array(texts),
        "large": pa.array(texts, pa.large_string()),
        "stamp": pa.array(HOURS, pa.timestamp("ms")),
        "nanoseconds": pa.array(HOURS, pa.timestamp("ns")),
        "zoned": pa.array(HOURS, pa.timestamp("us", "UTC")),
    }
    found = {"csv": tabular.csv(str(folder / "a.csv"), "amount")}
    for name, column in columns.items():
        path = folder / f"{name}.parquet"
        pq.write_table(pa.table({"when": column, "amount": AMOUNTS}), path)
        found[name] = tabular.parquet(str(path), "amount")
    for name, array in (("words", texts), ("datetime64", np.array(HOURS, "datetime64[s]"))):
        np.savez(folder / f"{name}.npz", when=np.array(array), amount=AMOUNTS)
        found[name] = tabular.npz(str(folder / f"{name}.npz"), "amount")
    return found


def test_every_format_has_the_same_dates(tmp_path: Path) -> None:
    expected = np.array([t.replace(tzinfo=UTC).timestamp() for t in HOURS])
    for name, table in files(tmp_path).items():
        assert table.features.kind("when") == DATETIME, name
        np.testing.assert_array_equal(table.features["when"], expected, name)


def test_days_of_parquet(tmp_path: Path) -> None:
    days = [date(2024, 1, 1) + timedelta(days=k) for k in range(40)]
    table = pa.table({"day": pa.array([None, *days[1:]], pa.date32()), "y": range(40)})
    pq.write_table(table, tmp_path / "a.parquet")
    found = tabular.parquet(str(tmp_path / "a.parquet"), "y", task="regression").features["day"]
    assert np.isnan(found[0])
    assert found[1:].tolist() == (every(DAY, 40)[1:] + (found[1] - every(DAY, 2)[1])).tolist()
    assert iso(found[1]) == "2024-01-02"


def test_a_column_of_dates_can_be_categories_or_left_out(tmp_path: Path) -> None:
    lines = [f"2024-01-0{1 + k % 5},{k % 9},{'yn'[k % 2]}" for k in range(60)]
    (tmp_path / "a.csv").write_text("\n".join(["day,x,y", *lines]) + "\n")
    path = str(tmp_path / "a.csv")
    assert len(tabular.csv(path, "y", categorical=["day"]).features.categorical["day"].words) == 5
    assert tabular.csv(path, "y", drop=["day"]).features.names == ("x",)
    with pytest.raises(UsageError, match=r"row 2, column 'day': '2024-01-01' is not a number"):
        tabular.csv(path, "y", numeric=["day"])


def test_a_cell_that_is_no_date_is_named(tmp_path: Path) -> None:
    lines = [f"2024-01-{1 + k % 28:02},{k % 9},{'yn'[k % 2]}" for k in range(60)]
    lines[40] = "never,1,y"
    (tmp_path / "a.csv").write_text("\n".join(["day,x,y", *lines]) + "\n")
    with pytest.raises(UsageError, match=r"a.csv: row 42, column 'day': 'never' is not a date"):
        tabular.csv(str(tmp_path / "a.csv"), "y")
    frame = tabular.csv(str(tmp_path / "a.csv"), "y", missing=["never"]).features
    assert np.flatnonzero(np.isnan(frame["day"])).tolist() == [40]


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return prepare(files(tmp_path)["csv"], split=TIME, val_fraction=0.25, test_fraction=0.25)


def test_inputs_are_elapsed_time_and_phases(data: Data) -> None:
    (column,) = data.preprocessing.columns
    assert isinstance(column, Datetime)
    assert column.periods == ("time of day", "day of week")
    assert data.preprocessing.input_names == (
        "when",
        "when: time of day, sine",
        "when: time of day, cosine",
        "when: day of week, sine",
        "when: day of week, cosine",
    )
    x = data.train.x.numpy()
    times = np.array([t.replace(tzinfo=UTC).timestamp() for t in HOURS[: len(x)]])
    np.testing.assert_allclose(x[:, 0], (times - times.mean()) / times.std(), atol=1e-6)
    np.testing.assert_allclose(x[:, 1:], circle(times, column.periods), atol=1e-6)
    assert "when: dates as elapsed time, time of day, day of week" in data.notes


@pytest.mark.parametrize("scaling", ["none", "unit", "min_max", "quantile"])
def test_dates_are_small_with_every_scaling(tmp_path: Path, scaling: str) -> None:
    found = prepare(files(tmp_path)["csv"], scaling=scaling)
    assert found.train.x.abs().max() < 6


def test_gaps_become_the_median_time(tmp_path: Path) -> None:
    texts = ["" if k % 7 == 3 else str(t) for k, t in enumerate(HOURS)]
    lines = [f"{t},{a}" for t, a in zip(texts, AMOUNTS, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["when,amount", *lines]) + "\n")
    table = tabular.csv(str(tmp_path / "a.csv"), "amount")
    found = prepare(table, val_fraction=0, test_fraction=0)
    (column,) = found.preprocessing.columns
    there = [t.replace(tzinfo=UTC).timestamp() for k, t in enumerate(HOURS) if k % 7 != 3]
    filled = np.median(there)
    assert isinstance(column, Datetime)
    assert column.fill == filled
    gap = found.train.x.numpy()[3]
    np.testing.assert_allclose(gap[1:], circle(np.array([filled]), column.periods)[0], atol=1e-6)


def test_the_preprocessing_survives_json_and_damage_is_told(data: Data) -> None:
    content = json.loads(json.dumps(to_json(data.preprocessing)))
    assert from_json(content) == data.preprocessing
    for periods in (["day of month"], ["time of day"] * 2, "time of day"):
        content["columns"][0]["periods"] = periods
        with pytest.raises(ValueError, match=r"columns\[0\].periods is damaged"):
            from_json(content)


def test_new_rows_are_read_as_in_training(data: Data, tmp_path: Path) -> None:
    for name in ("stamp.parquet", "datetime64.npz", "a.csv"):
        frame = read_columns(tmp_path / name, data.preprocessing)
        np.testing.assert_array_equal(
            data.preprocessing.apply(frame)[: len(data.train.x)], data.train.x.numpy(), name
        )
    (tmp_path / "new.csv").write_text("when\n2024-01-01\ntomorrow\n")
    with pytest.raises(UsageError, match="'when': 'tomorrow' is not a date"):
        read_columns(tmp_path / "new.csv", data.preprocessing)


# ---------------------------------------------------------------------------------- split


def shuffled(folder: Path, times: list[object], **options: object) -> tabular.Table:
    """Rows in a random order; the target y is their place in it."""
    order = np.random.default_rng(1).permutation(len(times))
    lines = [f"{times[k]},{k % 5},{k + 0.5}" for k in order]
    (folder / "s.csv").write_text("\n".join(["t,x,y", *lines]) + "\n")
    return tabular.csv(str(folder / "s.csv"), "y", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("times", [[str(t) for t in HOURS], [1900 + k for k in range(ROWS)]])
def test_the_past_is_trained_on_and_the_future_tested(tmp_path: Path, times: list[object]) -> None:
    table = shuffled(tmp_path, times, time="t")
    parts = split_rows(table, 0.2, 0.1, stream(0, "split"), TIME)
    places = [np.sort(table.y[rows, 0]) - 0.5 for rows in (parts.train, parts.val, parts.test)]
    np.testing.assert_array_equal(np.concatenate(places), np.arange(ROWS))
    assert [len(part) for part in places] == [168, 48, 24]


def test_rows_of_equal_time_stay_together(tmp_path: Path) -> None:
    table = shuffled(tmp_path, [2000 + k // 30 for k in range(300)], time="t", drop=["t"])
    assert table.features.names == ("x",)
    parts = split_rows(table, 0.15, 0.25, stream(0, "split"), TIME)
    years = [set(table.time["t"][rows]) for rows in (parts.train, parts.val, parts.test)]
    assert years == [{2000.0 + k for k in part} for part in (range(6), range(6, 7), range(7, 10))]


def test_the_only_column_of_dates_is_the_time(tmp_path: Path) -> None:
    table = shuffled(tmp_path, [str(t) for t in HOURS])
    parts = split_rows(table, 0.0, 0.5, stream(0, "split"), TIME)
    assert table.y[parts.train].max() < table.y[parts.test].min()


def test_official_test_rows_stay_what_they_are(tmp_path: Path) -> None:
    shuffled(tmp_path, [str(t) for t in HOURS])
    path = str(tmp_path / "s.csv")
    table = tabular.csv(path, "y", test_path=path)
    parts = split_rows(table, 0.5, 0.5, stream(0, "split"), TIME)
    np.testing.assert_array_equal(parts.test, ROWS + np.arange(ROWS))
    assert table.y[parts.train].max() < table.y[parts.val].min()


@pytest.mark.parametrize(
    ("options", "split", "message"),
    [
        ({}, TIME, "there is no column of dates; expected data.time=<column>"),
        ({"time": "t"}, "random", "data.time is for data.split=time; with data.split=random"),
        ({"time": "when"}, TIME, "there is no column 'when', which data.time names"),
        ({"time": "y"}, TIME, "data.time=y: is the target; expected another column"),
        ({"time": "c"}, TIME, "data.time=c: has words; expected dates or numbers"),
        ({"time": "g"}, TIME, "row 5: the time 'g' is missing"),
        ({"time": "k"}, TIME, "of 2 different times; a split into 3 parts"),
        ({"time": "t", "group": "c"}, TIME, "keeps no groups together"),
    ],
)
def test_mistakes_of_a_split_by_time(
    tmp_path: Path, options: dict[str, object], split: str, message: str
) -> None:
    lines = [f"{k},{'abc'[k % 3]},{'' if k == 3 else k},{k > 30},{k + 0.5}" for k in range(60)]
    text = "\n".join(["t,c,g,k,y", *lines]).replace("True", "1").replace("False", "0")
    (tmp_path / "a.csv").write_text(text + "\n")
    with pytest.raises(UsageError, match=message):
        prepare(tabular.csv(str(tmp_path / "a.csv"), "y", **options), split=split)  # type: ignore[arg-type]


def test_two_columns_of_dates_are_a_question(tmp_path: Path) -> None:
    lines = [f"{t},{t},{k + 0.5}" for k, t in enumerate(HOURS)]
    (tmp_path / "a.csv").write_text("\n".join(["from,to,y", *lines]) + "\n")
    with pytest.raises(UsageError, match="there are from and to; expected data"):
        prepare(tabular.csv(str(tmp_path / "a.csv"), "y"), split=TIME)


def test_the_command_trains_predicts_and_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    files(tmp_path)
    words = ["data=csv", "data.path=a.csv", "data.target=amount", "data.split=time", "device=cpu"]
    assert main([*words, "model.hidden=[8]", "trainer.max_epochs=3", "hydra.run.dir=run"]) == 0
    said = capsys.readouterr().out
    assert "1 of dates (when)" in said
    assert "split by when: train 2024-01-01 to 2024-02-11 18:00:00, validation 2024-02-12" in said
    assert main(["evaluate", "run", "stamp.parquet"]) == 0
    for form in ("onnx", "torch"):  # compared with predict on rows of all kinds
        assert main(["export", "run", "--format", form]) == 0
        assert "seconds since 1970-01-01 00:00: when" in capsys.readouterr().out
    assert main(["inspect", "a.csv"]) == 0
    assert "time of day" in capsys.readouterr().out
