"""``preprocess.json``: convert the preprocessing to plain data and back, validating everything."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from exprun.data.columns import Categorical, Column, Datetime, Numeric
from exprun.data.datetimes import PERIODS
from exprun.data.encoding import FREQUENCY, TARGET, Encoding
from exprun.data.frame import CATEGORICAL, DATETIME, NUMERIC
from exprun.data.number_format import DECIMALS, THOUSANDS
from exprun.data.preprocess import Preprocessing
from exprun.data.read_options import Reading
from exprun.data.scaling import Linear, Quantiles, Scaling
from exprun.data.task import MERGED, Task

FORMAT = 2


def to_json(preprocessing: Preprocessing) -> dict[str, Any]:
    """The preprocessing as dicts, lists, texts and numbers."""
    task, target, reading = preprocessing.task, preprocessing.target, preprocessing.reading
    return {
        "format": FORMAT,
        "columns": [_column(column) for column in preprocessing.columns],
        "task": {
            "kind": task.kind,
            "targets": list(task.targets),
            "classes": list(task.classes),
            **({"merged": list(task.merged)} if task.merged else {}),
            **({"ordered": True} if task.ordered else {}),
        },
        "target": {"mean": list(target.mean), "std": list(target.std)},
        "reading": {**asdict(reading), "missing": list(reading.missing)},
        **({"weight": preprocessing.weight} if preprocessing.weight is not None else {}),
    }


def _column(column: Column) -> dict[str, Any]:
    head: dict[str, Any] = {"name": column.name, "kind": column.kind}
    if isinstance(column, Categorical):
        levels = list(column.levels)
        content = {**head, "levels": levels, "fill": column.fill, "unseen": column.unseen}
        return content | ({"encoding": asdict(column.encoding)} if column.encoding else {})
    scaling = column.scaling
    quantiles = {"quantiles": list(scaling.values)} if isinstance(scaling, Quantiles) else None
    content = {**head, "fill": column.fill, "scaling": quantiles or asdict(scaling)}
    if isinstance(column, Datetime):
        content["periods"] = list(column.periods)
        content |= {"zoned": True} if column.zoned else {}
    return content


def from_json(data: Any) -> Preprocessing:
    """The preprocessing from plain data. Raises ValueError, naming the position, for data that
    ``to_json`` cannot have written."""
    whole = _Position("", data)
    if whole.dict().get("format") != FORMAT:
        raise ValueError(f"preprocess.json: format {data.get('format')!r}, expected {FORMAT}")
    columns = tuple(_read_column(column) for column in whole["columns"].items())
    names = [column.name for column in columns]
    whole["columns"].expect(bool(names), "a column at least")
    whole["columns"].expect(len(names) == len(set(names)), "every name once")
    merged = whole["task"]["merged"].items() if "merged" in whole["task"].dict() else []
    task = Task(
        tuple(target.text() for target in whole["task"]["targets"].items()),
        tuple(label.text() for label in whole["task"]["classes"].items()),
        tuple(label.text() for label in merged),
        "ordered" in whole["task"].dict() and whole["task"]["ordered"].boolean(),
    )
    classes = task.classes
    whole["task"]["targets"].expect(bool(task.targets), "a column at least")
    distinct = len(classes) == len(set(classes)) != 1
    whole["task"]["classes"].expect(distinct, "no label, or two or more different ones")
    whole["task"].expect(bool(classes) or not task.ordered, "classes that are ordered")
    if merged:
        whole["task"]["merged"].expect(MERGED in classes, f"a class {MERGED!r}, or no such labels")
    target = whole["target"]
    scaling = Scaling(
        tuple(mean.number() for mean in target["mean"].items()),
        tuple(std.positive() for std in target["std"].items()),
    )
    scaled = 0 if classes else len(task.targets)
    target.expect(len(scaling.mean) == len(scaling.std) == scaled, f"{scaled} means and stds")
    reading = whole["reading"]
    return Preprocessing(
        columns,
        task,
        scaling,
        Reading(
            header=reading["header"].boolean(),
            delimiter=reading["delimiter"].text_or_none(),
            missing=tuple(word.text() for word in reading["missing"].items()),
            columns=reading["columns"].count_or_none() if "columns" in reading.dict() else None,
            decimal=_separator(reading, "decimal", DECIMALS.values(), "."),
            thousands=_separator(reading, "thousands", THOUSANDS.values(), ""),
        ),
        whole["weight"].text() if "weight" in whole.dict() else None,
    )


def _separator(reading: _Position, key: str, separators: Iterable[str], usual: str) -> str | None:
    """A separator in numbers of the file; runs of earlier versions have none written down."""
    if key not in reading.dict():
        return usual
    found = reading[key].text_or_none()
    reading[key].expect(found is None or found in separators, "a separator, or null")
    return found


def _read_column(place: _Position) -> Column:
    name, kind = place["name"].text(), place["kind"].text()
    if kind in (NUMERIC, DATETIME):
        scaling: Linear | Quantiles
        if "quantiles" in place["scaling"].dict():
            values = tuple(value.number() for value in place["scaling"]["quantiles"].items())
            ascending = list(values) == sorted(values) and len(values) > 0
            place["scaling"]["quantiles"].expect(ascending, "ascending numbers")
            scaling = Quantiles(values)
        else:
            center, scale = place["scaling"]["center"], place["scaling"]["scale"]
            scaling = Linear(center.number(), scale.positive())
        fill = place["fill"].number()
        if kind == NUMERIC:
            return Numeric(name, fill, scaling)
        periods = tuple(period.text() for period in place["periods"].items())
        known = len(periods) == len(set(periods)) and set(periods) <= set(PERIODS)
        place["periods"].expect(known, f"some of {', '.join(PERIODS)}")
        zoned = "zoned" in place.dict() and place["zoned"].boolean()
        return Datetime(name, fill, scaling, periods, zoned)
    place["kind"].expect(kind == CATEGORICAL, f"{NUMERIC}, {DATETIME} or {CATEGORICAL}")
    levels = tuple(level.text_or_none() for level in place["levels"].items())
    place["levels"].expect(0 < len(levels) == len(set(levels)), "different categories")
    filled = place["fill"].text_or_none()
    place["fill"].expect(filled is None or filled in levels, "null or one of the levels")
    unseen = place["unseen"].text()
    place["unseen"].expect(unseen in ("ignore", "error"), "ignore or error")
    encoding = None
    if "encoding" in place.dict():
        encoding = _read_encoding(place["encoding"], len(levels))
    return Categorical(name, levels, filled, "error" if unseen == "error" else "ignore", encoding)


def _read_encoding(place: _Position, levels: int) -> Encoding:
    """The numbers of so many levels."""
    method = place["method"].text()
    place["method"].expect(method in (TARGET, FREQUENCY), f"{TARGET} or {FREQUENCY}")
    of = tuple(name.text() for name in place["of"].items())
    place["of"].expect(bool(of), "a name at least")
    rows = [tuple(cell.number() for cell in row.items()) for row in place["values"].items()]
    unseen = tuple(cell.number() for cell in place["unseen"].items())
    scaling = tuple(
        Linear(each["center"].number(), each["scale"].positive())
        for each in place["scaling"].items()
    )
    place["values"].expect(len(rows) == levels, f"{levels} rows, one for each level")
    fits = all(len(row) == len(of) for row in (*rows, unseen, scaling))
    place.expect(fits, f"{len(of)} numbers for each level")
    return Encoding(method, of, tuple(rows), unseen, scaling)


class _Position:
    """A value in the file with its position, whose accessors check its type."""

    def __init__(self, where: str, value: Any) -> None:
        self.where, self.value = where, value

    def expect(self, fits: bool, what: str) -> None:
        if not fits:
            raise ValueError(f"preprocess.json: {self.where or 'it'} is damaged: expected {what}")

    def dict(self) -> dict[str, Any]:
        self.expect(isinstance(self.value, dict), "an object")
        content: dict[str, Any] = self.value
        return content

    def __getitem__(self, key: str) -> _Position:
        where = f"{self.where}.{key}".lstrip(".")
        if key not in self.dict():
            raise ValueError(f"preprocess.json: {where} is missing")
        return _Position(where, self.value[key])

    def items(self) -> list[_Position]:
        self.expect(isinstance(self.value, list), "a list")
        return [_Position(f"{self.where}[{i}]", value) for i, value in enumerate(self.value)]

    def text(self) -> str:
        self.expect(isinstance(self.value, str), "text")
        return str(self.value)

    def text_or_none(self) -> str | None:
        return None if self.value is None else self.text()

    def boolean(self) -> bool:
        self.expect(isinstance(self.value, bool), "true or false")
        return bool(self.value)

    def number(self) -> float:
        number = self.value
        plain = isinstance(number, int | float) and not isinstance(number, bool)
        self.expect(plain and math.isfinite(number), "a finite number")
        return float(number)

    def count_or_none(self) -> int | None:
        whole = isinstance(self.value, int) and not isinstance(self.value, bool)
        self.expect(self.value is None or (whole and self.value > 0), "a whole number above 0")
        return None if self.value is None else int(self.value)

    def positive(self) -> float:
        number = self.number()
        self.expect(number > 0, "a number above 0")
        return number
